"""Constraints: projections of a weight, applied by the optimizer after every update.

A constraint takes the array of a weight and gives the projected one. It is never differentiated.
"""

from __future__ import annotations

from operator import index
from typing import Any

from minigrad.backend import Array
from minigrad.config import Configurable, argument, number, serialize
from minigrad.kernels.norms import norm, scaled
from minigrad.settings import epsilon
from minigrad.tensor import Tensor


class Constraint(Configurable, family="constraint", module="keras.constraints"):
    """A projection: ``constraint(w)`` for a Tensor or an array. A subclass writes `project`.

    Any function of a Tensor can stand in its place.
    """

    def __call__(self, w: Any) -> Tensor:
        return Tensor._output(self.project(w.data if isinstance(w, Tensor) else Tensor(w).data), None)

    def project(self, w: Array) -> Array:
        """The array nearest to ``w`` that the constraint allows."""
        return w


get = Constraint.get
deserialize = Constraint.deserialize


def _axes(name: str, value: Any) -> Any:
    """An axis, or a list or tuple of axes."""
    axes = value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(axis, bool) or not hasattr(axis, "__index__") for axis in axes):
        raise ValueError(f"The `{name}` argument must be an integer or a list of integers. Received: {name}={value!r}")
    return value


def _not_negative(name: str, value: Any) -> float:
    if number(name, value) < 0:
        raise ValueError(f"{name}: a norm must not be negative. Received: {name}={value!r}")
    return value


def _share(name: str, value: Any) -> float:
    if not 0 <= number(name, value) <= 1:
        raise ValueError(f"{name}: must be a share, from 0 to 1. Received: {name}={value!r}")
    return value


def _norm(who: str, w: Array, axis: Any) -> Array:
    """sqrt(sum w^2) over the axes, kept with length 1."""
    if type(axis) is int and -w.ndim <= axis < w.ndim:  # as most often
        return norm([w], axis)
    axes = tuple(index(a) for a in axis) if isinstance(axis, (list, tuple)) else (index(axis),)
    if len({a % w.ndim for a in axes if -w.ndim <= a < w.ndim}) < len(axes):
        raise ValueError(
            f"{who}: axis must be an axis of the weight, each given once. Received: axis={axis!r}, "
            f"weight shape={w.shape}"
        )
    return norm([w], axes)


class MaxNorm(Constraint):
    """Norms over ``axis`` held at or below ``max_value``.

    The axis is that of the inputs of one unit: 0 for a Dense or depthwise kernel, [0, 1] for a Conv1D kernel, and 1
    for a pointwise kernel (1, C*M, F), whose axis 0 has length 1.

    >>> MaxNorm(1.0)(Tensor([[3.0], [4.0]])).numpy().round(4).tolist()
    [[0.6000000238418579], [0.800000011920929]]
    """

    aliases = ("maxnorm",)
    max_value: float = argument(_not_negative, 2)
    axis: int | list[int] = argument(_axes, 0)

    def project(self, w: Array) -> Array:
        length = _norm("MaxNorm", w, self.axis)
        return scaled(w, length.clip(0, self.max_value) / (epsilon() + length))


class NonNeg(Constraint):
    """Negative weights become 0.

    >>> NonNeg()(Tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    aliases = ("nonneg",)

    def project(self, w: Array) -> Array:
        return w.clip(0, None)


class UnitNorm(Constraint):
    """Norms over ``axis`` brought to 1; 0 stays 0."""

    aliases = ("unitnorm",)
    axis: int | list[int] = argument(_axes, 0)

    def project(self, w: Array) -> Array:
        return scaled(w, 1 / (epsilon() + _norm("UnitNorm", w, self.axis)))


class MinMaxNorm(Constraint):
    """Norms over ``axis`` drawn into [min_value, max_value], by the share ``rate`` of the way.

    Raises:
        ValueError: a bound below 0, a least norm above the greatest, a rate that is no share.
    """

    aliases = ("minmaxnorm",)
    min_value: float = argument(_not_negative, 0.0)
    max_value: float = argument(_not_negative, 1.0)
    rate: float = argument(_share, 1.0)
    axis: int | list[int] = argument(_axes, 0)

    def __post_init__(self) -> None:
        if self.min_value > self.max_value:
            raise ValueError(
                "MinMaxNorm: min_value must not be above max_value. "
                f"Received: min_value={self.min_value}, max_value={self.max_value}"
            )

    def project(self, w: Array) -> Array:
        length = _norm("MinMaxNorm", w, self.axis)
        wanted = self.rate * length.clip(self.min_value, self.max_value) + (1 - self.rate) * length
        return scaled(w, wanted / (epsilon() + length))


class RadialConstraint(Constraint):
    """Square rings of equal weights in each (n, n) slice of a kernel (n, n, C, F).

    As tf.keras 2 computes it: ring r around the middle, 0 the innermost, takes the weight on the diagonal at
    n//2 + r for even n and at n//2 + r - 1 for odd n, and the innermost that at n//2 - 1. (The picture on its page has
    the rings of an even kernel the other way round.)

    Raises:
        ValueError: called for a weight of another shape.

    >>> RadialConstraint()(Tensor.arange(16.0).reshape(4, 4, 1, 1)).reshape(4, 4).tolist()[:2]
    [[15.0, 15.0, 15.0, 15.0], [15.0, 5.0, 5.0, 15.0]]
    """

    def project(self, w: Array) -> Array:
        if w.ndim != 4 or w.shape[0] != w.shape[1]:
            raise ValueError(f"The weight tensor must have rank 4 and be square. Received: shape={w.shape}")
        n = len(w)
        half = n // 2

        def source(i: int, j: int) -> int:
            """Where on the diagonal the weight at (i, j) comes from."""
            ring = max(abs(2 * i - n + 1), abs(2 * j - n + 1)) // 2
            return half + ring - n % 2 if ring else half - 1

        diagonal = [[source(i, j) for j in range(n)] for i in range(n)]
        return w[diagonal, diagonal]


__all__ = [
    "Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "RadialConstraint", "UnitNorm", "deserialize", "get", "serialize",
]
