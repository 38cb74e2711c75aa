"""How far predictions are from the truth: the means of loss functions, under Keras's names."""

from __future__ import annotations

from typing import Any

from minigrad import losses, ops
from minigrad.losses.loss import as_tensor, match_ranks
from minigrad.metrics.reduction import Mean, MeanMetricWrapper
from minigrad.tensor import Tensor


class MeanSquaredError(MeanMetricWrapper, function=losses.mean_squared_error):
    """Mean of (y_true - y_pred)^2.

    >>> MeanSquaredError()([[0.0, 0.0]], [[1.0, 3.0]]).item()
    5.0
    """

    aliases = ("mse", "MSE")


class RootMeanSquaredError(Mean):
    """Root of the mean of (y_true - y_pred)^2.

    >>> RootMeanSquaredError()([[0.0, 0.0]], [[3.0, 3.0]]).item()
    3.0
    """

    direction = "down"

    def update_state(  # type: ignore[override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        p = as_tensor(y_pred, self.dtype).detach()
        t, p = match_ranks(as_tensor(y_true, self.dtype, p).detach(), p)
        if t.shape != p.shape and t.shape:
            raise ValueError(
                f"{self.name}: y_true must have the shape of y_pred. "
                f"Received: y_true.shape={t.shape}, y_pred.shape={p.shape}"
            )
        super().update_state((p - t) * (p - t), sample_weight)

    def result(self) -> Tensor:
        return ops.sqrt(super().result())


class MeanAbsoluteError(MeanMetricWrapper, function=losses.mean_absolute_error):
    """Mean of |y_true - y_pred|.

    >>> MeanAbsoluteError()([[0.0, 0.0]], [[1.0, -3.0]]).item()
    2.0
    """

    aliases = ("mae", "MAE")


class MeanAbsolutePercentageError(MeanMetricWrapper, function=losses.mean_absolute_percentage_error):
    """Mean of 100 |y_true - y_pred| / |y_true|."""

    aliases = ("mape", "MAPE")


class MeanSquaredLogarithmicError(MeanMetricWrapper, function=losses.mean_squared_logarithmic_error):
    """Mean of (log(1 + y_true) - log(1 + y_pred))^2."""

    aliases = ("msle", "MSLE")


class LogCoshError(MeanMetricWrapper, function=losses.log_cosh, name="logcosh"):
    """Mean of log(cosh(y_pred - y_true))."""


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """The cosine of the angle between y_true and y_pred: as a metric more is better, the loss has the other sign."""
    return -losses.cosine_similarity(y_true, y_pred, axis)


class CosineSimilarity(MeanMetricWrapper, function=cosine_similarity):
    """Mean of the cosine of the angle between y_true and y_pred.

    >>> CosineSimilarity()([[0.0, 1.0]], [[0.0, 2.0]]).item()
    1.0
    """

    direction = "up"


class KLDivergence(MeanMetricWrapper, function=losses.kl_divergence, name="kl_divergence"):
    """Mean of sum t log(t / p)."""


class Poisson(MeanMetricWrapper, function=losses.poisson):
    """Mean of p - t log p."""


class BinaryCrossentropy(MeanMetricWrapper, function=losses.binary_crossentropy):
    """Mean crossentropy of bits."""

    aliases = ("bce", "BCE")


class CategoricalCrossentropy(MeanMetricWrapper, function=losses.categorical_crossentropy):
    """Mean crossentropy, for one-hot targets."""


class SparseCategoricalCrossentropy(MeanMetricWrapper, function=losses.sparse_categorical_crossentropy):
    """Mean crossentropy, for labels."""

    ignore_class = None


class Hinge(MeanMetricWrapper, function=losses.hinge):
    """Mean of max(1 - t p, 0)."""


class SquaredHinge(MeanMetricWrapper, function=losses.squared_hinge):
    """Mean of max(1 - t p, 0)^2."""


class CategoricalHinge(MeanMetricWrapper, function=losses.categorical_hinge):
    """Mean of max(1 + the highest wrong prediction - the right one, 0)."""
