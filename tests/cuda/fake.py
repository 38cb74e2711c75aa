"""A CuPy of which only as much is there as minigrad touches, and which writes down what it is told."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
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

    def __setitem__(self, index: Any, value: FakeArray) -> None:
        self.host[index] = value.host

    def astype(self, dtype: Any) -> FakeArray:
        return FakeArray(self.host.astype(dtype), self.device.id)

    def __mul__(self, other: Any) -> FakeArray:
        return self._kernel(np.multiply, other)

    def __add__(self, other: Any) -> FakeArray:
        return self._kernel(np.add, other)

    def _kernel(self, function: Any, other: Any) -> FakeArray:
        """What runs at once, or at every replay of the recording."""
        result = FakeArray(np.zeros_like(self.host), self.device.id)
        FakeStream.start(lambda: function(self.host, getattr(other, "host", other), out=result.host))
        return result


class FakeStream:
    """A stream that records what is started while it captures; or fails to, as CUDA does after what it forbids."""

    recording: list[Any] | None = None
    log: list[str] = []

    def __init__(self, non_blocking: bool = False) -> None:
        assert non_blocking, "CUDA refuses to capture the default stream"

    def __enter__(self) -> FakeStream:
        return self

    def __exit__(self, *args: Any) -> None:
        pass

    def synchronize(self) -> None:
        self.log.append("synchronize")

    def begin_capture(self) -> None:
        self.log.append("begin_capture")
        FakeStream.recording = []

    def end_capture(self) -> FakeGraph:
        self.log.append("end_capture")
        recorded, FakeStream.recording = FakeStream.recording, None
        assert recorded is not None
        return FakeGraph(recorded)

    @classmethod
    def start(cls, kernel: Any) -> None:
        if cls.recording is None:
            kernel()
        else:
            cls.recording.append(kernel)


class FakeGraph:
    """What was recorded."""

    def __init__(self, kernels: list[Any]) -> None:
        self.kernels = kernels

    def launch(self) -> None:
        for kernel in self.kernels:
            kernel()


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
        multiply=lambda a, b: a * b if isinstance(a, FakeArray) else b * a,
        ones_like=lambda a: FakeArray(np.ones_like(a.host), a.device.id),
        full_like=lambda a, value: FakeArray(np.full_like(a.host, value), a.device.id),
        cuda=SimpleNamespace(
            runtime=runtime, nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)), Device=FakeDevice, Stream=FakeStream,
            MemoryPool=lambda: SimpleNamespace(malloc="malloc of the pool"),
            using_allocator=lambda malloc: nullcontext(FakeStream.log.append(f"using {malloc}")),
            get_current_stream=lambda: FakeStream(non_blocking=True),
        ),
        _core=SimpleNamespace(
            _routines_linalg=linalg, set_compute_type=lambda dtype, kind: told.update({f"products of {dtype}": kind}),
        ),
    )


def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The fake in CuPy's place, forgotten afterwards: what a fixture yields from."""
    fake = fake_cupy()
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(FakeArray, "__module__", "cupy.fake")
    monkeypatch.setattr(backend, "_by_device", {k: m for k, m in backend._by_device.items() if k != "cuda"})
    monkeypatch.setattr(backend, "_by_type", dict(backend._by_type))
    types = set(backend.array_types)
    yield fake
    backend.array_types.clear()
    backend.array_types.update(types)
