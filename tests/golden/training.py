"""Make training.npz: what Keras 3 logs while it trains, what its metrics add up to, and what its callbacks decide.

    KERAS_BACKEND=jax JAX_PLATFORMS=cpu JAX_ENABLE_X64=1 python -m tests.golden.training

in an environment with keras and jax (the committed numbers: Keras 3.15.1, on a CPU; the archive records the versions).
All is computed in float64. Left out is what Keras does against its own words: `EarlyStopping` with a baseline, saving
the best without the number that is watched, and a first number that is NaN, the best for ever.

The archive holds ``metrics``, a JSON list of cases with the results after each of three ragged batches; ``callbacks``,
of callbacks fed with recorded sequences of logs, and what they did after each epoch; ``fits``, of whole trainings with
their histories; the arrays of `ARRAYS` by name, and for fit I the weights before and after, ``before_I_J`` and
``after_I_J``.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import jax
import keras
import numpy as np

keras.config.set_floatx("float64")
rng = np.random.default_rng(11)
BATCHES = (slice(0, 7), slice(7, 10), slice(10, 14))  # of 14 samples


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


LABELS = rng.integers(0, 6, 14)
STEPS = rng.integers(0, 6, (14, 3))
X = rng.normal(size=(14, 5))
ARRAYS: dict[str, np.ndarray] = {
    "x": X, "labels": LABELS, "one_hot": np.eye(6)[LABELS], "classes": softmax(rng.normal(size=(14, 6)) * 2),
    "column": LABELS[:, None], "bits": (rng.random((14, 1)) < 0.5).astype(float), "bit_vector": (X[:, 0] > 0) * 1.0,
    "chances": rng.uniform(0.02, 0.98, (14, 1)), "chance_vector": rng.uniform(0.02, 0.98, 14),
    "real": rng.normal(size=(14, 4)), "other": rng.normal(size=(14, 4)), "positive": rng.gamma(2, 1, (14, 4)),
    "positive2": rng.gamma(2, 1, (14, 4)), "steps": STEPS, "step_classes": softmax(rng.normal(size=(14, 3, 6))),
    "steps_one_hot": np.eye(6)[STEPS],
    "weights": rng.uniform(0, 2, 14), "step_weights": rng.uniform(0, 2, (14, 3)),
    "signs": np.where(rng.random((14, 4)) < 0.5, 1.0, -1.0), "target": X @ rng.normal(size=(5, 2)),
    "binary": (X.sum(1) > 0).astype(float),
}  # fmt: skip
METRICS: list[dict[str, Any]] = []


def metric(name: str, y_true: str, y_pred: str, weights: str | None = None, **config: Any) -> None:
    METRICS.append({"metric": name, "y_true": y_true, "y_pred": y_pred, "weights": weights, "config": config})


for w in (None, "weights"):
    metric("Accuracy", "labels", "labels", w)
    metric("BinaryAccuracy", "bits", "chances", w)
    metric("BinaryAccuracy", "bit_vector", "chances", w, threshold=0.3)
    metric("CategoricalAccuracy", "one_hot", "classes", w)
    metric("SparseCategoricalAccuracy", "labels", "classes", w)
    metric("SparseCategoricalAccuracy", "column", "classes", w)
    metric("SparseCategoricalAccuracy", "steps", "step_classes", w)
    metric("TopKCategoricalAccuracy", "one_hot", "classes", w, k=2)
    metric("TopKCategoricalAccuracy", "steps_one_hot", "step_classes", w, k=3)
    metric("SparseTopKCategoricalAccuracy", "labels", "classes", w, k=2)
    metric("SparseTopKCategoricalAccuracy", "steps", "step_classes", w)
    for name in (
        "MeanSquaredError", "RootMeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError",
        "CosineSimilarity", "LogCoshError",
    ):
        metric(name, "real", "other", w)
    for name in ("MeanSquaredLogarithmicError", "Poisson"):
        metric(name, "positive", "positive2", w)
    for name in ("Hinge", "SquaredHinge", "CategoricalHinge"):
        metric(name, "signs", "other", w)
    metric("KLDivergence", "one_hot", "classes", w)
    metric("BinaryCrossentropy", "bits", "chances", w, label_smoothing=0.1)
    metric("CategoricalCrossentropy", "one_hot", "classes", w)
    metric("SparseCategoricalCrossentropy", "labels", "classes", w)
metric("SparseCategoricalAccuracy", "steps", "step_classes", "step_weights")
metric("SparseCategoricalCrossentropy", "steps", "step_classes", "step_weights")


def metric_results(case: dict[str, Any]) -> list[float]:
    """The results after each batch."""
    found = getattr(keras.metrics, case["metric"])(dtype="float64", **case["config"])
    results = []
    for rows in BATCHES:
        weights = None if case["weights"] is None else ARRAYS[case["weights"]][rows]
        found.update_state(ARRAYS[case["y_true"]][rows], ARRAYS[case["y_pred"]][rows], weights)
        results.append(float(found.result()))
    return results


def value_results() -> dict[str, list[float]]:
    """Mean and Sum of plain values of several ranks."""
    found = {}
    for kind in ("Mean", "Sum"):
        for values, weights in (
            ("weights", None), ("real", None), ("step_classes", None), ("real", "weights"), ("weights", "weights"),
            ("step_classes", "weights"), ("step_classes", "step_weights"),
        ):
            m = getattr(keras.metrics, kind)(dtype="float64")
            for rows in BATCHES:
                m.update_state(ARRAYS[values][rows], None if weights is None else ARRAYS[weights][rows])
            found[f"{kind} {values} {weights}"] = [float(m.result())]
    return found


# ---------------------------------------------------------------------- callbacks on recorded sequences


class Optimizer:
    learning_rate = 0.1


class Model:
    """As much of a model as callbacks touch; its weights are the number of the epoch."""

    def __init__(self) -> None:
        self.stop_training = False
        self.optimizer = Optimizer()
        self.weights = [np.zeros(1)]
        self.saved: list[str] = []
        self.metrics: list[Any] = []

    def get_weights(self) -> list[np.ndarray]:
        return [w.copy() for w in self.weights]

    def set_weights(self, weights: list[np.ndarray]) -> None:
        self.weights = weights

    def save(self, path: str, overwrite: bool) -> None:
        self.saved.append(Path(path).name)


def falling(steps: int, noise: float) -> list[float]:
    return [round(v, 4) for v in (np.exp(-np.arange(steps) / 4) + noise * rng.normal(size=steps) + 0.3).tolist()]


SEQUENCES = {
    "falling": falling(12, 0.02), "noisy": falling(20, 0.3), "flat": [1.0] * 8, "rising": [0.1 * i for i in range(8)],
    "once": [2.0, 1.0, *[1.5] * 8], "late": [1.0, 1.2, 1.1, 0.5, 0.6, 0.55, 0.4, 0.7, 0.8, 0.9, 0.3],
    "missing": [1.0, None, 0.5, None, 0.6, 0.7, 0.8], "nan": [1.0, 0.5, float("nan"), 0.4, float("nan"), 0.6, 0.7],
    "steps": [1.0, 0.995, 0.99, 0.985, 0.98, 0.975, 0.9, 0.8999, 0.8998, 0.8997, 0.7],
    "nans": [0.8, float("nan"), float("nan"), 0.7, float("nan"), 0.9, 0.6, float("nan"), float("nan"), float("nan")],
    "gaps": [None, 1.5, None, None, 1.2, 1.3, None, 1.25, 1.1, None, 1.4, 1.5],
    "both": [2.0, None, float("nan"), 1.5, float("nan"), None, 1.75, 1.0, None, float("nan"), 1.0, 1.0],
    "infinite": [float("inf"), 3.0, float("inf"), float("-inf"), 1.0, 2.0, float("-inf"), 0.5],
    "signs": [0.5, -0.5, 0.25, -0.75, -0.7, -0.76, 0.0, -1.0, 1.0],
}  # fmt: skip
CONFIGS: list[tuple[str, dict[str, Any]]] = [
    ("EarlyStopping", {}),
    ("EarlyStopping", {"patience": 2, "restore_best_weights": True}),
    ("EarlyStopping", {"patience": 3, "min_delta": 0.01, "restore_best_weights": True}),
    ("EarlyStopping", {"patience": 2, "mode": "max", "restore_best_weights": True}),
    ("EarlyStopping", {"patience": 4, "mode": "max", "min_delta": 0.05, "start_from_epoch": 2}),
    ("EarlyStopping", {"patience": 2, "mode": "min", "min_delta": -0.2, "restore_best_weights": True}),
    ("EarlyStopping", {"patience": 1, "start_from_epoch": 4, "restore_best_weights": True}),
    ("ReduceLROnPlateau", {"patience": 1}),
    ("ReduceLROnPlateau", {"patience": 2, "factor": 0.5, "min_delta": 0.01}),
    ("ReduceLROnPlateau", {"patience": 1, "factor": 0.5, "cooldown": 2}),
    ("ReduceLROnPlateau", {"patience": 1, "factor": 0.3, "min_lr": 0.02}),
    ("ReduceLROnPlateau", {"patience": 2, "mode": "max", "factor": 0.5, "min_delta": 0}),
    ("ReduceLROnPlateau", {"patience": 0, "factor": 0.9, "cooldown": 1, "min_delta": 0.1}),
    ("ReduceLROnPlateau", {"patience": 3, "factor": 0.25, "mode": "max", "cooldown": 1}),
    ("ModelCheckpoint", {"filepath": "{epoch:02d}.keras", "save_best_only": True}),
    ("ModelCheckpoint", {"filepath": "{epoch:02d}.keras", "save_best_only": True, "mode": "max"}),
    ("ModelCheckpoint", {"filepath": "e{epoch}.keras", "save_best_only": True, "initial_value_threshold": 0.5}),
    ("ModelCheckpoint", {
        "filepath": "{epoch:02d}.keras", "save_best_only": True, "initial_value_threshold": 0.1, "mode": "max",
    }),
    ("ModelCheckpoint", {"filepath": "b{epoch}-{batch}.keras", "save_freq": 4}),
]  # fmt: skip


def replayed(name: str, config: dict[str, Any], values: list[float | None]) -> list[Any]:
    """What a callback has done after each epoch of 3 batches, and at the end."""
    model, told = Model(), []
    callback = getattr(keras.callbacks, name)(**config)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_begin(epoch)
        for batch in range(3):
            callback.on_train_batch_end(batch, {"loss": 0.5})
        model.weights = [np.full(1, epoch)]
        callback.on_epoch_end(epoch, {"loss": 0.5} | ({} if value is None else {"val_loss": value}))
        told.append([float(model.optimizer.learning_rate), getattr(callback, "wait", 0), len(model.saved)])
        if model.stop_training:
            break
    callback.on_train_end()
    return [*told, float(model.weights[0][0]), model.saved]


def right(config: dict[str, Any], values: list[float | None]) -> bool:
    """Whether Keras does what it says: it saves the best without a number, and takes a first NaN for the best."""
    first = next((value for value in values[config.get("start_from_epoch", 0) :] if value is not None), 0.0)
    return not ("save_best_only" in config and None in values) and not np.isnan(first)


LOGS = [
    [{"loss": 0.5, "accuracy": 0.25}, {"loss": 0.25, "accuracy": 0.5}],
    [{"loss": 0.5, "val_loss": 0.75}, {"loss": 0.25, "val_loss": 0.5}],
    [{"loss": 0.5}, {"loss": 0.25, "val_loss": 0.5}],
]


def logged(rows: list[dict[str, float]], **config: Any) -> str:
    """The file of a CSVLogger."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        for _ in range(1 + config.get("append", False)):
            logger = keras.callbacks.CSVLogger(path, **config)
            logger.set_model(Model())
            logger.on_train_begin()
            for epoch, logs in enumerate(rows):
                logger.on_epoch_end(epoch, logs)
            logger.on_train_end()
        return path.read_bytes().decode()


