r"""The three depthwise convolution kernels in array code.

All three are derivatives of one trilinear form, with s stride, d dilation, p padding before:

    Phi(x, w, g) = sum_{n,t,k,c,m}  x[n, s*t + d*k - p, c] * w[k, c, m] * g[n, t, c*M + m]

`forward` is dPhi/dg, `input_grad` dPhi/dx, `kernel_grad` dPhi/dw. Shapes: x (N, L, C), w (K, C, M),
g (N, T, C*M); with ``layout="NCL"`` x (N, C, L) and g (N, C*M, T).

Each multiplies and sums over a strided *view* of all windows: ``einsum`` runs that as a fused multiply-accumulate
without temporaries. ``optimize`` stays off: it would go through a slower path. What makes it fast is a long innermost
loop, over elements that lie side by side in memory: see `_convolve` and `_correlate`. The batch is split over the
cores, and each core's part into tiles that stay in its cache. A multiplier is channels repeated.
"""

from __future__ import annotations

import math
import threading
from typing import Any

from minigrad.backend import Array, array_module, device_of, on_gpu
from minigrad.kernels import cuda, parallel
from minigrad.kernels.geometry import Geometry

LAYOUTS = ("NLC", "NCL")

_BLOCK = 1024  # elements of an innermost loop of the convolution: long enough to pay for its start, short for the cache
_LONG_BLOCK = 8192  # likewise of the kernel gradient, which sums over blocks
_TILE = 1 << 19  # bytes of input that one tile of the batch takes
_SPEED = 6000  # multiply-adds a microsecond, about, on one core


def time_axis(layout: str) -> int:
    """The axis of L or T."""
    return 1 if layout == "NLC" else 2


def channel_axis(layout: str) -> int:
    """The axis of C."""
    return 2 if layout == "NLC" else 1


def shaped(batch: int, steps: int, channels: int, layout: str) -> tuple[int, int, int]:
    """(N, L, C) or (N, C, L)."""
    return (batch, steps, channels) if layout == "NLC" else (batch, channels, steps)


def forward(x: Array, w: Array, geometry: Geometry, layout: str) -> Array:
    """y[n, t, c*M + m] = sum_k x[n, s*t + d*k - p, c] * w[k, c, m]."""
    if on_gpu(x, w):
        return cuda.forward(x, w, geometry, layout)
    xp = array_module(x)
    taps, channels, multiplier = w.shape
    flat = w.reshape(taps, channels * multiplier)
    y = xp.empty(shaped(len(x), geometry.out_length, channels * multiplier, layout), xp.result_type(x, w))
    before, after = geometry.padding

    def tile(n: slice) -> None:
        padded = _fit(x[n], before, geometry.length + after, layout)
        _convolve(_repeated(padded, multiplier, layout), flat, geometry.stride, geometry.dilation, y[n], layout)

    _over_batch(tile, x, y.size * taps)
    return y


def input_grad(g: Array, w: Array, geometry: Geometry, layout: str) -> Array:
    """dx[n, l, c] = sum over all (t, k) with s*t + d*k - p = l, and m, of g[n, t, c*M + m] * w[k, c, m].

    The inputs fall into s phases, l + p = s*q + r. Into a phase flow only the taps with d*k = r (mod s), an
    arithmetic progression; so each phase is an ordinary convolution of g with part of the flipped kernel.
    """
    if on_gpu(g, w):
        return cuda.input_grad(g, w, geometry, layout)
    xp, axis = array_module(g), time_axis(layout)
    taps, channels, multiplier = w.shape
    s, d, before = geometry.stride, geometry.dilation, geometry.padding[0]
    flat = w.reshape(taps, channels * multiplier)
    dx = xp.zeros(shaped(len(g), geometry.length, channels, layout), xp.result_type(g, w))
    step = d // math.gcd(s, d)

    def tile(n: slice) -> None:
        for phase in range(s):
            members = [k for k in range(taps) if d * k % s == phase][::-1]
            first = (phase - before) % s  # the first input of this phase
            count = len(range(first, geometry.length, s))
            if not members or not count:
                continue
            start = (first + before) // s - d * members[0] // s  # the first t that the last tap looks at
            padded = _fit(g[n], -start, start + count + step * (len(members) - 1), layout)
            target = dx[n][(slice(None),) * axis + (slice(first, None, s),)]
            if multiplier == 1:
                _convolve(padded, flat[members], 1, step, target, layout)
                continue
            apart = xp.empty(shaped(len(padded), count, channels * multiplier, layout), dx.dtype)
            _convolve(padded, flat[members], 1, step, apart, layout)
            for m in range(multiplier):
                target += apart[..., m::multiplier] if layout == "NLC" else apart[:, m::multiplier]

    _over_batch(tile, g, g.size * taps)
    return dx


