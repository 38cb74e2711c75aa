"""Where arrays live: the one file that imports NumPy or CuPy and picks ``xp`` by an array's type.

Every other file asks `array_module` for the module of the arrays in its hands, so the same code runs on
the CPU and on the GPU. CuPy is imported when a GPU is first asked for, never before.
"""

from __future__ import annotations

import importlib
import reprlib
from collections.abc import Callable
from contextlib import nullcontext
from contextvars import ContextVar
from sys import getrefcount
from typing import Any, NamedTuple

import numpy as np

Array = Any  # a numpy.ndarray, a cupy.ndarray, or an array of another registered module
HostArray = np.ndarray  # to ask quickly whether NumPy computes
Generator = np.random.Generator


class ArrayModule(NamedTuple):
    """One array library: its module, its array type, and the two copies to and from the host."""

    device: str
    xp: Any
    array_type: type
    from_host: Callable[[Any], Array]
    to_host: Callable[[Array], Any]


_shortened = reprlib.Repr()
_shortened.maxstring = _shortened.maxother = 100
_by_device: dict[str, ArrayModule] = {}
_by_type: dict[type, ArrayModule] = {}
number_types = {bool, int, float, complex, *(t for t in np.sctypeDict.values() if issubclass(t, (np.number, np.bool_)))}
array_types: dict[type, Any] = {}  # the array types proper, numpy.ndarray and cupy.ndarray, and their modules


def register(module: ArrayModule) -> None:
    """Make an array library known under its device name; the tests register a stand-in for CuPy."""
    _by_device[module.device] = module
    _by_type[module.array_type] = module
    array_types[module.array_type] = module.xp


register(ArrayModule("cpu", np, np.ndarray, np.asarray, np.array))