# ---------------------------------------------------------------------- whole trainings

FITS: list[dict[str, Any]] = [
    {"y": "labels", "units": 6, "activation": "softmax", "loss": "sparse_categorical_crossentropy",
     "metrics": ["accuracy"], "fit": {"batch_size": 4, "epochs": 3}},
    {"y": "column", "units": 6, "activation": "softmax", "loss": "crossentropy", "metrics": ["acc", "mae"],
     "fit": {"batch_size": 5, "epochs": 2, "validation_split": 0.3}},
    {"y": "one_hot", "units": 6, "activation": "softmax", "loss": "categorical_crossentropy",
     "metrics": ["accuracy", "mse", "mse"], "fit": {"batch_size": 32, "epochs": 3, "initial_epoch": 1}},
    {"y": "binary", "units": 1, "activation": "sigmoid", "loss": "binary_crossentropy", "metrics": ["accuracy"],
     "weighted": ["accuracy", "mae"], "weights": True, "fit": {"batch_size": 4, "epochs": 3}},
    {"y": "labels", "units": 6, "activation": "softmax", "loss": "sparse_categorical_crossentropy",
     "metrics": ["accuracy"], "weighted": ["accuracy"], "class_weight": {0: 2.0, 3: 0.5},
     "fit": {"batch_size": 4, "epochs": 2}},
    {"y": "target", "units": 2, "activation": None, "loss": "mse", "metrics": ["mae"], "l2": 0.01,
     "fit": {"batch_size": 4, "epochs": 6, "validation_split": 0.25},
     "callbacks": [["ReduceLROnPlateau", {"patience": 1, "min_delta": 0.3, "monitor": "val_mae"}],
                   ["EarlyStopping", {"patience": 1, "min_delta": 0.5, "restore_best_weights": True}]]},
    {"y": "target", "units": 2, "activation": None, "loss": "mse", "metrics": [],
     "optimizer": {"use_ema": True, "ema_momentum": 0.8}, "fit": {"batch_size": 4, "epochs": 2}},
    {"y": "target", "units": 2, "activation": None, "loss": "huber", "metrics": [], "decay": 0.5,
     "fit": {"batch_size": 4, "epochs": 3, "validation_split": 0.25, "validation_freq": 2}},
]  # fmt: skip


