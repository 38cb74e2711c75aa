"""Dense: every output is a weighted sum of all inputs."""

from __future__ import annotations

from typing import Any

from minigrad.config import argument, positive
from minigrad.layers.affine import Affine
from minigrad.layers.arguments import constraint, initializer, regularizer
from minigrad.layers.input_spec import InputSpec
from minigrad.layers.layer import Shape
from minigrad.tensor import Tensor
from minigrad.variable import Variable


class Dense(Affine):
    """y[..., u] = activation(sum_c x[..., c] * kernel[c, u] + bias[u]), over the last axis of any number of axes.

    Weights: ``kernel`` (C, units), ``bias`` (units,).

    Raises:
        ValueError: a bad argument; inputs of one axis, or with another last axis than at first.

    >>> layer = Dense(3, activation="relu")
    >>> layer(Tensor.ones(2, 5, 4)).shape
    (2, 5, 3)
    """

    units: int = argument(positive)
    activation: Any
    use_bias: bool
    kernel_initializer: Any = initializer("glorot_uniform")
    bias_initializer: Any
    kernel_regularizer: Any = regularizer()
    bias_regularizer: Any
    activity_regularizer: Any
    kernel_constraint: Any = constraint()
    bias_constraint: Any

    _foreign = {"lora_rank": None, "lora_alpha": None, "quantization_config": None}
    input_spec = InputSpec(min_ndim=2)
    supports_masking = True
    kernel: Variable

    def build(self, input_shape: Shape) -> None:
        self.input_spec.check(input_shape, self.name)
        channels = self.known_length(input_shape, -1)
        self.kernel = self.declared_weight("kernel", (channels, self.units))
        self.build_bias(self.units)
        self.input_spec = InputSpec(min_ndim=2, axes={-1: channels})

    def call(self, inputs: Tensor) -> Tensor:
        return self.mix(inputs, self.kernel)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        self.input_spec.check(tuple(input_shape), self.name)
        return (*input_shape[:-1], self.units)
