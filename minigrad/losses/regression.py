"""Losses of numbers: how far y_pred lies from y_true. All reduce the last axis, unless ``axis`` says another."""

from __future__ import annotations

import math

from minigrad import ops
from minigrad.losses.loss import Loss, loss_function
from minigrad.ops.normalization import normalize
from minigrad.settings import epsilon
from minigrad.tensor import Tensor


@loss_function("mse", "MSE")
def mean_squared_error(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """mean((t - p)^2).

    >>> mean_squared_error([[0.0, 0.0]], [[1.0, 3.0]]).tolist()
    [5.0]
    """
    return ((y_true - y_pred) ** 2).mean(-1)


@loss_function("mae", "MAE")
def mean_absolute_error(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """mean(abs(t - p))."""
    return (y_true - y_pred).abs().mean(-1)


@loss_function("mape", "MAPE")
def mean_absolute_percentage_error(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """100 mean(abs((t - p) / t)), where t is at least epsilon in size."""
    return 100 * ((y_true - y_pred) / ops.maximum(y_true.abs(), epsilon())).abs().mean(-1)


@loss_function("msle", "MSLE")
def mean_squared_logarithmic_error(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """mean((log(1 + t) - log(1 + p))^2), where t and p are at least epsilon."""
    return ((_log_of_one_more(y_true) - _log_of_one_more(y_pred)) ** 2).mean(-1)


def _log_of_one_more(x: Tensor) -> Tensor:
    return (ops.maximum(x, epsilon()) + 1).log()


@loss_function()
def cosine_similarity(y_true: Tensor, y_pred: Tensor, axis: int = -1) -> Tensor:
    """Minus the cosine of the angle between t and p along ``axis``: -1 where they point the same way.

    >>> cosine_similarity([[1.0, 0.0]], [[5.0, 0.0]]).tolist()
    [-1.0]
    """
    t, p = (normalize(x, axis=axis, smallest=epsilon()) for x in (y_true, y_pred))
    return -(t * p).sum(axis)


@loss_function("huber_loss")
def huber(y_true: Tensor, y_pred: Tensor, delta: float = 1.0) -> Tensor:
    """mean of e^2 / 2 for errors e up to delta, delta (abs(e) - delta / 2) beyond: Huber 1964."""
    error = y_pred - y_true
    size = error.abs()
    return ops.where(size <= delta, 0.5 * error * error, delta * size - 0.5 * delta**2).mean(-1)


@loss_function("logcosh")
def log_cosh(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """mean(log(cosh(p - t))), computed without overflow."""
    error = y_pred - y_true
    return (error + ops.softplus(-2 * error) - math.log(2)).mean(-1)


class MeanSquaredError(Loss, function=mean_squared_error):
    """`mean_squared_error`, weighed and reduced.

    >>> MeanSquaredError()([[0.0, 0.0]], [[1.0, 3.0]]).item()
    5.0
    """


class MeanAbsoluteError(Loss, function=mean_absolute_error):
    """`mean_absolute_error`, weighed and reduced."""


class MeanAbsolutePercentageError(Loss, function=mean_absolute_percentage_error):
    """`mean_absolute_percentage_error`, weighed and reduced."""


class MeanSquaredLogarithmicError(Loss, function=mean_squared_logarithmic_error):
    """`mean_squared_logarithmic_error`, weighed and reduced."""


class CosineSimilarity(Loss, function=cosine_similarity):
    """`cosine_similarity`, weighed and reduced."""


class Huber(Loss, function=huber, name="huber_loss"):
    """`huber`, weighed and reduced: quadratic for small errors, linear for large ones."""


class LogCosh(Loss, function=log_cosh):
    """`log_cosh`, weighed and reduced."""