def trained(case: dict[str, Any]) -> tuple[dict[str, Any], list[np.ndarray], list[np.ndarray]]:
    keras.utils.set_random_seed(0)
    penalty = keras.regularizers.L2(case["l2"]) if "l2" in case else None
    model = keras.Sequential([
        keras.Input((5,)), keras.layers.Dense(4, "tanh", kernel_regularizer=penalty),
        keras.layers.Dense(case["units"], case["activation"]),
    ])  # fmt: skip
    optimizer = keras.optimizers.SGD(0.25, momentum=0.5, **case.get("optimizer", {}))
    model.compile(optimizer, case["loss"], metrics=case["metrics"], weighted_metrics=case.get("weighted"))
    before = model.get_weights()
    hooks = [getattr(keras.callbacks, name)(**config) for name, config in case.get("callbacks", [])]
    if "decay" in case:
        hooks.append(keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * case["decay"]))
    history = model.fit(
        X, ARRAYS[case["y"]], shuffle=False, verbose=0, callbacks=hooks, class_weight=case.get("class_weight"),
        sample_weight=ARRAYS["weights"] if case.get("weights") else None, **case["fit"],
    )
    logs = {"history": history.history, "epoch": history.epoch}
    logs["evaluate"] = model.evaluate(X, ARRAYS[case["y"]], verbose=0, return_dict=True)
    return logs, before, model.get_weights()


