"""A CuPy that computes by NumPy on arrays which only CuPy's functions understand, and which records and replays.

It is as strict as CuPy where minigrad could go wrong: the host gets no number while a stream is captured, memory from
the host is asked of the pinned allocator, and an operation in a capture computes nothing until the graph is launched.
Memory that nobody holds any more is spoiled and given out again, also within a capture. Products, which CuPy leaves to
cuBLAS, are refused in a capture.
"""

from __future__ import annotations

import operator
import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    """An array on a GPU: numbers, a device, an address and memory. Views hold the array whose memory they show."""

    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, host: np.ndarray, device: int = 0, base: FakeArray | None = None, memory: PooledMemory | None = None
    ) -> None:
        self.host = host
        self.device = FakeDevice(device)
        self.data = SimpleNamespace(ptr=host.__array_interface__["data"][0])
        self.base = base
        self.memory = memory

    def __del__(self) -> None:
        if self.memory is not None:
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
        if result is array.host:
            return array
        if isinstance(result, np.ndarray) and result.base is not None and np.shares_memory(result, array.host):
            return FakeArray(result, device, array if array.base is None else array.base)
    made = _empty_like(np.asarray(result), device)
    host = made.host
    if FakeStream.recording is None:
        host[...] = result
    else:
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
    made = _empty_like(host, FakeDevice().id)
    made.host[...] = host
    return made


def _to_host(array: FakeArray) -> np.ndarray:
    _the_host_asks("asnumpy")
    return array.host.copy()


class FakeMemory:
    """Memory of a GPU, or pinned memory of the host."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.numbers = np.zeros(size, np.uint8)


class PooledMemory:
    """Memory of a pool, which goes back there when nobody holds it."""

    def __init__(self, memory: FakeMemory, pool: FakePool) -> None:
        self.memory = memory
        self.pool = weakref.ref(pool)

    def __del__(self) -> None:
        if (pool := self.pool()) is not None:
            pool.free.append(self.memory)


def _pointer(memory: Any, offset: int = 0) -> SimpleNamespace:
    return SimpleNamespace(mem=memory)


class FakePool:
    """A pool of memory. What came back last is given out first, and the smallest of it that suffices."""

    def __init__(self, allocate: Callable[[int], Any] = lambda size: _pointer(FakeMemory(size))) -> None:
        self.allocate = allocate
        self.free: list[FakeMemory] = []

    def malloc(self, size: int) -> Any:
        size = -(-max(size, 1) // 512) * 512
        block = min((b for b in reversed(self.free) if b.size >= size), key=lambda b: b.size, default=None)
        if block is None:
            block = self.allocate(size).mem
        else:
            self.free.remove(block)
        return _pointer(PooledMemory(block, self))

    def free_all_blocks(self) -> None:  # the pool itself does it when it is short of memory
        self.free.clear()


class Memory:
    """The allocator of the GPU's memory that is in force."""

    allocate: Callable[[int], Any]

    @classmethod
    @contextmanager
    def using(cls, allocate: Callable[[int], Any]) -> Iterator[None]:
        FakeStream.log.append(f"using {allocate.__qualname__}")
        before = cls.allocate
        cls.allocate = staticmethod(allocate)  # type: ignore[assignment]
        try:
            yield
        finally:
            cls.allocate = staticmethod(before)  # type: ignore[assignment]


class Pinned:
    """The allocator of the host's memory for copies to the GPU. CuPy uses it, and tells nobody which it is."""

    allocate: Callable[[int], Any]

    @classmethod
    def set(cls, allocate: Callable[[int], Any] | None) -> None:
        cls.allocate = staticmethod(allocate or (lambda size: _pointer(FakeMemory(size))))  # type: ignore[assignment]


def _empty_like(host: np.ndarray, device: int) -> FakeArray:
    """An array of this shape, dtype and order, with what nobody may read."""
    memory = Memory.allocate(host.nbytes).mem
    strides = np.empty_like(host).strides
    made = FakeArray(np.ndarray(host.shape, host.dtype, memory.memory.numbers, 0, strides), device, memory=memory)
    _spoil(made.host)
    return made


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
    return _empty_like(np.empty(shape, dtype), FakeDevice().id)


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
        cuda=SimpleNamespace(
            runtime=runtime, nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)), Device=FakeDevice, Stream=FakeStream,
            MemoryPool=FakePool, Memory=FakeMemory, MemoryPointer=_pointer, using_allocator=Memory.using,
            PinnedMemoryPool=FakePool, PinnedMemory=FakeMemory, PinnedMemoryPointer=_pointer,
            set_pinned_memory_allocator=Pinned.set, alloc_pinned_memory=lambda size: Pinned.allocate(size),
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
    for allocator in (Memory, Pinned):
        monkeypatch.setattr(allocator, "allocate", staticmethod(FakePool().malloc), raising=False)
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
