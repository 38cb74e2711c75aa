"""detect_anomaly: the first op to produce NaN or infinity is named, with the line of the user that called it."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from minigrad.backend import array_module, asarray, describe, is_array, module_for
from minigrad.ops.op import Op, Plan, watching
from minigrad.tape import Node, Value

_PACKAGE = str(Path(__file__).parent)
_host: Any = module_for("cpu")


class Line(NamedTuple):
    """A line of the user's code."""

    file: str
    number: int

    def __str__(self) -> str:
        text = linecache.getline(self.file, self.number).strip()
        return f"{self.file}:{self.number}" + (f": {text}" if text else "")


def users_line() -> Line:
    """The innermost line on the stack that is not minigrad's own."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return Line(frame.f_code.co_filename, frame.f_lineno)


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """A context in which NaN and infinity are refused where they first appear, forward or backward.

    An op is named when it makes NaN, or infinity of finite numbers; a backward rule when it makes them of the gradient
    that it is given. Ops called outside the context are not watched, nor are their rules. Every number is looked at,
    so all of it is slow.

    Raises:
        FloatingPointError: the op, the shapes of its arguments, and the line that called it.

    >>> from minigrad import Tensor
    >>> x = Tensor([4.0, 0.0], requires_grad=True)
    >>> with detect_anomaly():  # doctest: +ELLIPSIS
    ...     x.sqrt().sum().backward()
    Traceback (most recent call last):
    FloatingPointError: sqrt: the backward rule of 'x' made infinity of finite numbers. Received: x=float32(2,), ...
    """
    with watching(_watched):
        yield


def _watched(op: Op, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
    """Call an op with Tensors, look at its output, and put its rules under watch too."""
    if not any(isinstance(x, Value) for x in inputs):
        return op(*inputs, **attributes)
    with _host.errstate(all="ignore"):
        y = op(*inputs, **attributes)
    arrays = [_array(x) for x in inputs]
    names = [op.arguments[min(i, len(op.arguments) - 1)] for i in range(len(arrays))]
    received = ", ".join(f"{name}={describe(x)}" for name, x in zip(names, arrays, strict=True))
    where = f"Received: {received}, called at {users_line()}"
    if made := _made(y.data, arrays):
        raise FloatingPointError(f"{op.name}: {made}. {where}")
    if isinstance(y.node, Node):
        y.node.plan = _watched_plan(y.node.plan, where)
    return y


def _made(result: Any, sources: list[Any]) -> str:
    """What a computation did to its numbers, such as "made NaN of finite numbers"; "" when nothing is wrong."""
    nan, infinite = _kinds(result)
    known = [_kinds(asarray(x)) for x in sources if is_array(x) or isinstance(x, float)]
    from_nan, from_infinite = any(n for n, _ in known), any(i for _, i in known)
    if nan:
        source = "infinities" if from_infinite else "finite numbers"
        return f"made NaN of {'numbers that held NaN already' if from_nan else source}"
    return "made infinity of finite numbers" if infinite and not (from_nan or from_infinite) else ""


def _kinds(array: Any) -> tuple[bool, bool]:
    """Whether an array holds NaN, and infinity."""
    if array.dtype.kind not in "fc" or bool(array_module(array).isfinite(array).all()):
        return False, False
    return bool(array_module(array).isnan(array).any()), bool(array_module(array).isinf(array).any())


def _watched_plan(plan: Plan, where: str) -> Plan:
    """The plan with its rules under watch; a copy, for the op's own plan serves other tapes too."""
    watched = copy(plan)
    watched.rules = [
        (position, partial(_watched_rule, rule, plan.op, position, where), sources)
        for position, rule, sources in plan.rules
    ]
    return watched


def _watched_rule(rule: Callable[..., Any], op: Op, position: int, where: str, g: Any, *kept: Any) -> Any:
    with _host.errstate(all="ignore"):
        contribution = rule(g, *kept)
    if made := _made(_array(contribution), [_array(g)]):
        argument = op.arguments[min(position, len(op.arguments) - 1)]
        raise FloatingPointError(f"{op.name}: the backward rule of {argument!r} {made}. {where}")
    return contribution


def _array(x: Any) -> Any:
    return x.data if isinstance(x, Value) else x
