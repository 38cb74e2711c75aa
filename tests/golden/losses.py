"""Make losses.npz: what Keras 3 computes for every loss, values and gradients, with weights and reductions.

    KERAS_BACKEND=jax JAX_PLATFORMS=cpu JAX_ENABLE_X64=1 python -m tests.golden.losses

in an environment with keras and jax (the committed numbers: Keras 3.15.1, JAX 0.10.2, NumPy 2.4.6, on a CPU; the
archive records it). Inputs keep away from kinks, where the derivatives of the backends differ.

The archive holds the arrays of `INPUTS` by name, ``cases``, a JSON list of the arguments of `case`, and for case I
``value_I`` and ``grad_I``, the gradient of the sum of the value with respect to y_pred, in float64. ``signatures`` are
the arguments of every loss class and function of Keras, with their defaults. Keras 3.15.1 has the factors alpha and
beta of Tversky the wrong way round, and 3.16 the right one: they are exchanged here.
"""

from __future__ import annotations

import inspect
import itertools
import json
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np
from keras.src.losses import ALL_OBJECTS_DICT

rng = np.random.default_rng(5)


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


SHAPE = (3, 2, 4)
LABELS = rng.integers(0, 4, SHAPE[:2])
IGNORED = np.where(rng.random(SHAPE[:2]) < 0.4, -1, LABELS)
INPUTS: dict[str, np.ndarray] = {
    "real_t": rng.normal(size=SHAPE), "real_p": rng.normal(size=SHAPE) * 1.5,
    "positive_t": rng.gamma(2, 1, SHAPE), "positive_p": rng.gamma(2, 1, SHAPE),
    "vector": rng.normal(size=3), "column": rng.normal(size=(3, 1)),
    "bits": (rng.random(SHAPE) < 0.5).astype(float), "signs": np.where(rng.random(SHAPE) < 0.5, 1.0, -1.0),
    "chances": rng.uniform(0.05, 0.95, SHAPE), "sure": np.array([[0.0, 1.0, 1e-9, 0.5]]),
    "sure_bits": np.array([[1.0, 0.0, 1.0, 1.0]]),
    "one_hot": np.eye(4)[LABELS], "soft": softmax(rng.normal(size=SHAPE)), "classes_p": softmax(rng.normal(size=SHAPE)),
    "unnormalized_p": rng.gamma(2, 1, SHAPE),
    "logits": 3 * rng.normal(size=SHAPE), "large_logits": 300 * rng.normal(size=SHAPE),
    "labels": LABELS, "labels_kept": LABELS[..., None], "ignored": IGNORED, "all_ignored": np.full(SHAPE[:2], -1),
    "per_sample": rng.uniform(0, 2, 3), "per_sample_column": rng.uniform(0, 2, (3, 1)),
    "per_step": rng.uniform(0, 2, SHAPE[:2]), "per_step_column": rng.uniform(0, 2, (*SHAPE[:2], 1)),
    "no_weight": np.zeros(SHAPE[:2]), "scalar": np.array(0.5),
}
REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)
CASES: list[dict[str, Any]] = []


def case(loss: str, y_true: str, y_pred: str, weights: str | None = None, **config: Any) -> None:
    CASES.append({"loss": loss, "y_true": y_true, "y_pred": y_pred, "weights": weights, "config": config})


for name in (
    "MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "LogCosh", "CosineSimilarity", "Huber",
):
    case(name, "real_t", "real_p")
    case(name, "real_t", "real_p", "per_step", reduction="none")
case("CosineSimilarity", "real_t", "real_p", axis=1)
case("Huber", "real_t", "real_p", delta=0.3)
case("MeanSquaredLogarithmicError", "positive_t", "positive_p")
case("MeanSquaredLogarithmicError", "real_t", "real_p", reduction="none")
for name in ("Hinge", "SquaredHinge", "CategoricalHinge"):
    for labels in ("bits", "signs", "one_hot"):
        case(name, labels, "real_p", reduction="none")
case("Poisson", "positive_t", "positive_p", "per_step")
case("KLDivergence", "soft", "classes_p", "per_step", reduction="sum")
case("KLDivergence", "one_hot", "classes_p", reduction="none")
for smoothing in (0.0, 0.2):
    case("BinaryCrossentropy", "bits", "chances", "per_step", label_smoothing=smoothing)
    case("BinaryCrossentropy", "bits", "logits", from_logits=True, label_smoothing=smoothing)
    case("BinaryFocalCrossentropy", "bits", "chances", label_smoothing=smoothing)
    case("CategoricalCrossentropy", "one_hot", "classes_p", "per_step", label_smoothing=smoothing)
    case("CategoricalCrossentropy", "soft", "logits", from_logits=True, label_smoothing=smoothing)
    case("CategoricalFocalCrossentropy", "one_hot", "classes_p", label_smoothing=smoothing)
    case("CategoricalFocalCrossentropy", "soft", "logits", from_logits=True, label_smoothing=smoothing)
