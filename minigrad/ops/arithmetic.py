"""Arithmetic of two arrays. All of it broadcasts as NumPy does; the engine sums what was repeated."""

from __future__ import annotations

from typing import Any

from minigrad.backend import Array, array_module
from minigrad.ops.comparison import where
from minigrad.ops.elementwise import log
from minigrad.ops.op import op


@op(broadcasts=True)
def add(a: Array, b: Array) -> Array:
    """Sum, y = a + b.

    >>> from minigrad import Tensor
    >>> (Tensor([1.0, 2.0]) + 1).tolist()
    [2.0, 3.0]
    """
    return a + b


add.backward(
    a=lambda g: g,
    b=lambda g: g,
)


@op(broadcasts=True)
def subtract(a: Array, b: Array) -> Array:
    """Difference, y = a - b.

    >>> from minigrad import Tensor
    >>> (1 - Tensor([1.0, 2.0])).tolist()
    [0.0, -1.0]
    """
    return a - b


subtract.backward(
    a=lambda g: g,
    b=lambda g: -g,
)


@op(broadcasts=True)
def multiply(a: Array, b: Array) -> Array:
    """Product, y = a b.

    >>> from minigrad import Tensor
    >>> (Tensor([1.0, 2.0]) * Tensor([3.0, 4.0])).tolist()
    [3.0, 8.0]
    """
    return a * b


multiply.backward(
    a=lambda g, b: g * b,
    b=lambda g, a: g * a,
)


@op(broadcasts=True)
def divide(a: Array, b: Array) -> Array:
    """Quotient, y = a / b.

    >>> from minigrad import Tensor
    >>> (Tensor([1.0, 3.0]) / 2).tolist()
    [0.5, 1.5]
    """
    return a / b


divide.backward(
    a=lambda g, b: g / b,
    b=lambda g, y, b: -g * y / b,
)


@op
def negative(x: Array) -> Array:
    """Y = -x.

    >>> from minigrad import Tensor
    >>> (-Tensor([1.0, -2.0])).tolist()
    [-1.0, 2.0]
    """
    return -x


negative.backward(x=lambda g: -g)


@op(broadcasts=True)
def power(a: Array, b: Array) -> Array:
    """Y = a to the power b.

    The derivative is taken as 0 where a term is 0 times infinity: for a at b = 0, and for b at a = 0 < b.

    >>> from minigrad import Tensor
    >>> (Tensor([2.0, 3.0]) ** 2).tolist()
    [4.0, 9.0]
    """
    return a**b


def _power_base(g: Any, a: Any, b: Any) -> Any:
    """B a^(b-1), where b = 0 gives 0 even at a = 0."""
    if isinstance(b, (int, float)):
        return g * b * a ** (b - 1) if b != 0 else g * 0
    return g * b * a ** where(b == 0, b, b - 1)


def _power_exponent(g: Any, y: Any, a: Any) -> Any:
    """Y log(a), where y = 0 gives 0 even at a = 0."""
    return g * y * log(where(y == 0, 1.0, a))


power.backward(
    a=_power_base,
    b=_power_exponent,
)


def _share(g: Any, wins: Any, ties: Any) -> Any:
    """All of g where one argument wins, half where both tie, nothing elsewhere."""
    return where(wins, g, where(ties, g * 0.5, 0.0))


@op(broadcasts=True)
def maximum(a: Array, b: Array) -> Array:
    """The larger of a and b; where they tie, each takes half of the gradient.

    >>> from minigrad import Tensor, ops
    >>> ops.maximum(Tensor([1.0, 4.0]), 2.0).tolist()
    [2.0, 4.0]
    """
    return array_module(a, b).maximum(a, b)


maximum.backward(
    a=lambda g, a, b: _share(g, a > b, a == b),
    b=lambda g, a, b: _share(g, b > a, a == b),
)


@op(broadcasts=True)
def minimum(a: Array, b: Array) -> Array:
    """The smaller of a and b; where they tie, each takes half of the gradient.

    >>> from minigrad import Tensor, ops
    >>> ops.minimum(Tensor([1.0, 4.0]), 2.0).tolist()
    [1.0, 2.0]
    """
    return array_module(a, b).minimum(a, b)


minimum.backward(
    a=lambda g, a, b: _share(g, a < b, a == b),
    b=lambda g, a, b: _share(g, b < a, a == b),
)
