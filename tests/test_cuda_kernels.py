"""The CUDA kernels on the CPU, under AddressSanitizer and UndefinedBehaviorSanitizer, against the kernels of NumPy.

The program that runs them is built for exactly the kernels that the cases of a campaign ask for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigrad.kernels import cuda, depthwise
from minigrad.kernels.geometry import Geometry
from tests.emulation import emulator
from tests.emulation.cases import LAYOUTS, Case, arrays_of, check, random_case, random_cases, results

needs_gxx = pytest.mark.skipif(emulator.compiler() is None, reason="no g++ that knows _Float16 is on this machine")

@pytest.fixture
def bend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Case], None]:
    """Makes `minigrad.kernels.cuda` choose as the case says; new arrays are full of NaN."""
    original = {name: getattr(cuda, name) for name in ("_THREADS", "_FEW_THREADS", "_FILL", "INT", "_SMALL")}

    def empty(shape: Any, dtype: Any) -> np.ndarray:
        return np.full(shape, np.nan, dtype)

    known = {name: getattr(np, name) for name in ("ascontiguousarray", "result_type", "zeros")}
    monkeypatch.setattr(cuda, "array_module", lambda *arrays: SimpleNamespace(empty=empty, **known))

    def apply(case: Case) -> None:
        for name, value in original.items():
            monkeypatch.setattr(cuda, name, value)
        if case.small_blocks:
            monkeypatch.setattr(cuda, "_THREADS", 32)
            monkeypatch.setattr(cuda, "_FEW_THREADS", 32)
            monkeypatch.setattr(cuda, "_FILL", 24 * 32)
        if case.long_index:
            monkeypatch.setattr(cuda, "INT", 0)
        if case.unrolled:
            monkeypatch.setattr(cuda, "_SMALL", 0)

    return apply


class Campaign:
    """Cases, the programs that run their kernels (one for each dtype), and which kernels ran."""

    def __init__(self, cases: list[Case], bend: Callable[[Case], None], monkeypatch: pytest.MonkeyPatch) -> None:
        self.cases, self.bend, self.monkeypatch = cases, bend, monkeypatch
        self.programs: dict[str, emulator.Emulator] = {}

    def build(self, folder: Path) -> None:
        """Find out which kernels are needed, and build them, all dtypes at once."""
        names: dict[str, set[str]] = {case.dtype: set() for case in self.cases}
        with self.monkeypatch.context() as patch:
            for case in self.cases:
                patch.setattr(cuda, "start", lambda launch, *arrays, case=case: names[case.dtype].add(launch.name))
                self.bend(case)
                for layout in LAYOUTS:
                    results(case, layout, cuda)
        self.programs = {dtype: emulator.Emulator(wanted, folder) for dtype, wanted in names.items()}

    def run(self) -> None:
        """All cases in both layouts."""
        for case in self.cases:
            self.bend(case)
            cuda._kernel.cache_clear()
            self.monkeypatch.setattr(cuda, "raw_kernel", self.programs[case.dtype].kernel)
            for layout in LAYOUTS:
                check(case, layout)

    @property
    def launched(self) -> set[str]:
        return {name for program in self.programs.values() for name in program.launched}


@pytest.fixture
def campaign(
    bend: Callable[[Case], None], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Callable[[list[Case]], Campaign]]:
    """Builds the programs for a list of cases, in pytest's cache, and ends them."""
    made: list[Campaign] = []

    def start(cases: list[Case]) -> Campaign:
        made.append(Campaign(cases, bend, monkeypatch))
        made[-1].build(Path(request.config.cache.mkdir("cuda")))
        return made[-1]

    yield start
    for each in made:
        for program in each.programs.values():
            program.close()
    cuda._kernel.cache_clear()