def _cuda() -> ArrayModule:
    """Import CuPy at first use; each way in which a GPU can be absent has its own sentence."""
    if "cuda" in _by_device:
        return _by_device["cuda"]
    try:
        cupy = importlib.import_module("cupy")
    except ImportError as error:
        raise ImportError(
            "device 'cuda': CuPy must be installed, for example with the extra 'cuda12' or 'cuda13' "
            f"(pip install -e \".[cuda12]\"). Received: {error}"
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy raises its own CUDARuntimeError, a type known only to CuPy
        raise RuntimeError(
            f"device 'cuda': an NVIDIA driver and a GPU must be present. Received: {error}"
        ) from error
    if count == 0:
        raise RuntimeError("device 'cuda': an NVIDIA driver and a GPU must be present. Received: 0 devices")
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:
        raise RuntimeError(
            "device 'cuda': NVRTC must be installed, since CuPy compiles its kernels with it; the extras "
            f"'cuda12' and 'cuda13' bring it along. Received: {error}"
        ) from error
    register(ArrayModule("cuda", cupy, cupy.ndarray, _not_captured(cupy.asarray), _not_captured(cupy.asnumpy)))
    _choose_products(cupy)
    return _by_device["cuda"]


capturing: ContextVar[Any] = ContextVar("minigrad_capturing", default=None)  # the Recording of minigrad.cuda, or None


def own_products(*arrays: Array) -> bool:
    """Whether our own kernel makes products of these arrays: on a GPU while a step is tried out and captured, since
    CuPy calls no cuBLAS in a capture.
    """
    return capturing.get() is not None and any(is_array(array) and on_gpu(array) for array in arrays)


def _not_captured(copy: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A copy between the host and a GPU; a step that is being captured cannot make one, for no replay would."""

    def checked(array: Any) -> Any:
        if (recording := capturing.get()) is not None and recording.records:
            raise RuntimeError(
                "capture: the step must not copy between the host and the GPU, as labels on the host and .item() do; "
                f"give such arrays to the step as inputs. Received: a copy of {describe(array)}"
            )
        return copy(array)

    return checked


_tf32 = False


def tf32() -> bool:
    """Whether products of float32 on a GPU may round their factors to TF32, of 10 bits: False until `set_tf32`."""
    return _tf32


def set_tf32(allowed: bool) -> None:
    """Let products of float32 on a GPU round their factors to TF32, or not. CUPY_TF32 has no say in it.

    This concerns products of two matrices. CuPy (14.2) multiplies stacks of matrices in float32 all the same: those of
    layers with channels first, forward and for the gradient of the input.

    On a GPU that has no TF32 (compute capability below 8.0) CuPy warns and computes in float32.

    Raises:
        TypeError: not True or False.
    """
    global _tf32
    if not isinstance(allowed, bool):
        raise TypeError(f"set_tf32: allowed must be True or False. Received: allowed={allowed!r}")
    _tf32 = allowed
    if "cuda" in _by_device:
        _choose_products(_by_device["cuda"].xp)


def _choose_products(cupy: Any) -> None:
    """Tell CuPy how to multiply float32; it asks the environment only where nobody has."""
    linalg = cupy._core._routines_linalg
    cupy._core.set_compute_type("float32", linalg.COMPUTE_TYPE_TF32 if _tf32 else linalg.COMPUTE_TYPE_DEFAULT)


def device_summary(device: str) -> str:
    """A device for people: its name, the library that computes there, and whether products may use TF32."""
    module, index = _module_for(device)
    if module.device != "cuda":
        return f"{device}, {module.xp.__name__} {module.xp.__version__}"
    gpu = module.xp.cuda.runtime.getDeviceProperties(module.xp.cuda.Device().id if index is None else index)
    choice = "on" if _tf32 else "off"
    return f"{device}, {gpu['name'].decode()}, CuPy {module.xp.__version__}, TF32 {choice}"


def _module_of(array: Any) -> ArrayModule:
    kind = type(array)
    if kind not in _by_type:
        if kind.__module__.partition(".")[0] == "cupy":
            _cuda()
        elif isinstance(array, (np.ndarray, np.generic, bool, int, float, complex)):
            _by_type[kind] = _by_device["cpu"]
    if kind not in _by_type:
        raise TypeError(f"array_module: an array or a number must be given. Received: {kind.__name__}")
    return _by_type[kind]


def array_module(*arrays: Array) -> Any:
    """The module (``xp``) that computes on these arrays, of which some may be plain numbers.

    >>> import numpy
    >>> array_module(numpy.zeros(3)) is numpy
    True
    """
    for array in arrays:
        if (xp := array_types.get(type(array))) is not None:
            return xp
    for array in arrays:
        if not isinstance(array, (bool, int, float, complex)):
            return _module_of(array).xp
    return np


def is_array(value: object) -> bool:
    """Whether ``value`` is an array of a known module (a NumPy scalar is one, a Python number is not)."""
    return type(value) in array_types or isinstance(value, (np.ndarray, np.generic))


def device_of(array: Array) -> str:
    """The device that holds ``array``: ``"cpu"``, ``"cuda:0"``, ..."""
    if type(array) is HostArray:  # as most are
        return "cpu"
    device = _module_of(array).device
    return f"cuda:{array.device.id}" if device == "cuda" else device


def _module_for(device: str) -> tuple[ArrayModule, int | None]:
    if not isinstance(device, str):
        raise TypeError(f"device: a name such as 'cpu' or 'cuda:0' must be given. Received: device={device!r}")
    name, _, index = device.partition(":")
    if name == "cuda" and (not index or index.isdigit()):
        return _cuda(), int(index) if index else None
    if device not in _by_device:
        raise ValueError(f"device: must be 'cpu', 'cuda' or 'cuda:N'. Received: device={device!r}")
    return _by_device[device], None


def module_for(device: str) -> Any:
    """The module (``xp``) that makes arrays on ``device``.

    Raises:
        ValueError: an unknown name.  ImportError, RuntimeError: a GPU that cannot be used, and why.
    """
    return _module_for(device)[0].xp


def move(array: Array, device: str) -> Array:
    """``array`` on ``device``; the same array when it is already there."""
    source = _module_of(array)
    target, index = _module_for(device)
    if target is source and index is None:
        return array
    if index is not None:
        count = target.xp.cuda.runtime.getDeviceCount()
        if index >= count:
            raise ValueError(f"device: must be one of {count} GPU(s). Received: device={device!r}")
        with target.xp.cuda.Device(index):
            return target.xp.asarray(array) if source is target else target.from_host(source.to_host(array))
    return target.from_host(source.to_host(array))


def to_host(array: Array) -> Any:
    """A NumPy copy of ``array``."""
    return _module_of(array).to_host(array)


def asarray(value: Any, dtype: Any = None, like: Array | None = None) -> Array:
    """``value`` as an array on the device of ``like`` (the CPU when there is none), copied only if it must be."""
    if is_array(value):
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError("array: a mask would be lost; give .filled(value) or .data. Received: a masked array")
        value = value if type(value) in array_types else np.asarray(value)
        return value if dtype is None or value.dtype == dtype else value.astype(dtype)
    try:
        array = np.asarray(value, dtype)
    except ValueError as error:
        raise ValueError(
            f"array: numbers must be given, and nested lists of them be of equal lengths. Received: {describe(value)}"
        ) from error
    if array.dtype.kind not in "biufc":
        raise TypeError(f"array: numbers must be given. Received: {describe(value)}")
    return array if like is None else _module_of(like).from_host(array)


def undisguised(value: Any) -> Any:
    """The array that a subclass of NumPy's, or an object of another library on the host, stands for; else itself."""
    kind = type(value)
    if kind in array_types or not hasattr(value, "__array__") or kind.__module__.partition(".")[0] == "cupy":
        return value
    return asarray(value)


def filled_like(array: Array, value: float) -> Array:
    """An array of the shape, dtype and device of ``array``, filled with ``value``."""
    return array_module(array).full_like(array, value)


def wide(array: Array) -> Array:
    """The array, or one of float32 in the place of float16: for sums, and for steps smaller than its numbers hold."""
    return array.astype("float32") if array.dtype.itemsize < 4 and array.dtype.kind == "f" else array


def _holders(array: Array) -> tuple[int, int]:
    """How many references there are to an array, and to the one that it is a view of."""
    base = array.base
    return getrefcount(array), getrefcount(base)


def _alone() -> tuple[int, int, int]:
    """What getrefcount says of an array that one variable holds; what `_holders` says then."""
    view = np.zeros(1)[:]
    return getrefcount(view), *_holders(view)


ALONE, _HELD, _VIEWED = _alone()


def unshared(array: Array) -> bool:
    """Whether the caller's one variable holds ``array``, and nobody else holds it or shares its memory.

    References are counted, as CPython does; where nobody counts them the answer is no.
    """
    base = array.base
    if base is None:
        return getrefcount(array) <= _HELD
    all_of_it = type(base) in array_types and base.base is None and base.size == array.size
    alone = all_of_it and getrefcount(array) <= _HELD and getrefcount(base) <= _VIEWED
    return alone and getattr(array.flags, "writeable", True)


def dtype_of(name: Any) -> Any:
    """The dtype object of a name such as ``"float32"``.

    Raises:
        TypeError: not a name of a dtype.
    """
    try:
        return np.dtype(name)
    except TypeError as error:
        raise TypeError(f"dtype: must name a NumPy dtype. Received: dtype={name!r}") from error


def is_inexact(dtype: Any) -> bool:
    """Whether ``dtype`` is floating or complex."""
    return dtype_of(dtype).kind in "fc"


def on_gpu(*arrays: Array) -> bool:
    """Whether one of the arrays is CuPy's."""
    return any(map(_on_gpu, arrays))


def _on_gpu(array: Array) -> bool:
    return type(array) is not HostArray and _module_of(array).device == "cuda"


def at_device_of(array: Array) -> Any:
    """A context in which new arrays and kernels go to the GPU that holds ``array``; on the CPU it does nothing."""
    return array.device if on_gpu(array) else nullcontext()


def address(array: Array) -> int:
    """Where the elements of ``array`` begin in the memory of its device."""
    return int(array.data.ptr if on_gpu(array) else array.ctypes.data)


def raw_kernel(source: str, name: str, options: tuple[str, ...]) -> Any:
    """The CUDA kernel ``name``, which may have template arguments, of a C++ source: compiled once for each GPU.

    It is called with the grid, the block, the arguments (Python integers become long long) and ``shared_mem``.
    """
    module = _cuda().xp.RawModule(code=source, options=options, name_expressions=(name,))
    return module.get_function(name)


def describe(array: Any) -> str:
    """An array as error messages show it: ``float32(2, 3)``; anything else as itself, long things shortened."""
    return f"{array.dtype}{array.shape}" if is_array(array) else _shortened.repr(array)


def format_array(array: Array, indent: int = 0) -> str:
    """The values of ``array`` for people, as NumPy prints them, long ones shortened."""
    return np.array2string(to_host(array), precision=5, separator=", ", threshold=60, prefix=" " * indent)


def host_generator(seed: Any = None) -> Generator:
    """A random generator on the host: both devices start from the same numbers."""
    return np.random.default_rng(seed)
