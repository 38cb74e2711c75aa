"""Make optimizers.npz: where the optimizers of Keras 3 take four weights in ten steps.

    KERAS_BACKEND=jax JAX_PLATFORMS=cpu python -m tests.golden.optimizers

in an environment with keras and jax (the committed numbers: Keras 3.15.1, JAX 0.10.2, NumPy 2.4.6, Python 3.11.7, on a
CPU; the archive records it). float64 is Keras's with floatx set to it and jax_enable_x64.

The archive holds:

* ``cases``: a JSON list. Each entry gives ``optimizer``, the class; ``config``, the constructor's arguments;
  ``excluded``, name patterns that weight decay spares; ``missing``, the steps (from 1) at which the bias has no
  gradient; ``constraints``, those of the weights; ``state``, the names of the optimizer's variables at the end.
* ``weights``: a JSON object of the weights' names and shapes; ``start`` and ``gradients``: their numbers, flat, and for
  each of the ten steps those of their gradients.
* ``float64`` and ``float32``: for each case, after each of the steps in ``recorded``, the numbers of the weights.
* ``state64``: for each case, the numbers of its final state, one case after the other; ``state_sizes``: how many.
* ``signatures``: a JSON object of the constructors' parameters with their defaults.
* ``versions``: a JSON object.
"""

from __future__ import annotations

import inspect
import json
import platform
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np

WEIGHTS = {"dense/kernel": (3, 2), "dense/bias": (2,), "conv/kernel": (2, 3, 2), "embedding/table": (4, 2)}
STEPS = 10
RECORDED = (1, 2, 3, 6, 10)
SCHEDULE = {
    "module": "keras.optimizers.schedules",
    "class_name": "ExponentialDecay",
    "config": {"initial_learning_rate": 0.1, "decay_steps": 4, "decay_rate": 0.5, "staircase": False},
    "registered_name": None,
}

OPTIONS: dict[str, dict[str, Any]] = {  # of every optimizer
    "plain": {},
    "decay": {"config": {"weight_decay": 0.3}},
    "spared": {"config": {"weight_decay": 0.3}, "excluded": ["bias", "^tab"]},
    "clipnorm": {"config": {"clipnorm": 0.8}},
    "clipvalue": {"config": {"clipvalue": 0.5}},
    "global_clipnorm": {"config": {"global_clipnorm": 2.0}},
    "ema": {"config": {"use_ema": True, "ema_momentum": 0.8}, "constraints": {"dense/kernel": "NonNeg"}},
    "ema_overwrite": {"config": {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3}},
    "scaled": {"config": {"loss_scale_factor": 8.0}},
    "accumulated": {"config": {"gradient_accumulation_steps": 3}},
    "all": {
        "config": {
            "gradient_accumulation_steps": 2, "clipnorm": 0.8, "weight_decay": 0.3, "use_ema": True,
            "ema_momentum": 0.8, "ema_overwrite_frequency": 2, "learning_rate": SCHEDULE,
        },
        "constraints": {"dense/kernel": "MaxNorm", "dense/bias": "NonNeg"},
    },
    "schedule": {"config": {"learning_rate": SCHEDULE}},
    "missing": {"config": {"use_ema": True}, "missing": [2, 5, 6], "constraints": {"dense/bias": "UnitNorm"}},
    "constrained": {"constraints": {"dense/kernel": "UnitNorm", "conv/kernel": "MinMaxNorm"}},
}

OWN: dict[str, list[dict[str, Any]]] = {  # of one optimizer
    "SGD": [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}],
    "RMSprop": [{"momentum": 0.9}, {"centered": True}, {"momentum": 0.5, "centered": True, "rho": 0.7, "epsilon": 0.1}],
    "Adam": [{"amsgrad": True}, {"beta_1": 0.5, "beta_2": 0.6, "epsilon": 0.1}],
    "AdamW": [{"amsgrad": True, "weight_decay": 0.1, "beta_1": 0.5, "beta_2": 0.6, "epsilon": 0.1}],
    "Adamax": [{"beta_1": 0.5, "beta_2": 0.6, "epsilon": 0.1}],
    "Nadam": [{"beta_1": 0.5, "beta_2": 0.6, "epsilon": 0.1}],
    "Adagrad": [{"initial_accumulator_value": 0.7, "epsilon": 0.1}],
    "Adadelta": [{"rho": 0.5, "epsilon": 0.1}],
    "Ftrl": [
        {"l1_regularization_strength": 0.2, "l2_regularization_strength": 0.3},
        {"l2_shrinkage_regularization_strength": 0.1, "beta": 0.4},
        {"learning_rate_power": -0.8, "initial_accumulator_value": 0.7},
        {"learning_rate_power": 0.0},
    ],
    "Lion": [{"beta_1": 0.5, "beta_2": 0.6}],
    "Lamb": [{"beta_1": 0.5, "beta_2": 0.6, "epsilon": 0.1}],
    "Adafactor": [
        {"beta_2_decay": -0.5, "epsilon_1": 1e-3, "epsilon_2": 0.9, "clip_threshold": 0.5}, {"relative_step": False},
        {"learning_rate": 0.9},
    ],
    "Muon": [
        {"nesterov": False, "ns_steps": 3}, {"exclude_embeddings": False, "rms_rate": None},
        {"exclude_layers": ["dense"], "adam_lr_ratio": 0.5, "adam_weight_decay": None, "momentum": 0.5},
        {"muon_a": 3.0, "muon_b": -3.0, "muon_c": 1.0, "adam_beta_1": 0.5, "adam_beta_2": 0.6, "epsilon": 0.1},
    ],
}