@needs_gxx
def test_kernels_equal_those_of_numpy(campaign: Callable[[list[Case]], Campaign]) -> None:
    cases = random_cases(0, {"float32": 120, "float64": 12, "float16": 12})
    run = campaign(cases)
    run.run()
    families = {name.split("<")[0] for name in run.launched}
    assert families == {"convolve", "convolve_rows", "correlate", "correlate_rows", "add_up"}
    wide, unrolled, first_and_back = r"_rows<float, int, 9, 4,", r"convolve.*, [359], (true|false)", r"true, true>"
    for part in ("long long", "__half", "double", wide, unrolled, first_and_back):
        assert any(re.search(part, name) for name in run.launched), f"no kernel with {part!r} ran"


@needs_gxx
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
def test_many_geometries(campaign: Callable[[list[Case]], Campaign], seed: int) -> None:
    campaign(random_cases(seed, {"float32": 300, "float64": 150, "float16": 150})).run()


@needs_gxx
def test_the_same_input_gives_the_same_bits(campaign: Callable[[list[Case]], Campaign]) -> None:
    """The emulation draws another order of the threads at every launch."""
    case = Case(Geometry(500, 5, 1, 1, (2, 2)), 4, 8, 1, "float32", 0, small_blocks=True)
    run = campaign([case])
    run.bend(case)
    run.monkeypatch.setattr(cuda, "raw_kernel", run.programs["float32"].kernel)
    for layout in LAYOUTS:
        first, again = results(case, layout, cuda), results(case, layout, cuda)
        for a, b in zip(first, again, strict=True):
            assert a.tobytes() == b.tobytes()
    assert any(name.startswith("add_up") for name in run.launched)


@needs_gxx
def test_infinities_stay_where_they_belong(campaign: Callable[[list[Case]], Campaign]) -> None:
    """Steps that no window reaches count nowhere, not even as 0 * inf."""
    case = Case(Geometry(23, 3, 4, 1), 2, 4, 1, "float32", 0)  # windows end at step 22 - 3
    run = campaign([case])
    run.bend(case)
    run.monkeypatch.setattr(cuda, "raw_kernel", run.programs["float32"].kernel)
    for layout in LAYOUTS:
        x, w, g = arrays_of(case, layout)
        expected = depthwise.kernel_grad(x.astype("f8"), g.astype("f8"), case.geometry, layout)
        np.moveaxis(x, 1 + LAYOUTS.index(layout), 0)[3::4] = np.inf  # between the windows
        assert np.isfinite(cuda.forward(x, w, case.geometry, layout)).all()
        np.testing.assert_allclose(cuda.kernel_grad(x, g, case.geometry, layout), expected, rtol=1e-5)


