"""Layers that only move numbers, or repeat or cut them."""

from __future__ import annotations

import math

from minigrad.layers.arguments import data_format
from minigrad.layers.input_spec import InputSpec
from minigrad.layers.layer import Layer, Shape
from minigrad.tensor import Tensor


class Movement(Layer):
    """A layer that moves numbers of any kind and computes none."""

    accepts_integers = True


class Flatten(Movement):
    """All axes but the batch's joined to one.

    With "channels_first", channels are moved behind the steps before, so that both formats give the same order.

    >>> Flatten()(Tensor.ones(2, 3, 4)).shape
    (2, 12)
    """

    data_format: str = data_format()

    input_spec = InputSpec(min_ndim=1)

    def call(self, inputs: Tensor) -> Tensor:
        if self.data_format == "channels_first" and inputs.ndim > 2:
            inputs = inputs.transpose(0, *range(2, inputs.ndim), 1)
        return inputs.reshape(inputs.shape[0], math.prod(inputs.shape[1:]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        rest = input_shape[1:]
        return input_shape[0], None if None in rest else math.prod(rest)  # type: ignore[arg-type]
