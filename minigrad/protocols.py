"""What Python and NumPy ask of a Tensor: the number that it is, operators with an array on the left, and functions.

NumPy's functions are refused: they would compute, and leave the history behind. The sentence names what takes their
place.
"""

from __future__ import annotations

from typing import Any

from minigrad import ops
from minigrad.backend import Array
from minigrad.tape import Value

OPERATORS = {  # of NumPy's array, each with an op of the same name
    "add", "subtract", "multiply", "divide", "power", "matmul", "equal", "not_equal", "less", "less_equal", "greater",
    "greater_equal",
}
LIKE = {"absolute": "abs", "dot": "matmul"}  # where NumPy has another name for it
FACTS = ("shape", "ndim", "size")  # which NumPy may ask for


def number(who: str, array: Array) -> Any:
    """The one element of an array as a Python number, for ``who`` among Python's conversions.

    Raises:
        ValueError: not exactly one element.  TypeError: a dtype that the conversion does not take.
    """
    if array.size != 1:
        cure = ".numpy().all() and .any() ask all" if who == "bool" else ".numpy() and .tolist() give all"
        raise ValueError(f"{who}: a Tensor must have one element; {cure}. Received: shape={array.shape}")
    if who == "index" and array.dtype.kind not in "iu":
        raise TypeError(f"index: the dtype must be an integer. Received: dtype={array.dtype}")
    if who in ("float", "int", "round") and array.dtype.kind == "c":
        raise TypeError(f"{who}: the dtype must be real; .item() gives the number. Received: dtype={array.dtype}")
    return array.item()


def of_ufunc(tensor: Value, ufunc: Any, method: str, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """What an operator between a NumPy array and a Tensor computes; NumPy's other functions are refused."""
    name = ufunc.__name__
    if method != "__call__" or options or name not in OPERATORS:
        raise _refusal(tensor, name, in_place="out" in options)
    return getattr(ops, name)(*inputs)


def of_function(tensor: Value, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A fact that NumPy asks for, as `numpy.shape` does; its other functions are refused."""
    name = function.__name__
    if name not in FACTS or len(args) != 1 or kwargs:
        raise _refusal(tensor, name)
    return getattr(tensor, name)


def _refusal(tensor: Value, function: str, in_place: bool = False) -> TypeError:
    like = LIKE.get(function, function)
    if in_place:
        cure = "An array takes no Tensor in place; write a = a + t"
    elif like in ops.__all__:
        cure = f"Use ops.{like}"
    elif hasattr(tensor, like):
        cure = f"Use the method {like}"
    else:
        cure = "minigrad has no op of this name; write one with @op, or give .numpy(), the values alone"
    return TypeError(
        f"numpy.{function}: arguments must be arrays; a Tensor would lose its history. {cure}. "
        f"Received: a Tensor of shape {tensor.shape}"
    )
