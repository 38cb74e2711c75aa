"""Reductions over axes. ``axis`` is an int, a tuple of ints or None for all; ``keepdims`` keeps them with length 1."""

from __future__ import annotations

import math
from typing import Any

from minigrad.backend import Array, array_module
from minigrad.kernels.sums import total
from minigrad.ops.axes import Axis, axes_of, axis_within, integer
from minigrad.ops.comparison import where
from minigrad.ops.elementwise import exp, floating, widened
from minigrad.ops.movement import broadcast_to, reshape
from minigrad.ops.op import op


def _axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """The reduced axes, from 0."""
    axis = axes_of("axis", axis)
    if axis is None:
        return tuple(range(ndim))
    return tuple(a % ndim for a in ((axis,) if isinstance(axis, int) else axis))


def _restore(g: Any, shape: tuple[int, ...], axis: Any, keepdims: bool) -> Any:
    """G with the reduced axes back in place, with length 1: it broadcasts against ``shape``."""
    if keepdims or not shape:
        return g
    if axis is None:
        return reshape(g, shape=(1,) * len(shape))
    gone = _axes(axis, len(shape))
    return reshape(g, shape=tuple(1 if i in gone else n for i, n in enumerate(shape)))


def _as(y: Array, x: Array) -> Array:
    """The result in half precision if x has it."""
    return y.astype("float16") if x.dtype.char == "e" else y


def _divided(g: Any, count: Any) -> Any:
    """G / count in the dtype of g. In half precision a count above 65,504 would be infinite."""
    share = widened(g) / count
    return share if share.dtype == g.dtype else share.astype(g.dtype)


