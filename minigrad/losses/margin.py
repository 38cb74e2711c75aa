"""Losses that ask for a margin (hinge) or for overlap (Dice, Tversky)."""

from __future__ import annotations

from typing import Any

from minigrad import ops
from minigrad.losses.loss import Loss, loss_function
from minigrad.settings import epsilon
from minigrad.tensor import Tensor


def _signed(y_true: Tensor) -> Tensor:
    """Labels -1 and 1; if all of them are 0 or 1, these are meant."""
    t = y_true.data
    return ops.where(((t == 0) | (t == 1)).all(), 2 * y_true - 1, y_true)


@loss_function()
def hinge(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """mean(max(1 - t p, 0)) for labels -1 and 1, or 0 and 1. Its derivative where t p = 1 is taken as 0."""
    return ops.relu(1 - _signed(y_true) * y_pred).mean(-1)


@loss_function()
def squared_hinge(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """mean(max(1 - t p, 0)^2) for labels -1 and 1, or 0 and 1."""
    return (ops.relu(1 - _signed(y_true) * y_pred) ** 2).mean(-1)


@loss_function()
def categorical_hinge(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """max(1 + the largest p of a wrong class - the p of the right class, 0), for one-hot targets."""
    return ops.relu(((1 - y_true) * y_pred).max(-1) - (y_true * y_pred).sum(-1) + 1)


@loss_function()
def dice(y_true: Tensor, y_pred: Tensor, axis: Any = None) -> Tensor:
    """1 - 2 sum(t p) / (sum t + sum p) over ``axis``, or over everything: Milletari et al. 2016."""
    return 1 - 2 * (y_true * y_pred).sum(axis) / (y_true.sum(axis) + y_pred.sum(axis) + epsilon())


@loss_function()
def tversky(y_true: Tensor, y_pred: Tensor, alpha: float = 0.5, beta: float = 0.5, axis: Any = None) -> Tensor:
    """1 - I / (I + alpha FP + beta FN), I = sum t p, FP = sum (1-t) p, FN = sum t (1-p): Salehi et al. 2017."""
    hit = (y_true * y_pred).sum(axis)
    false_positive, false_negative = ((1 - y_true) * y_pred).sum(axis), (y_true * (1 - y_pred)).sum(axis)
    return 1 - hit / (hit + alpha * false_positive + beta * false_negative + epsilon())


class Hinge(Loss, function=hinge):
    """`hinge`, weighed and reduced."""


class SquaredHinge(Loss, function=squared_hinge):
    """`squared_hinge`, weighed and reduced."""


class CategoricalHinge(Loss, function=categorical_hinge):
    """`categorical_hinge`, weighed and reduced."""


class Dice(Loss, function=dice):
    """`dice`, weighed and reduced."""

    reduction: str | None
    name: str
    axis: Any


class Tversky(Loss, function=tversky):
    """`tversky`, weighed and reduced: alpha weighs what is found wrongly, beta what is missed."""

    alpha: float
    beta: float
    reduction: str | None
    name: str
    axis: Any
