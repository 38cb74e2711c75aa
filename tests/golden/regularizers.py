"""Make regularizers.npz: what Keras 3 computes for every regularizer, values and gradients.

    KERAS_BACKEND=torch python -m tests.golden.regularizers

in an environment with keras and torch (the committed numbers: Keras 3.15.1, PyTorch 2.13.0, NumPy 2.4.6, on a CPU; the
archive records it). PyTorch, because its derivative of abs at 0 is 0.

The archive holds the weights ``w_NAME``, ``cases``, a JSON list of (class, arguments, name of the weight), and the
arrays ``value`` (one number for each case) and ``grad_I``.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import torch
from keras.src.regularizers import ALL_OBJECTS_DICT

CASES: list[tuple[str, dict[str, Any], str]] = [
    *[(name, {}, w) for name in ("L1", "L2", "L1L2") for w in ("kernel", "matrix", "vector")],
    ("L1", {"l1": 0.3}, "kernel"), ("L1", {"l1": 1}, "kernel"), ("L1", {"l1": None}, "kernel"),
    ("L2", {"l2": 0.3}, "kernel"), ("L2", {"l2": None}, "kernel"), ("L2", {"l2": 0}, "kernel"),
    ("L1L2", {"l1": 0.3}, "kernel"), ("L1L2", {"l2": 0.2}, "kernel"), ("L1L2", {"l1": 0.3, "l2": 0.2}, "kernel"),
    ("L1L2", {"l1": None, "l2": None}, "kernel"),
    *[
        ("OrthogonalRegularizer", {"factor": factor, "mode": mode}, w)
        for factor in (0.01, 2.0)
        for mode in ("rows", "columns")
        for w in ("matrix", "wide", "with_zero_row")
    ],
]


def main() -> None:
    """Compute everything and write the archive."""
    rng = np.random.default_rng(9)
    weights = {
        "kernel": rng.normal(size=(3, 4, 2)), "matrix": rng.normal(size=(5, 3)), "wide": rng.normal(size=(2, 6)),
        "vector": np.array([0.0, -1.5, 2.0]), "with_zero_row": np.array([[1.0, 2.0], [0.0, 0.0], [-1.0, 1.0]]),
    }
    values, gradients = [], {}
    for i, (name, config, w) in enumerate(CASES):
        tensor = torch.tensor(weights[w], requires_grad=True)
        value = getattr(keras.regularizers, name)(**config)(tensor)
        if value.requires_grad:
            value.backward()
        values.append(float(value))
        gradients[f"grad_{i}"] = np.zeros_like(weights[w]) if tensor.grad is None else tensor.grad.numpy()
    signatures = {
        name: [(p.name, p.default) for p in inspect.signature(cls).parameters.values()]
        for name, cls in ALL_OBJECTS_DICT.items()
    }
    versions = {"keras": keras.__version__, "torch": torch.__version__, "numpy": np.__version__}
    path = Path(__file__).with_suffix(".npz")
    described = {"cases": CASES, "signatures": signatures, "versions": versions}
    np.savez_compressed(
        path, value=np.array(values), **gradients, **{f"w_{name}": w for name, w in weights.items()},
        **{name: np.array(json.dumps(value)) for name, value in described.items()},
    )
    print(f"{path}: {len(CASES)} cases, {path.stat().st_size} bytes, {versions}")


if __name__ == "__main__":
    main()
