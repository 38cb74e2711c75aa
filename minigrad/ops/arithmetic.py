"""Arithmetic of two arrays. All of it broadcasts as NumPy does; the engine sums what was repeated."""

from __future__ import annotations

from typing import Any

from minigrad.backend import Array, array_module, filled_like, is_array
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

    The derivative is taken as 0 where a term is 0 times infinity: for a at a = b = 0, and for b at a = 0 <= b.

    >>> from minigrad import Tensor
    >>> (Tensor([2.0, 3.0]) ** 2).tolist()
    [4.0, 9.0]
    """
    return a**b


@op(broadcasts=True)
def power_base_grad(a: Array, b: Array) -> Array:
    """b a^(b-1), the derivative of a^b in a; 0 at a = b = 0.

    >>> from minigrad import Tensor, ops
    >>> ops.power_base_grad(Tensor([0.0, 2.0]), Tensor([0.0, 3.0])).tolist()
    [0.0, 12.0]
    """
    if not is_array(b):
        return b * a ** (b - 1.0 if b else 1.0)
    return b * a ** array_module(a, b).where((a == 0) & (b == 0), 1.0, b - 1.0)


@op(broadcasts=True)
def power_exponent_grad(a: Array, b: Array) -> Array:
    """a^b log(a), the derivative of a^b in b; 0 where a^b is, and at a = 0 <= b.

    >>> from minigrad import Tensor, ops
    >>> ops.power_exponent_grad(Tensor([0.0, 1.0]), Tensor([0.0, 3.0])).tolist()
    [0.0, 0.0]
    """
    xp = array_module(a, b)
    y = a**b
    a = a if is_array(a) else filled_like(y, a)
    return y * xp.log(xp.where((y == 0) | ((a == 0) & (b >= 0)), 1.0, a))


def _power_mixed(a: Any, b: Any) -> Any:
    """a^(b-1) (1 + b log(a)), the derivative of a^b in a and b, in whichever order; where a power is 0, it is."""
    p = a ** (b - 1)
    return p * (1 + b * log(where((p == 0) + (a == 0) * (b == 0), 1.0, a)))


def _power_curvature(a: Any, b: Any) -> Any:
    """b (b-1) a^(b-2), the second derivative in a."""
    return b * power_base_grad(a, where((a == 0) * (b == 0), 1.0, b - 1))


def _power_base(g: Any, a: Any, b: Any) -> Any:
    if isinstance(b, (int, float)):
        return g * b * a ** (b - 1) if b != 0 else g * 0
    return g * power_base_grad(a, b)


power.backward(
    a=_power_base,
    b=lambda g, a, b: g * power_exponent_grad(a, b),
)

power_base_grad.backward(
    a=lambda g, a, b: g * _power_curvature(a, b),
    b=lambda g, a, b: g * _power_mixed(a, b),
)

power_exponent_grad.backward(
    a=lambda g, a, b: g * _power_mixed(a, b),
    b=lambda g, a, b: g * power_exponent_grad(a, b) * log(where(a == 0, 1.0, a)),
)


def _share(g: Any, loses: Any, ties: Any) -> Any:
    """All of g to what does not lose, half where both tie; where one is NaN, so is y, and neither loses."""
    return where(loses, 0.0, where(ties, g * 0.5, g))


@op(broadcasts=True)
def maximum(a: Array, b: Array) -> Array:
    """The larger of a and b; where they tie, each takes half of the gradient.

    >>> from minigrad import Tensor, ops
    >>> ops.maximum(Tensor([1.0, 4.0]), 2.0).tolist()
    [2.0, 4.0]
    """
    return array_module(a, b).maximum(a, b)


maximum.backward(
    a=lambda g, a, b: _share(g, a < b, a == b),
    b=lambda g, a, b: _share(g, b < a, a == b),
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
    a=lambda g, a, b: _share(g, b < a, a == b),
    b=lambda g, a, b: _share(g, a < b, a == b),
)
