r"""Standardization: numbers brought to mean 0 and variance 1 over some axes, and its derivative.

    y = r (x - m),   r = (v + epsilon)^(-1/2),   m and v the mean and the (biased) variance of x over the axes.

With < > for the mean over the axes, the derivative is the symmetric map

    D(g) = r (g - <g> - y <g y>),

so `standardize_grad` is its own adjoint in g, and its derivative in x is made of both ops again: every order follows.
"""

from __future__ import annotations

import math
from typing import Any

from minigrad.backend import Array
from minigrad.kernels.sums import products, total
from minigrad.ops.elementwise import widened
from minigrad.ops.op import op
from minigrad.ops.reduction import mean


def moments(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """The mean and the biased variance over axes, which are kept with length 1."""
    m = _mean(x, axes)
    centered = x - m
    return m, _mean_product(centered, centered, axes)


def _mean(x: Array, axes: tuple[int, ...]) -> Array:
    return total(x, axes, keepdims=True) / _count(x, axes)


def _mean_product(a: Array, b: Array, axes: tuple[int, ...]) -> Array:
    """<a b>."""
    return products(a, b, axes) / _count(a, axes)


def _count(x: Array, axes: tuple[int, ...]) -> int:
    return max(math.prod(x.shape[i] for i in axes), 1)


def _standardized(x: Array, axes: tuple[int, ...], epsilon: float, known: Any) -> tuple[Array, Array]:
    """Y and r."""
    x = widened(x)
    m, variance = moments(x, axes) if known is None else known
    r = (variance + epsilon) ** -0.5
    y = x - m
    y *= r
    return y, r


@op
def standardize(x: Array, *, axes: tuple[int, ...], epsilon: float, known: Any = None) -> Array:
    """X less its mean over the axes, divided by sqrt(variance + epsilon).

    Args:
        known: the `moments` of x, when they were computed already.

    >>> from minigrad import Tensor, ops
    >>> ops.standardize(Tensor([[1.0, 3.0]]), axes=(1,), epsilon=0.0).tolist()
    [[-1.0, 1.0]]
    """
    return _standardized(x, axes, epsilon, known)[0].astype(x.dtype, copy=False)


@op
def standardize_grad(g: Array, x: Array, *, axes: tuple[int, ...], epsilon: float, known: Any = None) -> Array:
    """D(g) = r (g - <g> - y <g y>): what `standardize` does to a gradient, and to a small change of x."""
    y, r = _standardized(x, axes, epsilon, known)
    wide = widened(g)
    y *= -_mean_product(wide, y, axes)
    y += wide
    y -= _mean(wide, axes)
    y *= r
    return y.astype(x.dtype, copy=False)


standardize.backward(
    x=lambda g, x, axes, epsilon, known: standardize_grad(g, x, axes=axes, epsilon=epsilon, known=known)
)


def _second(h: Any, g: Any, x: Any, axes: tuple[int, ...], epsilon: float) -> Any:
    """The gradient of sum(h D(g)) in x, by the product rule for r, y and the means of g y and h y."""
    centered = x - mean(x, axis=axes, keepdims=True)
    r = (mean(centered * centered, axis=axes, keepdims=True) + epsilon) ** -0.5
    y = centered * r
    of_g, of_h, of_both, *plain = (
        mean(a, axis=axes, keepdims=True) for a in (g * y, h * y, g * h, g, h)
    )
    spread = of_both - plain[0] * plain[1] - of_g * of_h
    to_g = standardize_grad(g, x, axes=axes, epsilon=epsilon)
    to_h = standardize_grad(h, x, axes=axes, epsilon=epsilon)
    return -r * (r * spread * y + of_g * to_h + of_h * to_g)


standardize_grad.backward(
    g=lambda h, x, axes, epsilon, known: standardize_grad(h, x, axes=axes, epsilon=epsilon, known=known),
    x=_second,
)
