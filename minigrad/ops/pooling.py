"""Max pooling over time, with the two linear ops that move values to and from where the maxima stand.

`max_pool1d` picks one element a window, the first of those that tie. `max_pool1d_scatter` sends values back to
the elements picked, `max_pool1d_gather` fetches values from them; each is the other's adjoint.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from minigrad.backend import Array, HostArray, array_module
from minigrad.kernels.geometry import Geometry, remembered
from minigrad.kernels.layout import time_axis
from minigrad.kernels.selection import part, select
from minigrad.ops.op import op


@functools.lru_cache(maxsize=1024)  # training sees the same few shapes at every step
def _steps(geometry: Geometry, layout: str) -> list[tuple[Any, Any]]:
    """For each tap: the input steps it sees, and the output steps where it sees one (not padding)."""
    steps = []
    lead = (slice(None),) * time_axis(layout)
    s = geometry.stride
    for k in range(geometry.taps):
        offset = k * geometry.dilation - geometry.padding[0]
        first = max(-(offset // s), 0)  # the first window in which this tap stands inside the input
        last = min((geometry.length - 1 - offset) // s, geometry.out_length - 1)
        if last >= first:
            start = s * first + offset
            steps.append(((*lead, slice(start, s * last + offset + 1, s)), (*lead, slice(first, last + 1))))
    return steps


def _geometry(x: Array, taps: int, stride: int, padding: tuple[int, int], layout: str) -> Geometry:
    if x.ndim != 3:
        raise ValueError("x must have 3 axes")
    return _geometry_of(x.shape[time_axis(layout)], taps, stride, 1, padding)


_geometry_of = remembered(Geometry)


def _out_shape(x: Array, geometry: Geometry, layout: str) -> list[int]:
    shape = list(x.shape)
    shape[time_axis(layout)] = geometry.out_length
    return shape


@op
def max_pool1d(x: Array, *, taps: int, stride: int, padding: tuple[int, int] = (0, 0), layout: str = "NLC") -> Array:
    """The largest of each window of ``taps`` steps; padding never wins. The first of those that tie, or are NaN, takes
    the gradient.

    Args:
        x: (N, L, C), or (N, C, L) for ``layout="NCL"``.

    Returns:
        (N, T, C), or (N, C, T), with T = (L + p + p' - taps) // stride + 1.

    >>> from minigrad import Tensor, ops
    >>> ops.max_pool1d(Tensor([1.0, 3.0, 2.0, 5.0]).reshape(1, 4, 1), taps=2, stride=2).reshape(-1).tolist()
    [3.0, 5.0]
    """
    xp = array_module(x)
    geometry = _geometry(x, taps, stride, padding, layout)
    steps = _steps(geometry, layout)
    if geometry.padding == (0, 0) and len(steps) > 1:  # every tap sees every window
        y = xp.maximum(x[steps[0][0]], x[steps[1][0]])
        steps = steps[2:]
    else:
        lowest = -xp.inf if x.dtype.kind in "fc" else xp.iinfo(x.dtype).min
        y = xp.full(_out_shape(x, geometry, layout), lowest, x.dtype)
    for seen, at in steps:
        xp.maximum(y[at], x[seen], out=y[at])
    return y


def _holds(seen: Array, y: Array, nan: bool) -> Array:
    """Where a tap holds the maximum. A window with a NaN has NaN for its maximum."""
    return (seen == y) | (seen != seen) if nan else seen == y


def _has_nan(y: Array) -> bool:
    """Whether there is a NaN among the maxima; on a GPU, which it would take time to ask, yes."""
    return type(y) is not HostArray or bool((y != y).any())


def _picked(x: Array, y: Array, geometry: Geometry, layout: str) -> Iterator[tuple[Any, Any, Array]]:
    """As `_steps`, with where each tap holds the maximum and no earlier tap did."""
    free = array_module(x).ones(y.shape, bool)
    nan = _has_nan(y)
    for tap, (seen, at) in enumerate(_steps(geometry, layout)):
        if tap == geometry.taps - 1 and geometry.padding == (0, 0):
            picked = free  # without padding every tap sees every window: the last holds what no other does
        else:
            picked = _holds(x[seen], y[at], nan)
            picked &= free[at]
            free[at] ^= picked
        yield seen, at, picked


@op
def max_pool1d_scatter(
    g: Array, x: Array, y: Array, *, taps: int, stride: int, padding: tuple[int, int], layout: str
) -> Array:
    """G (like y = max_pool1d(x)) added to where the maxima stand in x: the shape of x."""
    geometry = _geometry(x, taps, stride, padding, layout)
    xp = array_module(g)
    each_once = geometry.padding == (0, 0) and geometry.stride >= geometry.taps and geometry.out_length > 0
    if each_once:  # every tap sees every window
        all_seen = geometry.length == geometry.out_length * geometry.taps
        dx = (xp.empty if all_seen else xp.zeros)(x.shape, g.dtype)
        *others, last = [seen for seen, _ in _steps(geometry, layout)]
        left = g
        if not others:
            dx[last] = left
        nan = bool(others) and _has_nan(y)
        for seen in others:
            part(_holds(x[seen], y, nan), left, dx[seen], dx[last])
            left = dx[last]  # the last takes what no other did
        return dx
    half = g.dtype.char == "e"  # whose sums are made in float32
    dx = xp.zeros(x.shape, "float32" if half else g.dtype)
    for seen, at, picked in _picked(x, y, geometry, layout):
        dx[seen] += select(picked, g[at], 0.0)
    return dx.astype(g.dtype) if half else dx


@op
def max_pool1d_gather(
    h: Array, x: Array, y: Array, *, taps: int, stride: int, padding: tuple[int, int], layout: str
) -> Array:
    """The elements of h (like x) at the positions of the maxima of x: the shape of y = max_pool1d(x)."""
    out = array_module(h).zeros(y.shape, h.dtype)
    for seen, at, picked in _picked(x, y, _geometry(x, taps, stride, padding, layout), layout):
        out[at] += select(picked, h[seen], 0.0)
    return out


max_pool1d.backward(
    x=lambda g, x, y, taps, stride, padding, layout: max_pool1d_scatter(
        g, x, y, taps=taps, stride=stride, padding=padding, layout=layout
    )
)

max_pool1d_scatter.backward(
    g=lambda h, x, y, taps, stride, padding, layout: max_pool1d_gather(
        h, x, y, taps=taps, stride=stride, padding=padding, layout=layout
    ),
    x=None,
    y=None,
)

max_pool1d_gather.backward(
    h=lambda g, x, y, taps, stride, padding, layout: max_pool1d_scatter(
        g, x, y, taps=taps, stride=stride, padding=padding, layout=layout
    ),
    x=None,
    y=None,
)
