"""Convolution: the arguments and the shape arithmetic that the one-dimensional convolution layers share."""

from __future__ import annotations

from typing import Any

from minigrad import ops
from minigrad.config import argument, boolean, one_of, positive, positive_tuple
from minigrad.kernels.depthwise import channel_axis, time_axis
from minigrad.kernels.geometry import Geometry
from minigrad.layers.arguments import activation, constraint, data_format, initializer, layout_of, regularizer
from minigrad.layers.input_spec import InputSpec
from minigrad.layers.layer import Layer, Shape
from minigrad.tensor import Tensor


class Convolution(Layer):
    """What convolutions over time share; each subclass puts the arguments into Keras's order."""

    filters: int = argument(positive)
    kernel_size: tuple[int] = argument(positive_tuple)
    strides: tuple[int] = argument(positive_tuple, 1)
    padding: str = argument(one_of("valid", "same", "causal"), "valid")
    data_format: str = data_format()
    dilation_rate: tuple[int] = argument(positive_tuple, 1)
    activation: Any = activation()
    use_bias: bool = argument(boolean, True)
    bias_initializer: Any = initializer("zeros")
    bias_regularizer: Any = regularizer()
    bias_constraint: Any = constraint()

    bias: Any = None  # until a layer with use_bias is built

    def __post_init__(self) -> None:
        super().__post_init__()
        self.input_spec = InputSpec(min_ndim=3)
        if self.strides[0] > 1 and self.dilation_rate[0] > 1:
            raise ValueError(
                "`strides > 1` not supported in conjunction with `dilation_rate > 1`. "
                f"Received: strides={self.strides} and dilation_rate={self.dilation_rate}"
            )

    @property
    def layout(self) -> str:
        """"NLC" or "NCL", as the ops call the data format."""
        return layout_of(self.data_format)

    def geometry(self, input_shape: Shape) -> Geometry:
        """The geometry over inputs of this shape.

        Raises:
            ValueError: the kernel does not fit into the input.
        """
        try:
            return Geometry.resolve(
                input_shape[time_axis(self.layout)],  # type: ignore[arg-type]
                self.kernel_size[0], self.strides[0], self.dilation_rate[0], self.padding,
            )
        except ValueError as error:
            raise ValueError(
                "Computed output size would be zero or negative. "
                f"Received `inputs shape={input_shape}`, `kernel_size={self.kernel_size}`, `strides={self.strides}`, "
                f"`padding={self.padding}`, `dilation_rate={self.dilation_rate}` in layer {self.name}"
            ) from error

    def window(self, input_shape: Shape) -> dict[str, Any]:
        """The geometry in the words of the ops."""
        padding = self.geometry(input_shape).padding
        return {
            "stride": self.strides[0], "dilation": self.dilation_rate[0], "padding": padding, "layout": self.layout,
        }

    def channels(self, input_shape: Shape) -> int:
        """C, once the shape was found good.

        Raises:
            ValueError: not 3 axes, C unknown, or an input shorter than the kernel.
        """
        self.out_shape(input_shape, 1)
        channels = input_shape[channel_axis(self.layout)]
        if not channels:
            raise ValueError(
                "The channel dimension of the inputs should be defined and positive. "
                f"Received: input_shape={input_shape}"
            )
        return channels

    def out_shape(self, input_shape: Shape, filters: int) -> Shape:
        """The output shape for so many filters; T is None where L is.

        Raises:
            ValueError: not 3 axes, or an input shorter than the kernel.
        """
        if len(input_shape) != 3:
            raise ValueError(f"{self.name}: inputs must have 3 axes. Received: input_shape={input_shape}")
        unknown = input_shape[time_axis(self.layout)] is None
        steps = None if unknown else self.geometry(input_shape).out_length
        return (input_shape[0], steps, filters) if self.layout == "NLC" else (input_shape[0], filters, steps)

    def fix_channels(self, channels: int) -> None:
        """From now on inputs must have 3 axes and so many channels."""
        self.input_spec = InputSpec(ndim=3, axes={-1 if self.layout == "NLC" else 1: channels})

    def finish(self, y: Tensor) -> Tensor:
        """The bias added and the activation applied."""
        if self.bias is not None:
            y = y + (self.bias if self.layout == "NLC" else self.bias.reshape(-1, 1))
        return self.activation(y)

    def convolution_op(self, inputs: Any, kernel: Any) -> Tensor:
        """An ordinary convolution of ``inputs`` with any ``kernel`` (K', C/G, F'), by the layer's strides, padding,
        dilation and data format. "causal" pads nothing here: as in Keras, the caller pads.

        Raises:
            ValueError: a kernel that does not fit the inputs.
        """
        x, w = self._converted(inputs), self._converted(kernel)
        if x.ndim != 3 or w.ndim != 3 or not w.shape[1] or x.shape[channel_axis(self.layout)] % w.shape[1]:
            raise ValueError(
                "convolution_op: inputs must have 3 axes and a multiple of the kernel's channels. "
                f"Received: inputs={x.shape}, kernel={w.shape}"
            )
        padding = "valid" if self.padding == "causal" else self.padding
        stride, dilation = self.strides[0], self.dilation_rate[0]
        zeros = Geometry.resolve(x.shape[time_axis(self.layout)], w.shape[0], stride, dilation, padding).padding
        groups = x.shape[channel_axis(self.layout)] // w.shape[1]
        return ops.conv1d(x, w, stride=stride, dilation=dilation, padding=zeros, layout=self.layout, groups=groups)
