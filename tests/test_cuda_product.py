"""The product kernel on the CPU under sanitizers, against NumPy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigrad.kernels import cuda, cuda_product
from tests.emulation import emulator
from tests.emulation.products import Case, check, choose_as, factors, kernels, random_cases, result

needs_gxx = pytest.mark.skipif(emulator.compiler() is None, reason="no g++ that knows _Float16 is on this machine")
SUMS = [f"add_up<{name}, {index}>" for name in ("float", "double", "__half") for index in ("int", "long long")]


@pytest.fixture
def bend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Case], None]:
    """Makes `minigrad.kernels.cuda_product` choose as the case says; new arrays are full of NaN."""
    nan = SimpleNamespace(
        empty=lambda shape, dtype: np.full(shape, np.nan, dtype), broadcast_to=np.broadcast_to, zeros=np.zeros
    )
    monkeypatch.setattr(cuda_product, "array_module", lambda *arrays: nan)
    return lambda case: choose_as(case, monkeypatch)


class Campaign:
    """Cases, the programs that run their kernels (one for each dtype, one for the sums of parts), and what ran."""

    def __init__(
        self, cases: list[Case], bend: Callable[[Case], None], monkeypatch: pytest.MonkeyPatch, folder: Path,
        source: Path, flags: tuple[str, ...],
    ) -> None:
        self.cases, self.bend, self.monkeypatch = cases, bend, monkeypatch
        dtypes = {case.dtype for case in cases}
        self.programs = {dtype: emulator.Emulator(kernels(dtype), folder, flags, source) for dtype in dtypes}
        self.programs["sums"] = emulator.Emulator(SUMS, folder)

    def kernel(self, dtype: str) -> Callable[..., Any]:
        """What gives the kernels for cases of a dtype, in the place of `minigrad.backend.raw_kernel`."""
        return lambda source, name, _: self.programs["sums" if name in SUMS else dtype].kernel(source, name, ())

    def use(self, case: Case) -> None:
        """Let the kernels for a case run where it is computed."""
        self.bend(case)
        cuda._kernel.cache_clear()
        self.monkeypatch.setattr(cuda, "raw_kernel", self.kernel(case.dtype))

    def run(self) -> None:
        for case in self.cases:
            self.use(case)
            check(case)

    @property
    def launched(self) -> set[str]:
        return {name for program in self.programs.values() for name in program.launched}


@pytest.fixture
def campaign(
    bend: Callable[[Case], None], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Campaign]]:
    """Builds the programs for a list of cases, in pytest's cache, and ends them."""
    made: list[Campaign] = []

    def start(cases: list[Case], source: Path = cuda_product.SOURCE, flags: tuple[str, ...] = ()) -> Campaign:
        made.append(Campaign(cases, bend, monkeypatch, Path(request.config.cache.mkdir("cuda")), source, flags))
        return made[-1]

    yield start
    for each in made:
        for program in each.programs.values():
            program.close()
    cuda._kernel.cache_clear()


@needs_gxx
def test_products_equal_those_of_numpy(campaign: Callable[..., Campaign]) -> None:
    run = campaign(random_cases(0, {"float32": 120, "float64": 20, "float16": 20}))
    run.run()
    tiles = {re.sub(r".*(int|long long), (.*)>", r"\2", name) for name in run.launched if name.startswith("multiply")}
    assert tiles == {", ".join(map(str, tile[:5])) for tile in cuda_product._TILES}
    for part in ("float, int", "float, long long", "double, int", "__half, int", "add_up<float", "add_up<__half"):
        assert any(part in name for name in run.launched), f"no kernel with {part!r} ran"


@needs_gxx
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_many_products(campaign: Callable[..., Campaign], seed: int) -> None:
    cases = random_cases(seed, {"float32": 300, "float64": 150, "float16": 150})
    campaign(cases, flags=("-O2",)).run()  # slower to build, faster to run


@needs_gxx
def test_the_same_input_gives_the_same_bits(campaign: Callable[..., Campaign]) -> None:
    """The emulation draws another order of the threads at every launch."""
    case = Case((20, 700), (700, 30), "float32", 0)
    run = campaign([case])
    run.use(case)
    first, again = result(case), result(case)
    assert first.tobytes() == again.tobytes()
    assert "add_up<float, int>" in run.launched


@needs_gxx
def test_infinities_stay_in_their_row_and_column(campaign: Callable[..., Campaign]) -> None:
    """What fills a tile beyond the matrices counts nowhere, not even as 0 * inf."""
    case = Case((33, 21), (21, 17), "float32", 0, plain=True)
    campaign([case]).use(case)
    a, b = factors(case)
    a[5, 20] = np.inf
    b[20, 3] = np.nan
    y = cuda_product.matmul(a, b)
    expected = np.isinf(a).any(axis=1)[:, None] | np.isnan(b).any(axis=0)
    np.testing.assert_array_equal(~np.isfinite(y), expected)


