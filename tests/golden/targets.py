"""Make targets.npz: what Keras 3 computes where targets, outputs and weights have other ranks, in losses and metrics.

    KERAS_BACKEND=jax JAX_PLATFORMS=cpu JAX_ENABLE_X64=1 python -m tests.golden.targets

in an environment with keras and jax (the committed numbers: Keras 3.15.1, JAX 0.10.2, on a CPU).

The archive holds ``cases``, a JSON list of ``(kind, name, reduction, shapes of y_true, y_pred and weights)``, and for
case I the arrays ``true_I``, ``pred_I``, ``weights_I`` (if there are weights) and ``value_I``. Losses of one's own and
metrics of one's own are ``abs(t - p) ** 3``; Keras's metric is given targets of the rank of the outputs, for it does
not bring them there. What Keras cannot compute is left out.
"""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np

SHAPES = [
    ((6,), (6, 1), None), ((6, 1), (6, 1), None), ((6,), (6, 1), (6,)), ((6,), (6, 1), (6, 1)), ((6, 1), (6, 1), (6,)),
    ((6,), (6, 1), ()), ((6, 1), (6, 1), (6, 1)), ((4, 5), (4, 5, 1), None), ((4, 5, 1), (4, 5, 1), (4, 5)),
    ((4, 5, 1), (4, 5, 1), (4, 1)), ((4, 5, 2), (4, 5, 2), (4, 5)), ((4, 5, 2), (4, 5, 2), (4, 1)),
    ((4, 5, 2), (4, 5, 2), (4, 5, 1)), ((4, 5, 2), (4, 5, 2), ()),
]  # fmt: skip
REDUCTIONS = ["sum_over_batch_size", "sum", "none", "mean_with_sample_weight"]


def cube(t: object, p: object) -> object:
    return keras.ops.abs(t - p) ** 3  # type: ignore[operator]


def main() -> None:
    keras.config.set_floatx("float64")
    rng = np.random.default_rng(8)
    cases: list[list[object]] = []
    arrays: dict[str, np.ndarray] = {}

    def add(case: list[object], true: np.ndarray, pred: np.ndarray, weights: np.ndarray | None, value: object) -> None:
        i = len(cases)
        cases.append(case)
        arrays.update({f"true_{i}": true, f"pred_{i}": pred, f"value_{i}": np.asarray(value)})
        if weights is not None:
            arrays[f"weights_{i}"] = weights

    for t, p, w in SHAPES:
        true, pred = rng.normal(size=t), rng.normal(size=p)
        weights = None if w is None else rng.uniform(0.1, 2, w)
        for reduction in REDUCTIONS:
            own = keras.src.losses.losses.LossFunctionWrapper(cube, reduction=reduction)
            huber = keras.losses.Huber(delta=0.7, reduction=reduction)
            for name, loss in (("own", own), ("huber", huber)):
                try:
                    value = loss(true, pred, weights)
                except ValueError:
                    continue
                add(["loss", name, reduction, t, p, w], true, pred, weights, value)
        for name, fn in (("own", cube), ("mean_squared_error", keras.losses.mean_squared_error)):
            metric = keras.metrics.MeanMetricWrapper(fn)
            metric.update_state(true.reshape(p), pred, weights)
            add(["metric", name, None, t, p, w], true, pred, weights, metric.result())
        if true.size == pred.size:
            root = keras.metrics.RootMeanSquaredError()
            root.update_state(true, pred, weights)
            add(["metric", "root_mean_squared_error", None, t, p, w], true, pred, weights, root.result())
    versions = {"keras": keras.__version__, "numpy": np.__version__}
    path = Path(__file__).with_suffix(".npz")
    np.savez_compressed(path, cases=json.dumps(cases), versions=json.dumps(versions), **arrays)


if __name__ == "__main__":
    main()