def kernel_grad(x: Array, g: Array, geometry: Geometry, layout: str) -> Array:
    """dw[k, c, m] = sum_{n,t} x[n, s*t + d*k - p, c] * g[n, t, c*M + m]."""
    if on_gpu(x, g):
        return cuda.kernel_grad(x, g, geometry, layout)
    xp = array_module(x)
    channels = x.shape[channel_axis(layout)]
    total = g.shape[channel_axis(layout)]
    multiplier = total // max(channels, 1)
    before, after = geometry.padding
    sums: list[Array] = []

    def tile(n: slice) -> None:
        padded = _repeated(_fit(x[n], before, geometry.length + after, layout), multiplier, layout)
        sums.append(_correlate(padded, g[n], geometry.taps, geometry.stride, geometry.dilation, layout))

    _over_batch(tile, x, g.size * geometry.taps)
    dw = xp.zeros((geometry.taps, total), xp.result_type(x, g))
    for part in sums:
        dw += part
    return dw.reshape(geometry.taps, channels, multiplier)


def windows(x: Array, taps: int, stride: int, dilation: int, count: int, layout: str) -> Array:
    """A view of all windows, no copy: (K, N, T, C), or (K, N, C, T) for the layout NCL."""
    axis = time_axis(layout)
    step = x.strides[axis]
    shape, strides = list(x.shape), list(x.strides)
    shape[axis], strides[axis] = count, stride * step
    return _strided(x, [taps, *shape], [dilation * step, *strides])


