"""What the host does in a captured step, and does again before every replay.

A CUDA graph repeats kernels and nothing else. Three things of a training step happen on the host: an optimizer counts,
numbers such as the learning rate follow the count, and masks are drawn at random. While a step is captured, `each_time`
and `host_number` write down what to do again; numbers that change become `HostNumber`, whose place in the formulas of
the graph is a number in its memory. Outside, all of this is as if it were not there.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from numbers import Real
from typing import Any, NoReturn
from weakref import ref

from minigrad.backend import Array, Generator, array_types, asarray, capturing, device_of, move

_BLOCK = 64  # numbers that are copied to the GPU at once


def each_time(action: Callable[[], None]) -> None:
    """Do this on the host, and in a captured step once more before every replay."""
    if (recording := capturing.get()) is None or recording.acting:
        action()
    else:
        recording.each_time(action)


def host_number(ask: Callable[[], Any]) -> Any:
    """The number that ``ask`` returns; in a captured step, where every replay asks again, a `HostNumber`."""
    if (recording := capturing.get()) is None or recording.acting:
        return ask()
    return recording.number(ask)


def lifted(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of numbers that also takes `HostNumber`: then it is one itself, computed anew before every replay.

    >>> @lifted
    ... def smaller(a, b):
    ...     return min(a, b)
    >>> smaller(2.0, 1.0)
    1.0
    """

    @functools.wraps(function)
    def lift(*arguments: Any) -> Any:
        for argument in arguments:
            if type(argument) is HostNumber and (log := argument.log()) is not None:
                return log.derived(function, arguments)
        return function(*_now(arguments))

    return lift


class HostNumber:
    """A number of the host that changes from replay to replay, while a step is captured.

    Arithmetic with other numbers gives another one; with an array, the operation finds it in the graph's memory. The
    host cannot ask what it is, since the answer would hold for one replay alone; when the step is captured, it can.
    """

    __slots__ = ("_log", "arguments", "function", "value")
    __array_ufunc__ = None  # NumPy's scalars leave the work to it
    __hash__ = object.__hash__

    def __init__(
        self, log: HostLog, function: Callable[..., Any] | None, arguments: tuple[Any, ...], value: Any
    ) -> None:
        self._log = ref(log)
        self.function = function  # of the arguments; None for a number that the host was asked for, the value
        self.arguments = arguments
        self.value = value

    def now(self) -> Any:
        """What it is in the coming replay."""
        if self.function is None:
            return self.value
        return self.function(*_now(self.arguments))

    def log(self) -> HostLog | None:
        """The log of the step, while it is captured and depends on what this is."""
        recording: HostLog | None = capturing.get()
        return None if recording is None or recording.acting or recording is not self._log() else recording

    def known(self) -> Any:
        """What it is, for the host.

        Raises:
            RuntimeError: the step is being captured.
        """
        if self.log() is not None:
            raise RuntimeError(
                "capture: the step must not depend on what a number of the host is that changes from step to step, as "
                "the learning rate and the count of an optimizer do: formulas of + - * / ** may contain it, and "
                f"functions that minigrad.cuda.lifted was told of. Received: a question for a number, now {self.now()}"
            )
        return self.now()

    def __bool__(self) -> bool:
        return bool(self.known())

    def __float__(self) -> float:
        return float(self.known())

    def __int__(self) -> int:
        return int(self.known())

    def __index__(self) -> int:
        return operator.index(self.known())

    def __cupy_get_ndarray__(self) -> NoReturn:  # CuPy asks for it where it is given no array and no plain number
        raise RuntimeError(
            "capture: a number of the host that changes from step to step, as the learning rate, must meet arrays by "
            "+ - * / ** alone, not in place and not in functions of CuPy: w -= rate * g will do, and w[...] = w * rate "
            f"for w *= rate. Received: the number, now {self.now()}"
        )

    def __repr__(self) -> str:
        return f"HostNumber({self.now()})"

    def __neg__(self) -> Any:
        return lifted(operator.neg)(self)

    def __abs__(self) -> Any:
        return lifted(abs)(self)


def _now(arguments: tuple[Any, ...]) -> list[Any]:
    """The arguments as plain numbers."""
    return [a.now() if type(a) is HostNumber else a for a in arguments]


