"""A CuPy that computes by NumPy on arrays which only CuPy's functions understand, and which records and replays.

It is as strict as CuPy where minigrad could go wrong: the host gets no number while a stream is captured, memory from
the host is asked of the pinned allocator, an operation in a capture computes nothing until the graph is launched, and
memory that nobody holds any more is spoiled. Products, which CuPy leaves to cuBLAS, are refused in a capture.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import pytest

from minigrad import backend
from minigrad.kernels import cuda, cuda_product, depthwise


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
    """An array on a GPU: host numbers, a device and an address. Views hold the array whose memory they show."""

    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: np.ndarray, device: int = 0, base: FakeArray | None = None, owns: bool = False) -> None:
        self.host = host
        self.device = FakeDevice(device)
        self.data = SimpleNamespace(ptr=0x7F00_0000_0010 + device)
        self.base = base
        self.owns = owns

    def __del__(self) -> None:
        if self.owns:
            _spoil(self.host)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "host":
            raise AttributeError(name)
        found = getattr(self.host, name)
        if name in ("item", "tolist"):
            _the_host_asks(name)
            return found
        if callable(found):
            return lambda *args, **named: kernel(_method(name), self, *args, **named)
        return kernel(operator.attrgetter(name), self) if isinstance(found, np.ndarray) else found

    def __array__(self, *args: Any, **named: Any) -> NoReturn:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __len__(self) -> int:
        return len(self.host)

    def __bool__(self) -> bool:
        _the_host_asks("bool")
        return bool(self.host)

    def __float__(self) -> float:
        _the_host_asks("float")
        return float(self.host)

    def __int__(self) -> int:
        _the_host_asks("int")
        return int(self.host)

    def __getitem__(self, index: Any) -> FakeArray:
        for part in index if isinstance(index, tuple) else (index,):
            if isinstance(part, (list, np.ndarray)):
                _from_host(np.asarray(part))
        return kernel(_getitem, self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        host, place, number = self.host, bare(index), bare(value)  # a graph holds memory, not arrays
        FakeStream.start(lambda: host.__setitem__(place, number))


def _getitem(host: np.ndarray, index: Any) -> Any:
    if isinstance(index, np.ndarray) and index.dtype.kind in "iu":
        index = index % len(host)  # CuPy wraps around what is out of bounds
    return host[index]


def _method(name: str) -> Callable[..., Any]:
    return lambda host, *args, **named: getattr(host, name)(*args, **named)


def _spoil(host: np.ndarray) -> None:
    """Fill memory with what nobody may read."""
    if host.flags.writeable:
        host.fill(np.nan if host.dtype.kind in "fc" else 77)


def bare(value: Any) -> Any:
    """NumPy's arrays in the place of fakes; NumPy's own are refused."""
    if isinstance(value, FakeArray):
        return value.host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, (list, tuple)):
        return type(value)(bare(part) for part in value)
    return bare(value.__cupy_get_ndarray__()) if hasattr(value, "__cupy_get_ndarray__") else value


def _fakes(values: Any) -> Iterator[FakeArray]:
    for value in values:
        if isinstance(value, FakeArray):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _fakes(value)


CUBLAS = (operator.matmul, np.matmul, np.tensordot, np.einsum, np.dot, np.inner, np.vdot)  # what CuPy leaves to it


def kernel(function: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """What runs at once, or at every replay of the recording; views are no kernels."""
    if function in CUBLAS and FakeStream.recording is not None:
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")
    given = list(_fakes((*args, *named.values())))
    device = given[0].device.id if given else FakeDevice().id
    if any(array.device.id != device for array in given):
        raise ValueError("Array device must be same as the current device")
    hosts, options = bare(list(args)), {name: bare(value) for name, value in named.items()}

    def compute() -> Any:
        with np.errstate(all="ignore"):  # what is recorded computes with what happens to be there
            return function(*hosts, **options)

    if "out" in named:
        FakeStream.start(compute)
        return named["out"]
    result = compute()
    if not isinstance(result, (np.ndarray, np.generic)):
        return result
    for array in given:
        if isinstance(result, np.ndarray) and result.base is not None and np.shares_memory(result, array.host):
            return FakeArray(result, device, array if array.base is None else array.base)
        if result is array.host:
            return array
    made = FakeArray(np.array(result), device, owns=True)
    if FakeStream.recording is not None:
        _spoil(made.host)
        host = made.host
        FakeStream.start(lambda: host.__setitem__(..., compute()))
    return made


BOTH_SIDES = "add sub mul truediv floordiv mod pow matmul and or xor"
ONE_SIDE = "neg abs invert eq ne lt le gt ge"
IN_PLACE = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.true_divide}


def _install(name: str, function: Any, swapped: bool = False, in_place: bool = False) -> None:
    def operate(self: FakeArray, *others: Any) -> Any:
        strange = any(
            not isinstance(other, FakeArray) and getattr(other, "__array_ufunc__", 0) is None for other in others
        )
        if strange and not in_place:
            return NotImplemented  # as CuPy leaves the work, if not in place, to what NumPy must not touch
        operands = (*others, self) if swapped else (self, *others)
        return kernel(function, *operands, out=self) if in_place else kernel(function, *operands)

    setattr(FakeArray, f"__{name}__", operate)


for _name in f"{BOTH_SIDES} {ONE_SIDE}".split():
    _install(_name, getattr(operator, f"__{_name}__"))
for _name in BOTH_SIDES.split():
    _install(f"r{_name}", getattr(operator, f"__{_name}__"), swapped=True)
for _name, _ufunc in IN_PLACE.items():
    _install(f"i{_name}", _ufunc, in_place=True)


class Copies:
    """How often the host asked, and what was copied to the GPU, by shape."""

    to_host: list[str] = []
    to_device: list[tuple[int, ...]] = []

    @classmethod
    def clear(cls) -> None:
        cls.to_host.clear()
        cls.to_device.clear()


def _the_host_asks(how: str) -> None:
    if FakeStream.recording is not None:
        raise RuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing")
    Copies.to_host.append(how)


def _from_host(host: np.ndarray) -> FakeArray:
    Pinned.allocate(host.nbytes)
    Copies.to_device.append(host.shape)
    return FakeArray(np.array(host), FakeDevice().id, owns=True)


def _to_host(array: FakeArray) -> np.ndarray:
    _the_host_asks("asnumpy")
    return array.host.copy()


class Pinned:
    """Where CuPy gets the host's memory for copies to the GPU."""

    @staticmethod
    def malloc(size: int) -> str:
        return f"{size} bytes"

    allocate: Callable[[int], Any] = malloc

    @classmethod
    def set(cls, allocate: Callable[[int], Any]) -> None:
        cls.allocate = staticmethod(allocate)  # type: ignore[assignment]


