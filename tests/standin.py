"""A stand-in for CuPy on any laptop: NumPy in another coat, registered under the device "standin".

Like CuPy's, its arrays refuse NumPy's functions and NumPy's arrays as partners, and its reductions return 0-D arrays
rather than NumPy scalars. Code that runs on it takes its functions from `array_module` alone. `copies_noted` writes
down what would cross the bus to the GPU or wait for it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, NoReturn

import numpy as np

from minigrad.backend import ArrayModule, register

PLAIN = (bool, int, float, complex, str, slice, type, np.dtype, type(None), type(Ellipsis), range)


class Copies(NamedTuple):
    """What was copied: from the stand-in to the host, and from the host to the stand-in."""

    to_host: list[str]
    to_device: list[str]


_noted: list[Copies] = []


@contextmanager
def copies_noted() -> Iterator[Copies]:
    """The copies within the context, each by what asked for it and the shape."""
    _noted.append(Copies([], []))
    try:
        yield _noted[-1]
    finally:
        _noted.pop()


kernels: list[str] = []  # what the last `kernels_noted` saw


@contextmanager
def kernels_noted() -> Iterator[list[str]]:
    """The operations within the context, each a kernel to launch on a GPU; views are none."""
    kernels.clear()
    yield kernels
    kernels[:] = [name for name in kernels if name not in ("reshape", "transpose", "swapaxes")]


def _to_host(how: str, shape: Any) -> None:
    for copies in _noted:
        copies.to_host.append(f"{how} of {shape}")


def _to_device(how: str, shape: Any) -> None:
    for copies in _noted:
        copies.to_device.append(f"{how} of {shape}")


class StandIn:
    """An array that keeps to its own kind."""

    __array_ufunc__ = None  # NumPy's operators and functions refuse it
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, array: np.ndarray) -> None:
        assert type(array) is np.ndarray
        self._array = array

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("standin: an implicit copy to the host")

    def __array_function__(self, function: Any, *args: Any) -> NoReturn:
        raise TypeError(f"standin: numpy.{function.__name__} was called with an array of another module")

    def __repr__(self) -> str:
        return f"standin({self._array!r})"

    def __len__(self) -> int:
        return len(self._array)

    def __bool__(self) -> bool:
        _to_host("bool", self.shape)
        return bool(self._array)

    def __float__(self) -> float:
        _to_host("float", self.shape)
        return float(self._array)

    def __int__(self) -> int:
        _to_host("int", self.shape)
        return int(self._array)

    def __index__(self) -> int:
        _to_host("index", self.shape)
        return self._array.__index__()

    def __getitem__(self, index: Any) -> Any:
        _note_index(index)
        return dressed(self._array[bare(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        _note_index(index)
        self._array[bare(index)] = bare(value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        found = getattr(self._array, name)
        if name in COUNTED:
            _to_host(name, self.shape)
        return wrapped_function(found) if callable(found) else dressed(found)


COUNTED = ("item", "tolist", "nonzero", "argwhere", "flatnonzero", "unique")  # values, or how many there are
MADE_OF_LISTS = ("array", "asarray", "ascontiguousarray")


def _note_index(index: Any) -> None:
    """Lists are copied to the device; how many elements a mask chooses is a number for the host."""
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, list):
            _to_device("index", np.shape(part))
        elif isinstance(part, StandIn) and part.dtype == bool:
            _to_host("mask", part.shape)


def bare(value: Any) -> Any:
    """NumPy's array in a stand-in; anything from NumPy itself is refused."""
    if isinstance(value, StandIn):
        return value._array
    if isinstance(value, (list, tuple)):
        return type(value)(bare(part) for part in value)
    if isinstance(value, PLAIN) or callable(value):
        return value
    raise TypeError(f"standin: mixed operands, a {type(value).__name__} among arrays of another module")


def dressed(value: Any) -> Any:
    """A stand-in around an array or a NumPy scalar; what is neither stays."""
    if isinstance(value, (np.ndarray, np.generic)):
        return StandIn(np.asarray(value))
    if isinstance(value, (list, tuple)) and any(isinstance(part, np.ndarray) for part in value):
        return type(value)(dressed(part) for part in value)
    return value


def wrapped_function(function: Any) -> Any:
    """A function of NumPy, from stand-ins to stand-ins."""

    @functools.wraps(function, updated=())
    def call(*args: Any, **kwargs: Any) -> Any:
        kernels.append(function.__name__)
        return dressed(function(*map(bare, args), **{name: bare(value) for name, value in kwargs.items()}))

    return call


def _operator(name: str) -> Any:
    def operate(self: StandIn, *others: Any) -> Any:
        kernels.append(name)
        return dressed(getattr(self._array, name)(*map(bare, others)))

    return operate


OPERATORS = (
    "add radd sub rsub mul rmul truediv rtruediv floordiv mod pow rpow matmul rmatmul neg abs invert and or xor "
    "rand ror eq ne lt le gt ge iadd isub imul itruediv iand ior"
)
for _name in OPERATORS.split():
    setattr(StandIn, f"__{_name}__", _operator(f"__{_name}__"))


class Module:
    """numpy's namespace, seen through stand-ins: ``xp.exp``, ``xp.add.at``, ``xp.lib.stride_tricks``."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if name in COUNTED:
            _to_host(name, "an array")
        if name in MADE_OF_LISTS:
            return _made(wrapped_function(found))
        if isinstance(found, type) or not (callable(found) or hasattr(found, "__dict__")):
            return found
        if isinstance(found, np.ufunc):
            call = wrapped_function(found)
            call.at = wrapped_function(found.at)
            call.accumulate = wrapped_function(found.accumulate)
            return call
        return wrapped_function(found) if callable(found) else Module(found)


def _made(make: Any) -> Any:
    """A function that makes arrays of lists and numbers too, which are copied to the device."""

    def call(value: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(value, StandIn):
            _to_device(make.__name__, np.shape(value))
        return make(value, *args, **kwargs)

    return call


def to_host(array: StandIn) -> np.ndarray:
    _to_host("to_host", array.shape)
    return array._array.copy()


def from_host(array: Any) -> StandIn:
    _to_device("from_host", np.shape(array))
    return StandIn(np.array(array))


xp = Module(np)
register(ArrayModule("standin", xp, StandIn, from_host, to_host))
