"""Pooling: the largest or the mean of the numbers in a window over time, or over all time."""

from __future__ import annotations

from typing import Any

from minigrad import ops
from minigrad.config import argument, boolean, one_of, positive_tuple
from minigrad.kernels.layout import time_axis
from minigrad.layers.arguments import data_format, layout_of
from minigrad.layers.input_spec import InputSpec
from minigrad.layers.layer import Layer, Shape
from minigrad.layers.window import Window
from minigrad.tensor import Tensor


def _strides(name: str, value: Any) -> tuple[int, ...] | None:
    return None if value is None else positive_tuple(name, value)


class Pooling1D(Window, Layer):
    """What pooling over windows shares. ``strides`` None stands for ``pool_size``: windows side by side."""

    pool_size: tuple[int] = argument(positive_tuple, 2)
    strides: tuple[int] = argument(_strides, None)
    padding: str = argument(one_of("valid", "same"), "valid")
    data_format: str = data_format()

    input_spec = InputSpec(ndim=3)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.strides = self.strides or self.pool_size

    @property
    def taps(self) -> int:
        return self.pool_size[0]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return self.out_shape(input_shape, input_shape[self.channel_axis])


class MaxPooling1D(Pooling1D):
    """The largest of each window; the first of those that tie takes the gradient. Padding never wins.

    >>> MaxPooling1D(2)(Tensor([1.0, 3.0, 2.0, 5.0]).reshape(1, 4, 1)).reshape(-1).tolist()
    [3.0, 5.0]
    """

    aliases = ("MaxPool1D",)

    def call(self, inputs: Tensor) -> Tensor:
        padding = self.geometry(inputs.shape).padding
        return ops.max_pool1d(
            inputs, taps=self.taps, stride=self.strides[0], padding=padding, layout=self.layout
        )


class AveragePooling1D(Pooling1D):
    """The mean of each window; padding is not counted.

    >>> AveragePooling1D(2, padding="same")(Tensor([1.0, 3.0, 5.0]).reshape(1, 3, 1)).reshape(-1).tolist()
    [2.0, 5.0]
    """

    aliases = ("AvgPool1D",)

    def call(self, inputs: Tensor) -> Tensor:
        geometry, last = self.geometry(inputs.shape), self.layout == "NLC"
        window = {"stride": geometry.stride, "padding": geometry.padding, "layout": self.layout}
        like = {"dtype": inputs.dtype, "device": inputs.device}
        ones = Tensor.ones(self.taps, inputs.shape[self.channel_axis], 1, **like)
        total = ops.depthwise_conv1d(inputs, ones, **window)
        if not any(geometry.padding):
            return total / self.taps
        there = Tensor.ones((1, geometry.length, 1) if last else (1, 1, geometry.length), **like)
        return total / ops.depthwise_conv1d(there, ones[:, :1], **window)


class GlobalPooling1D(Layer):
    """What pooling over all time shares: (N, L, C) to (N, C), or (N, 1, C) with ``keepdims``."""

    data_format: str = data_format()
    keepdims: bool = argument(boolean, False)

    input_spec = InputSpec(ndim=3)

    @property
    def time(self) -> int:
        """The axis of time."""
        return time_axis(layout_of(self.data_format))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        before, after = input_shape[: self.time], input_shape[self.time + 1 :]
        return (*before, 1, *after) if self.keepdims else (*before, *after)


class GlobalAveragePooling1D(GlobalPooling1D):
    """The mean over time; with a mask (N, L), over the steps where it holds. Over no steps it is 0.

    >>> GlobalAveragePooling1D()(Tensor([[[1.0], [3.0]]])).tolist()
    [[2.0]]
    """

    aliases = ("GlobalAvgPool1D",)

    def call(self, inputs: Tensor, mask: Any = None) -> Tensor:
        if inputs.shape[self.time] == 0:
            return inputs.sum(self.time, self.keepdims)
        if mask is None:
            return inputs.mean(self.time, keepdims=self.keepdims)
        mask = (mask if isinstance(mask, Tensor) else Tensor(mask)).astype(inputs.dtype).expand_dims(3 - self.time)
        return (inputs * mask).sum(self.time, self.keepdims) / ops.maximum(mask.sum(self.time, self.keepdims), 1.0)

    def compute_mask(self, inputs: Any, mask: Any = None) -> None:
        return None


class GlobalMaxPooling1D(GlobalPooling1D):
    """The largest over time; steps that tie share the gradient evenly.

    >>> GlobalMaxPooling1D()(Tensor([[[1.0], [3.0]]])).tolist()
    [[3.0]]
    """

    aliases = ("GlobalMaxPool1D",)

    def call(self, inputs: Tensor) -> Tensor:
        return inputs.max(self.time, keepdims=self.keepdims)
