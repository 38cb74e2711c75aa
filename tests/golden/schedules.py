"""Make schedules.npz: the learning rates of Keras 3's schedules, step by step.

    KERAS_BACKEND=tensorflow CUDA_VISIBLE_DEVICES= python -m tests.golden.schedules

in an environment with keras and tensorflow (the committed numbers: Keras 3.15.1, TensorFlow 2.21.0, NumPy 2.4.6,
Python 3.11.7, on a CPU; the archive records it). TensorFlow, for Keras on JAX takes cosines and floors in float32
even of float64; and its arguments as numpy.float64, for it would take Python's floats as float32.

The archive holds ``cases``, a JSON list of ``schedule``, the class, ``config``, the constructor's arguments as given,
and ``full_config``, what Keras's get_config says; ``steps``, at which every schedule is asked; ``values``, for each
case its float64 learning rates there; ``versions``, a JSON object.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

STEPS = [*range(60), 75, 99, 100, 101, 127, 150, 200, 350, 511, 1000, 12345]
LR = {"initial_learning_rate": 0.3}

CASES: list[tuple[str, dict[str, Any]]] = [
    *(
        (name, {**LR, "decay_steps": steps, "decay_rate": decay, "staircase": staircase})
        for name in ("ExponentialDecay", "InverseTimeDecay")
        for steps, decay in ((10, 0.9), (7, 0.5), (25, 1.5))
        for staircase in (False, True)
    ),
    ("PiecewiseConstantDecay", {"boundaries": [10, 20, 50], "values": [0.5, 0.1, 0.2, 0.05]}),
    ("PiecewiseConstantDecay", {"boundaries": [0], "values": [0.5, 0.1], "name": "two"}),
    ("PolynomialDecay", {**LR, "decay_steps": 40}),
    *(
        ("PolynomialDecay", {**LR, "decay_steps": 15, "end_learning_rate": 0.01, "power": power, "cycle": cycle})
        for power in (0.5, 1.0, 2.0)
        for cycle in (False, True)
    ),
    ("CosineDecay", {**LR, "decay_steps": 40}),
    ("CosineDecay", {**LR, "decay_steps": 33, "alpha": 0.1}),
    ("CosineDecay", {**LR, "decay_steps": 33, "alpha": 0.1, "warmup_target": 0.9, "warmup_steps": 12}),
    ("CosineDecay", {**LR, "decay_steps": 33, "warmup_target": 0.1, "warmup_steps": 0}),
    ("CosineDecayRestarts", {**LR, "first_decay_steps": 10}),
    *(
        ("CosineDecayRestarts", {**LR, "first_decay_steps": first, "t_mul": t, "m_mul": m, "alpha": alpha})
        for first, t, m, alpha in ((7, 1.0, 0.8, 0.0), (10, 1.5, 0.9, 0.1), (13, 4.0, 1.2, 0.05), (9, 2.0, 0.5, 0.0))
    ),
]


def wide(value: Any) -> Any:
    """Floats as numpy.float64, also in lists."""
    if isinstance(value, list):
        return [wide(part) for part in value]
    return np.float64(value) if isinstance(value, float) else value


def main() -> None:
    """Compute all cases and write the archive."""
    keras.config.set_floatx("float64")
    described, values = [], []
    for name, config in CASES:
        cls = getattr(keras.optimizers.schedules, name)
        full_config = cls(**config).get_config()
        schedule = cls(**{key: wide(value) for key, value in full_config.items()})
        rates = [schedule(step) for step in STEPS]
        assert all(rate.dtype == tf.float64 for rate in rates), name
        values.append(np.array([float(rate) for rate in rates]))
        described.append({"schedule": name, "config": config, "full_config": full_config})
    versions = {
        "keras": keras.__version__, "backend": keras.backend.backend(), "tensorflow": tf.__version__,
        "numpy": np.__version__, "python": platform.python_version(),
    }
    path = Path(__file__).with_suffix(".npz")
    np.savez_compressed(
        path,
        cases=np.array(json.dumps(described)),
        steps=np.array(STEPS),
        values=np.stack(values),
        versions=np.array(json.dumps(versions)),
    )
    print(f"{path}: {len(described)} cases, {path.stat().st_size} bytes, {versions}")


if __name__ == "__main__":
    main()
