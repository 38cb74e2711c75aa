"""Make constraints.npz: what Keras 3 makes of weights by every constraint, and tf.keras 2 by RadialConstraint.

    KERAS_BACKEND=tensorflow python -m tests.golden.constraints

in an environment with keras and tensorflow (the committed numbers: Keras 3.15.1, TensorFlow 2.21.0, NumPy 2.4.6, on a
CPU; the archive records it). Keras 3 has no RadialConstraint; TensorFlow still carries that of tf.keras 2.

The archive holds the weights ``w_NAME``, ``cases``, a JSON list of (class, arguments, name of the weight), and the
arrays ``projected_I``.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow
from keras.src.constraints import ALL_OBJECTS_DICT
from tensorflow.python.keras.constraints import RadialConstraint

AXES = (0, 1, -1, [0, 1], [0, 1, 2])
CASES: list[tuple[str, dict[str, Any], str]] = [
    *[("NonNeg", {}, w) for w in ("kernel", "pointwise", "bias")],
    *[(name, {"axis": axis}, w) for name in ("MaxNorm", "UnitNorm", "MinMaxNorm") for axis in AXES
      for w in ("kernel", "pointwise")],
    *[(name, {}, w) for name in ("MaxNorm", "UnitNorm", "MinMaxNorm") for w in ("bias", "small")],
    ("MaxNorm", {"max_value": 0.7}, "kernel"), ("MaxNorm", {"max_value": 0.0}, "kernel"),
    ("MinMaxNorm", {"min_value": 0.5, "max_value": 0.9}, "kernel"),
    ("MinMaxNorm", {"min_value": 0.5, "max_value": 0.9, "rate": 0.25}, "kernel"),
    ("MinMaxNorm", {"min_value": 0.5, "rate": 0.0, "axis": 1}, "small"),
    *[("RadialConstraint", {}, f"square_{n}") for n in range(2, 7)],
]  # fmt: skip


def main() -> None:
    """Compute everything and write the archive."""
    rng = np.random.default_rng(10)
    weights = {
        "kernel": 2 * rng.normal(size=(3, 4, 2)), "pointwise": rng.normal(size=(1, 8, 5)),
        "bias": np.array([0.0, -1.5, 2.0, 1e-9]), "small": np.array([[1e-8, 0.0], [-1e-7, 0.0]]),
        **{f"square_{n}": rng.normal(size=(n, n, 2, 3)) for n in range(2, 7)},
    }
    projected = {}
    for i, (name, config, w) in enumerate(CASES):
        if name == "RadialConstraint":  # a choice of weights, in float32 because tf.keras 2 wants it
            y = np.asarray(RadialConstraint()(tensorflow.constant(weights[w].astype("float32"))))
        else:
            y = np.asarray(getattr(keras.constraints, name)(**config)(tensorflow.constant(weights[w])))
        projected[f"projected_{i}"] = y
    signatures = {
        name: [(p.name, p.default) for p in inspect.signature(cls).parameters.values()]
        for name, cls in ALL_OBJECTS_DICT.items()
    }
    versions = {"keras": keras.__version__, "tensorflow": tensorflow.__version__, "numpy": np.__version__}
    path = Path(__file__).with_suffix(".npz")
    described = {"cases": CASES, "signatures": signatures, "versions": versions}
    np.savez_compressed(
        path, **projected, **{f"w_{name}": w for name, w in weights.items()},
        **{name: np.array(json.dumps(value)) for name, value in described.items()},
    )
    print(f"{path}: {len(CASES)} cases, {path.stat().st_size} bytes, {versions}")


if __name__ == "__main__":
    main()
