r"""Standardization: numbers brought to mean 0 and variance 1 over some axes, and its derivative.

    y = r (x - m),   r = (v + epsilon)^(-1/2),   m and v the mean and the (biased) variance of x over the axes.

With < > for the mean over the axes, the derivative is the symmetric map

    D(g) = r (g - <g> - y <g y>),

so `standardize_grad` is its own adjoint in g, and its derivative in x is made of both ops again: every order follows.
"""

from __future__ import annotations

import math
from typing import Any

from minigrad.backend import Array, array_module, on_gpu
from minigrad.ops.op import op
from minigrad.ops.reduction import mean

_LETTERS = "abcdefghijklmnop"


def moments(x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """The mean and the biased variance over axes, which are kept with length 1."""
    m = x.mean(axis=axes, keepdims=True)
    centered = x - m
    return m, _mean_product(centered, centered, axes)


def _mean_product(a: Array, b: Array, axes: tuple[int, ...]) -> Array:
    """<a b>, on the CPU without an array for the product. CuPy's einsum would transpose both and call cuBLAS."""
    gone = {i % a.ndim for i in axes}
    if on_gpu(a):
        total = (a * b).sum(axis=tuple(gone), keepdims=True)
    else:
        letters = _LETTERS[: a.ndim]
        kept = "".join(letter for i, letter in enumerate(letters) if i not in gone)
        shape = [1 if i in gone else n for i, n in enumerate(a.shape)]
        total = array_module(a).einsum(f"{letters},{letters}->{kept}", a, b).reshape(shape)
    return total / max(math.prod(a.shape[i] for i in gone), 1)


def _standardized(x: Array, axes: tuple[int, ...], epsilon: float, known: Any) -> tuple[Array, Array]:
    """Y and r."""
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
    return _standardized(x, axes, epsilon, known)[0]


@op
def standardize_grad(g: Array, x: Array, *, axes: tuple[int, ...], epsilon: float, known: Any = None) -> Array:
    """D(g) = r (g - <g> - y <g y>): what `standardize` does to a gradient, and to a small change of x."""
    y, r = _standardized(x, axes, epsilon, known)
    y *= -_mean_product(g, y, axes)
    y += g
    y -= g.mean(axis=axes, keepdims=True)
    y *= r
    return y


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