PLANTED = {
    "barrier before": ("            __syncthreads();  // the slabs before these were multiplied\n", "", "y of Case"),
    "barrier after": ("read_b.put(slab_b);\n            __syncthreads();", "read_b.put(slab_b);", "y of Case"),
    "end of lines": ("l < lines && k < terms", "l <= lines && k < terms", "heap-buffer-overflow"),
    "end of terms": ("l < lines && k < terms", "l < lines", "heap-buffer-overflow"),
    "end of a row": ("if (v < left)", "if (true)", "heap-buffer-overflow"),
    "end of rows": ("if (i >= I(rows)) continue;", "", "heap-buffer-overflow"),
    "whole rows": ("columns % VC == 0;\n", "true;\n", "misaligned address|heap-buffer-overflow"),
    "next piece": ("if (term >= I(terms)) term = 0", "if (term > I(terms)) term = 0", "y of Case"),
    "shares": ("blockIdx.y) * share;", "blockIdx.y) * (share - 1);", "y of Case"),
    "jobs": ("job += I(gridDim.x)", "job += I(gridDim.x) + 1", "y of Case"),
}
QUICK = ("barrier before", "barrier after", "end of lines")


@needs_gxx
@pytest.mark.parametrize(
    ("planted", "becomes", "message"),
    [
        pytest.param(planted, becomes, message, id=name, marks=() if name in QUICK else pytest.mark.slow)
        for name, (planted, becomes, message) in PLANTED.items()
    ],
)
def test_the_emulation_notices_planted_errors(
    planted: str, becomes: str, message: str, campaign: Callable[..., Campaign], tmp_path: Path
) -> None:
    text = cuda_product.SOURCE.read_text()
    assert text.count(planted) == 1
    broken = tmp_path / "broken.cu"
    broken.write_text(text.replace(planted, becomes))
    case = Case((4, 33, 80), (4, 80, 35), "float32", 0, summed=True, plain=True, tile=4)
    several = [case, case._replace(blocks=3), Case((3, 50, 5), (3, 5, 35), "float32", 0, tile=4, blocks=1, plain=True)]
    with pytest.raises(AssertionError, match=message):
        campaign(several, broken).run()


# ---------------------------------------------------------------------- without running a kernel


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[cuda.Launch]:
    """The kernels that would be started."""
    launches: list[cuda.Launch] = []
    monkeypatch.setattr(cuda_product, "start", lambda launch, *arrays: launches.append(launch))
    return launches


def test_products_of_nothing_are_zero_and_start_no_kernel(started: list[cuda.Launch]) -> None:
    assert cuda_product.matmul(np.ones((0, 3)), np.ones((3, 4))).shape == (0, 4)
    assert cuda_product.matmul(np.ones((0, 2, 3)), np.ones((1, 3, 4))).shape == (0, 2, 4)
    assert cuda_product.matmul(np.ones((2, 0)), np.ones((0, 4))).tolist() == [[0.0] * 4] * 2
    assert cuda_product.matmul_sum(np.ones((0, 2, 3)), np.ones((0, 3, 1))).tolist() == [[0.0]] * 2
    assert started == []


def test_axes_that_lie_in_each_other_are_one(started: list[cuda.Launch]) -> None:
    a = np.ones((2, 3, 1, 4, 5, 6), np.float32)
    cuda_product.matmul(a, a.swapaxes(-1, -2))
    assert started.pop().arguments[:6] == (1, 24, 1, 5, 5, 6)
    cuda_product.matmul(a, np.ones((4, 6, 7), np.float32))  # b is the same for the first axes, and for these alone
    assert started.pop().arguments[:6] == (6, 4, 1, 5, 7, 6)
    cuda_product.matmul(a, np.ones((2, 1, 1, 4, 6, 7), np.float32))
    assert [launch.arguments[:6] for launch in started] == [(3, 4, 1, 5, 7, 6)] * 2


def test_views_and_transposes_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    monkeypatch.setattr(cuda_product, "start", lambda launch, *arrays: given.append((launch, arrays)))
    x = np.ones((5, 8, 6), np.float32)
    w = np.ones((3, 8), np.float32)
    cuda_product.matmul(w, x[::-1, :, ::2])
    launch, (a, b, y, partial) = given.pop()
    assert launch.arguments[6:16] == (0, 0, 0, 8, 1, 0, -48, 0, 2, 6)
    assert np.shares_memory(a, w)
    assert np.shares_memory(b, x)
    assert (y.shape, partial.size) == ((5, 3, 3), 0)


