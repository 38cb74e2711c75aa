"""Regularizers: scalar functions of a weight (or an output) that are added to the loss."""

from __future__ import annotations

import math
from typing import Any

from minigrad.config import Configurable, argument, one_of, serialize
from minigrad.ops.normalization import normalize
from minigrad.settings import epsilon
from minigrad.tensor import Tensor


class Regularizer(Configurable, family="regularizer", module="keras.regularizers"):
    """A penalty: ``regularizer(w)`` gives a scalar. Any function of a Tensor can stand in its place."""

    def __call__(self, w: Tensor) -> Any:
        return 0.0

    @classmethod
    def get(cls, identifier: Any) -> Any:
        return l1_l2() if identifier == "l1_l2" else super().get(identifier)


get = Regularizer.get
deserialize = Regularizer.deserialize


def validate_float_arg(value: Any, name: str) -> float:
    """A finite, non-negative number as a float.

    Raises:
        ValueError: something else.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        # Keras's words to the letter, without a space, since tests match them
        raise ValueError(f"Invalid value for argument {name}: expected a non-negative float.Received: {name}={value}")
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
    """l1 sum |w| + l2 sum w^2; a factor of 0 costs nothing.

    As a string, "l1l2" has both factors 0, as in Keras 3, and "l1_l2" has 0.01 twice, as in tf.keras 2.
    """

    l1: float = factor(0.0)
    l2: float = factor(0.0)

    def __call__(self, w: Tensor) -> Any:
        penalty = Tensor.zeros(dtype=w.dtype, device=w.device)
        if self.l1:
            penalty = penalty + L1(self.l1)(w)
        return penalty + L2(self.l2)(w) if self.l2 else penalty


def l1_l2(l1: float = 0.01, l2: float = 0.01) -> L1L2:
    """`L1L2` with the defaults of tf.keras 2.

    >>> l1_l2(l1=0.5)
    L1L2(l1=0.5, l2=0.01)
    """
    return L1L2(l1, l2)


class OrthogonalRegularizer(Regularizer):
    """factor times the mean size of the cosine between two rows (or columns) of a matrix: 0 where all are orthogonal.

    A matrix of one row has no pairs, and the penalty 0.

    Raises:
        ValueError: another mode; called for a weight that is no matrix.

    >>> OrthogonalRegularizer(1.0)(Tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0]])).numpy().round(4).tolist()
    0.33329999446868896
    """

    factor: float = argument(lambda name, value: validate_float_arg(value, name), 0.01)
    mode: str = argument(one_of("rows", "columns"), "rows")

    def __call__(self, w: Tensor) -> Any:
        if w.ndim != 2:
            raise ValueError(f"Inputs to OrthogonalRegularizer must have rank 2. Received: inputs.shape={w.shape}")
        rows = normalize(w if self.mode == "rows" else w.T, axis=1, smallest=epsilon())
        cosines = rows @ rows.T
        count = len(cosines)
        others = 1 - Tensor.eye(count, dtype=w.dtype, device=w.device)
        return self.factor * (cosines * others).abs().sum() / max(count * (count - 1), 1)


__all__ = [
    "L1", "L1L2", "L2", "OrthogonalRegularizer", "Regularizer", "deserialize", "get", "l1_l2", "serialize",
    "validate_float_arg",
]
