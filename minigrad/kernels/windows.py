"""Depthwise convolution as sums over windows: the way of short kernels, and of every array module.

Each kernel multiplies and sums over a strided *view* of all windows: ``einsum`` runs that as a fused
multiply-accumulate without temporaries. ``optimize`` stays off: it would go through a slower path. What makes it fast
is a long innermost loop, over elements that lie side by side in memory: see `_sum` and `_correlate`. Where time lies
side by side, the kernel gradient is dot products instead, which BLAS computes.

The work goes in tiles that stay in the cache. A tile sees a view of its inputs where their channels lie side by side,
and otherwise a copy with the channels last (for dot products, the steps): where zeros must be put around them, where a
multiplier repeats channels, and where time lies side by side, unless it is long.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

from minigrad.backend import Array, HostArray, array_module
from minigrad.kernels import parallel, sums
from minigrad.kernels.geometry import Geometry
from minigrad.kernels.scratch import framed, scratch, strided

_BLOCK = 2048  # elements of an innermost loop of the convolution: long enough to pay for its start, short for the cache
_LONG_BLOCK = 8192  # likewise of the kernel gradient, which sums over blocks
_RUN = 128  # products that the kernel gradient adds in a row, about: float32 would lose digits over more
_TILE = 1 << 21  # bytes of input that one tile takes
_LONG = 256  # steps from which loops over time are long, and the few windows at the ends worth tiles of their own

# Nanoseconds on one core: a multiply-add, one with a stride, what an output takes more where time lies side by side; a
# multiply-add of a dot product, its call, those of one sequence and channel.
_SUM, _STRIDED, _IN_TIME, _COPIED = 0.16, 0.25, 0.75, 0.9
_DOT, _DOT_CALL, _DOT_CALLS = 0.065, 2, 90


def cost(geometry: Geometry, layout: str, of_kernel: bool = False) -> float:
    """About how many nanoseconds one output takes on one core; ``of_kernel`` for the gradient of the kernel."""
    each = geometry.taps * (_SUM if geometry.stride == 1 else _STRIDED)
    if layout == "NLC":
        return each
    if of_kernel and _by_dots(geometry.taps, geometry.out_length, geometry.stride):
        return _dots_cost(geometry.taps, geometry.out_length)
    return each + (_IN_TIME if geometry.length >= _LONG and geometry.stride == 1 else _COPIED)


def _dots_cost(taps: int, count: int) -> float:
    """Likewise of a kernel gradient by dot products over ``count`` steps."""
    return (_DOT_CALLS + taps * (_DOT_CALL + count * _DOT)) / max(count, 1)


def _by_dots(taps: int, count: int, stride: int) -> bool:
    """Whether dot products over so many steps, side by side, are faster than sums by channels."""
    return stride == 1 and _dots_cost(taps, count) < taps * _SUM + _COPIED


def forward(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Write the convolution of x (N, L, C) with w (K, C, M) into y (N, T, C*M); any of them may be a view."""
    _convolve(x, w, y, -geometry.padding[0], geometry.stride, geometry.dilation, copies=w.shape[2])


def input_grad(g: Array, w: Array, dx: Array, geometry: Geometry) -> None:
    """Write dPhi/dx into dx (N, L, C), for g (N, T, C*M) and w (K, C, M).

    The inputs fall into s phases, l + p = s*q + r. Into a phase flow only the taps with d*k = r (mod s), an
    arithmetic progression; so each phase is an ordinary convolution of g with part of the flipped kernel.
    """
    apart, dilation, phases = _phases(geometry)
    for first, last, start in phases:
        target = dx[:, first :: geometry.stride]
        if last is None or not w.shape[2]:
            target[...] = 0
        else:
            _convolve(g, w[last::-apart], target, start, 1, dilation, summed=w.shape[2])