def _install_arithmetic(name: str) -> None:
    """An operator between a HostNumber and a number or an array, on either side."""
    function = getattr(operator, name)
    of_numbers = lifted(function)

    def combine(number: HostNumber, other: Any, swapped: bool) -> Any:
        if isinstance(other, (Real, HostNumber)):
            return of_numbers(other, number) if swapped else of_numbers(number, other)
        if type(other) not in array_types:
            return NotImplemented
        log = number.log()
        place = number.now() if log is None else log.place(number, other)
        return function(other, place) if swapped else function(place, other)

    setattr(HostNumber, f"__{name}__", lambda self, other: combine(self, other, False))
    setattr(HostNumber, f"__r{name}__", lambda self, other: combine(self, other, True))


def _install_comparison(name: str) -> None:
    function = getattr(operator, name)
    setattr(HostNumber, f"__{name}__", lambda self, other: function(self.known(), other))


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow"):
    _install_arithmetic(_name)
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    _install_comparison(_name)


class HostLog:
    """What the host does in one step, in its order."""

    records = False  # whether kernels are recorded at present, rather than run
    acting = False  # whether an action of `each_time` or a question of `host_number` is under way

    def __init__(self, xp: Any) -> None:
        self._xp = xp
        self._written = xp.cuda.MemoryPool()  # where the host writes before a replay: no kernel of the graph does
        self.streams: dict[Generator, Any] = {}  # each as it was before the first draw
        self.begin()

    def begin(self) -> None:
        """Forget the step before, but not how the random streams were."""
        self._actions: list[Callable[[], None]] = []
        self._asked: dict[Callable[[], Any], HostNumber] = {}
        self._derived: dict[Any, HostNumber] = {}
        self._places: dict[Any, Array] = {}
        self._blocks: dict[Any, list[tuple[Array, list[HostNumber]]]] = {}  # by dtype

    def _act(self, action: Callable[[], None]) -> None:
        self._actions.append(action)
        self.acting = True
        try:
            action()
        finally:
            self.acting = False

    def each_time(self, action: Callable[[], None]) -> None:
        """Do it, and note it; answers of the host may be others from now on."""
        self._asked.clear()
        self._act(action)

    def number(self, ask: Callable[[], Any]) -> HostNumber:
        """What ``ask`` returns here."""
        if ask not in self._asked:
            number = self._asked[ask] = HostNumber(self, None, (), None)
            self._act(lambda: setattr(number, "value", ask()))
        return self._asked[ask]

    def derived(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> HostNumber:
        """A function of numbers, the same object for the same arguments."""
        key = (function, *arguments)
        if key not in self._derived:
            self._derived[key] = HostNumber(self, function, arguments, None)
        return self._derived[key]

    def place(self, number: HostNumber, other: Array) -> Array:
        """An array of no axes that holds the number when the kernels run, in the dtype it takes beside ``other``."""
        now = number.now()
        dtype = self._xp.result_type(other.dtype, now)  # a fraction beside integers or booleans is no integer
        key = (number, dtype)
        if key not in self._places:
            self._places[key] = self._placed(number, dtype) if self.records else self._xp.full((), now, dtype)
        return self._places[key]

    def _placed(self, number: HostNumber, dtype: Any) -> Array:
        blocks = self._blocks.setdefault(dtype, [])
        if not blocks or len(blocks[-1][1]) == _BLOCK:
            blocks.append((self._outside((_BLOCK,), dtype), []))
        block, numbers = blocks[-1]
        numbers.append(number)
        return block[len(numbers) - 1 : len(numbers)].reshape(())

    def _outside(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """An array that the host writes before each replay. The graph's own pool would give it memory in which kernels
        recorded before leave what they no longer need: they would write there after the host.
        """
        with self._xp.cuda.using_allocator(self._written.malloc):
            return self._xp.empty(shape, dtype)

    def drawn(self, draw: Callable[[], Array], stream: Generator, device: str) -> Array:
        """What is drawn from a stream of the host, on the GPU."""
        self.streams.setdefault(stream, stream.bit_generator.state)
        array = draw()
        if not self.records:
            return move(array, device)
        place = self._outside(array.shape, array.dtype)
        self._actions.append(lambda: place.__setitem__(..., move(draw(), device)))
        return place

    def rewind(self) -> None:
        """Let the random streams be as they were."""
        for stream, state in self.streams.items():
            stream.bit_generator.state = state

    def replay(self) -> None:
        """Do it all again, and copy what the kernels will read."""
        for action in self._actions:
            action()
        for dtype, blocks in self._blocks.items():
            for block, numbers in blocks:
                values = [number.now() for number in numbers]
                block[...] = move(asarray(values + [0.0] * (_BLOCK - len(values)), dtype), device_of(block))
