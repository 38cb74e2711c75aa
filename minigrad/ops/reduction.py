"""Reductions over axes. ``axis`` is an int, a tuple of ints or None for all; ``keepdims`` keeps them with length 1."""

from __future__ import annotations

import functools
import math
from typing import Any

from minigrad.backend import Array, array_module
from minigrad.kernels.product import sum_but
from minigrad.ops.elementwise import exp
from minigrad.ops.movement import broadcast_to, reshape
from minigrad.ops.op import op

Axis = int | tuple[int, ...] | None
_MANY = 1 << 12  # elements: below, NumPy's own sum is as fast


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The reduced axes, from 0."""
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in ((axis,) if isinstance(axis, int) else axis))


@functools.lru_cache(maxsize=256)
def _kept(axis: tuple[int, ...], ndim: int) -> int | None:
    """The axis that a sum over all others keeps, if these are each named once and from 0 on; otherwise None."""
    kept = set(range(ndim)).difference(axis)
    return kept.pop() if len(kept) == 1 and len(axis) == ndim - 1 else None


def _restore(g: Any, shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Any:
    """G with the reduced axes back in place, with length 1: it broadcasts against ``shape``."""
    if keepdims or not shape:
        return g
    if axis is None:
        return reshape(g, shape=(1,) * len(shape))
    gone = _axes(axis, len(shape))
    return reshape(g, shape=tuple(1 if i in gone else n for i, n in enumerate(shape)))


@op
def sum(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Sum over axes.

    >>> from minigrad import Tensor
    >>> Tensor([[1.0, 2.0], [3.0, 4.0]]).sum(axis=0).tolist()
    [4.0, 6.0]
    """
    if x.size > _MANY and not keepdims and type(axis) is tuple and (kept := _kept(axis, x.ndim)) is not None:
        return sum_but(x, kept)
    return x.sum(axis=axis, keepdims=keepdims)


sum.backward(
    x=lambda g, x_shape, axis, keepdims: broadcast_to(_restore(g, x_shape, axis, keepdims), shape=x_shape)
)


@op
def mean(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Mean over axes.

    >>> from minigrad import Tensor
    >>> Tensor([1.0, 2.0]).mean().item()
    1.5
    """
    return x.mean(axis=axis, keepdims=keepdims)


def _mean_back(g: Any, x_shape: tuple[int, ...], axis: Axis, keepdims: bool) -> Any:
    count = math.prod(x_shape[a] for a in _axes(axis, len(x_shape)))
    return broadcast_to(_restore(g / count, x_shape, axis, keepdims), shape=x_shape)


mean.backward(x=_mean_back)


@op
def max(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Largest element over axes; elements that tie share the gradient evenly.

    >>> from minigrad import Tensor
    >>> Tensor([1.0, 3.0]).max().item()
    3.0
    """
    return x.max(axis=axis, keepdims=keepdims)


@op
def min(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Smallest element over axes; elements that tie share the gradient evenly.

    >>> from minigrad import Tensor
    >>> Tensor([1.0, 3.0]).min().item()
    1.0
    """
    return x.min(axis=axis, keepdims=keepdims)


def _extremum_back(g: Any, x: Any, y: Any, axis: Axis, keepdims: bool) -> Any:
    chosen = (x == _restore(y, x.shape, axis, keepdims)).astype(g.dtype)
    share = chosen / chosen.sum(axis=axis, keepdims=True)
    return _restore(g, x.shape, axis, keepdims) * share


max.backward(x=_extremum_back)
min.backward(x=_extremum_back)


@op
def argmax(x: Array, *, axis: int | None = None) -> Array:
    """Index of the largest element; the first of those that tie.

    >>> from minigrad import Tensor
    >>> Tensor([1.0, 3.0]).argmax().item()
    1
    """
    return x.argmax(axis=axis)


argmax.backward(x=None)


@op
def argmin(x: Array, *, axis: int | None = None) -> Array:
    """Index of the smallest element; the first of those that tie."""
    return x.argmin(axis=axis)


argmin.backward(x=None)


@op
def logsumexp(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) over axes, shifted by the largest element so that nothing overflows.

    >>> from minigrad import Tensor
    >>> Tensor([1000.0, 1000.0]).logsumexp().item()
    1000.6931762695312
    """
    xp = array_module(x)
    shift = x.real.max(axis=axis, keepdims=True)
    shift = xp.where(xp.isfinite(shift), shift, 0)
    y = xp.log(xp.exp(x - shift).sum(axis=axis, keepdims=True)) + shift
    return y if keepdims else y.squeeze(axis)


logsumexp.backward(
    x=lambda g, x, y, axis, keepdims: (
        _restore(g, x.shape, axis, keepdims) * exp(x - _restore(y, x.shape, axis, keepdims))
    )
)


@op
def softmax(x: Array, *, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)) along an axis.

    >>> from minigrad import Tensor
    >>> Tensor([0.0, 0.0]).softmax().tolist()
    [0.5, 0.5]
    """
    y = array_module(x).exp(x - x.real.max(axis=axis, keepdims=True))
    y /= y.sum(axis=axis, keepdims=True)
    return y


softmax.backward(x=lambda g, y, axis: y * (g - (g * y).sum(axis=axis, keepdims=True)))


@op
def log_softmax(x: Array, *, axis: int = -1) -> Array:
    """log(softmax(x)) along an axis, exact where softmax is 0 in floating point.

    >>> from minigrad import Tensor
    >>> Tensor([0.0, -1000.0]).log_softmax().tolist()
    [0.0, -1000.0]
    """
    xp = array_module(x)
    shifted = x - x.real.max(axis=axis, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True))


log_softmax.backward(x=lambda g, y, axis: g - exp(y) * g.sum(axis=axis, keepdims=True))


@op
def sparsemax(x: Array, *, axis: int = -1) -> Array:
    """The point of the simplex nearest to x along an axis: max(x - tau, 0), with tau such that the sum is 1.

    Martins and Astudillo 2016. The gradient is centered over the elements that are not 0.

    >>> from minigrad import Tensor, ops
    >>> ops.sparsemax(Tensor([2.0, 1.5, -1.0])).tolist()
    [0.75, 0.25, 0.0]
    """
    xp = array_module(x)
    falling = xp.flip(xp.sort(x, axis=axis), axis)
    counts = xp.arange(1, x.shape[axis] + 1, dtype=x.dtype).reshape((-1,) + (1,) * (x.ndim - 1 - axis % x.ndim))
    inside = counts * falling > xp.cumsum(falling, axis=axis) - 1
    tau = (xp.where(inside, falling, 0).sum(axis=axis, keepdims=True) - 1) / inside.sum(axis=axis, keepdims=True)
    return xp.where(x > tau, x - tau, 0).astype(x.dtype)


def _sparsemax_back(g: Any, y: Any, axis: int) -> Any:
    inside = (y > 0).astype(g.dtype)
    g = g * inside
    return g - inside * (g.sum(axis=axis, keepdims=True) / inside.sum(axis=axis, keepdims=True))


sparsemax.backward(x=_sparsemax_back)