def test_sizes_beyond_an_int_take_long_indices() -> None:
    dense, other = cuda_product.Steps(0, 0, 0, 1024, 1), cuda_product.Steps(0, 0, 0, 1, 1024)
    for rows, index in ((1 << 19, "int"), (1 << 20, "long long")):
        z = cuda_product.Sizes(1, 1, 1, rows, 1024, 1024)
        assert f", {index}, " in cuda_product.product(z, dense, other, "float32", True).name
    small = cuda_product.Sizes(1, 1, 1, 64, 64, 64)
    apart = cuda_product.Steps(0, 0, 0, 1, 1 << 25)
    assert ", long long, " in cuda_product.product(small, apart, other, "float32", True).name
    assert ", long long, " in cuda_product.product(small, apart._replace(along=-(1 << 25)), other, "float32", True).name


def test_every_launch_is_one_that_a_gpu_takes() -> None:
    """Limits of CUDA: threads of a block, blocks of a grid, shared memory; parts that fit a workspace, none empty."""
    rng = np.random.default_rng(0)
    for _ in range(3000):
        z = cuda_product.Sizes(*(int(rng.choice([1, 1, 2, 7, 100, 4096, 1 << 18, 1 << 31])) for _ in range(6)))
        steps = cuda_product.Steps(0, 0, 0, 0, 0)
        dtype = str(rng.choice(["float16", "float32", "float64"]))
        launch = cuda_product.product(z, steps, steps, dtype, True)
        assert launch.block[0] == 256
        assert 1 <= launch.grid[0] < 2**31
        assert 1 <= launch.grid[1] <= 264
        assert 0 < launch.shared <= 48 << 10
        if launch.grid[1] > 1:
            assert launch.grid[1] * z.results <= 264 * 128 * 64
        deep = int(launch.name.split(", ")[4])
        slabs = z.pieces * -(-z.terms // deep)
        assert (launch.grid[1] - 1) * -(-slabs // launch.grid[1]) < slabs


@pytest.mark.parametrize("dtype", ["int32", "complex64"])
def test_other_dtypes_are_refused(dtype: str) -> None:
    message = (
        r"matmul: while a step is captured the dtype must be one of \('float16', 'float32', 'float64'\)\. "
        rf"Received: a={dtype}\(2, 2\), b={dtype}\(2, 3\)"
    )
    with pytest.raises(TypeError, match=message):
        cuda_product.matmul(np.ones((2, 2), dtype), np.ones((2, 3), dtype))
    with pytest.raises(TypeError, match="matmul_sum: while a step is captured"):
        cuda_product.matmul_sum(np.ones((1, 2, 2), dtype), np.ones((1, 2, 3), dtype))


@pytest.mark.parametrize(("a", "b"), [((2, 3), (2, 3)), ((3,), (2,)), ((2, 3), (2,)), ((), (2, 2)), ((2, 2), ())])
def test_shapes_that_do_not_fit_are_refused(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    shapes = rf"a=float64{re.escape(str(a))}, b=float64{re.escape(str(b))}"
    with pytest.raises(ValueError, match=rf"matmul: columns of a must equal rows of b\. Received: {shapes}"):
        cuda_product.matmul(np.ones(a), np.ones(b))


def test_leading_axes_that_do_not_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match=r"matmul: leading axes must broadcast\. Received: a=float64\(2, 3, 4, 5\)"):
        cuda_product.matmul(np.ones((2, 3, 4, 5)), np.ones((2, 5, 4)))


@pytest.mark.parametrize("b", [(3, 3, 2), (2, 2, 2), (3, 2)])
def test_sums_of_shapes_that_do_not_fit_are_refused(b: tuple[int, ...]) -> None:
    message = r"matmul_sum: a \(M, I, K\) and b \(M, K, J\) must be given\. Received: a=float64\(2, 4, 3\), b="
    with pytest.raises(ValueError, match=message):
        cuda_product.matmul_sum(np.ones((2, 4, 3)), np.ones(b))


def test_mixed_dtypes_are_promoted(started: list[cuda.Launch]) -> None:
    assert cuda_product.matmul(np.ones((2, 2), "f4"), np.ones((2, 3), "f8")).dtype == "f8"
    assert cuda_product.matmul(np.ones((2, 2), "f4"), np.ones((2, 3), "f2")).dtype == "f4"
    out = np.empty((2, 3), "f8")
    assert cuda_product.matmul(np.ones((2, 2), "f4"), np.ones((2, 3), "f4"), out) is out
    assert [launch.name.split(",")[0] for launch in started] == ["multiply<double", "multiply<float", "multiply<double"]
