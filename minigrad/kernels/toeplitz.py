r"""Depthwise convolution by matrix products: the way of long kernels.

Cut the outputs into blocks Y[b] of B steps and the padded inputs into blocks X[b] of s*B (s stride). Every block of
outputs is then a sum of m products with matrices that hold the taps along their diagonals,

    Y[b] = sum_i X[b + i] W_i        W_i[l, t] = w[i*s*B + l - s*t], zero where there is no such tap

and the two companions are those of the matrix product:

    dX[b] = sum_i G[b - i] W_i^T     dW_i = sum_b X[b + i]^T G[b], of which dw[k] sums all entries that hold w[k].

That is m*s*B multiplications an output in place of K, but products make them about seven times as fast as a sum over
windows does. Each channel has matrices of its own, so time must lie side by side: tiles of the arrays are copied into
blocks, channels last in runs of B steps, which stays within the cache lines that it touches. The first blocks of all
sequences come first, then all second ones, and so on: what one product takes and makes are then neighboring rows.

An infinity or NaN in x reaches the whole blocks of outputs that see it: zero times infinity is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from minigrad.backend import Array, array_module
from minigrad.kernels import parallel
from minigrad.kernels.geometry import Geometry
from minigrad.kernels.scratch import scratch, strided

STEPS = 16  # B: products of 16 columns fill the registers
_TILE = 1 << 20  # bytes of blocks in one tile
_LARGE = 1 << 20  # outputs that no cache holds
_APART = 16  # elements between rows of blocks: rows a power of two apart would fall into the same lines of the cache

# Nanoseconds on one core: a multiply-add of a product, one block more, an input, an output, one beyond the cache more.
_PRODUCT, _BLOCK, _INPUT, _OUTPUT, _FAR = 1 / 45, 0.25, 0.5, 0.5, 0.8


def blocks(geometry: Geometry) -> int:
    """m, how many blocks of inputs a block of outputs sees."""
    return (geometry.stride * (STEPS - 1) + geometry.taps - 1) // (geometry.stride * STEPS) + 1


def cost(geometry: Geometry, size: int) -> float:
    """About how many nanoseconds one of ``size`` outputs takes on one core."""
    m, s = blocks(geometry), geometry.stride
    steps = max(-(-geometry.out_length // geometry.dilation), 1)  # of one phase; the last block may reach further
    product = m * (s * STEPS * _PRODUCT + _BLOCK)
    return _blocks_of(steps, STEPS) * STEPS / steps * product + s * _INPUT + _OUTPUT + _FAR * (size >= _LARGE)


def forward(x: Array, w: Array, y: Array, geometry: Geometry) -> None:
    """Write the convolution of x (N, C, L) with w (K, C, M) into y (N, C*M, T); any of them may be a view."""
    m, width = blocks(geometry), geometry.stride * STEPS
    matrices = _matrices(w, geometry, y.dtype)

    def tile(phase: Geometry, x: Array, y: Array, c: slice) -> None:
        count, made = len(x), _blocks_of(phase.out_length, STEPS)
        inputs = _filled("inputs", x, phase.padding[0], made + m - 1, width, y.dtype)
        outputs = _rows(y, "outputs", made * count, y.shape[1] * STEPS)
        _summed([inputs[i * count : (i + made) * count] for i in range(m)], matrices[c], outputs)
        _drain(outputs, y, 0)

    _over_tiles(tile, x, y, geometry)


def input_grad(g: Array, w: Array, dx: Array, geometry: Geometry) -> None:
    """Write dPhi/dx into dx (N, C, L), for g (N, C*M, T) and w (K, C, M)."""
    m, width = blocks(geometry), geometry.stride * STEPS
    matrices = _matrices(w, geometry, dx.dtype, transposed=True)

    def tile(phase: Geometry, dx: Array, g: Array, c: slice) -> None:
        count, before = len(dx), phase.padding[0]
        first = before // width  # the blocks before hold no inputs
        made = _blocks_of(before + dx.shape[2], width) - first
        outputs = _filled("outputs", g, (m - 1 - first) * STEPS, made + m - 1, STEPS, dx.dtype)
        inputs = _rows(dx, "inputs", made * count, dx.shape[1] * width)
        _summed([outputs[i * count : (i + made) * count] for i in reversed(range(m))], matrices[c], inputs)
        _drain(inputs, dx, before - first * width)

    _over_tiles(tile, dx, g, geometry)


def kernel_grad(x: Array, g: Array, geometry: Geometry) -> Array:
    """dPhi/dw (K, C, M), for x (N, C, L) and g (N, C*M, T)."""
    xp = array_module(x)
    m, width, channels = blocks(geometry), geometry.stride * STEPS, x.shape[1]
    multiplier = g.shape[1] // channels
    dtype = xp.result_type(x, g)
    dw = xp.zeros((geometry.taps, channels, multiplier), dtype)

    def tile(phase: Geometry, x: Array, g: Array, c: slice) -> tuple[slice, Array]:
        made = _blocks_of(phase.out_length, STEPS)
        inputs = _filled("inputs", x, phase.padding[0], made + m - 1, width, dtype)
        outputs = _filled("outputs", g, 0, made, STEPS, dtype)
        matrices = xp.empty((x.shape[1], m, width, multiplier * STEPS), dtype)
        right = _by_channel(outputs, x.shape[1])
        for i in range(m):
            left = _by_channel(inputs[i * len(x) : i * len(x) + len(outputs)], x.shape[1])
            xp.matmul(left.swapaxes(1, 2), right, out=matrices[:, i])
        return c, _diagonals(matrices, geometry, multiplier).sum(axis=3).transpose(1, 0, 2)

    for c, part in _over_tiles(tile, x, g, geometry):
        dw[:, c] += part
    return dw


def _blocks_of(steps: int, width: int) -> int:
    """How many blocks hold so many steps."""
    return -(-steps // width)


def _over_tiles(tile: Callable[..., Any], x: Array, y: Array, geometry: Geometry) -> list[Any]:
    """The results of ``tile(phase, x, y, channels)`` for all parts of x (N, C, L) and y (N, C*M, T), in their order,
    split over the cores. A tile has some sequences and channels of one phase of the dilation.
    """
    count, channels, _ = x.shape
    multiplier = y.shape[1] // channels
    phases = list(geometry.phases())
    work = y.size * cost(geometry, y.size) / 1e3
    threads = parallel.parts(count * channels, work)
    pitch = _blocks_of(phases[0][0].out_length, STEPS) + blocks(geometry) - 1
    bytes_of_one = pitch * STEPS * max(geometry.stride, multiplier) * x.itemsize
    groups = min(channels, -(-bytes_of_one * channels // _TILE))  # of channels
    batches = -(-count * bytes_of_one * channels // (groups * _TILE))
    batches = min(count, -(-batches // threads) * threads)  # as many for each thread
    if groups * batches * len(phases) < threads:
        groups = threads
    sequences, some = -(-count // batches), -(-channels // groups)
    tiles = [
        (phase, slice(n, n + sequences), slice(c, c + some), inputs, outputs)
        for phase, inputs, outputs in phases
        for n in range(0, count, sequences)
        for c in range(0, channels, some)
    ]

    def run(part: slice) -> list[Any]:
        return [
            tile(phase, x[n, c, inputs], y[n, c.start * multiplier : c.stop * multiplier, outputs], c)
            for phase, n, c, inputs, outputs in tiles[part]
        ]

    results = parallel.over(run, len(tiles), work)
    return [result for part in results for result in part]


def _matrices(w: Array, geometry: Geometry, dtype: Any, transposed: bool = False) -> Array:
    """W (C, m, s*B, M*B) of the taps w (K, C, M), or W^T (C, m, M*B, s*B)."""
    xp = array_module(w)
    taps, channels, multiplier = w.shape
    s, m = geometry.stride, blocks(geometry)
    before = s * (STEPS - 1)
    padded = xp.zeros((channels, multiplier, before + m * s * STEPS), dtype)
    padded[:, :, before : before + taps] = w.transpose(1, 2, 0)
    per_channel, per_copy, item = padded.strides
    shape, strides = [channels, m], [per_channel, s * STEPS * item]
    of_input, of_outputs = [(s * STEPS, item)], [(multiplier, per_copy), (STEPS, -s * item)]
    for length, stride in of_outputs + of_input if transposed else of_input + of_outputs:
        shape.append(length)
        strides.append(stride)
    view = xp.lib.stride_tricks.as_strided(padded[:, :, before:], shape, strides)  # which steps back, too
    sides = (s * STEPS, multiplier * STEPS)
    return xp.ascontiguousarray(view).reshape(channels, m, *(sides[::-1] if transposed else sides))


def _diagonals(matrices: Array, geometry: Geometry, multiplier: int) -> Array:
    """A view (C, K, M, B) of all entries of W (C, m, s*B, M*B) that hold each tap."""
    per_channel, _, row, item = matrices.strides
    shape = (len(matrices), geometry.taps, multiplier, STEPS)
    strides = (per_channel, row, STEPS * item, geometry.stride * row + item)
    return strided(matrices, shape, strides)


def _rows(like: Array, name: str, rows: int, length: int, dtype: Any = None) -> Array:
    """Scratch for rows of blocks, each of ``length`` elements, and a few zeros behind it."""
    whole = scratch(like, name, (rows, length + _APART), dtype)
    whole[:, length:] = 0
    return whole


def _by_channel(rows: Array, channels: int) -> Array:
    """The view (C, rows, width) of rows of blocks."""
    length = rows.shape[1] - _APART
    return rows[:, :length].reshape(len(rows), channels, length // channels).transpose(1, 0, 2)


def _summed(terms: list[Array], matrices: Array, out: Array) -> None:
    """Write sum_i terms[i] W_i, channel by channel, into the rows ``out``; ``matrices`` (C, m, ..., ...) are W."""
    xp, channels = array_module(out), len(matrices)
    for i, rows in enumerate(terms):
        term = _rows(out, "term", len(out), out.shape[1] - _APART) if i else out
        xp.matmul(_by_channel(rows, channels), matrices[:, i], out=_by_channel(term, channels))
        if i:
            out += term


def _filled(name: str, x: Array, offset: int, pitch: int, width: int, dtype: Any) -> Array:
    """x (N, C, L) in rows of blocks of ``width`` steps, ``pitch`` blocks for each sequence: its first step is step
    ``offset`` of its blocks, and zeros are elsewhere.
    """
    count, channels = x.shape[:2]
    x, offset = x[:, :, max(-offset, 0) :], max(offset, 0)
    rows = _rows(x, name, pitch * count, channels * width, dtype)
    sequences = _sequences(rows, count, channels)
    inside = max(0, min(x.shape[2], pitch * width - offset))
    sequences[:, : offset // width + 1] = 0
    sequences[:, (offset + inside) // width :] = 0
    for block, steps in _pieces(sequences, x, offset, inside):
        block[...] = steps
    return rows


def _drain(rows: Array, x: Array, offset: int) -> None:
    """Read x (N, C, L) from rows in which it stands as `_filled` has it, all of it."""
    count, channels, length = x.shape
    for block, steps in _pieces(_sequences(rows, count, channels), x, offset, length):
        steps[...] = block


def _sequences(rows: Array, count: int, channels: int) -> Array:
    """The view (N, pitch, C, width) of rows of blocks."""
    length = rows.shape[1] - _APART
    view = rows[:, :length].reshape(len(rows) // count, count, channels, length // channels)
    return view.swapaxes(0, 1)


def _pieces(sequences: Array, x: Array, offset: int, length: int) -> Iterator[tuple[Array, Array]]:
    """Views of ``sequences`` (N, pitch, C, width) and of the steps of x (N, C, L) that belong there, of one shape each:
    the rest of the block in which ``offset`` lies, all whole blocks, and the beginning of the last.
    """
    width = sequences.shape[3]
    per_sequence, per_channel, per_step = x.strides
    step = 0
    while step < length:
        block, column = divmod(offset + step, width)
        whole = (length - step) // width if column == 0 else 0
        count, each = (whole, width) if whole else (1, min(width - column, length - step))
        strides = (per_sequence, each * per_step, per_channel, per_step)
        steps = strided(x[:, :, step:], (len(x), count, x.shape[1], each), strides)
        yield sequences[:, block : block + count, :, column : column + each], steps
        step += count * each
