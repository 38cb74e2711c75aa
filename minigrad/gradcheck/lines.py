"""A subject along a line, and what its ops do there: which drop imaginary parts, which compute with few digits."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from minigrad.backend import Array, Generator, array_module, device_of, is_array, module_for, move
from minigrad.gradcheck import numeric
from minigrad.gradcheck.numeric import Settings
from minigrad.gradcheck.subject import Differentiable, random_signs, values
from minigrad.ops.op import Op, watching
from minigrad.tape import Node, Value

host: Any = module_for("cpu")


def line_along(subject: Differentiable, moves: dict[int, Any], project: Any = None) -> numeric.Line:
    """The function t -> outputs at x + t v, for inputs x and vectors v by number; t may be complex."""
    directions = {i: move(v.reshape(subject.arrays[i].shape), device_of(subject.arrays[i])) for i, v in moves.items()}
    real = list(subject.arrays)
    wide: list[Array] = []

    def line(t: complex) -> Any:
        if isinstance(t, complex) and not wide:
            wide.extend(x.astype("complex128") for x in subject.arrays)
        arrays = wide if isinstance(t, complex) else real
        for i, v in directions.items():
            arrays[i] = subject.arrays[i] + t * v
        y = values(subject, arrays)
        return y if project is None else (project @ y)[None]

    return line


def not_analytic(line: numeric.Line, center: Any, settings: Settings, scale: float) -> str:
    """Why complex steps cannot be used along a line; "" when they can."""
    value, why = by_complex_step(line, settings.step_for("complex", scale))
    if why:
        return why
    known = numeric.search(line, center, numeric.steps_for(scale)[:4], settings.eps, settings.rtol)
    if known.kink.any():
        return "f has a kink here"
    right = abs(value - known.value) <= 1e-6 * abs(known.value).max() + 10 * known.error
    return "" if right.all() else "f is not analytic"


def by_complex_step(line: numeric.Line, h: float, continued: bool = False) -> tuple[Any, str]:
    """The derivative by a complex step, and in words the first op that stands in its way; "" if none does.

    An op does that cannot compute on complex numbers, or drops the imaginary part. ``continued`` takes z or -z for
    |z|, by the sign of the real part: what |x| is on either side of 0, continued.
    """
    blamed: list[str] = []

    def watcher(op: Op, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        arrays = [x.data if isinstance(x, Value) else x for x in inputs]
        moved = any(is_array(x) and x.dtype.kind == "c" and x.imag.any() for x in arrays)
        if continued and moved and op.name == "abs":
            return inputs[0] * array_module(arrays[0]).sign(arrays[0].real)
        blamed.append(op.name)  # in case it raises
        y = op(*inputs, **attributes)
        if y.dtype.kind != "f" or not moved:
            blamed.pop()
        return y

    try:
        with host.errstate(all="ignore"), warnings.catch_warnings(), watching(watcher):
            warnings.simplefilter("ignore")  # of imaginary parts that are dropped
            value = numeric.complex_step(line, h)
    except (TypeError, ValueError, RuntimeError) as error:
        return None, f"{f'op {blamed[-1]}' if blamed else 'f'} cannot compute on complex numbers ({error})"
    return value, f"op {blamed[0]} is not analytic" if blamed else ""


def narrow_op(run: Callable[[], Any]) -> tuple[str, str]:
    """The op that computes with the fewest digits while ``run`` runs, and its dtype; two empty strings for float64."""
    found: dict[int, tuple[str, str]] = {}

    def watcher(op: Op, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        y = op(*inputs, **attributes)
        if y.dtype.kind == "f" and y.dtype.itemsize < 8:
            found.setdefault(y.dtype.itemsize, (op.name, str(y.dtype)))
        return y

    with watching(watcher):
        run()
    return found[min(found)] if found else ("", "")


@contextmanager
def shaking(rng: Generator, eps: float) -> Iterator[None]:
    """A context in which the result of every op changes at random in its last digit (Vignes, Discrete stochastic
    arithmetic, Numerical Algorithms 37, 2004): what changes much is not known to many digits.
    """

    def watcher(op: Op, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        y = op(*inputs, **attributes)
        if y.dtype.kind not in "fc":
            return y
        array = y.data if isinstance(y, Value) else y
        size = eps * float(host.finfo(array.dtype).eps / host.finfo("float64").eps)
        shaken = array * (1.0 + size * move(random_signs(rng, array.shape), device_of(array))).astype(array.dtype)
        if not isinstance(y, Value):
            return shaken
        if isinstance(y.node, Node) and y.node.saved is not None:  # a rule may use the result
            y.node.saved = [shaken if kept is array else kept for kept in y.node.saved]
        return y._output(shaken, y.node)

    with watching(watcher):
        yield
