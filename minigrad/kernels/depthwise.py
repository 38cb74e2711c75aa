r"""The three depthwise convolution kernels in array code.

All three are derivatives of one trilinear form, with s stride, d dilation, p padding before:

    Phi(x, w, g) = sum_{n,t,k,c,m}  x[n, s*t + d*k - p, c] * w[k, c, m] * g[n, t, c*M + m]

`forward` is dPhi/dg, `input_grad` dPhi/dx, `kernel_grad` dPhi/dw. Shapes: x (N, L, C), w (K, C, M),
g (N, T, C*M); with ``layout="NCL"`` x (N, C, L) and g (N, C*M, T).

Each multiplies and sums over a strided *view* of all windows: ``einsum`` runs that as a fused
multiply-accumulate without temporaries. ``optimize`` stays off: it would go through a slower path.
"""

from __future__ import annotations

from math import gcd
from typing import Any

from minigrad.backend import Array, array_module
from minigrad.kernels.geometry import Geometry

LAYOUTS = ("NLC", "NCL")
_FORWARD = {"NLC": "kntc,kc->ntc", "NCL": "knct,kc->nct"}
_KERNEL_GRAD = {"NLC": "kntc,ntc->kc", "NCL": "knct,nct->kc"}


def time_axis(layout: str) -> int:
    """The axis of L or T."""
    return 1 if layout == "NLC" else 2


def channel_axis(layout: str) -> int:
    """The axis of C."""
    return 2 if layout == "NLC" else 1


def forward(x: Array, w: Array, geometry: Geometry, layout: str) -> Array:
    """y[n, t, c*M + m] = sum_k x[n, s*t + d*k - p, c] * w[k, c, m]."""
    before, after = geometry.padding
    x = _fit(x, before, geometry.length + after, layout)
    view = windows(x, geometry.taps, geometry.stride, geometry.dilation, geometry.out_length, layout)
    return _per_multiplier(_FORWARD[layout], view, w, layout)


def input_grad(g: Array, w: Array, geometry: Geometry, layout: str) -> Array:
    """dx[n, l, c] = sum over all (t, k) with s*t + d*k - p = l, and m, of g[n, t, c*M + m] * w[k, c, m].

    The inputs fall into s phases, l + p = s*q + r. Into a phase flow only the taps with d*k = r (mod s), an
    arithmetic progression; so each phase is an ordinary convolution of g with part of the flipped kernel.
    """
    xp, axis = array_module(g), time_axis(layout)
    s, d, before, length = geometry.stride, geometry.dilation, geometry.padding[0], geometry.length
    channels, multiplier = w.shape[1:]
    shape = (g.shape[0], length, channels) if layout == "NLC" else (g.shape[0], channels, length)
    common = gcd(s, d)
    dx = None if s == 1 else xp.zeros(shape, xp.result_type(g, w))
    for phase in range(s):
        taps = [k for k in range(geometry.taps) if d * k % s == phase][::-1]
        first = (phase - before) % s  # the first input of this phase
        count = len(range(first, length, s))
        if not taps or not count:
            continue
        reach = d * taps[0] // s  # how far back in t the last tap looks
        q = (first + before) // s
        span = d // common * (len(taps) - 1) + 1
        padded = _fit(g, reach - q, q - reach + count + span - 1, layout)
        view = windows(padded, len(taps), 1, d // common, count, layout)
        part = _sum_multiplier(_FORWARD[layout], view, w[taps], multiplier, layout)
        if dx is None:
            return part
        dx[(slice(None),) * axis + (slice(first, None, s),)] = part
    return xp.zeros(shape, xp.result_type(g, w)) if dx is None else dx


def kernel_grad(x: Array, g: Array, geometry: Geometry, layout: str) -> Array:
    """dw[k, c, m] = sum_{n,t} x[n, s*t + d*k - p, c] * g[n, t, c*M + m]."""
    xp = array_module(x)
    before, after = geometry.padding
    channels = x.shape[channel_axis(layout)]
    x = _fit(x, before, geometry.length + after, layout)
    view = windows(x, geometry.taps, geometry.stride, geometry.dilation, geometry.out_length, layout)
    multiplier = g.shape[channel_axis(layout)] // max(channels, 1)
    if multiplier == 1:
        return xp.einsum(_KERNEL_GRAD[layout], view, g)[..., None]
    parts = [xp.einsum(_KERNEL_GRAD[layout], view, _every(g, m, multiplier, layout)) for m in range(multiplier)]
    return xp.stack(parts, axis=-1)


def windows(x: Array, taps: int, stride: int, dilation: int, count: int, layout: str) -> Array:
    """A view of all windows, no copy: (K, N, T, C), or (K, N, C, T) for the layout NCL."""
    axis = time_axis(layout)
    step = x.strides[axis]
    shape, strides = list(x.shape), list(x.strides)
    shape[axis], strides[axis] = count, stride * step
    return array_module(x).lib.stride_tricks.as_strided(x, [taps, *shape], [dilation * step, *strides])


def _fit(x: Array, before: int, stop: int, layout: str) -> Array:
    """The steps from -before to stop of x: zeros where x has none, a view where nothing must be added."""
    axis = time_axis(layout)
    length = x.shape[axis]
    inside = slice(max(-before, 0), max(min(stop, length), 0))
    if before <= 0 and stop <= length:
        return x[(slice(None),) * axis + (inside,)]
    shape = list(x.shape)
    shape[axis] = before + stop
    padded = array_module(x).zeros(shape, x.dtype)
    if inside.start < inside.stop:
        target = slice(inside.start + before, inside.stop + before)
        index: Any = (slice(None),) * axis
        padded[(*index, target)] = x[(*index, inside)]
    return padded


def _every(g: Array, m: int, multiplier: int, layout: str) -> Array:
    """The channels c*M + m of g, for one m."""
    return g[..., m::multiplier] if layout == "NLC" else g[:, m::multiplier]


def _per_multiplier(subscripts: str, view: Array, w: Array, layout: str) -> Array:
    """One product for each multiplier m, interleaved to channels c*M + m."""
    xp = array_module(view)
    channels, multiplier = w.shape[1:]
    if multiplier == 1:
        return xp.einsum(subscripts, view, w[..., 0])
    shape = list(view.shape[1:])
    shape[channel_axis(layout)] = channels * multiplier
    y = xp.empty(shape, xp.result_type(view, w))
    for m in range(multiplier):
        _every(y, m, multiplier, layout)[...] = xp.einsum(subscripts, view, w[..., m])
    return y


def _sum_multiplier(subscripts: str, view: Array, w: Array, multiplier: int, layout: str) -> Array:
    """One product for each multiplier m, summed."""
    xp = array_module(view)
    if multiplier == 1:
        return xp.einsum(subscripts, view, w[..., 0])
    index: Any = (slice(None),) * (channel_axis(layout) + 1)
    parts = [xp.einsum(subscripts, view[(*index, slice(m, None, multiplier))], w[..., m]) for m in range(multiplier)]
    for part in parts[1:]:
        parts[0] += part
    return parts[0]
