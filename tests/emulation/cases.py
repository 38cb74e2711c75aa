"""Random convolutions, and the CUDA kernels' answers to them beside NumPy's: on the CPU emulated, on a GPU real."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.backend import move, to_host
from minigrad.kernels import cuda, depthwise
from minigrad.kernels.geometry import Geometry

LAYOUTS = ("NLC", "NCL")
TOLERANCES = {"float64": 1e-12, "float32": 1e-5, "float16": 2e-3}


class Case(NamedTuple):
    """One convolution, and what bends the choice of its kernels."""

    geometry: Geometry
    batch: int
    channels: int
    multiplier: int
    dtype: str
    seed: int
    small_blocks: bool = False  # of 32 threads, so that there are many; and few of them at once
    long_index: bool = False  # indices are long long
    unrolled: bool = False  # the number of taps is known to the compiler
    misaligned: bool = False  # x begins at an odd element


def random_case(rng: np.random.Generator, seed: int, dtype: str) -> Case:
    """Any stride and dilation; few and many taps, one sample and several, lengths of a multiple of 4 and others."""
    while True:
        stride, dilation, taps = (int(n) for n in rng.integers(1, (5, 5, 10)))
        length = int(rng.integers(1, 40))
        kind = rng.random()
        if kind < 0.3:
            stride = 1
        elif kind < 0.4:  # many taps
            taps, length, stride, dilation = int(rng.choice([17, 29, 39])), length + 90, int(rng.integers(1, 3)), 1
        elif kind < 0.5:  # far apart: outputs of a thread lie further from each other than the input is long
            dilation, length = int(rng.choice([16, 40, 300])), length + 40
        elif kind < 0.6:  # several pieces of a row
            length, stride, dilation = int(rng.integers(2000, 9000)), int(rng.integers(1, 4)), int(rng.integers(1, 4))
        if rng.random() < 0.4:
            length += -length % 4
        padding = tuple(int(n) for n in rng.integers(0, 12, 2))
        if rng.random() < 0.2:
            padding = (dilation * (taps - 1), 0)
        if length + sum(padding) <= dilation * (taps - 1):
            continue
        geometry = Geometry(length, taps, stride, dilation, (padding[0], padding[1]))
        channels = int(rng.integers(1, 9)) if rng.random() < 0.8 or length > 1000 else int(rng.choice([66, 130, 300]))
        multiplier = 1 if rng.random() < 0.7 else int(rng.integers(2, 4))
        flags = [bool(f) for f in rng.random(4) < (0.3, 0.1, 0.15, 0.1)]
        flags[2] &= stride == 1 and taps in (3, 5, 9)
        batch = int(rng.integers(1, 5)) if length < 1000 else 1
        return Case(geometry, batch, channels, multiplier, dtype, seed, *flags)


class Arrays(NamedTuple):
    """x, w, g of a case in one layout."""

    x: np.ndarray
    w: np.ndarray
    g: np.ndarray


def arrays_of(case: Case, layout: str) -> Arrays:
    """Numbers of one size for all taps and steps, so that an error anywhere is as large as any."""
    rng, z = np.random.default_rng(case.seed), case.geometry
    shapes = [
        (case.batch, z.length, case.channels), (z.taps, case.channels, case.multiplier),
        (case.batch, z.out_length, case.channels * case.multiplier),
    ]
    made = []
    for i, shape in enumerate(shapes):
        array = rng.uniform(0.5, 1.0, shape) * rng.choice([-1, 1], shape)
        array = array.swapaxes(1, 2) if layout == "NCL" and i != 1 else array
        room = np.empty(array.size + 1, case.dtype)
        part = room[1:] if case.misaligned and i == 0 else room[:-1]
        part[...] = array.reshape(-1)
        made.append(part.reshape(array.shape))
    return Arrays(*made)


def random_cases(seed: int, counts: dict[str, int]) -> list[Case]:
    """So many cases of each dtype."""
    rng = np.random.default_rng(seed)
    return [random_case(rng, i, dtype) for dtype, count in counts.items() for i in range(count)]


def results(case: Case, layout: str, module: Any, dtype: str | None = None, device: str = "cpu") -> list[np.ndarray]:
    """y, dx and dw by the functions of a module, on the host."""
    x, w, g = (move(a if dtype is None else a.astype(dtype), device) for a in arrays_of(case, layout))
    z = case.geometry
    found = module.forward(x, w, z, layout), module.input_grad(g, w, z, layout), module.kernel_grad(x, g, z, layout)
    return [to_host(array) for array in found]


def check(case: Case, layout: str, device: str = "cpu") -> None:
    """The kernels equal NumPy's, computed in float64; errors of rounding grow with the root of the number of terms."""
    found, expected = results(case, layout, cuda, device=device), results(case, layout, depthwise, "float64")
    z = case.geometry
    terms = [z.taps, z.taps * case.multiplier, case.batch * z.out_length]
    for name, a, b, count in zip(("y", "dx", "dw"), found, expected, terms, strict=True):
        assert a.dtype == case.dtype
        assert a.shape == b.shape
        error = np.abs(a.astype(np.float64) - b).max(initial=0)
        assert error <= TOLERANCES[case.dtype] * max(count**0.5, 1.0), f"{name} of {case}, {layout}: {error}"
