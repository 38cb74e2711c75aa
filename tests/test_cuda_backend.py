"""What `minigrad.backend` asks of CuPy, on a module that only writes down what it was told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minigrad import backend


class FakeDevice:
    """A GPU as CuPy names it; entered, it is the present one."""

    present: list[int] = [0]

    def __init__(self, index: int | None = None) -> None:
        self.id = self.present[-1] if index is None else index

    def __enter__(self) -> FakeDevice:
        self.present.append(self.id)
        return self

    def __exit__(self, *args: Any) -> None:
        self.present.pop()


class FakeArray:
    """An array on a GPU: host numbers, a device and an address."""

    def __init__(self, host: np.ndarray, device: int = 0) -> None:
        self.host = host
        self.device = FakeDevice(device)
        self.data = SimpleNamespace(ptr=0x7F00_0000_0010 + device)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.host, name)


def fake_cupy() -> Any:
    """CuPy as far as minigrad's backend knows it."""
    told: dict[str, Any] = {"modules": []}

    class RawModule:
        def __init__(self, **given: Any) -> None:
            told["modules"].append(given)

        def get_function(self, name: str) -> str:
            return f"compiled {name}"

    linalg = SimpleNamespace(COMPUTE_TYPE_DEFAULT=1, COMPUTE_TYPE_TF32=7)
    runtime = SimpleNamespace(getDeviceCount=lambda: 2, getDeviceProperties=lambda i: {"name": f"GPU {i}".encode()})
    return SimpleNamespace(
        told=told, __version__="14.2.0", ndarray=FakeArray, RawModule=RawModule,
        asarray=lambda a: FakeArray(np.array(a), FakeDevice.present[-1]), asnumpy=lambda a: a.host.copy(),
        result_type=lambda *arrays: np.result_type(*(a.host for a in arrays)),
        cuda=SimpleNamespace(runtime=runtime, nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)), Device=FakeDevice),
        _core=SimpleNamespace(
            _routines_linalg=linalg, set_compute_type=lambda dtype, kind: told.update({f"products of {dtype}": kind}),
        ),
    )


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A CuPy that is forgotten afterwards."""
    fake = fake_cupy()
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(FakeArray, "__module__", "cupy.fake")
    monkeypatch.setattr(backend, "_by_device", {k: m for k, m in backend._by_device.items() if k != "cuda"})
    monkeypatch.setattr(backend, "_by_type", dict(backend._by_type))
    types = set(backend.array_types)
    yield fake
    backend.array_types.clear()
    backend.array_types.update(types)


def test_tf32_is_off_whatever_the_environment_says(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUPY_TF32", "1")
    backend.module_for("cuda")
    assert cupy.told["products of float32"] == cupy._core._routines_linalg.COMPUTE_TYPE_DEFAULT
    assert not backend.tf32()
    assert backend.device_summary("cuda:1") == "cuda:1, GPU 1, CuPy 14.2.0, TF32 off"


def test_tf32_can_be_allowed_before_and_after_cupy_is_imported(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "_tf32", False)
    backend.set_tf32(True)
    assert "products of float32" not in cupy.told
    assert backend.device_summary("cuda") == "cuda, GPU 0, CuPy 14.2.0, TF32 on"
    assert cupy.told["products of float32"] == cupy._core._routines_linalg.COMPUTE_TYPE_TF32
    backend.set_tf32(False)
    assert cupy.told["products of float32"] == cupy._core._routines_linalg.COMPUTE_TYPE_DEFAULT
    with pytest.raises(TypeError, match=r"set_tf32: allowed must be True or False\. Received: allowed=1"):
        backend.set_tf32(1)  # type: ignore[arg-type]


def test_the_summary_of_the_cpu_names_numpy() -> None:
    assert backend.device_summary("cpu") == f"cpu, numpy {np.__version__}"


def test_kernels_are_compiled_by_name(cupy: Any) -> None:
    assert backend.raw_kernel("source", "kernel<float>", ("-std=c++17",)) == "compiled kernel<float>"
    assert cupy.told["modules"] == [
        {"code": "source", "options": ("-std=c++17",), "name_expressions": ("kernel<float>",)}
    ]


def test_arrays_of_a_gpu_are_known_by_their_address_and_device(cupy: Any) -> None:
    backend.module_for("cuda")
    array, host = FakeArray(np.ones(3), device=1), np.ones(3)
    assert backend.on_gpu(host, array)
    assert not backend.on_gpu(host, 1.0)
    assert backend.address(array) == array.data.ptr
    assert backend.address(host) == host.ctypes.data
    with backend.at_device_of(array):
        assert FakeDevice().id == 1
    with backend.at_device_of(host):
        assert FakeDevice().id == 0
