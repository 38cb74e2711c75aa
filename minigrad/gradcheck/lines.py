"""A subject along a line, and what its ops do there: which drop imaginary parts, which compute with few digits."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from minigrad.backend import Array, Generator, array_module, device_of, is_array, module_for, move, to_host
from minigrad.functional import leaf
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

    An op does that cannot compute on complex numbers, or drops the imaginary part. ``continued`` takes what an op is
    on real numbers nearby: z or -z for |z|, z for z converted to real numbers, a constant for its sign.
    """
    found, why = _at_complex(line, 1j * h, continued)
    return None if found is None else found.imag / h, why


def stands_still(line: numeric.Line, center: Any, h: float, scale: float) -> tuple[Any, bool]:
    """Which outputs do not move along a line by complex steps or, without them, by steps of the size of what moves, for
    one that is the same at small steps may be flat only nearby, or round off what it does; and whether f takes them.
    """
    value, why = by_complex_step(line, h, continued=True)
    return (value == 0, True) if not why else ((line(scale) == center) & (line(-scale) == center), False)


def moves_outside(line: numeric.Line, h: float, scale: float) -> bool:
    """Whether f computes real numbers of its input outside the ops, as NumPy's norm does: complex steps miss them."""
    here: list[Any] = []
    there: list[Any] = []
    for t, real in ((0.0, here), (scale / 64, there)):
        if _at_complex(line, complex(t, h), True, real)[1]:
            return True
    return len(here) != len(there) or not all(map(host.array_equal, here, there))


def _at_complex(
    line: numeric.Line, t: complex, continued: bool, real: list[Any] | None = None
) -> tuple[Any, str]:
    """The values at a complex t, and what stands in the way; the real numbers that ops receive are added to a list."""
    blamed: list[str] = []

    def watcher(op: Op, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        arrays = [x.data if isinstance(x, Value) else x for x in inputs]
        if real is not None:
            real.extend(to_host(x) for x in arrays if is_array(x) and x.dtype.kind == "f")
            real.extend(x for x in (*arrays, *attributes.values()) if isinstance(x, float))
        wide = [x for x in arrays if is_array(x) and x.dtype.kind == "c"]
        moved = any(x.imag.any() for x in wide)
        if continued and wide and op.name == "abs":
            return inputs[0] * array_module(arrays[0]).sign(arrays[0].real)
        if continued and wide and op.name == "sign":
            return op(inputs[0] * 0.0 + arrays[0].real)
        blamed.append(op.name)  # in case it raises
        y = op(*inputs, **attributes)
        real_again = wide and y.dtype.kind == "f"
        if real_again and continued and op.name == "astype" and y.dtype.itemsize == 8:
            y, real_again = inputs[0], False
        if not (real_again and moved):
            blamed.pop()
        return y

    try:
        with host.errstate(all="ignore"), warnings.catch_warnings(), watching(watcher):
            warnings.simplefilter("ignore")  # of imaginary parts that are dropped
            found = line(t)
    except (TypeError, ValueError, RuntimeError) as error:
        return None, f"{f'op {blamed[-1]}' if blamed else 'f'} cannot compute on complex numbers ({error})"
    return found, f"op {blamed[0]} is not analytic" if blamed else ""


def receives(subject: Differentiable, i: int) -> bool:
    """Whether any op receives an input."""
    leaves = [leaf(x) for x in subject.arrays]
    found = False

    def watcher(op: Op, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        nonlocal found
        found |= any(x is leaves[i] or getattr(x, "data", None) is leaves[i].data for x in inputs)
        return op(*inputs, **attributes)

    with watching(watcher):
        subject.outputs(leaves, create_graph=False)
    return found


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
