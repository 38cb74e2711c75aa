"""Depthwise convolution as sums over windows: the way of short kernels, and of every array module.

Each kernel multiplies and sums over a strided *view* of all windows: ``einsum`` runs that as a fused
multiply-accumulate without temporaries. ``optimize`` stays off: it would go through a slower path. What makes it fast
is a long innermost loop, over elements that lie side by side in memory: see `_convolve` and `_correlate`. The batch is
split over the cores; where zeros must be put around the input, each core's part goes in tiles that stay in its cache,
and where they touch few of the windows, only those see a copy. A multiplier is channels repeated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from minigrad.backend import Array, array_module, device_of
from minigrad.kernels import parallel
from minigrad.kernels.geometry import Geometry
from minigrad.kernels.layout import channel_axis, shaped, time_axis
from minigrad.kernels.scratch import scratch

_BLOCK = 1024  # elements of an innermost loop of the convolution: long enough to pay for its start, short for the cache
_LONG_BLOCK = 8192  # likewise of the kernel gradient, which sums over blocks
_TILE = 1 << 20  # bytes of input that one tile of the batch takes
_LONG = 256  # windows from which few at the ends are worth sums of their own

# Nanoseconds on one core: a multiply-add, one with a stride, the start of a loop over time, one output.
_SUM, _STRIDED, _LOOP, _OUTPUT = 0.16, 0.25, 8.0, 1.2


def cost(geometry: Geometry, layout: str) -> float:
    """About how many nanoseconds one output takes on one core."""
    each = _SUM if geometry.stride == 1 else _STRIDED
    if layout == "NLC":
        return geometry.taps * each
    return geometry.taps * (each + _LOOP / max(geometry.out_length, 1)) + _OUTPUT


def forward(x: Array, w: Array, y: Array, geometry: Geometry, layout: str) -> None:
    """Write the convolution of x with w (K, C, M) into y, in the given layout."""
    taps, channels, multiplier = w.shape
    flat = w.reshape(taps, channels * multiplier)
    s, d = geometry.stride, geometry.dilation

    def part(n: slice) -> None:
        for rows, steps, seen in _seen(x, n, -geometry.padding[0], geometry.out_length, s, geometry.span, layout):
            _convolve(_repeated(seen, multiplier, layout), flat, s, d, _along(y[rows], steps, layout), layout)

    _over_batch(part, x, y.size * cost(geometry, layout))


def input_grad(g: Array, w: Array, dx: Array, geometry: Geometry, layout: str) -> None:
    """Write dPhi/dx into dx, in the given layout, for g and w (K, C, M).

    The inputs fall into s phases, l + p = s*q + r. Into a phase flow only the taps with d*k = r (mod s), an
    arithmetic progression; so each phase is an ordinary convolution of g with part of the flipped kernel.
    """
    xp = array_module(g)
    taps, channels, multiplier = w.shape
    s, d, before = geometry.stride, geometry.dilation, geometry.padding[0]
    flat = w.reshape(taps, channels * multiplier)
    step = d // math.gcd(s, d)

    def part(n: slice) -> None:
        for phase in range(s):
            members = [k for k in range(taps) if d * k % s == phase][::-1]
            first = (phase - before) % s  # the first input of this phase
            target = _along(dx, slice(first, None, s), layout)
            count = target.shape[time_axis(layout)]
            if not members or not count:
                target[n] = 0
                continue
            start = (first + before) // s - d * members[0] // s  # the first t that the last tap looks at
            for rows, steps, seen in _seen(g, n, start, count, 1, step * (len(members) - 1) + 1, layout):
                out = _along(target[rows], steps, layout)
                if multiplier == 1:
                    _convolve(seen, flat[members], 1, step, out, layout)
                    continue
                length = out.shape[time_axis(layout)]
                apart = xp.empty(shaped(len(out), length, channels * multiplier, layout), dx.dtype)
                _convolve(seen, flat[members], 1, step, apart, layout)
                out[...] = 0
                for m in range(multiplier):
                    out += apart[..., m::multiplier] if layout == "NLC" else apart[:, m::multiplier]

    _over_batch(part, g, g.size * cost(geometry, layout))


def kernel_grad(x: Array, g: Array, geometry: Geometry, layout: str) -> Array:
    """dPhi/dw (K, C, M), for x and g in the given layout."""
    xp = array_module(x)
    channels = x.shape[channel_axis(layout)]
    total = g.shape[channel_axis(layout)]
    multiplier = total // max(channels, 1)
    s, d = geometry.stride, geometry.dilation

    def part(n: slice) -> Array:
        dw = xp.zeros((geometry.taps, total), xp.result_type(x, g))
        for rows, steps, seen in _seen(x, n, -geometry.padding[0], geometry.out_length, s, geometry.span, layout):
            given = _along(g[rows], steps, layout)
            dw += _correlate(_repeated(seen, multiplier, layout), given, geometry.taps, s, d, layout)
        return dw

    dw = sum(_over_batch(part, x, g.size * cost(geometry, layout)))
    return dw.reshape(geometry.taps, channels, multiplier)


def windows(x: Array, taps: int, stride: int, dilation: int, count: int, layout: str) -> Array:
    """A view of all windows, no copy: (K, N, T, C), or (K, N, C, T) for the layout NCL."""
    axis = time_axis(layout)
    step = x.strides[axis]
    shape, strides = list(x.shape), list(x.strides)
    shape[axis], strides[axis] = count, stride * step
    return _strided(x, [taps, *shape], [dilation * step, *strides])


def _over_batch(part: Any, x: Array, nanoseconds: float) -> list[Any]:
    """The results of ``part`` for slices of the batch, one for each core."""
    if device_of(x) != "cpu":
        return [part(slice(0, len(x)))]
    return parallel.over(part, len(x), nanoseconds / 1e3)


def _seen(
    x: Array, n: slice, start: int, count: int, stride: int, span: int, layout: str
) -> Iterator[tuple[slice, slice, Array]]:
    """Cover the ``count`` windows of the sequences ``n``, the first of which begins at step ``start``.

    Gives slices of the sequences and of the windows, and the inputs that these windows see, zeros where x has none: a
    view of x for most windows, if only few reach over its ends; otherwise copies of as many sequences as fit the cache.
    """
    length = x.shape[time_axis(layout)]
    first = min(max(-(start // stride), 0), count)
    last = min(max((length - span - start) // stride + 1, first), count)
    if count >= _LONG and last - first > 0.8 * count:
        pieces = [(n, slice(a, b)) for a, b in ((0, first), (first, last), (last, count)) if a < b]
    else:
        rows = max(1, _TILE * len(x) // max(x.nbytes, 1) if device_of(x) == "cpu" else len(x))
        pieces = [(slice(i, min(i + rows, n.stop)), slice(0, count)) for i in range(n.start, n.stop, rows)]
    for rows, steps in pieces:
        begin = start + stride * steps.start
        yield rows, steps, _fit(x[rows], -begin, begin + stride * (steps.stop - steps.start - 1) + span, layout)


def _along(x: Array, steps: slice, layout: str) -> Array:
    """Some steps of x."""
    return x[:, steps] if layout == "NLC" else x[:, :, steps]


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
        repeated = array_module(x).tile(w, (1, block))
        for part, width in _in_blocks(steps, block):
            seen = _windows_in_blocks(x, part, taps, dilation, width)
            _einsum("kntj,kj->ntj", seen, repeated[:, : width * channels], _in_width(y[:, part], width))
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
    for part, width in _in_blocks(steps, block):
        seen = _windows_in_blocks(x, part, taps, dilation, width)
        sums = xp.einsum("kntj,ntj->kj", seen, _in_width(g[:, part], width)).reshape(taps, width, channels)
        total = total + xp.ones(width, sums.dtype) @ sums
    return total


def _in_blocks(steps: int, block: int) -> list[tuple[slice, int]]:
    """All whole blocks of so many steps, and the rest as one shorter block, each with its width."""
    rest = steps % block
    parts = [(slice(0, steps - rest), block), (slice(steps - rest, steps), rest)]
    return [(part, width) for part, width in parts if part.start < part.stop]


def _in_width(x: Array, width: int) -> Array:
    """The view (N, blocks, width * C) of x (N, L, C), whose steps lie side by side."""
    return x.reshape(len(x), x.shape[1] // width, width * x.shape[2])


def _windows_in_blocks(x: Array, steps: slice, taps: int, dilation: int, width: int) -> Array:
    """The view (K, N, blocks, width * C) of the windows that begin at ``steps`` of x (N, L, C)."""
    row, step, item = x.strides
    count = (steps.stop - steps.start) // width
    shape, strides = [taps, len(x), count, width * x.shape[2]], [dilation * step, row, width * step, item]
    return _strided(x[:, steps.start :] if steps.start else x, shape, strides)


def _side_by_side(x: Array) -> bool:
    """Whether the steps of x (N, L, C) and their channels lie side by side in memory."""
    return bool(x.strides[2] == x.itemsize and x.strides[1] == x.itemsize * x.shape[2])


def _strided(x: Array, shape: list[int], strides: list[int]) -> Array:
    xp = array_module(x)
    if device_of(x) == "cpu" and x.flags.c_contiguous:
        return xp.ndarray(shape, x.dtype, x, 0, strides)  # the same, in a sixth of the time
    return xp.lib.stride_tricks.as_strided(x, shape, strides)


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
    padded = scratch(x, "padded", shape)
    first, last = inside.start + before, max(inside.stop, inside.start) + before
    padded[(*lead, slice(0, first))] = 0
    padded[(*lead, slice(first, last))] = x[(*lead, inside)] if last > first else 0
    padded[(*lead, slice(last, None))] = 0
    return padded
