"""The depthwise kernels of ``depthwise_conv1d.cu`` for arrays of CuPy: which one, how many threads, how much memory.

The source explains the sums and the kernels. Here each call becomes a `Launch`, by sizes alone, so that all of it can
be tested without a GPU; `start` compiles a kernel at its first use and starts it. Matrix products
(`minigrad.kernels.cuda_product`) start theirs in the same way.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any, NamedTuple

from minigrad.backend import Array, address, array_module, at_device_of, describe, device_of, raw_kernel
from minigrad.kernels.geometry import Geometry

SOURCE = Path(__file__).with_name("depthwise_conv1d.cu")

TYPES = {"float16": "__half", "float32": "float", "float64": "double"}
_WIDTHS = {"float16": 4, "float32": 4, "float64": 2}  # elements of one wide access
_THREADS = 256  # of a block that shares memory, at most; THREADS of the source
_FEW_THREADS = 128  # of a block that does not: with 150 registers a thread, more blocks of this size fit side by side
_SHARED = 48 << 10  # bytes of shared memory that every GPU gives a block
_FILL = 132 * 1024  # threads that keep a large GPU busy, of 132 multiprocessors
_LONG = 16  # taps above which multiplying takes longer than reading
_TAP_BLOCKS = (1, 2, 3, 5, 7, 9, 11, 13, 15)  # how many taps a thread of the kernel gradient may take
_RUN = 15  # steps that a thread of correlate_rows takes of one piece
_SMALL = 1 << 22  # multiply-adds below which a kernel for any number of taps will do: one less to compile
INT = 1 << 30  # elements that an index of type int counts with room to spare


class Sizes(NamedTuple):
    """What all kernels are told, in this order; see the head of the source for the last two."""

    batch: int
    length: int
    steps: int
    channels: int
    multiplier: int
    taps: int
    stride: int
    dilation: int
    before: int
    apart: int
    skip: int

    @classmethod
    def of(cls, batch: int, channels: int, multiplier: int, geometry: Geometry) -> Sizes:
        """The sizes of a convolution."""
        s, d = geometry.stride, geometry.dilation
        h = math.gcd(s, d)
        return cls(
            batch, geometry.length, geometry.out_length, channels, multiplier, geometry.taps, s, d,
            geometry.padding[0], d // h, s // h,
        )

    @property
    def filters(self) -> int:
        """C*M."""
        return self.channels * self.multiplier

    @property
    def leap(self) -> int:
        """Inputs between the outputs of one thread."""
        return self.stride * self.apart

    @property
    def phase_taps(self) -> int:
        """The most taps of one phase."""
        return -(-self.taps // self.skip)


class Launch(NamedTuple):
    """A kernel of a source with its template arguments, the grid and the block, bytes of shared memory, and the
    arguments that follow the arrays.
    """

    name: str
    grid: tuple[int, int]
    block: tuple[int, int]
    shared: int
    arguments: tuple[int, ...]
    source: Path = SOURCE


def forward(x: Array, w: Array, geometry: Geometry, layout: str) -> Array:
    """dPhi/dg, as `minigrad.kernels.depthwise.forward`, for arrays on one GPU.

    Raises:
        TypeError: arrays on several devices, or of another dtype than float16, float32, float64.
    """
    x, w = _prepared("depthwise_conv1d", x=x, w=w)
    sizes = Sizes.of(len(x), w.shape[1], w.shape[2], geometry)
    return _convolved(x, w, sizes, layout, back=False)


def input_grad(g: Array, w: Array, geometry: Geometry, layout: str) -> Array:
    """dPhi/dx, as `minigrad.kernels.depthwise.input_grad`; raises what `forward` does."""
    g, w = _prepared("depthwise_conv1d_input_grad", g=g, w=w)
    sizes = Sizes.of(len(g), w.shape[1], w.shape[2], geometry)
    return _convolved(g, w, sizes, layout, back=True)


def kernel_grad(x: Array, g: Array, geometry: Geometry, layout: str) -> Array:
    """dPhi/dw, as `minigrad.kernels.depthwise.kernel_grad`; raises what `forward` does."""
    x, g = _prepared("depthwise_conv1d_kernel_grad", x=x, g=g)
    xp, first = array_module(x), layout == "NCL"
    axis = 1 if first else 2
    channels = x.shape[axis]
    sizes = Sizes.of(len(x), channels, g.shape[axis] // max(channels, 1), geometry)
    with at_device_of(x):
        shape = (sizes.taps, channels, sizes.multiplier)
        if not x.size or not g.size:
            return xp.zeros(shape, x.dtype)
        dw = xp.empty(shape, x.dtype)
        launch = correlation(sizes, str(x.dtype), first, _aligned(x, g))
        shares = launch.grid[1]
        sums = "float64" if x.dtype == "float64" else "float32"
        partial = xp.empty((shares if shares > 1 else 0, dw.size), sums)
        start(launch, x, g, dw, partial)
        if shares > 1:
            start(addition(dw.size, shares, str(x.dtype)), partial, dw)
    return dw


def _convolved(a: Array, w: Array, sizes: Sizes, layout: str, back: bool) -> Array:
    """Sum (1) of the source, or (2) if ``back``."""
    steps, width = (sizes.length, sizes.channels) if back else (sizes.steps, sizes.filters)
    first = layout == "NCL"
    with at_device_of(a):
        shape = (sizes.batch, width, steps) if first else (sizes.batch, steps, width)
        out = array_module(a).empty(shape, a.dtype)
        if out.size:
            start(convolution(sizes, str(a.dtype), first, back, _aligned(a, w, out)), a, w, out)
    return out


def common_dtype(who: str, where: str, **arrays: Array) -> Any:
    """The dtype in which kernels compute with these arrays.

    Raises:
        TypeError: arrays on several devices, or of another dtype than float16, float32, float64.
    """
    if len({device_of(array) for array in arrays.values()}) > 1:
        received = ", ".join(f"{name} on {device_of(array)!r}" for name, array in arrays.items())
        raise TypeError(f"{who}: arguments must be on one device; move one with .to(device). Received: {received}")
    dtype = array_module(*arrays.values()).result_type(*arrays.values())
    if str(dtype) not in TYPES:
        received = ", ".join(f"{name}={describe(array)}" for name, array in arrays.items())
        raise TypeError(f"{who}: {where} the dtype must be one of {tuple(TYPES)}. Received: {received}")
    return dtype


def _prepared(who: str, **arrays: Array) -> list[Array]:
    """The arrays in one dtype and without gaps, once all of them fit the kernels."""
    dtype, xp = common_dtype(who, "on a GPU", **arrays), array_module(*arrays.values())
    with at_device_of(next(iter(arrays.values()))):
        return [xp.ascontiguousarray(array, dtype) for array in arrays.values()]


def _aligned(*arrays: Array) -> bool:
    """Whether wide accesses may begin where the arrays do; a slice of a larger array may begin anywhere."""
    return all(address(array) % 16 == 0 for array in arrays)


# ---------------------------------------------------------------------- which kernel, from sizes alone


def convolution(sizes: Sizes, dtype: str, first: bool, back: bool, aligned: bool) -> Launch:
    """How to compute sum (1), or (2) if ``back``; ``first`` means channels first."""
    z = sizes
    steps, width, inputs = (z.length, z.channels, z.steps) if back else (z.steps, z.filters, z.length)
    between = z.leap if back else z.apart
    unrolled = z.taps if z.skip == 1 and z.taps <= _LONG and z.batch * steps * width * z.taps >= _SMALL else 0
    wide = _WIDTHS[dtype] if aligned else 1
    long = z.phase_taps > _LONG

    if first and between <= _THREADS:
        results = 15 if long else 9
        v = wide if inputs % wide == 0 else 1
        most = -(-steps // (between * results))
        for parts in range(-(-most // (_THREADS // between)), most + 1):
            threads = between * -(-most // parts)
            piece = threads * results
            seen = (piece - 1 + z.dilation * (z.taps - 1)) // z.stride + 2 if back else (
                z.stride * (piece - 1) + z.dilation * (z.taps - 1) + 1
            )
            reach = _rounded(seen + v - 1, v)
            pitch = _rounded(max(reach, piece), v)
            row = (pitch + z.taps) * summed_bytes(dtype)
            if row <= _SHARED:
                rows = max(1, min(_THREADS // threads, z.batch * width, _SHARED // row))
                pieces = -(-steps // piece)
                index = _index(z, z.batch * width * pieces * piece + _THREADS * piece)
                name = f"convolve_rows<{TYPES[dtype]}, {index}, {results}, {v}, {unrolled}, {_bool(back)}>"
                blocks = -(-z.batch * width // rows) * pieces
                return Launch(name, (blocks, 1), (threads, rows), rows * row, (*z, reach, pitch))

    results, wide = (16, max(wide // 2, 1)) if long else (8, wide)
    v = 1 if first or z.multiplier > 1 else math.gcd(wide, width)
    phases = min(between, steps)
    runs = -(-steps // (phases * results))
    threads = z.batch * width // v * phases * runs
    index = _index(z, threads * results * v + _FEW_THREADS)
    name = f"convolve<{TYPES[dtype]}, {index}, {results}, {v}, {unrolled}, {_bool(first)}, {_bool(back)}>"
    return Launch(name, (-(-threads // _FEW_THREADS), 1), (_FEW_THREADS, 1), 0, tuple(z))


def correlation(sizes: Sizes, dtype: str, first: bool, aligned: bool) -> Launch:
    """How to compute sum (3). Where the grid has several rows, each writes a part for `addition`."""
    z = sizes
    parts = -(-z.phase_taps // _TAP_BLOCKS[-1])
    taps = next(n for n in _TAP_BLOCKS if n * parts >= z.phase_taps)
    groups = z.skip * -(-z.phase_taps // taps)
    wide = _WIDTHS[dtype] if aligned else 1

    if first and z.apart <= _THREADS:
        v = wide if z.length % wide == 0 and z.steps % wide == 0 else 1
        most = -(-z.steps // (z.apart * _RUN))
        for pieces in range(-(-most // (_THREADS // z.apart)), most + 1):
            threads = z.apart * -(-most // pieces)
            piece = threads * _RUN
            x_reach = _rounded(z.stride * (piece - 1) + z.leap * (taps - 1) + 1 + v - 1, v)
            g_reach = _rounded(piece + v - 1, v)
            row = (x_reach + g_reach) * summed_bytes(dtype)
            if row <= _SHARED:
                rows = max(1, min(_THREADS // threads, z.batch, _SHARED // row))
                shared = max(rows * row, taps * threads * rows * summed_bytes(dtype))
                columns = groups * z.filters
                shares = min(-(-_FILL // (columns * threads * rows)), -(-z.batch // rows) * -(-z.steps // piece))
                index = _index(z, shares * z.taps * z.filters + _FILL * _RUN)
                name = f"correlate_rows<{TYPES[dtype]}, {index}, {taps}, {v}, {_RUN}>"
                return Launch(name, (columns, shares), (threads, rows), shared, (*z, x_reach, g_reach))

    v = 1 if first or z.multiplier > 1 else math.gcd(wide if taps <= 9 else max(wide // 2, 1), z.filters)
    lanes = z.filters // v
    width = lanes if lanes <= _FEW_THREADS // 2 else 32
    rows = _FEW_THREADS // width
    columns = groups * -(-lanes // width)
    phases = min(z.apart, z.steps)
    run = min(max(z.batch * z.steps * columns * width // _FILL, 16), 128)
    jobs = z.batch * phases * -(-z.steps // (phases * run))
    shares = min(-(-_FILL // (columns * width * rows)), -(-jobs // (4 * rows)))
    index = _index(z, jobs + 2 * _FILL, shares * z.taps * z.filters + _FILL)
    name = f"correlate<{TYPES[dtype]}, {index}, {taps}, {v}, {_bool(first)}>"
    return Launch(name, (columns, shares), (width, rows), width * rows * v * summed_bytes(dtype), (*z, run))


def addition(count: int, shares: int, dtype: str) -> Launch:
    """How to add up ``shares`` rows of ``count`` sums."""
    index = "int" if shares * count < INT else "long long"
    name = f"add_up<{TYPES[dtype]}, {index}>"
    return Launch(name, (-(-count // 32), 1), (32, 8), 32 * 8 * summed_bytes(dtype), (shares, count))


def _rounded(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def summed_bytes(dtype: str) -> int:
    """Bytes of a number while it is summed."""
    return 8 if dtype == "float64" else 4


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _index(z: Sizes, *others: int) -> str:
    """The type of an index: int where everything that is counted fits."""
    reach = z.length + z.before + z.dilation * z.taps + z.stride * (z.steps + _THREADS * 16 * z.apart)
    largest = max(reach, z.batch * z.length * z.channels, z.batch * z.steps * z.filters, *others)
    return "int" if largest < INT else "long long"


# ---------------------------------------------------------------------- the start of a kernel


@functools.cache
def _kernel(source: Path, name: str) -> Any:
    options = ("-std=c++17", *(["-DMINIGRAD_HALF"] if "__half" in name else []))
    return raw_kernel(source.read_text(encoding="utf-8"), name, options)


def start(launch: Launch, *arrays: Array) -> None:
    """Start a kernel with these arrays."""
    kernel = _kernel(launch.source, launch.name)
    kernel(launch.grid, launch.block, (*arrays, *launch.arguments), shared_mem=launch.shared)
