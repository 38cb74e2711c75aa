"""Regularizers: scalar functions of a weight (or an output) that are added to the loss."""

from __future__ import annotations

import math
from typing import Any

from minigrad.config import Configurable, argument, serialize
from minigrad.tensor import Tensor


class Regularizer(Configurable, family="regularizer", module="keras.regularizers"):
    """A penalty: ``regularizer(w)`` gives a scalar. Any function of a Tensor can stand in its place."""

    def __call__(self, w: Tensor) -> Any:
        return 0.0


get = Regularizer.get
deserialize = Regularizer.deserialize


def validate_float_arg(value: Any, name: str) -> float:
    """A finite, non-negative number as a float.

    Raises:
        ValueError: something else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise ValueError(f"Invalid value for argument {name}: expected a non-negative float. Received: {name}={value}")
    return float(value)


def factor(default: float) -> Any:
    """Declare a non-negative factor; None stands for the default."""
    return argument(lambda name, value: validate_float_arg(default if value is None else value, name), default)


class L1(Regularizer):
    """l1 sum |w|: draws weights to exactly 0.

    >>> L1(0.5)(Tensor([1.0, -2.0])).item()
    1.5
    """

    l1: float = factor(0.01)

    def __call__(self, w: Tensor) -> Any:
        return self.l1 * w.abs().sum()


class L2(Regularizer):
    """l2 sum w^2, without a half: keeps weights small.

    >>> L2(0.5)(Tensor([1.0, -2.0])).item()
    2.5
    """

    l2: float = factor(0.01)

    def __call__(self, w: Tensor) -> Any:
        return self.l2 * (w * w).sum()


class L1L2(Regularizer):
    """l1 sum |w| + l2 sum w^2."""

    aliases = ("l1l2",)
    l1: float = factor(0.0)
    l2: float = factor(0.0)

    def __call__(self, w: Tensor) -> Any:
        return L1(self.l1)(w) + L2(self.l2)(w)


__all__ = ["L1", "L1L2", "L2", "Regularizer", "deserialize", "get", "serialize", "validate_float_arg"]
