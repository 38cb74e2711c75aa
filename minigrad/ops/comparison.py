"""Comparisons, whose result is boolean and carries no gradient, and the choice they steer."""

from __future__ import annotations

from minigrad.backend import Array, array_module
from minigrad.kernels.selection import select
from minigrad.ops.op import op


@op(broadcasts=True)
def equal(a: Array, b: Array) -> Array:
    """Whether a = b, element by element."""
    return array_module(a, b).equal(a, b)


@op(broadcasts=True)
def not_equal(a: Array, b: Array) -> Array:
    """Whether a differs from b, element by element."""
    return array_module(a, b).not_equal(a, b)


@op(broadcasts=True)
def less(a: Array, b: Array) -> Array:
    """Whether a < b, element by element.

    >>> from minigrad import Tensor
    >>> (Tensor([1.0, 3.0]) < 2).tolist()
    [True, False]
    """
    return array_module(a, b).less(a, b)


@op(broadcasts=True)
def less_equal(a: Array, b: Array) -> Array:
    """Whether a <= b, element by element."""
    return array_module(a, b).less_equal(a, b)


@op(broadcasts=True)
def greater(a: Array, b: Array) -> Array:
    """Whether a > b, element by element."""
    return array_module(a, b).greater(a, b)


@op(broadcasts=True)
def greater_equal(a: Array, b: Array) -> Array:
    """Whether a >= b, element by element."""
    return array_module(a, b).greater_equal(a, b)


for _comparison in (equal, not_equal, less, less_equal, greater, greater_equal):
    _comparison.backward(a=None, b=None)


@op(broadcasts=True)
def where(condition: Array, a: Array, b: Array) -> Array:
    """A where the condition holds, b elsewhere.

    Both are computed, and a gradient of 0 flows back into the one that was not taken. Where its derivative there is
    infinite, as of sqrt(0), or NaN, as of log(-1), 0 times that is NaN, here as in other libraries. Choose first what
    is computed with: ``where(x > 0, sqrt(where(x > 0, x, 1.0)), 0.0)``.

    >>> from minigrad import Tensor, ops
    >>> x = Tensor([-1.0, 2.0])
    >>> ops.where(x > 0, x, 0).tolist()
    [0.0, 2.0]
    """
    return select(condition, a, b)


where.backward(
    condition=None,
    a=lambda g, condition: where(condition, g, 0.0),
    b=lambda g, condition: where(condition, 0.0, g),
)