case("BinaryCrossentropy", "bits", "chances", reduction="none", axis=1)
case("BinaryCrossentropy", "sure_bits", "sure", reduction="none")
case("BinaryCrossentropy", "bits", "large_logits", from_logits=True)
case("BinaryFocalCrossentropy", "bits", "chances", "per_step", apply_class_balancing=True, alpha=0.3, gamma=1.5)
case("BinaryFocalCrossentropy", "bits", "logits", from_logits=True, reduction="none")
case("CategoricalCrossentropy", "one_hot", "unnormalized_p", reduction="none")
case("CategoricalCrossentropy", "one_hot", "classes_p", reduction="none", axis=1)
case("CategoricalCrossentropy", "one_hot", "large_logits", from_logits=True, reduction="none")
case("CategoricalFocalCrossentropy", "one_hot", "classes_p", "per_step", alpha=0.3, gamma=1.5, reduction="sum")
case("SparseCategoricalCrossentropy", "labels", "classes_p", reduction="none")
case("SparseCategoricalCrossentropy", "labels_kept", "unnormalized_p", "per_step")
case("SparseCategoricalCrossentropy", "labels", "large_logits", from_logits=True)
case("SparseCategoricalCrossentropy", "labels", "logits", from_logits=True, ignore_class=2)
case("SparseCategoricalCrossentropy", "all_ignored", "logits", from_logits=True, ignore_class=-1)
for reduction, weights in itertools.product(REDUCTIONS, (None, "per_step", "per_step_column", "no_weight")):
    sparse = {"from_logits": True, "reduction": reduction}
    case("SparseCategoricalCrossentropy", "labels", "logits", weights, **sparse)
    case("SparseCategoricalCrossentropy", "ignored", "logits", weights, ignore_class=-1, **sparse)
    case("MeanSquaredError", "real_t", "real_p", weights, reduction=reduction)
for reduction, weights in itertools.product(REDUCTIONS, (None, "per_sample", "per_sample_column", "scalar")):
    case("MeanSquaredError", "vector", "column", weights, reduction=reduction)
    case("MeanSquaredError", "column", "vector", weights, reduction=reduction)
    case("MeanSquaredError", "vector", "vector", weights, reduction=reduction)  # the value has no axis
case("CategoricalGeneralizedCrossEntropy", "labels", "classes_p", "per_step")
case("CategoricalGeneralizedCrossEntropy", "labels", "classes_p", q=0.7, reduction="none")
for axis in (None, -1, (1, 2)):
    case("Dice", "bits", "chances", axis=axis)
    case("Tversky", "bits", "chances", axis=axis)
    case("Tversky", "bits", "chances", axis=axis, alpha=0.2, beta=0.9, reduction="none")


def computed(loss: str, y_true: str, y_pred: str, weights: str | None, config: dict[str, Any]) -> tuple[Any, Any]:
    """The value, and the gradient of its sum with respect to y_pred."""
    if loss == "Tversky" and "alpha" in config:
        config = config | {"alpha": config["beta"], "beta": config["alpha"]}
    function = getattr(keras.losses, loss)(**config, dtype="float64")
    given = None if weights is None else INPUTS[weights]

    def value(p: jax.Array) -> jax.Array:
        return function(INPUTS[y_true], p, given)

    p = jax.numpy.asarray(INPUTS[y_pred])
    return np.asarray(value(p)), np.asarray(jax.grad(lambda p: value(p).sum())(p))


def signature(function: Any) -> list[tuple[str, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(p.name, "required" if p.default is p.empty else p.default) for p in parameters if p.name != "self"]


def main() -> None:
    """Compute everything and write the archive."""
    arrays: dict[str, np.ndarray] = dict(INPUTS)
    for i, arguments in enumerate(CASES):
        value, gradient = computed(**arguments)
        assert np.isfinite(value).all(), arguments
        assert np.isfinite(gradient).all(), arguments
        arrays |= {f"value_{i}": value, f"grad_{i}": gradient}
    known = {name: f for name, f in ALL_OBJECTS_DICT.items() if name == getattr(f, "__name__", "")}
    known["CategoricalGeneralizedCrossEntropy"] = keras.losses.CategoricalGeneralizedCrossEntropy
    known["categorical_generalized_cross_entropy"] = keras.losses.categorical_generalized_cross_entropy
    versions = {"keras": keras.__version__, "jax": jax.__version__, "numpy": np.__version__}
    path = Path(__file__).with_suffix(".npz")
    np.savez_compressed(
        path, **arrays, cases=np.array(json.dumps(CASES)), versions=np.array(json.dumps(versions)),
        signatures=np.array(json.dumps({name: signature(f) for name, f in known.items()})),
    )
    print(f"{path}: {len(CASES)} cases, {path.stat().st_size} bytes, {versions}")


if __name__ == "__main__":
    main()