@functools.lru_cache(maxsize=1024)
def _phases(geometry: Geometry) -> tuple[int, int, list[tuple[int, int | None, int]]]:
    """How far the taps of a phase lie apart, among themselves and in steps of g; and for each phase its first input,
    its last tap, if it has one, and the first step of g that this tap looks at.
    """
    s, d, before = geometry.stride, geometry.dilation, geometry.padding[0]
    apart = s // math.gcd(s, d)
    phases = []
    for phase in range(s):
        first = (phase - before) % s
        last = next((k for k in reversed(range(geometry.taps)) if d * k % s == phase), None)
        phases.append((first, last, 0 if last is None else (first + before - d * last) // s))
    return apart, d * apart // s, phases


def _convolve(
    x: Array, w: Array, y: Array, start: int, stride: int, dilation: int, copies: int = 1, summed: int = 1
) -> None:
    """Write y[n, t, c*M + m] = sum_k x[n, start + s*t + d*k, c] * w[k, c, m], for w (K, C, M) and x (N, L, C), of which
    each channel is taken M times (``copies``); or, for x (N, L, C*M), y[n, t, c], the sum over m (``summed``).
    """
    kernel = _repeated(w, y.shape[1], y.dtype)
    in_time = summed == 1 and _in_time(x, stride)

    def tile(part: Tile) -> None:
        seen = _seen(x, part, y.dtype, copies, in_time)
        _write(seen, kernel, stride, dilation, y[part.sequences, part.windows], summed)

    _over_tiles(tile, x, start, y, len(w), stride, dilation)


def kernel_grad(x: Array, g: Array, geometry: Geometry) -> Array:
    """dPhi/dw (K, C, M), for x (N, L, C) and g (N, T, C*M)."""
    xp = array_module(x)
    channels, total = x.shape[2], g.shape[2]
    multiplier = total // max(channels, 1)
    dtype = xp.result_type(x, g)
    steps_adjacent = x.strides[1] == x.itemsize and dtype.char in "fdFD"  # what BLAS multiplies

    def tile(part: Tile) -> Array:
        count = part.windows.stop - part.windows.start
        in_time = steps_adjacent and _by_dots(geometry.taps, count, geometry.stride)
        seen = _seen(x, part, dtype, multiplier, in_time, copy_in_time=in_time)
        given = _as(g[part.sequences, part.windows], "outputs", dtype, not _adjacent(seen))
        return _correlate(seen, given, geometry.taps, geometry.stride, geometry.dilation)

    parts = _over_tiles(tile, x, -geometry.padding[0], g, geometry.taps, geometry.stride, geometry.dilation)
    dw = sums.total(xp.stack(parts), 0).astype(dtype) if parts else xp.zeros((geometry.taps, total), dtype)
    return dw.reshape(geometry.taps, channels, multiplier)


def windows(x: Array, taps: int, stride: int, dilation: int, count: int) -> Array:
    """A view of all windows of x (N, L, C), no copy: (K, N, T, C)."""
    row, step, item = x.strides
    return strided(x, (taps, len(x), count, x.shape[2]), (dilation * step, row, stride * step, item))


class Tile(NamedTuple):
    """Some windows of some sequences, the steps that they see, and how many zeros before and after these."""

    sequences: slice
    windows: slice
    inputs: slice
    zeros: tuple[int, int]


@functools.lru_cache(maxsize=1024)  # training sees the same few shapes at every step
def _tiles(
    batch: int, length: int, start: int, count: int, stride: int, span: int, most: int, threads: int
) -> list[Tile]:
    """Cover the ``count`` windows of ``batch`` sequences, the first of which begins at step ``start``, with tiles that
    see at most about ``most`` steps.

    Where the sequences are long and few windows reach over their ends, these have tiles of their own: all others then
    need no copy.
    """
    first = max(-(start // stride), 0)
    last = min((length - span - start) // stride + 1, count)
    ends = (0, first, last, count) if count >= _LONG and last - first > 0.8 * count else (0, count)
    tiles = []
    for a, b in pairwise(ends):
        if a == b:
            continue
        some = max(1, min(batch, most // (stride * (b - a - 1) + span)))
        parts = -(-batch // some)
        parts = min(batch, -(-parts // threads) * threads)  # as many for each thread
        some = -(-batch // parts)
        pieces = max(-(-threads // parts), 1 if some > 1 else -(-stride * (b - a) // most))
        steps = -(-(b - a) // pieces)
        for n in range(0, batch, some):
            for t in range(a, b, steps):
                windows = slice(t, min(t + steps, b))
                begin = start + stride * t
                end = begin + stride * (windows.stop - t - 1) + span
                zeros = max(min(end, 0) - begin, 0), max(end - max(begin, length), 0)
                inputs = slice(begin + zeros[0], end - zeros[1])
                tiles.append(Tile(slice(n, n + some), windows, inputs, zeros))
    return tiles


def _over_tiles(
    tile: Callable[[Tile], Any], x: Array, start: int, y: Array, taps: int, stride: int, dilation: int
) -> list[Any]:
    """The results of ``tile`` for all windows of x (N, L, C), the first of which begins at step ``start``, split over
    the cores. y (N, T, C*M) has an output for each.
    """
    batch, count, channels = y.shape
    if not y.size:
        return []
    work = max(x.size, y.size) * taps * _SUM / 1e3
    threads = parallel.parts(batch * count, work)
    most = _TILE // (max(channels, x.shape[2]) * x.itemsize) or 1
    if type(x) is not HostArray:
        most, threads = batch * x.shape[1] * count, 1  # one tile
    tiles = _tiles(batch, x.shape[1], start, count, stride, dilation * (taps - 1) + 1, most, threads)
    if threads == 1:
        return list(map(tile, tiles))
    results = parallel.over(lambda part: [tile(one) for one in tiles[part]], len(tiles), work)
    return [result for part in results for result in part]


def _seen(x: Array, tile: Tile, dtype: Any, copies: int, in_time: bool, copy_in_time: bool = False) -> Array:
    """What a tile sees, each channel so many times, (N, S, C*M): a view of x if it can be, else a copy in scratch. In
    both the channels lie side by side, or the steps, in a view if ``in_time`` allows that, and as asked in a copy.
    """
    inside = x[tile.sequences, tile.inputs]
    before, after = tile.zeros
    if not before and not after and copies == 1:
        return _as(inside, "inputs", dtype, in_time)
    count, length, channels = inside.shape
    copy, steps = framed(x, (count, length, channels * copies), before, after, dtype, copy_in_time)
    for m in range(copies):
        steps[:, :, m::copies] = inside
    return copy


def _as(x: Array, name: str, dtype: Any, in_time: bool) -> Array:
    """x (N, L, C) itself if it has the dtype and lies as `_seen` says, else a copy in the scratch ``name``."""
    if x.dtype == dtype and (in_time or _adjacent(x)):
        return x
    copy = scratch(x, name, x.shape, dtype)
    copy[...] = x
    return copy


def _adjacent(x: Array) -> bool:
    """Whether the channels of x (N, L, C) lie side by side in memory."""
    return bool(x.strides[2] == x.itemsize)


def _in_time(x: Array, stride: int) -> bool:
    """Whether the steps of x (N, L, C) lie side by side, enough of them for loops over time."""
    return bool(x.strides[1] == x.itemsize and x.shape[1] >= _LONG and stride == 1)


def _side_by_side(x: Array, y: Array) -> bool:
    """Whether the steps of x (N, L, C) and of y (N, T, C), and their channels, lie side by side in memory."""
    return bool(x.strides[1:] == y.strides[1:] == (x.shape[2] * x.itemsize, x.itemsize))


def _repeated(w: Array, steps: int, dtype: Any) -> Array:
    """The kernels w (K, C, M) once for each step of a block, (K, B*C*M)."""
    taps, channels = len(w), w.shape[1] * w.shape[2]
    block = max(1, min(steps, _BLOCK // max(channels, 1)))
    if steps % block and steps * channels <= 2 * _BLOCK:
        block = steps  # one loop that is too long costs less than a second one
    repeated = array_module(w).empty((taps, block, *w.shape[1:]), dtype)
    repeated[...] = w[:, None]
    return repeated.reshape(taps, block * channels)


def _write(x: Array, w: Array, stride: int, dilation: int, y: Array, summed: int) -> None:
    """Write the convolution of x (N, S, C) with w (K, B*C) into y (N, T, C/M), the sum of each M channels."""
    if summed == 1 and (_adjacent(y) or not _adjacent(x)):
        _sum(x, w, stride, dilation, y)
        return
    apart = scratch(y, "outputs", (len(y), y.shape[1], x.shape[2]), w.dtype)
    _sum(x, w, stride, dilation, apart)
    y[...] = apart[:, :, ::summed]
    for m in range(1, summed):
        y += apart[:, :, m::summed]


def _sum(x: Array, w: Array, stride: int, dilation: int, y: Array) -> None:
    """Write y[n, t, c] = sum_k x[n, s*t + d*k, c] * w[k, c]: the kernel of kernels.

    The steps of a block and their channels lie side by side, so a whole block of B steps is one innermost loop of B*C
    elements against w repeated B times. Where time lies side by side the loop is over time; since ``einsum`` would
    rather loop over taps that are one step apart, even and odd ones are then summed by themselves.
    """
    taps, steps, channels = len(w), y.shape[1], x.shape[2]
    if stride == 1 and w.shape[1] > channels and _side_by_side(x, y):
        for part, width in _in_blocks(steps, w.shape[1] // channels):
            seen = _windows_in_blocks(x, part, taps, dilation, width)
            _einsum("kntj,kj->ntj", seen, w[:, : width * channels], _in_width(y[:, part], width))
    elif dilation == 1 and taps > 1 and not _adjacent(x):
        _sum(x, w[::2], 1, 2, y)
        odd = scratch(y, "odd", (len(y), channels, steps)).swapaxes(1, 2)
        _sum(x[:, 1:], w[1::2], 1, 2, odd)
        y += odd
    else:
        _einsum("kntc,kc->ntc", windows(x, taps, stride, dilation, steps), w[:, :channels], y)


def _correlate(x: Array, g: Array, taps: int, stride: int, dilation: int) -> Array:
    """dw[k, c] = sum_{n,t} x[n, s*t + d*k, c] * g[n, t, c], summed over blocks as in `_sum`; where time lies side by
    side, as dot products over time, which are then summed over the sequences.
    """
    xp = array_module(x)
    steps, channels = g.shape[1:]
    if stride == 1 and x.strides[1] == x.itemsize == g.strides[1] and not _adjacent(x):
        seen = windows(x, taps, 1, dilation, steps).transpose(1, 3, 0, 2)
        dots = xp.matmul(seen[:, :, :, None], g.swapaxes(1, 2)[:, :, None, :, None])  # (N, C, K, 1, T) (N, C, 1, T, 1)
        return sums.total(dots.reshape(len(x), -1), 0).reshape(channels, taps).T
    block = min(steps, _LONG_BLOCK // max(channels, 1))
    if stride > 1 or block <= 1 or not _side_by_side(x, g):
        return _correlate_in_runs(x, g, taps, stride, dilation)
    total = 0
    for part, width in _in_blocks(steps, block):
        seen = _windows_in_blocks(x, part, taps, dilation, width)
        each = xp.einsum("kntj,ntj->kj", seen, _in_width(g[:, part], width)).reshape(taps, width, channels)
        total = total + sums.total(each, 1)
    return total


def _correlate_in_runs(x: Array, g: Array, taps: int, stride: int, dilation: int) -> Array:
    """As `_correlate`, where no steps lie side by side as they are wanted: a sum for each run of steps, or of sequences
    where these are short; then the sum of those.
    """
    xp = array_module(x)
    count, steps, channels = g.shape
    row, step, item = x.strides
    runs = []
    for times, width in _in_blocks(steps, -(-steps // -(-steps // _RUN))):
        for sequences, some in _in_blocks(count, max(1, _RUN // steps)):
            given = g[sequences, times]
            shape = (len(given) // some, some, given.shape[1] // width, width, channels)
            strides = (some * row, row, width * stride * step, stride * step, item)
            seen = strided(x[sequences, times.start * stride :], (taps, *shape), (dilation * step, *strides))
            each = xp.einsum("kanbtc,anbtc->kabc", seen, given.reshape(shape))
            runs.append(each.reshape(taps, -1, channels))
    return sums.total(runs[0] if len(runs) == 1 else xp.concatenate(runs, axis=1), 1)


@functools.lru_cache(maxsize=1024)
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
    shape = (taps, len(x), (steps.stop - steps.start) // width, width * x.shape[2])
    return strided(x[:, steps.start :] if steps.start else x, shape, (dilation * step, row, width * step, item))


def _einsum(subscripts: str, a: Array, b: Array, out: Array) -> None:
    xp = array_module(a)
    if type(a) is HostArray:
        xp.einsum(subscripts, a, b, out=out)
    else:  # another module's may take no out, as CuPy's
        out[...] = xp.einsum(subscripts, a, b)