@op
def sum(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Sum over axes.

    >>> from minigrad import Tensor
    >>> Tensor([[1.0, 2.0], [3.0, 4.0]]).sum(axis=0).tolist()
    [4.0, 6.0]
    """
    return total(x, axes_of("sum", axis), keepdims)


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
    axis = axes_of("mean", axis)
    if x.dtype.kind not in "fc" or not x.size:
        return x.mean(axis=axis, keepdims=keepdims)
    y = total(widened(floating(x)), axis, keepdims)
    return _as(y / (x.size // y.size), x)


def _mean_back(g: Any, x_shape: tuple[int, ...], axis: Any, keepdims: bool) -> Any:
    count = math.prod(x_shape[a] for a in _axes(axis, len(x_shape)))
    return broadcast_to(_restore(_divided(g, count), x_shape, axis, keepdims), shape=x_shape)


mean.backward(x=_mean_back)


@op
def max(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Largest element over axes; elements that tie share the gradient evenly, as do those that are NaN.

    >>> from minigrad import Tensor
    >>> Tensor([1.0, 3.0]).max().item()
    3.0
    """
    return x.max(axis=axes_of("max", axis), keepdims=keepdims)


@op
def min(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """Smallest element over axes; elements that tie share the gradient evenly, as do those that are NaN.

    >>> from minigrad import Tensor
    >>> Tensor([1.0, 3.0]).min().item()
    1.0
    """
    return x.min(axis=axes_of("min", axis), keepdims=keepdims)


def _extremum_back(g: Any, x: Any, y: Any, axis: Any, keepdims: bool) -> Any:
    chosen = (x == _restore(y, x.shape, axis, keepdims)) + (x != x)  # where one is NaN, so is y
    count = total(chosen, axes_of("max", axis), keepdims=True)  # an integer, which counts on beyond 2048 and 2^24
    return where(chosen, _divided(_restore(g, x.shape, axis, keepdims), count), 0.0)


max.backward(x=_extremum_back)
min.backward(x=_extremum_back)


@op
def argmax(x: Array, *, axis: int | None = None) -> Array:
    """Index of the largest element; the first of those that tie.

    >>> from minigrad import Tensor
    >>> Tensor([1.0, 3.0]).argmax().item()
    1
    """
    return x.argmax(axis=None if axis is None else integer("argmax", "axis", axis))


argmax.backward(x=None)


@op
def argmin(x: Array, *, axis: int | None = None) -> Array:
    """Index of the smallest element; the first of those that tie."""
    return x.argmin(axis=None if axis is None else integer("argmin", "axis", axis))


argmin.backward(x=None)


@op
def logsumexp(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Array:
    """log(sum(exp(x))) over axes, shifted by the largest element so that nothing overflows.

    >>> from minigrad import Tensor
    >>> Tensor([1000.0, 1000.0]).logsumexp().item()
    1000.6931762695312
    """
    xp = array_module(x)
    axis = axes_of("logsumexp", axis)
    wide = widened(floating(x))
    shift = wide.real.max(axis=axis, keepdims=True)
    shift = xp.where(xp.isfinite(shift), shift, 0)
    y = _as(xp.log(total(xp.exp(wide - shift), axis, keepdims=True)) + shift, x)
    return y if keepdims else y.squeeze(axis)


def _logsumexp_back(g: Any, x: Any, y: Any, axis: Any, keepdims: bool) -> Any:
    if x.dtype.char == "e":  # in which y is rounded to a few hundredths, where it is large
        x = widened(x)
        y = logsumexp(x, axis=axis, keepdims=keepdims)
    return _restore(g, x.shape, axis, keepdims) * exp(x - _restore(y, x.shape, axis, keepdims))


logsumexp.backward(x=_logsumexp_back)


@op
def softmax(x: Array, *, axis: int = -1) -> Array:
    """exp(x) / sum(exp(x)) along an axis.

    >>> from minigrad import Tensor
    >>> Tensor([0.0, 0.0]).softmax().tolist()
    [0.5, 0.5]
    """
    axes = axes_of("softmax", axis)
    wide = widened(floating(x))
    y = array_module(x).exp(wide - wide.real.max(axis=axes, keepdims=True))
    y /= total(y, axes, keepdims=True)
    return _as(y, x)


def _softmax_back(g: Any, y: Any, axis: Any) -> Any:
    g, y = widened(g), widened(y)
    return y * (g - total(g * y, axes_of("softmax", axis), keepdims=True))


softmax.backward(x=_softmax_back)


@op
def log_softmax(x: Array, *, axis: int = -1) -> Array:
    """log(softmax(x)) along an axis, exact where softmax is 0 in floating point.

    >>> from minigrad import Tensor
    >>> Tensor([0.0, -1000.0]).log_softmax().tolist()
    [0.0, -1000.0]
    """
    xp = array_module(x)
    axes = axes_of("log_softmax", axis)
    shifted = widened(floating(x))
    shifted = shifted - shifted.real.max(axis=axes, keepdims=True)
    return _as(shifted - xp.log(total(xp.exp(shifted), axes, keepdims=True)), x)


def _log_softmax_back(g: Any, x: Any, y: Any, axis: Any) -> Any:
    if x.dtype.char == "e":  # in which y is rounded to a few hundredths, where it is large
        g = widened(g)
        y = log_softmax(widened(x), axis=axis)
    return g - exp(y) * total(g, axes_of("log_softmax", axis), keepdims=True)


log_softmax.backward(x=_log_softmax_back)


@op
def sparsemax(x: Array, *, axis: int = -1) -> Array:
    """The point of the simplex nearest to x along an axis: max(x - tau, 0), with tau such that the sum is 1.

    Martins and Astudillo 2016. The gradient is centered over the elements that are not 0.

    >>> from minigrad import Tensor, ops
    >>> ops.sparsemax(Tensor([2.0, 1.5, -1.0])).tolist()
    [0.75, 0.25, 0.0]
    """
    xp = array_module(x)
    axis = axis_within("sparsemax", axis, x.ndim)
    wide = widened(floating(x))
    falling = xp.flip(xp.sort(wide, axis=axis), axis)
    counts = xp.arange(1, x.shape[axis] + 1, dtype=wide.dtype).reshape((-1,) + (1,) * (x.ndim - 1 - axis))
    inside = counts * falling > xp.cumsum(falling, axis=axis) - 1
    count = inside.sum(axis=axis, keepdims=True)  # 0 where there is a NaN
    tau = (xp.where(inside, falling, 0).sum(axis=axis, keepdims=True) - 1) / xp.maximum(count, 1)
    tau = xp.where(count, tau, math.nan)
    return _as(xp.where(wide <= tau, 0, wide - tau).astype(wide.dtype), x)


def _sparsemax_back(g: Any, y: Any, axis: Any) -> Any:
    axis = axis_within("sparsemax", axis, y.ndim)
    outside = y <= 0
    inside = where(outside, 0.0, widened(g))
    count = y.shape[axis] - total(outside, axis, keepdims=True)
    return where(outside, 0.0, inside - _divided(total(inside, axis, keepdims=True), count))


sparsemax.backward(x=_sparsemax_back)