def cases() -> Iterator[dict[str, Any]]:
    """Every optimizer with every option, then with its own."""
    for optimizer, own in OWN.items():
        for option in (*OPTIONS.values(), *({"config": config} for config in own)):
            config = {"learning_rate": 0.05, **option.get("config", {})}
            yield {"optimizer": optimizer, "excluded": [], "missing": [], "constraints": {}, **option, "config": config}


def split(numbers: np.ndarray) -> list[np.ndarray]:
    """The weights, of their flat numbers."""
    ends = np.cumsum([np.prod(shape) for shape in WEIGHTS.values()])
    return [part.reshape(shape) for part, shape in zip(np.split(numbers, ends[:-1]), WEIGHTS.values(), strict=True)]


def flat(arrays: Any) -> np.ndarray:
    """All numbers of some arrays or variables."""
    return np.concatenate([np.ravel(keras.ops.convert_to_numpy(array)) for array in arrays])


def run(case: dict[str, Any], start: np.ndarray, gradients: np.ndarray, dtype: str) -> tuple[np.ndarray, Any]:
    """The weights after the recorded steps, and the optimizer."""
    keras.config.set_floatx(dtype)
    weights = []
    for path, value in zip(WEIGHTS, split(start), strict=True):
        weight = keras.Variable(value, dtype=dtype, name=path.split("/")[1])
        weight._path = path
        if path in case["constraints"]:
            weight.constraint = keras.constraints.get(case["constraints"][path])
        weights.append(weight)
    optimizer = getattr(keras.optimizers, case["optimizer"]).from_config(dict(case["config"]))
    if case["excluded"]:
        optimizer.exclude_from_weight_decay(var_names=case["excluded"])
    recorded = []
    for step in range(1, STEPS + 1):
        parts = [keras.ops.convert_to_tensor(part, dtype) for part in split(gradients[step - 1])]
        if step in case["missing"]:
            parts[list(WEIGHTS).index("dense/bias")] = None
        optimizer.apply(parts, weights)
        if step in RECORDED:
            recorded.append(flat(weights))
    return np.stack(recorded), optimizer


def signatures() -> dict[str, dict[str, Any]]:
    """Parameters and defaults of all constructors."""
    found = {}
    for name in OWN:
        parameters = list(inspect.signature(getattr(keras.optimizers, name).__init__).parameters.values())[1:-1]
        found[name] = {p.name: p.default for p in parameters}
    return found


def main() -> None:
    """Compute all cases and write the archive."""
    warnings.simplefilter("ignore")
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(3)
    size = sum(int(np.prod(shape)) for shape in WEIGHTS.values())
    start = rng.standard_normal(size).round(3)
    gradients = rng.standard_normal((STEPS, size)).round(3)
    described, numbers, state = [], {"float64": [], "float32": []}, []
    for case in cases():
        for dtype, recorded in numbers.items():
            values, optimizer = run(case, start, gradients, dtype)
            assert values.dtype == dtype
            assert np.isfinite(values).all(), case
            recorded.append(values)
            if dtype == "float64":
                state.append(flat(optimizer.variables))
                described.append({**case, "state": [variable.name for variable in optimizer.variables]})
        print(len(described), case["optimizer"], case["config"], flush=True)
    versions = {
        "keras": keras.__version__, "backend": keras.backend.backend(), "jax": jax.__version__,
        "numpy": np.__version__, "python": platform.python_version(),
    }
    path = Path(__file__).with_suffix(".npz")
    np.savez_compressed(
        path,
        cases=np.array(json.dumps(described)),
        weights=np.array(json.dumps(WEIGHTS)),
        recorded=np.array(RECORDED),
        start=start,
        gradients=gradients,
        state64=np.concatenate(state),
        state_sizes=np.array([len(part) for part in state]),
        signatures=np.array(json.dumps(signatures())),
        versions=np.array(json.dumps(versions)),
        **{dtype: np.stack(values) for dtype, values in numbers.items()},
    )
    print(f"{path}: {len(described)} cases, {path.stat().st_size} bytes, {versions}")


if __name__ == "__main__":
    main()
