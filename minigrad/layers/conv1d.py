"""Conv1D: every output is a weighted sum of all channels within a window of time."""

from __future__ import annotations

from typing import Any

from minigrad import ops
from minigrad.config import argument, as_integer
from minigrad.layers.arguments import constraint, initializer, regularizer
from minigrad.layers.convolution import Convolution
from minigrad.layers.layer import Shape
from minigrad.tensor import Tensor
from minigrad.variable import Variable


def _groups(name: str, value: Any) -> int:
    groups = as_integer(value)
    if groups is None or groups < 1:
        raise ValueError(f"The number of groups must be a positive integer. Received: {name}={value!r}.")
    return groups


class Conv1D(Convolution):
    """y[n, t, f] = activation(sum_{k,c} x[n, s*t + d*k - p, c] * kernel[k, c, f] + bias[f]).

    Shapes: inputs (N, L, C), outputs (N, T, F); with ``data_format="channels_first"`` (N, C, L) and (N, F, T).
    Weights: ``kernel`` (K, C/groups, F), ``bias`` (F,). With ``groups``, channels and filters fall into groups that
    see only each other. The other arguments are those of `SeparableConv1D`.

    Raises:
        ValueError: a bad argument; groups that do not divide C and F; an input that does not fit.

    >>> layer = Conv1D(4, 3, padding="causal", groups=2)
    >>> layer(Tensor.ones(2, 10, 6)).shape, layer.kernel.shape
    ((2, 10, 4), (3, 3, 4))
    """

    aliases = ("Convolution1D",)

    filters: int
    kernel_size: tuple[int]
    strides: tuple[int]
    padding: str
    data_format: str
    dilation_rate: tuple[int]
    groups: int = argument(_groups, 1)
    activation: Any
    use_bias: bool
    kernel_initializer: Any = initializer("glorot_uniform")
    bias_initializer: Any
    kernel_regularizer: Any = regularizer()
    bias_regularizer: Any
    activity_regularizer: Any
    kernel_constraint: Any = constraint()
    bias_constraint: Any

    _foreign = {"lora_rank": None, "lora_alpha": None}
    kernel: Variable

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.filters % self.groups:
            raise ValueError(
                "The number of filters must be evenly divisible by the number of groups. "
                f"Received: groups={self.groups}, filters={self.filters}."
            )

    def build(self, input_shape: Shape) -> None:
        channels = self.channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                "The number of input channels must be evenly divisible by the number of groups. Received groups="
                f"{self.groups}, but the input has {channels} channels (full input shape is {input_shape})."
            )
        self.kernel = self.declared_weight("kernel", (*self.kernel_size, channels // self.groups, self.filters))
        self.complete(channels, self.filters)

    def call(self, inputs: Tensor) -> Tensor:
        if self.taps == self.groups == self.strides[0] == 1:  # each step by itself
            return self.mix(inputs, self.kernel.reshape(self.kernel.shape[1:]), -1 if self.layout == "NLC" else 1)
        window = self.window(inputs.shape)
        return self.finish(ops.conv1d(inputs, self.cast(self.kernel), groups=self.groups, **window))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.out_shape(input_shape, self.filters)
