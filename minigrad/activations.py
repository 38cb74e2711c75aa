"""Activations: functions of a Tensor, found by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from minigrad import ops
from minigrad.config import serialize
from minigrad.tensor import Tensor

Activation = Callable[[Tensor], Tensor]


def linear(x: Tensor) -> Tensor:
    """y = x."""
    return x


def relu(x: Tensor) -> Tensor:
    """y = max(x, 0)."""
    return ops.relu(x)


def sigmoid(x: Tensor) -> Tensor:
    """y = 1 / (1 + e^-x)."""
    return ops.sigmoid(x)


def tanh(x: Tensor) -> Tensor:
    """y = tanh(x)."""
    return ops.tanh(x)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """y = exp(x) / sum(exp(x)) along ``axis``."""
    return ops.softmax(x, axis=axis)


def log_softmax(x: Tensor, axis: int = -1) -> Tensor:
    """y = log(softmax(x)) along ``axis``."""
    return ops.log_softmax(x, axis=axis)


_functions: dict[str, Activation] = {f.__name__: f for f in (linear, relu, sigmoid, tanh, softmax, log_softmax)}


def get(identifier: Any) -> Activation:
    """The activation of a name or a config; a function is itself, None is `linear`.

    Raises:
        ValueError: an unknown name, or no function.

    >>> get("relu") is relu, get(None) is linear
    (True, True)
    """
    if identifier is None:
        return linear
    if isinstance(identifier, Mapping):
        identifier = identifier.get("config", identifier.get("class_name"))
    if isinstance(identifier, str) and identifier in _functions:
        return _functions[identifier]
    if callable(identifier):
        return identifier
    raise ValueError(f"Could not interpret activation function identifier: {identifier}")


deserialize = get

__all__ = ["deserialize", "get", "linear", "log_softmax", "relu", "serialize", "sigmoid", "softmax", "tanh"]
