"""SeparableConv1D: each channel filtered alone over time, then all channels mixed at each step."""

from __future__ import annotations

from typing import Any

from minigrad.layers.arguments import constraint, initializer, regularizer
from minigrad.layers.depthwise_conv1d import DepthwiseConvolution
from minigrad.layers.layer import Shape
from minigrad.tensor import Tensor
from minigrad.variable import Variable


class SeparableConv1D(DepthwiseConvolution):
    r"""Depthwise-separable convolution over time, with every argument of Keras's layer of this name.

        z[n, t, c*M + m] = sum_k x[n, s*t + d*k - p, c] * depthwise_kernel[k, c, m]
        y[n, t, f]       = activation(sum_j z[n, t, j] * pointwise_kernel[0, j, f] + bias[f])

    Shapes: inputs (N, L, C), outputs (N, T, F); with ``data_format="channels_first"`` (N, C, L) and (N, F, T).
    Weights, in this order: ``depthwise_kernel`` (K, C, M), ``pointwise_kernel`` (1, C*M, F), ``bias`` (F,).

    Args:
        filters: F.
        kernel_size: K.
        strides: s; only 1 together with dilation.
        padding: "valid" for none, "same" for T = ceil(L / s), "causal" for zeros on the left alone, so that no
            output sees a later input.
        data_format: "channels_last", "channels_first", or None for `settings.image_data_format`.
        dilation_rate: d.
        depth_multiplier: M, how many kernels each channel has.
        activation: a name or a function, applied at the end. Softmax runs over the last axis in both formats.
        use_bias: whether there is a bias.
        depthwise_initializer, pointwise_initializer, bias_initializer: names, arrays or functions of a shape.
        depthwise_regularizer, pointwise_regularizer, bias_regularizer: penalties of the weights, in `losses`.
        activity_regularizer: penalty of the output, divided by N.
        depthwise_constraint, pointwise_constraint, bias_constraint: projections after every update.

    Raises:
        ValueError: a bad value, named; an input that does not fit; an input shorter than the kernel under "valid".

    Source: Chollet 2017, "Xception"; semantics of Keras's layer (see docs/keras_compatibility.md).

    >>> layer = SeparableConv1D(8, 3, padding="causal", activation="relu")
    >>> layer(Tensor.ones(2, 10, 4)).shape
    (2, 10, 8)
    >>> layer.count_params()  # 3*4 + 4*8 + 8
    52
    """

    aliases = ("SeparableConvolution1D",)

    filters: int
    kernel_size: tuple[int]
    strides: tuple[int]
    padding: str
    data_format: str
    dilation_rate: tuple[int]
    depth_multiplier: int
    activation: Any
    use_bias: bool
    depthwise_initializer: Any
    pointwise_initializer: Any = initializer("glorot_uniform")
    bias_initializer: Any
    depthwise_regularizer: Any
    pointwise_regularizer: Any = regularizer()
    bias_regularizer: Any
    activity_regularizer: Any
    depthwise_constraint: Any
    pointwise_constraint: Any = constraint()
    bias_constraint: Any

    depthwise_kernel: Variable
    pointwise_kernel: Variable

    def build(self, input_shape: Shape) -> None:
        channels = self.channels(input_shape)
        middle = channels * self.depth_multiplier
        self.depthwise_kernel = self.depthwise_weight("depthwise_kernel", channels)
        self.pointwise_kernel = self.declared_weight("pointwise_kernel", (1, middle, self.filters), "pointwise")
        self.complete(channels, self.filters)

    def call(self, inputs: Tensor) -> Tensor:
        z = self.depthwise(inputs, self.depthwise_kernel)
        return self.mix(z, self.pointwise_kernel, -1 if self.layout == "NLC" else 1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.out_shape(input_shape, self.filters)
