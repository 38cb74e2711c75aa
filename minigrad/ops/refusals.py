"""What an op says of arguments that it cannot compute with, and of rules that break their contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from minigrad.backend import describe, device_of, is_array
from minigrad.tape import Value


def refuse_arguments(op: Any, error: Exception, arrays: list[Any], attributes: dict[str, Any]) -> NoReturn:
    """Raise again, saying who refused what; devices first, for they are the usual reason."""
    names = op.arguments[:-1] + [f"{op.arguments[-1]}[{i}]" for i in range(len(arrays))]
    named = dict(zip(names if op.variadic else op.arguments, arrays, strict=False))
    devices = {name: device_of(array) for name, array in named.items() if is_array(array)}
    if len(set(devices.values())) > 1:
        received = ", ".join(f"{name} on {device!r}" for name, device in devices.items())
        raise TypeError(
            f"{op.name}: arguments must be on one device; move one with .to(device). Received: {received}"
        ) from error
    strange = [x for x in named.values() if not (is_array(x) or isinstance(x, (bool, int, float, complex)))]
    if isinstance(error, AttributeError) and not strange:
        raise error
    message = str(error).removeprefix(f"{op.name}: ")
    if "Received: " in message and message != str(error):
        raise error
    if strange:
        message = "arguments must be Tensors, arrays or numbers"
    elif tensors := [name for name, value in attributes.items() if isinstance(value, Value)]:
        message = f"{tensors[0]} must not be a Tensor, for gradients reach arguments alone, not attributes"
    elif "axis" in attributes and "cannot be interpreted as an integer" in message:
        message = f"axis must be {'one' if isinstance(attributes['axis'], (tuple, list)) else 'an'} integer"
    if "Received: " not in message:
        received = ", ".join(f"{name}={describe(value)}" for name, value in (named | attributes).items())
        message = f"{message.rstrip('. ')}. Received: {received or 'nothing'}"
    kinds = (TypeError,) if strange else (ValueError, IndexError, TypeError)
    raise next((kind for kind in kinds if isinstance(error, kind)), TypeError)(f"{op.name}: {message}") from error


def refuse_kind(op: Any, position: int, gradient: Any) -> NoReturn:
    """Refuse what a rule returned, since it is no array."""
    raise RuntimeError(
        f"{op.name}: the backward rule of {op.argument_at(position)!r} must return an array, the gradient of its "
        f"argument. Received: {describe(gradient)}"
    )


def on_tensors(op: Any, position: int, rule: Callable[..., Any], g: Any, *kept: Any) -> Any:
    """What a rule gives for Tensors, as it is asked where its result will be differentiated again."""
    try:
        return rule(g, *kept)
    except (TypeError, AttributeError) as error:
        raise TypeError(
            f"{op.name}: the backward rule of {op.argument_at(position)!r} must be written with operators and "
            "minigrad.ops, not with NumPy, to be differentiated again: with create_graph=True and at order 2 it is "
            f"given Tensors. Received: {type(error).__name__}: {error}"
        ) from error
