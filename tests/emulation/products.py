"""Random matrix products of views of any kind, and the kernel's answers to them beside NumPy's."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from minigrad.backend import array_module, move, to_host
from minigrad.kernels import cuda_product
from minigrad.kernels.cuda import TYPES
from tests.emulation.cases import TOLERANCES

EDGES = (15, 16, 17, 31, 33, 63, 64, 65, 127, 128, 129, 130)  # lengths at which a tile ends


class Case(NamedTuple):
    """Shapes of two factors, how they lie in memory (by the seed), and what bends the choice of the kernel."""

    a: tuple[int, ...]
    b: tuple[int, ...]
    dtype: str
    seed: int
    summed: bool = False  # over the leading axis
    plain: bool = False  # factors without gaps
    odd_out: bool = False  # the result begins at an odd element of an array
    tile: int | None = None  # instead of the best
    blocks: int | None = None  # that run at once
    long_index: bool = False  # indices are long long


CHOICES = {name: getattr(cuda_product, name) for name in ("_TILES", "_BLOCKS", "_GRID", "INT")}


def kernels(dtype: str) -> list[str]:
    """The product kernel with every tile and type of index."""
    kinds = ((index, tile) for index in ("int", "long long") for tile in CHOICES["_TILES"])
    return [f"multiply<{TYPES[dtype]}, {index}, {', '.join(map(str, tile[:5]))}>" for index, tile in kinds]


def choose_as(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `minigrad.kernels.cuda_product` choose as the case says."""
    bent: dict[str, object] = {}
    if case.tile is not None:
        bent["_TILES"] = CHOICES["_TILES"][case.tile : case.tile + 1]
    if case.blocks is not None:
        bent["_BLOCKS"] = bent["_GRID"] = case.blocks
    if case.long_index:
        bent["INT"] = 0
    for name, value in (CHOICES | bent).items():
        monkeypatch.setattr(cuda_product, name, value)


def random_case(rng: np.random.Generator, seed: int, dtype: str) -> Case:
    """Small and skinny ones, ends of tiles, long sums, none of something, batches that broadcast."""

    def length() -> int:
        kind = rng.random()
        return 0 if kind < 0.01 else int(rng.integers(1, 12)) if kind < 0.7 else int(rng.choice(EDGES))

    rows, columns, terms = length(), length(), length()
    kind = rng.random()
    if kind < 0.2:  # a sum to split
        rows, columns, terms = int(rng.integers(1, 36)), int(rng.integers(1, 36)), int(rng.integers(130, 500))
    elif rows * columns * terms > 200000:
        terms = terms % 16
    flags = [bool(f) for f in rng.random(4) < (0.3, 0.2, 0.15, 0.15)]
    tile = None if rng.random() < 0.4 else int(rng.integers(len(cuda_product._TILES)))
    blocks = None if rng.random() < 0.6 else int(rng.choice([1, 3, 40]))
    if flags[0] and rng.random() < 0.5:
        pieces = int(rng.integers(0 if rng.random() < 0.05 else 1, 7))
        a, b = (pieces, min(rows, 65), terms % 100), (pieces, terms % 100, min(columns, 65))
        return Case(a, b, dtype, seed, True, flags[1], False, tile, blocks, flags[3])
    small = rows * columns * terms < 20000
    batch = [int(n) for n in rng.integers(1, 4, int(rng.integers(0, 5)))] if small else []
    shapes = []
    for shape in ((rows, terms), (terms, columns)):
        own = [1 if rng.random() < 0.3 else n for n in batch]
        missing = int(rng.integers(0, len(own) + 1)) if rng.random() < 0.3 else 0
        shapes.append((*own[missing:], *shape))
    a, b = shapes
    if rng.random() < 0.05:
        a = a[-1:]
    if rng.random() < 0.05:
        b = b[-2:-1]
    return Case(a, b, dtype, seed, False, flags[1], flags[2], tile, blocks, flags[3])


def random_cases(seed: int, counts: dict[str, int]) -> list[Case]:
    """So many cases of each dtype."""
    rng = np.random.default_rng(seed)
    return [random_case(rng, i, dtype) for dtype, count in counts.items() for i in range(count)]


def factors(case: Case, device: str = "cpu") -> list[np.ndarray]:
    """Views of arrays on the device: axes in any order, with gaps between elements, backwards."""
    rng = np.random.default_rng(case.seed)
    made = []
    for shape in (case.a, case.b):
        order = np.arange(len(shape)) if case.plain else rng.permutation(len(shape))
        steps = [1 if case.plain or rng.random() < 0.7 else int(rng.choice([-2, -1, 2, 3])) for _ in shape]
        starts = [0 if case.plain or rng.random() < 0.7 else 1 for _ in shape]
        whole = [shape[i] * abs(steps[i]) + starts[i] for i in order]
        base = (rng.uniform(0.5, 1.0, whole) * rng.choice([-1, 1], whole)).astype(case.dtype)
        view = move(base, device).transpose(np.argsort(order).tolist())
        for axis, (start, step, n) in enumerate(zip(starts, steps, shape, strict=True)):
            ahead = np.s_[start :: abs(step)]
            view = view[(slice(None),) * axis + (ahead,)][(slice(None),) * axis + (np.s_[:n],)]
            view = view[(slice(None),) * axis + (np.s_[::-1],)] if step < 0 else view
        assert view.shape == shape
        made.append(view)
    return made


def result(case: Case, device: str = "cpu") -> np.ndarray:
    """The kernel's answer, on the host."""
    a, b = factors(case, device)
    if case.summed:
        return to_host(cuda_product.matmul_sum(a, b))
    if not case.odd_out:
        return to_host(cuda_product.matmul(a, b))
    shape = np.matmul(*factors(case)).shape
    room = array_module(a).zeros(int(np.prod(shape)) + 1, case.dtype)
    out = room[1:].reshape(shape)
    assert cuda_product.matmul(a, b, out) is out
    return to_host(out)


def check(case: Case, device: str = "cpu") -> None:
    """The kernel equals NumPy in float64; errors of rounding grow with the root of the number of terms."""
    a, b = (factor.astype(np.float64) for factor in factors(case))
    expected = (a @ b).sum(axis=0) if case.summed else np.asarray(a @ b)
    found = result(case, device)
    assert found.dtype == case.dtype
    assert found.shape == expected.shape
    error = np.abs(found.astype(np.float64) - expected).max(initial=0)
    terms = a.shape[-1] * (len(a) if case.summed else 1)
    assert error <= TOLERANCES[case.dtype] * max(terms**0.5, 1.0), f"y of {case}: {error}"