@needs_gxx
@pytest.mark.parametrize(
    ("planted", "becomes", "message"),
    [
        ("        __syncthreads();  // the pieces before these were read\n", "", "dw of Case"),
        ("if (time >= 0 && time < length)", "if (time >= 0 && time <= length)", "heap-buffer-overflow"),
        ("me] = sum[r][0];\n    __syncthreads();", "me] = sum[r][0];", "dw of Case"),
        ("if (first + between * r < out_length)", "if (true)", "heap-buffer-overflow"),
    ],
    ids=["barrier of pieces", "end of a line", "barrier of sums", "end of the output"],
)
def test_the_emulation_notices_planted_errors(
    planted: str, becomes: str, message: str, campaign: Callable[[list[Case]], Campaign], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = cuda.SOURCE.read_text()
    assert text.count(planted) == 1
    broken = tmp_path / "broken.cu"
    broken.write_text(text.replace(planted, becomes))
    monkeypatch.setattr(emulator, "SOURCE", broken)
    case = Case(Geometry(4601, 3, 1, 1, (1, 1)), 3, 2, 1, "float32", 0, small_blocks=True)
    with pytest.raises(AssertionError, match=message):
        campaign([case]).run()


# ---------------------------------------------------------------------- without running a kernel


@pytest.mark.parametrize("layout", LAYOUTS)
def test_empty_arrays_start_no_kernel(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "start", lambda launch, *arrays: pytest.fail("a kernel was started"))
    z = Geometry(5, 3, 1, 1, (1, 1))
    w = np.ones((3, 2, 2), np.float32)
    x, g = np.zeros((0, 5, 2) if layout == "NLC" else (0, 2, 5), "f4"), np.zeros((0, 5, 4), "f4")
    g = g if layout == "NLC" else g.swapaxes(1, 2)
    assert cuda.forward(x, w, z, layout).shape == g.shape
    assert cuda.input_grad(g, w, z, layout).shape == x.shape
    assert not cuda.kernel_grad(x, g, z, layout).any()


def test_sizes_beyond_an_int_take_long_indices() -> None:
    small = cuda.Sizes.of(64, 1024, 1, Geometry(4096, 3, 1, 1, (1, 1)))
    large = small._replace(batch=512)  # 2^31 elements
    for first in (False, True):
        for back in (False, True):
            assert ", int," in cuda.convolution(small, "float32", first, back, True).name
            assert ", long long," in cuda.convolution(large, "float32", first, back, True).name
        assert ", int," in cuda.correlation(small, "float32", first, True).name
        assert ", long long," in cuda.correlation(large, "float32", first, True).name


def test_every_launch_is_one_that_a_gpu_takes() -> None:
    """Limits of CUDA: threads of a block, blocks of a grid, shared memory; and sums that fit a workspace."""
    rng = np.random.default_rng(0)
    for seed in range(3000):
        case = random_case(rng, seed, ("float16", "float32", "float64")[seed % 3])
        batch, channels = int(rng.choice([1, 7, 64, 4096])), int(rng.choice([1, 3, 64, 513]))
        z = cuda.Sizes.of(batch, channels, case.multiplier, case.geometry)
        for first in (False, True):
            launches = [cuda.convolution(z, case.dtype, first, back, True) for back in (False, True)]
            launches.append(cuda.correlation(z, case.dtype, first, True))
            launches.append(cuda.addition(z.taps * z.filters, 7, case.dtype))
            for launch in launches:
                assert 1 <= launch.block[0] * launch.block[1] <= 256
                assert 1 <= launch.grid[0] < 2**31
                assert 1 <= launch.grid[1] < 2**16
                assert 0 <= launch.shared <= 48 << 10


@pytest.mark.parametrize("dtype", ["int32", "complex64"])
def test_other_dtypes_are_refused(dtype: str) -> None:
    x, w = np.ones((1, 4, 2), dtype), np.ones((2, 2, 1), dtype)
    message = (
        r"depthwise_conv1d: on a GPU the dtype must be one of \('float16', 'float32', 'float64'\)\. "
        rf"Received: x={dtype}\(1, 4, 2\), w={dtype}\(2, 2, 1\)"
    )
    with pytest.raises(TypeError, match=message):
        cuda.forward(x, w, Geometry(4, 2), "NLC")


def test_mixed_dtypes_are_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    monkeypatch.setattr(cuda, "start", lambda launch, *a: started.append((launch.name, [str(b.dtype) for b in a])))
    y = cuda.forward(np.ones((1, 4, 2), "f4"), np.ones((2, 2, 1), "f8"), Geometry(4, 2), "NLC")
    assert y.dtype == "f8"
    assert started == [("convolve<double, int, 8, 2, 0, false, false>", ["float64"] * 3)]


def test_two_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = iter(["cuda:0", "cuda:1"] * 2)
    monkeypatch.setattr(cuda, "device_of", lambda array: next(devices))
    message = r"depthwise_conv1d: arguments must be on one device; .* Received: x on 'cuda:0', w on 'cuda:1'"
    with pytest.raises(TypeError, match=message):
        cuda.forward(np.ones((1, 4, 2)), np.ones((2, 2, 1)), Geometry(4, 2), "NLC")