def _over_batch(tile: Any, x: Array, work: int) -> None:
    """Run ``tile`` on slices of the batch: each core takes a part, in tiles that fit its cache."""
    if device_of(x) != "cpu":
        tile(slice(0, len(x)))
        return
    rows = max(1, _TILE * len(x) // max(x.nbytes, 1))

    def part(n: slice) -> None:
        for start in range(n.start, n.stop, rows):
            tile(slice(start, min(start + rows, n.stop)))

    parallel.for_slices(part, len(x), work / _SPEED)


def _convolve(x: Array, w: Array, stride: int, dilation: int, y: Array, layout: str) -> None:
    """Write y[n, t, c] = sum_k x[n, s*t + d*k, c] * w[k, c]: the kernel of kernels.

    Channels last, the steps of a block and their channels lie side by side, so a whole block of B steps is one
    innermost loop of B*C elements against w repeated B times. Channels first, time lies side by side; with dilation 1
    the taps do too, and einsum would take them for the innermost loop: a copy shifted by one step keeps them apart.
    """
    taps, channels = w.shape
    axis = time_axis(layout)
    steps = y.shape[axis]
    block = min(steps, _BLOCK // max(channels, 1))
    if layout == "NLC" and stride == 1 and block > 1 and _side_by_side(x) and _side_by_side(y):
        xp = array_module(x)
        repeated = xp.tile(w, (1, block))
        whole = steps - steps % block
        for start, count, width in ((0, whole // block, block), (whole, min(1, steps - whole), steps - whole)):
            if count:
                view = _blocks(x[:, start:], taps, dilation, count, width)
                out = _blocks(y[:, start:], 0, 0, count, width)
                _einsum("kntj,kj->ntj", view, repeated[:, : width * channels], out)
    elif layout == "NLC":
        _einsum("kntc,kc->ntc", windows(x, taps, stride, dilation, steps, layout), w, y)
    elif dilation == 1 and stride == 1 and taps > 1:
        _einsum("ijnct,ijc->nct", *_pairs(x, w, steps), y)
    else:
        _einsum("knct,kc->nct", windows(x, taps, stride, dilation, steps, layout), w, y)


def _pairs(x: Array, w: Array, steps: int) -> tuple[Array, Array]:
    """Windows and taps as (2, K/2, ...): tap 2j + i is tap j of a copy shifted by i, two steps apart."""
    xp = array_module(x)
    taps, channels = w.shape
    half = -(-taps // 2)
    both = xp.zeros((2, *x.shape[:2], x.shape[2] + 2), x.dtype)
    both[0, :, :, :-2] = x
    both[1, :, :, :-3] = x[:, :, 1:]
    view = _strided(
        both, [2, half, *x.shape[:2], steps], [both.strides[0], 2 * both.strides[3], *both.strides[1:]]
    )
    paired = xp.zeros((half, 2, channels), w.dtype)
    paired.reshape(2 * half, channels)[:taps] = w
    return view, paired.transpose(1, 0, 2)


def _correlate(x: Array, g: Array, taps: int, stride: int, dilation: int, layout: str) -> Array:
    """dw[k, c] = sum_{n,t} x[n, s*t + d*k, c] * g[n, t, c], summed over blocks as in `_convolve`."""
    xp, axis = array_module(x), time_axis(layout)
    steps = g.shape[axis]
    if layout == "NCL":
        return xp.einsum("knct,nct->kc", windows(x, taps, stride, dilation, steps, layout), g)
    channels = g.shape[2]
    block = min(steps, _LONG_BLOCK // max(channels, 1))
    if stride > 1 or block <= 1 or not (_side_by_side(x) and _side_by_side(g)):
        return xp.einsum("kntc,ntc->kc", windows(x, taps, stride, dilation, steps, layout), g)
    total = 0
    whole = steps - steps % block
    for start, count, width in ((0, whole // block, block), (whole, min(1, steps - whole), steps - whole)):
        if count:
            view = _blocks(x[:, start:], taps, dilation, count, width)
            sums = xp.einsum("kntj,ntj->kj", view, _blocks(g[:, start:], 0, 0, count, width))
            total = total + sums.reshape(taps, width, channels).sum(axis=1)
    return total


def _blocks(x: Array, taps: int, dilation: int, count: int, width: int) -> Array:
    """A view (K, N, count, width * C) of x (N, L, C) in blocks of ``width`` steps; without the axis of taps for 0."""
    row, step, item = x.strides
    shape, strides = [len(x), count, width * x.shape[2]], [row, width * step, item]
    if taps:
        shape, strides = [taps, *shape], [dilation * step, *strides]
    return _strided(x, shape, strides)


def _side_by_side(x: Array) -> bool:
    """Whether the steps of x (N, L, C) and their channels lie side by side in memory."""
    return bool(x.strides[2] == x.itemsize and x.strides[1] == x.itemsize * x.shape[2])


def _strided(x: Array, shape: list[int], strides: list[int]) -> Array:
    return array_module(x).lib.stride_tricks.as_strided(x, shape, strides)


def _einsum(subscripts: str, a: Array, b: Array, out: Array) -> None:
    xp = array_module(a)
    if device_of(a) == "cpu" and out.dtype == a.dtype == b.dtype:
        xp.einsum(subscripts, a, b, out=out)
    else:  # CuPy's einsum takes no out
        out[...] = xp.einsum(subscripts, a, b)


def _repeated(x: Array, multiplier: int, layout: str) -> Array:
    """Each channel M times, one after the other."""
    return x if multiplier == 1 else x.repeat(multiplier, axis=channel_axis(layout))


def _fit(x: Array, before: int, stop: int, layout: str) -> Array:
    """The steps from -before to stop of x: zeros where x has none, a view where nothing must be added."""
    axis = time_axis(layout)
    length = x.shape[axis]
    lead: Any = (slice(None),) * axis
    inside = slice(max(-before, 0), max(min(stop, length), 0))
    if before <= 0 and stop <= length:
        return x[(*lead, inside)]
    shape = list(x.shape)
    shape[axis] = before + stop
    padded = _scratch(x, shape)
    first, last = inside.start + before, max(inside.stop, inside.start) + before
    padded[(*lead, slice(0, first))] = 0
    padded[(*lead, slice(first, last))] = x[(*lead, inside)] if last > first else 0
    padded[(*lead, slice(last, None))] = 0
    return padded


_buffers = threading.local()


def _scratch(like: Array, shape: list[int]) -> Array:
    """An uninitialized array of the dtype of ``like``; on the CPU each thread's one buffer, used again at every tile.

    A new array for every tile would be given back to the system and faulted in again each time.
    """
    xp = array_module(like)
    if device_of(like) != "cpu":
        return xp.empty(shape, like.dtype)
    count = math.prod(shape)
    nbytes = count * like.itemsize
    buffer = getattr(_buffers, "padded", None)
    if buffer is None or buffer.nbytes < nbytes:
        buffer = _buffers.padded = xp.empty(nbytes, "uint8")
    return buffer[:nbytes].view(like.dtype).reshape(shape)
