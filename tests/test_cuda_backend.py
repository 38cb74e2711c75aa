"""What `minigrad.backend` asks of CuPy, on a module that only writes down what it was told."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, backend, ops
from minigrad.kernels import cuda, depthwise
from minigrad.kernels.geometry import Geometry
from tests.emulation.fake import FakeArray, FakeDevice, installed


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    yield from installed(monkeypatch)


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


def test_a_step_that_runs_out_of_memory_leaves_nothing_behind() -> None:
    """The tape goes with the error; the next step finds everything as it was."""

    class OutOfMemoryError(MemoryError):
        pass

    held: list[weakref.ref[Tensor]] = []
    w = Tensor(np.ones(4), device="standin", requires_grad=True)

    def step(fails: bool) -> None:
        y = w * 2.0
        held.append(weakref.ref(y))
        if fails:
            raise OutOfMemoryError("Out of memory allocating 9,437,184 bytes")
        (y * y).sum().backward()

    with pytest.raises(OutOfMemoryError, match="allocating"):
        step(fails=True)
    assert held[0]() is None
    assert w.grad is None
    step(fails=False)
    assert w.grad is not None
    assert w.grad.tolist() == [8.0] * 4


@pytest.mark.parametrize("name", ["forward", "input_grad", "kernel_grad"])
def test_arrays_of_a_gpu_go_to_the_cuda_kernels(name: str, cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(cuda, name, lambda *given: asked.append(given))
    given = FakeArray(np.ones((1, 5, 2))), FakeArray(np.ones((1, 3, 2))), Geometry(5, 3), "NLC"
    getattr(depthwise, name)(*given)
    assert asked == [given]


def test_a_host_array_in_an_op_on_a_gpu_is_refused(cupy: Any) -> None:
    x, w = Tensor._output(FakeArray(np.ones((1, 5, 2))), None), np.ones((3, 2, 1))
    message = (
        r"depthwise_conv1d: arguments must be on one device; move one with \.to\(device\)\. "
        r"Received: x on 'cuda:0', w on 'cpu'"
    )
    with pytest.raises(TypeError, match=message):
        ops.depthwise_conv1d(x, w)
    with pytest.raises(TypeError, match="Received: x on 'cuda:0', w on 'cuda:1'"):
        ops.depthwise_conv1d(x, Tensor._output(FakeArray(w, device=1), None))
