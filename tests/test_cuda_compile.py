"""The CUDA kernels as the compilers of CUDA see them, for three generations of GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from minigrad.kernels import cuda, cuda_product
from minigrad.kernels.geometry import Geometry
from tests.benchmarks.workloads import WORKLOADS, Workload
from tests.emulation import compilers, products

ARCHITECTURES = ("sm_75", "sm_80", "sm_90")

needs_nvcc = pytest.mark.skipif(compilers.nvcc() is None, reason="no nvcc is on this machine")
needs_nvrtc = pytest.mark.skipif(compilers.nvrtc() is None, reason="no NVRTC is on this machine")


def kernels_of(workload: Workload, dtype: str) -> set[str]:
    """The kernels that a step of this layer starts, in both data formats."""
    w = workload
    geometry = Geometry(w.length, w.taps, w.stride, w.dilation, w.pads)
    z = cuda.Sizes.of(w.batch * 16, w.channels, w.multiplier, geometry)
    names = {cuda.addition(z.filters, 9, dtype).name}
    for first in (False, True):
        names |= {cuda.convolution(z, dtype, first, back, True).name for back in (False, True)}
        names.add(cuda.correlation(z, dtype, first, True).name)
    return names


def kernels(dtype: str, workloads: list[Workload] = WORKLOADS) -> list[str]:
    return sorted(set().union(*(kernels_of(workload, dtype) for workload in workloads)))


@needs_nvcc
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_kernels_compile_and_stay_in_registers(arch: str, tmp_path: Path) -> None:
    chosen = [w for w in WORKLOADS if w.name in ("sepCNN", "QuartzNet C2")]
    names = kernels("float32", chosen) + kernels("float16", chosen[:1])
    report = compilers.compiled_by_nvcc(names, arch, tmp_path)
    assert len(compilers.registers(report)) == len(names)
    assert compilers.spilled(report) == 0


@needs_nvcc
@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_no_kernel_of_any_workload_spills(arch: str, dtype: str, tmp_path: Path) -> None:
    names = kernels(dtype)
    report = compilers.compiled_by_nvcc(names, arch, tmp_path)
    print(f"{arch} {dtype}: {len(names)} kernels, registers {sorted(compilers.registers(report))}")
    assert len(compilers.registers(report)) == len(names)
    assert compilers.spilled(report) == 0


@needs_nvcc
@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("dtypes", [("float32",), pytest.param(tuple(cuda.TYPES), marks=pytest.mark.slow)])
def test_products_compile_and_stay_in_registers(dtypes: tuple[str, ...], arch: str, tmp_path: Path) -> None:
    names = [name for dtype in dtypes for name in products.kernels(dtype)]
    report = compilers.compiled_by_nvcc(names, arch, tmp_path, cuda_product.SOURCE)
    print(f"{arch}: {len(names)} kernels, registers {sorted(compilers.registers(report))}")
    assert len(compilers.registers(report)) == len(names)
    assert compilers.spilled(report) == 0


@needs_nvrtc
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_kernels_compile_as_cupy_compiles_them(arch: str) -> None:
    for name in ("convolve_rows<__half, int, 9, 4, 5, true>", "correlate<float, long long, 5, 4, false>"):
        assert compilers.compiled_by_nvrtc(name, arch)[:4] == b"\x7fELF"
    for dtype in cuda.TYPES:
        assert compilers.compiled_by_nvrtc(products.kernels(dtype)[0], arch, cuda_product.SOURCE)[:4] == b"\x7fELF"


def test_spills_and_registers_are_read_from_a_report() -> None:
    report = (
        "    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads\n"
        "ptxas info    : Used 255 registers, used 1 barriers\n"
    )
    assert compilers.spilled(report) == 20
    assert compilers.registers(report) == [255]
