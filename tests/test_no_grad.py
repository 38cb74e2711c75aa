"""no_grad: contexts in any order, generators and coroutines, tasks; what differentiates within it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, detect_anomaly, grad, gradcheck, no_grad, ops
from minigrad.functional import hessian, hvp, jacobian, jvp, vjp

x = Tensor(np.array([2.0, 3.0]), requires_grad=True)


def records() -> bool:
    return (x * 2).requires_grad


@pytest.fixture(autouse=True)
def back_to_where_it_was() -> Iterator[None]:
    assert records()
    yield
    assert records()


def holding() -> Iterator[None]:
    with no_grad():
        yield


# ---------------------------------------------------------------------- as a context


def test_nested_and_entered_again() -> None:
    quiet = no_grad()
    for _ in range(2):
        with quiet:
            with quiet, no_grad():
                with quiet:
                    assert not records()
                assert not records()
            assert not records()
        assert records()


def test_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), no_grad(), no_grad():
        raise ZeroDivisionError


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_generators_that_end_in_any_order(order: tuple[int, ...]) -> None:
    generators = [holding() for _ in order]
    for generator in generators:
        next(generator)
    for i in order:
        assert not records()
        generators[i].close()  # type: ignore[attr-defined]
    assert records()


def test_a_generator_that_outlives_a_context() -> None:
    generator = holding()
    with no_grad():
        next(generator)
    assert not records()
    with no_grad():
        next(generator, None)
        assert not records()
    assert records()


def test_a_generator_that_is_closed_elsewhere() -> None:
    begun_elsewhere = holding()
    contextvars.copy_context().run(next, begun_elsewhere)
    assert records()
    begun_elsewhere.close()  # type: ignore[attr-defined]
    begun_here = holding()
    next(begun_here)
    assert not records()
    thread = threading.Thread(target=begun_here.close)  # type: ignore[attr-defined]
    thread.start()
    thread.join()
    assert records()


def test_a_generator_that_is_forgotten() -> None:
    generator = holding()
    next(generator)
    del generator
    gc.collect()
    assert records()


def test_a_task_keeps_what_it_began_with() -> None:
    seen: list[bool] = []

    async def work() -> None:
        for _ in range(3):
            seen.append(records())
            await asyncio.sleep(0)

    async def main() -> None:
        with no_grad():
            task = asyncio.create_task(work())
            await asyncio.sleep(0)
        assert records()
        await task
        assert records()

    asyncio.run(main())
    assert seen == [False] * 3  # and not one thing first and another later, amid its tape


# ---------------------------------------------------------------------- as a decorator


def test_functions() -> None:
    @no_grad()
    def quiet(a: int, *, b: int) -> tuple[int, bool]:
        """What it does."""
        return a + b, records()

    assert quiet(1, b=2) == (3, False)
    assert (quiet.__name__, quiet.__doc__) == ("quiet", "What it does.")


def test_generator_functions() -> None:
    log: list[Any] = []

    @no_grad()
    def echo(first: int) -> Any:
        try:
            got = yield first, records()
            while got is not None:
                try:
                    got = yield got, records()
                except KeyError as error:
                    got = error, records()
            return "done"
        finally:
            log.append(records())

    generator = echo(1)
    assert next(generator) == (1, False)
    assert records()  # between the values whoever takes them records
    assert generator.send(2) == (2, False)
    error = KeyError()
    assert generator.throw(error) == ((error, False), False)
    with pytest.raises(StopIteration, match="done"):
        generator.send(None)
    assert log == [False]
    again = echo(1)
    next(again)
    with pytest.raises(ZeroDivisionError):
        again.throw(ZeroDivisionError())
    closed = echo(1)
    next(closed)
    closed.close()
    assert log == [False] * 3

    def outer() -> Any:
        result = yield from echo(5)
        yield result, records()

    both = outer()
    assert next(both) == (5, False)
    assert both.send(None) == ("done", True)
    assert [value for value, _ in echo(7)] == [7]


def test_coroutines() -> None:
    @no_grad()
    async def quiet(name: str) -> list[bool]:
        seen = [records()]
        await asyncio.sleep(0)
        return [*seen, records()]

    async def loud() -> list[bool]:
        seen = [records()]
        await asyncio.sleep(0)
        return [*seen, records()]

    async def main() -> list[list[bool]]:
        return [await quiet("a"), *await asyncio.gather(quiet("b"), loud(), quiet("c"), loud()), await loud()]

    assert inspect.iscoroutinefunction(quiet)
    assert asyncio.run(main()) == [[False] * 2, [False] * 2, [True] * 2, [False] * 2, [True] * 2, [True] * 2]


def test_what_cannot_be_decorated() -> None:
    async def stream() -> AsyncIterator[int]:
        yield 1

    for what in (stream, dict):
        with pytest.raises(TypeError, match="no_grad: must decorate a function, a generator function or a coroutine"):
            no_grad()(what)


# ---------------------------------------------------------------------- what differentiates within


def test_functional_does_not_mind() -> None:
    at, v = Tensor(np.array([1.0, 3.0])), Tensor(np.array([2.0, -1.0]))
    with no_grad():
        assert vjp(lambda x: x**3, at, v)[1].tolist() == [6.0, -27.0]
        assert jvp(lambda x: x**3, at, v)[1].tolist() == [6.0, -27.0]
        assert hvp(lambda x: (x**3).sum(), at, v)[1].tolist() == [12.0, -18.0]
        assert jacobian(lambda x: x**3, at).tolist() == [[3.0, 0.0], [0.0, 27.0]]
        assert hessian(lambda x: (x**3).sum(), at).tolist() == [[6.0, 0.0], [0.0, 18.0]]
        assert not records()
        a, b = hvp(lambda a, b: (a * b * b).sum(), [x, x], [v, v], create_graph=True)[1]
    assert (a.tolist(), b.tolist()) == ([8.0, -6.0], [16.0, -12.0])  # 2 b v, and 2 b v + 2 a v
    assert grad(a.sum() + b.sum(), x).tolist() == [12.0, -6.0]
    assert jacobian(lambda x: no_grad()(lambda: x * x)() + x, at).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_the_line_of_the_user_is_found_behind_them() -> None:
    with detect_anomaly(), pytest.raises(FloatingPointError, match=r"called at .*test_no_grad\.py:\d+: vjp"):
        vjp(ops.log, Tensor([-1.0]))


def test_the_checker_does_not_mind() -> None:
    with no_grad():
        assert gradcheck(lambda x: x.tanh() * x, [Tensor([0.5, 2.0])], order=2).passed


def test_a_gradient_of_a_tape_within() -> None:
    y = (x**3).sum()
    with no_grad():
        g = grad(y, x, create_graph=True)
        assert grad(g, x, [1.0, 1.0]).tolist() == [12.0, 18.0]
