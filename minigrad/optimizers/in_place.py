"""Whether a rule that a user wrote changes its arrays in place: `variable = variable - step` makes another array."""

from __future__ import annotations

import dis
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from minigrad.backend import Array


def rebound(function: Callable[..., Any]) -> set[str]:
    """The parameters that a function gives other values, by ``=`` rather than by ``+=`` and the like.

    >>> def rule(a, b, c):
    ...     a = a - b
    ...     c -= b
    >>> rebound(rule)
    {'a'}
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return set()
    parameters = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    found, before = set(), None
    for instruction in dis.get_instructions(code):
        if instruction.opname.startswith(("STORE_FAST", "STORE_DEREF")):
            in_place = before is not None and before.opname == "BINARY_OP" and before.argrepr.endswith("=")
            names = instruction.argval if isinstance(instruction.argval, tuple) else (instruction.argval,)
            found |= set(names[in_place : 1 if instruction.opname == "STORE_FAST_LOAD_FAST" else None]) & parameters
        before = instruction
    return found


def check_changed(rule: str, suspects: set[str], before: Mapping[str, Array], after: Mapping[str, Array]) -> None:
    """Whether the arrays of the parameters that are rebound have changed too.

    Raises:
        RuntimeError: one of them is as it was.
    """
    for name in suspects & before.keys():
        if bool((before[name] == after[name]).all()):
            raise RuntimeError(
                f"{rule}: must change its arrays in place, as {name} -= step or {name}[...] = value do; {name} = value "
                f"makes another array, and the optimizer keeps the former one. Received: {name!r} as it was"
            )
