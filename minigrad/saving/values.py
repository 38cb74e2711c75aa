"""Values: what Python holds, numbers, texts, lists and dicts of them, arrays and generators, as JSON and arrays."""

from __future__ import annotations

from typing import Any

from minigrad.backend import Array, Generator, is_array, module_for, to_host
from minigrad.tensor import Tensor

GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")  # NumPy's; a file can name no other function
_POSITIONS = {"pos": 624, "buffer_pos": 4}  # in the states; NumPy would go beyond the end of its memory
_DEPTH = 100


def packed(value: Any, arrays: list[Array], where: str, depth: int = 0) -> Any:
    """A value as JSON can hold it; its arrays go to the list.

    Raises:
        TypeError: it is, or holds, something that `unpacked` would not give back.
    """
    short = not isinstance(value, int) or value.bit_length() <= 14_000  # Python reads no longer ones
    if value is None or (isinstance(value, (bool, int, float, str)) and short):
        return value
    if isinstance(value, Tensor) or is_array(value):
        array = value.numpy() if isinstance(value, Tensor) else to_host(value)
        latin = all(ord(letter) < 256 for letter in str(array.dtype))  # fields of others are another file format
        if latin and not array.dtype.hasobject and not module_for("cpu").ma.isMaskedArray(value):
            arrays.append(array)
            return {"array": len(arrays) - 1}
    if isinstance(value, Generator) and type(value.bit_generator).__name__ in GENERATORS:
        return {"generator": packed(value.bit_generator.state, arrays, where)}
    if depth < _DEPTH:
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return {"dict": {key: packed(part, arrays, f"{where}[{key!r}]", depth + 1) for key, part in value.items()}}
        if isinstance(value, (list, tuple)):
            parts = [packed(part, arrays, f"{where}[{i}]", depth + 1) for i, part in enumerate(value)]
            return parts if isinstance(value, list) else {"tuple": parts}
    raise TypeError(
        "save_checkpoint: state must be numbers, strings, arrays without objects or masks, NumPy's generators, or "
        f"lists and dicts of them, at most {_DEPTH} within each other. "
        f"Received: {where[:200]} of type {type(value).__name__}"
    )


def unpacked(value: Any, arrays: list[Array]) -> Any:
    """What was `packed`. Anything else is refused, with some exception."""
    if isinstance(value, list):
        return [unpacked(part, arrays) for part in value]
    if not isinstance(value, dict):
        return value
    (kind, content), = value.items()
    if kind == "array" and type(content) is int and content >= 0:
        return arrays[content]
    if kind == "tuple" and isinstance(content, list):
        return tuple(unpacked(part, arrays) for part in content)
    if kind == "dict":
        return {key: unpacked(part, arrays) for key, part in content.items()}
    if kind == "generator":
        state = unpacked(content, arrays)
        if state["bit_generator"] in GENERATORS:
            random = module_for("cpu").random
            return random.Generator(in_state(getattr(random, state["bit_generator"]), state))
    raise ValueError(f"a state of kind {kind!r}")


def in_state(kind: type, state: Any) -> Any:
    """A new bit generator of a kind, in a state that was read; a state that is none is refused, with some exception."""
    made = kind()
    made.state = state
    if _plain(made.state) != _plain(state):
        raise ValueError(f"no state of a {kind.__name__}")
    return made


def _plain(state: Any) -> Any:
    """The state of a generator as something to compare, if it is one."""
    if isinstance(state, dict):
        if any(not 0 <= state.get(name, 0) <= last for name, last in _POSITIONS.items()):
            raise ValueError("a position beyond the end")
        return {name: _plain(part) for name, part in state.items()}
    return (str(state.dtype), state.tolist()) if is_array(state) else state
