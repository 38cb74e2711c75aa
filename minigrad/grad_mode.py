"""Whether ops write on the tape, in this thread or task: `no_grad`, and `recorded` for what differentiates itself."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any

recording: ContextVar[Any] = ContextVar("minigrad_recording", default=True)  # something true or false


@contextmanager
def recorded(state: bool = True) -> Iterator[None]:
    """A context in which ops are recorded, or not, whatever holds around it."""
    token = recording.set(state)
    try:
        yield
    finally:
        recording.reset(token)


class _Off:
    """What `recording` holds within one `no_grad`: false, and once that is over, what was before."""

    __slots__ = ("before", "over")

    def __init__(self, before: Any) -> None:
        self.before = before
        self.over = False

    def __bool__(self) -> bool:
        return self.over and bool(self.before)


class no_grad:  # noqa: N801
    """A context (and a decorator) in which nothing is recorded, in this thread or task alone.

    It may be nested and entered again. As a decorator it also takes generator functions and coroutines; nothing is
    recorded while their code runs. A ``with no_grad()`` around a ``yield`` holds for whoever takes the values, too.

    Raises:
        TypeError: it decorates a class or an asynchronous generator.

    >>> from minigrad import Tensor, no_grad
    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> with no_grad():
    ...     (w * 2).requires_grad
    False
    """

    def __init__(self) -> None:
        self._entered: list[_Off] = []

    def __enter__(self) -> None:
        off = _Off(recording.get())
        self._entered.append(off)
        recording.set(off)

    def __exit__(self, *error: object) -> None:
        off = recording.get()
        while type(off) is _Off and off not in self._entered:
            off = off.before
        if type(off) is not _Off:  # a generator may be closed in another thread than the one that began it
            off = self._entered[-1]
        self._entered.remove(off)
        if recording.get() is not off:  # generators may end in any order
            off.over = True
            return
        state = off.before
        while type(state) is _Off and state.over:
            state = state.before
        recording.set(state)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if isinstance(function, type) or isasyncgenfunction(function):
            raise TypeError(
                "no_grad: must decorate a function, a generator function or a coroutine; within others use "
                f"'with no_grad():'. Received: {function!r}"
            )
        if iscoroutinefunction(function):

            async def quiet(*args: Any, **kwargs: Any) -> Any:
                with no_grad():
                    return await function(*args, **kwargs)

        elif isgeneratorfunction(function):

            def quiet(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
                return _QuietGenerator(function(*args, **kwargs))

        else:

            def quiet(*args: Any, **kwargs: Any) -> Any:  # type: ignore[misc]
                with no_grad():
                    return function(*args, **kwargs)

        return wraps(function)(quiet)


class _QuietGenerator(Generator[Any, Any, Any]):
    """A generator that records nothing while it runs, and leaves alone whoever takes its values."""

    def __init__(self, generator: Generator[Any, Any, Any]) -> None:
        self._generator = generator

    def send(self, value: Any) -> Any:
        with no_grad():
            return self._generator.send(value)

    def throw(self, *error: Any) -> Any:
        with no_grad():
            return self._generator.throw(*error)
