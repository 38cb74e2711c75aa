"""Arrays that others may change: what of them an op copies, so that a tape holds what nobody else can change."""

from __future__ import annotations

from collections.abc import Callable, MutableSequence
from copy import copy
from typing import Any

from minigrad.backend import array_types, is_array, number_types, undisguised, unshared
from minigrad.tape import Value

FIXED = number_types | {str, slice, type(None), type(Ellipsis)}  # what nobody can change


def kept(value: Any) -> Any:
    """``value`` as a tape may keep it: arrays and lists are copied, for somebody else may change them."""
    if isinstance(value, (list, tuple)):
        if type(value) is tuple and FIXED.issuperset(map(type, value)):
            return value
        parts = [kept(part) for part in value]
        return parts if isinstance(value, list) else tuple(parts)
    if isinstance(value, dict):
        return {name: kept(part) for name, part in value.items()}
    if isinstance(value, Value):
        return value._output(value.data, None)  # a variable may be assigned
    if is_array(value := undisguised(value)):
        return value.copy()
    return copy(value) if isinstance(value, MutableSequence) else value


def not_lent(rule: Callable[..., Any], g: Any, *given: Any) -> Any:
    """What a rule of somebody else's returns, copied where the rule may keep it and fill it again."""
    contribution = rule(g, *given)
    if contribution is g or type(contribution) not in array_types or unshared(contribution):
        return contribution
    return contribution.copy()