class FakeMemory:
    """Memory of a GPU, given back when nobody holds it."""

    def __init__(self, size: int) -> None:
        self.size = size


class FakePool:
    """A pool of memory, of which nothing is in use after it was given out."""

    def __init__(self, allocate: Callable[[int], Any]) -> None:
        self.allocate = allocate
        self.free: list[FakeMemory] = []

    def malloc(self, size: int) -> None:
        self.free.append(self.allocate(size).mem)

    def free_all_blocks(self) -> None:  # the pool itself does it when it is short of memory
        self.free.clear()


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


def _concatenate(arrays: list[FakeArray], axis: int = 0) -> Any:
    if len(arrays) > 8:  # by a list of addresses
        Pinned.allocate(8 * len(arrays))
    return kernel(np.concatenate, arrays, axis)


def _empty(shape: Any, dtype: Any = float) -> FakeArray:
    made = FakeArray(np.empty(shape, dtype), FakeDevice().id, owns=True)
    _spoil(made.host)
    return made


def _asarray(value: Any) -> FakeArray:
    return value if isinstance(value, FakeArray) else _from_host(np.asarray(value))


class FakeCupy(SimpleNamespace):
    """The module: what is not written down here is NumPy's, as a kernel."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if isinstance(found, type) or not callable(found):
            return found

        def call(*args: Any, **named: Any) -> Any:
            return kernel(found, *args, **named)

        if isinstance(found, np.ufunc):
            call.at = lambda *args: FakeStream.start(partial(found.at, *bare(args)))  # type: ignore[attr-defined]
        return call


def fake_cupy() -> Any:
    """CuPy as far as minigrad knows it."""
    told: dict[str, Any] = {"modules": []}

    class RawModule:
        def __init__(self, **given: Any) -> None:
            told["modules"].append(given)

        def get_function(self, name: str) -> str:
            return f"compiled {name}"

    linalg = SimpleNamespace(COMPUTE_TYPE_DEFAULT=1, COMPUTE_TYPE_TF32=7)
    runtime = SimpleNamespace(getDeviceCount=lambda: 2, getDeviceProperties=lambda i: {"name": f"GPU {i}".encode()})
    return FakeCupy(
        told=told, __version__="14.2.0", ndarray=FakeArray, RawModule=RawModule,
        asarray=_asarray, asnumpy=_to_host, empty=_empty, concatenate=_concatenate,
        get_default_pinned_memory_pool=lambda: Pinned,
        cuda=SimpleNamespace(
            runtime=runtime, nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)), Device=FakeDevice, Stream=FakeStream,
            MemoryPool=FakePool, Memory=FakeMemory, MemoryPointer=lambda memory, offset: SimpleNamespace(mem=memory),
            set_pinned_memory_allocator=Pinned.set,
            using_allocator=lambda malloc: nullcontext(FakeStream.log.append(f"using {malloc.__qualname__}")),
            get_current_stream=lambda: FakeStream(non_blocking=True),
        ),
        _core=SimpleNamespace(
            _routines_linalg=linalg, set_compute_type=lambda dtype, kind: told.update({f"products of {dtype}": kind}),
        ),
    )  # fmt: skip


def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The fake in CuPy's place, forgotten afterwards: what a fixture yields from."""
    fake = fake_cupy()
    monkeypatch.setitem(sys.modules, "cupy", fake)
    monkeypatch.setattr(FakeArray, "__module__", "cupy.fake")
    monkeypatch.setattr(backend, "_by_device", {k: m for k, m in backend._by_device.items() if k != "cuda"})
    monkeypatch.setattr(backend, "_by_type", dict(backend._by_type))
    monkeypatch.setattr(Pinned, "allocate", staticmethod(Pinned.malloc))
    types = dict(backend.array_types)
    yield fake
    backend.array_types.clear()
    backend.array_types.update(types)


def with_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own kernels on the fake, in a capture too, by NumPy."""
    for name in ("forward", "input_grad", "kernel_grad"):
        on_host = getattr(depthwise, name)
        monkeypatch.setattr(cuda, name, lambda *given, on_host=on_host: kernel(on_host, *given))

    def matmul(a: FakeArray, b: FakeArray, out: FakeArray | None = None) -> Any:
        options = {} if out is None else {"out": out}
        return kernel(lambda a, b, **options: np.matmul(a, b, **options), a, b, **options)

    def matmul_sum(a: FakeArray, b: FakeArray) -> Any:
        return kernel(lambda a, b: np.tensordot(a, b, ((0, 2), (0, 1))), a, b)

    monkeypatch.setattr(cuda_product, "matmul", matmul)
    monkeypatch.setattr(cuda_product, "matmul_sum", matmul_sum)
