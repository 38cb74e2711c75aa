"""Activations as layers."""

from __future__ import annotations

from typing import Any

from minigrad import activations
from minigrad.config import argument
from minigrad.layers.layer import SameShape
from minigrad.tensor import Tensor


class Activation(SameShape):
    """An activation, given by name or as a function.

    >>> Activation("relu")(Tensor([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    activation: Any = argument(lambda name, value: activations.get(value))

    def call(self, inputs: Tensor) -> Tensor:
        return self.activation(inputs)
