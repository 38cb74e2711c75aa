"""Affine: what layers of the form activation(W x + b) share, the bias and the activation."""

from __future__ import annotations

from typing import Any

from minigrad import ops
from minigrad.config import argument, boolean
from minigrad.layers.arguments import activation, constraint, initializer, regularizer
from minigrad.layers.layer import Layer
from minigrad.tensor import Tensor


class Affine(Layer):
    """A layer with a bias and an activation; each subclass puts the arguments into Keras's order."""

    activation: Any = activation()
    use_bias: bool = argument(boolean, True)
    bias_initializer: Any = initializer("zeros")
    bias_regularizer: Any = regularizer()
    bias_constraint: Any = constraint()

    bias: Any = None  # until a layer with use_bias is built
    bias_shape: tuple[int, ...] = (-1,)  # as which the bias is added

    def build_bias(self, units: int) -> None:
        """Create the bias, if there is to be one."""
        if self.use_bias:
            self.bias = self.declared_weight("bias", (units,))

    def mix(self, x: Tensor, kernel: Tensor, axis: int = -1) -> Tensor:
        """activation(x kernel + bias), with the channels of x along ``axis``: in one op, the bias added on the way."""
        bias = None if self.bias is None else self.cast(self.bias)
        return self.activation(ops.linear(x, self.cast(kernel), bias, axis=axis))

    def finish(self, y: Tensor) -> Tensor:
        """The bias added and the activation applied."""
        if self.bias is not None:
            bias = self.cast(self.bias)
            y = y + (bias if self.bias_shape == (-1,) else bias.reshape(self.bias_shape))
        return self.activation(y)