def main() -> None:
    """Compute everything and write the archive."""
    warnings.simplefilter("ignore")  # about logs that are missing
    for case in METRICS:
        case["results"] = metric_results(case)
    callbacks = [
        {"callback": name, "config": config, "sequence": sequence, "told": replayed(name, config, SEQUENCES[sequence])}
        for name, config in CONFIGS for sequence, values in SEQUENCES.items() if right(config, values)
    ]
    tables = [{"logs": logs, "config": config, "text": logged(logs, **config)}
              for logs in LOGS for config in ({}, {"separator": ";"}, {"append": True})]  # fmt: skip
    arrays = dict(ARRAYS)
    for i, case in enumerate(FITS):
        case["logs"], before, after = trained(case)
        for j, (a, b) in enumerate(zip(before, after, strict=True)):
            arrays |= {f"before_{i}_{j}": a, f"after_{i}_{j}": b}
    versions = {"keras": keras.__version__, "jax": jax.__version__, "numpy": np.__version__}
    path = Path(__file__).with_suffix(".npz")
    texts = {"metrics": METRICS, "values": value_results(), "sequences": SEQUENCES, "callbacks": callbacks,
             "tables": tables, "fits": FITS, "versions": versions}  # fmt: skip
    np.savez_compressed(path, **arrays, **{name: np.array(json.dumps(text)) for name, text in texts.items()})
    print(f"{path}: {len(METRICS)} metrics, {len(callbacks)} callbacks, {len(FITS)} fits, {path.stat().st_size} bytes, "
          f"{versions}")  # fmt: skip


if __name__ == "__main__":
    main()
