"""Losses of numbers: how far y_pred lies from y_true. All reduce the last axis."""

from __future__ import annotations

from minigrad.losses.loss import Loss, loss_function
from minigrad.tensor import Tensor


@loss_function("mse", "MSE")
def mean_squared_error(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """mean((t - p)^2).

    >>> mean_squared_error([[0.0, 0.0]], [[1.0, 3.0]]).tolist()
    [5.0]
    """
    return ((y_true - y_pred) ** 2).mean(-1)


class MeanSquaredError(Loss, function=mean_squared_error):
    """mean((t - p)^2).

    >>> MeanSquaredError()([[0.0, 0.0]], [[1.0, 3.0]]).item()
    5.0
    """
