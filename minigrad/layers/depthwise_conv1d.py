"""DepthwiseConv1D: each channel filtered alone over time. SeparableConv1D begins with it too."""

from __future__ import annotations

from typing import Any

from minigrad import ops
from minigrad.config import argument, positive
from minigrad.layers.arguments import constraint, initializer, regularizer
from minigrad.layers.convolution import Convolution
from minigrad.layers.layer import Shape
from minigrad.tensor import Tensor
from minigrad.variable import Variable


class DepthwiseConvolution(Convolution):
    """What layers share that filter each channel alone: M kernels a channel, and how they are applied."""

    depth_multiplier: int = argument(positive, 1)
    depthwise_initializer: Any = initializer("glorot_uniform")
    depthwise_regularizer: Any = regularizer()
    depthwise_constraint: Any = constraint()

    # Left behind by the ordinary convolution in configs of tf.keras 2.
    _foreign = dict.fromkeys(("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"), ...)

    def depthwise_weight(self, name: str, channels: int) -> Variable:
        """Create the depthwise kernel (K, C, M)."""
        return self.declared_weight(name, (*self.kernel_size, channels, self.depth_multiplier), "depthwise")

    def depthwise(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Each channel filtered alone."""
        return ops.depthwise_conv1d(inputs, self.cast(kernel), **self.window(inputs.shape))


class DepthwiseConv1D(DepthwiseConvolution):
    """y[n, t, c*M + m] = activation(sum_k x[n, s*t + d*k - p, c] * kernel[k, c, m] + bias[c*M + m]).

    Shapes: inputs (N, L, C), outputs (N, T, C*M); with ``data_format="channels_first"`` (N, C, L) and (N, C*M, T).
    Weights: ``kernel`` (K, C, M), ``bias`` (C*M,). The arguments are those of `SeparableConv1D`; as in Keras there is
    no causal padding.

    Raises:
        ValueError: a bad argument; an input that does not fit.

    >>> layer = DepthwiseConv1D(3, depth_multiplier=2)
    >>> layer(Tensor.ones(2, 10, 4)).shape
    (2, 8, 8)
    """

    kernel_size: tuple[int]
    strides: tuple[int]
    padding: str
    depth_multiplier: int
    data_format: str
    dilation_rate: tuple[int]
    activation: Any
    use_bias: bool
    depthwise_initializer: Any
    bias_initializer: Any
    depthwise_regularizer: Any
    bias_regularizer: Any
    activity_regularizer: Any
    depthwise_constraint: Any
    bias_constraint: Any
    filters = None  # C*M

    _foreign = {**DepthwiseConvolution._foreign, "filters": None}
    kernel: Variable

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.padding == "causal":
            raise ValueError(
                "Causal padding is only supported for `Conv1D` and `SeparableConv1D`. Received: padding='causal'"
            )

    def build(self, input_shape: Shape) -> None:
        channels = self.channels(input_shape)
        self.kernel = self.depthwise_weight("kernel", channels)
        self.complete(channels, channels * self.depth_multiplier)

    def call(self, inputs: Tensor) -> Tensor:
        return self.finish(self.depthwise(inputs, self.kernel))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.out_shape(input_shape, self.channels(input_shape) * self.depth_multiplier)
