"""Make activations.npz: what Keras 3 computes for every activation, values and gradients.

    KERAS_BACKEND=torch python -m tests.golden.activations

in an environment with keras and torch (the committed numbers: Keras 3.15.1, PyTorch 2.13.0, NumPy 2.4.6, on a CPU;
the archive records it). PyTorch, because its derivatives at the kinks are those that minigrad takes, but for the few
named in `minigrad.activations`.

The archive holds ``x``, float64 numbers among which are all kinks, ``configs``, a JSON list of (name, arguments), and
``y`` and ``x_grad``, one row for each of them and the derivative of the sum of y. For the activations that look along
an axis, ``axis_I_y`` is computed of ``table`` and ``axis_I_grad`` is the gradient of sum(cotangent * y); for glu the
cotangent is the first half. ``configs`` also has ``signatures``: every activation of Keras with its arguments.
`sparsemax` is left out: that of Keras 3.15.1 returns no point of the simplex (all 0 for [2, 1.5, -1]).
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from keras.src.activations import ALL_OBJECTS_DICT

ONE_BY_ONE: list[tuple[str, dict[str, Any]]] = [
    ("linear", {}), ("relu", {}), ("relu", {"negative_slope": 0.25}), ("relu", {"max_value": 2.5}),
    ("relu", {"threshold": 1.0}), ("relu", {"negative_slope": 0.25, "max_value": 2.5, "threshold": 1.0}),
    ("relu6", {}), ("leaky_relu", {}), ("leaky_relu", {"negative_slope": 0.3}), ("elu", {}), ("elu", {"alpha": 0.5}),
    ("selu", {}), ("celu", {}), ("celu", {"alpha": 0.5}), ("sigmoid", {}), ("log_sigmoid", {}), ("hard_sigmoid", {}),
    ("tanh", {}), ("hard_tanh", {}), ("tanh_shrink", {}), ("hard_shrink", {}), ("hard_shrink", {"threshold": 1.0}),
    ("soft_shrink", {}), ("soft_shrink", {"threshold": 1.0}), ("threshold", {"threshold": 1.0, "default_value": 5.0}),
    ("exponential", {}), ("softplus", {}), ("squareplus", {}), ("squareplus", {"b": 1.0}), ("softsign", {}),
    ("silu", {}), ("swish", {}), ("hard_silu", {}), ("hard_swish", {}), ("mish", {}), ("gelu", {}),
    ("gelu", {"approximate": True}), ("sparse_plus", {}), ("sparse_sigmoid", {}),
]
ALONG_AN_AXIS: list[tuple[str, dict[str, Any]]] = [
    (name, {"axis": axis}) for name in ("softmax", "log_softmax", "glu") for axis in (-1, 0)
]
KINKS = [-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.5, 3.0, 6.0]


def computed(name: str, arguments: dict[str, Any], x: np.ndarray, cotangent: Any = 1.0) -> tuple[Any, Any]:
    """Values, and the gradient of sum(cotangent * y)."""
    function: Callable[..., torch.Tensor] = keras.activations.get(name)
    tensor = torch.tensor(x, requires_grad=True)
    y = function(tensor, **arguments)
    (torch.as_tensor(cotangent) * y).sum().backward()
    return y.detach().numpy(), tensor.grad.numpy()


def main() -> None:
    """Compute everything and write the archive."""
    rng = np.random.default_rng(3)
    x = np.concatenate([KINKS, np.linspace(-8, 8, 23), rng.normal(0, 2, 24)])
    rows = [computed(name, arguments, x) for name, arguments in ONE_BY_ONE]
    arrays: dict[str, Any] = {"x": x, "y": np.stack([y for y, _ in rows]), "x_grad": np.stack([g for _, g in rows])}
    table = rng.normal(0, 2, (4, 6))
    cotangent = rng.normal(size=(4, 6))
    for i, (name, arguments) in enumerate(ALONG_AN_AXIS):
        half = {0: cotangent[:2], -1: cotangent[:, :3]}[arguments["axis"]]
        y, g = computed(name, arguments, table, half if name == "glu" else cotangent)
        arrays |= {f"axis_{i}_y": y, f"axis_{i}_grad": g}
    signatures = {
        name: [(p.name, "required" if p.default is p.empty else p.default) for p in parameters][1:]
        for name, f in ALL_OBJECTS_DICT.items()
        for parameters in [inspect.signature(f).parameters.values()]
    }
    configs = {"one_by_one": ONE_BY_ONE, "along_an_axis": ALONG_AN_AXIS, "signatures": signatures}
    versions = {"keras": keras.__version__, "torch": torch.__version__, "numpy": np.__version__}
    path = Path(__file__).with_suffix(".npz")
    np.savez_compressed(
        path, **arrays, table=table, cotangent=cotangent,
        configs=np.array(json.dumps(configs)), versions=np.array(json.dumps(versions)),
    )
    print(f"{path}: {len(rows) + len(ALONG_AN_AXIS)} cases, {path.stat().st_size} bytes, {versions}")


if __name__ == "__main__":
    main()
