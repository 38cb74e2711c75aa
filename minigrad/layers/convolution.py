"""Convolution: the arguments that the one-dimensional convolution layers share."""

from __future__ import annotations

from typing import Any

from minigrad import ops
from minigrad.config import argument, positive, positive_tuple
from minigrad.kernels.geometry import Geometry
from minigrad.layers.affine import Affine
from minigrad.layers.arguments import data_format
from minigrad.layers.input_spec import InputSpec
from minigrad.layers.window import Shape, Window
from minigrad.tensor import Tensor


def _filters(name: str, value: Any) -> int:
    """A positive integer; 4.0 is 4."""
    return positive(name, int(value) if isinstance(value, float) and value.is_integer() else value)


def _padding(name: str, value: Any) -> str:
    padding = value.lower() if isinstance(value, str) else value
    if padding not in ("valid", "same", "causal"):  # the text is Keras's; it means lists that its layers then refuse
        raise ValueError(
            f"The `{name}` argument must be a list/tuple or one of {{'valid', 'same', 'causal'}}. Received: {padding}"
        )
    return padding


class Convolution(Window, Affine):
    """What convolutions over time share; each subclass puts the arguments into Keras's order."""

    filters: int | None = argument(_filters)
    kernel_size: tuple[int] = argument(positive_tuple)
    strides: tuple[int] = argument(positive_tuple, 1)
    padding: str = argument(_padding, "valid")
    data_format: str = data_format()
    dilation_rate: tuple[int] = argument(positive_tuple, 1)

    input_spec = InputSpec(min_ndim=3)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.strides[0] > 1 and self.dilation_rate[0] > 1:
            raise ValueError(
                "`strides > 1` not supported in conjunction with `dilation_rate > 1`. "
                f"Received: strides={self.strides} and dilation_rate={self.dilation_rate}"
            )

    @property
    def taps(self) -> int:
        return self.kernel_size[0]

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
        channels = input_shape[self.channel_axis]
        if not channels:
            raise ValueError(
                "The channel dimension of the inputs should be defined and positive. "
                f"Received: input_shape={input_shape}"
            )
        return channels

    def complete(self, channels: int, filters: int) -> None:
        """Create the bias; from now on inputs must have 3 axes and so many channels."""
        self.build_bias(filters)
        self.bias_shape = (-1,) if self.layout == "NLC" else (-1, 1)
        self.input_spec = InputSpec(ndim=3, axes={-1 if self.layout == "NLC" else 1: channels})

    def convolution_op(self, inputs: Any, kernel: Any) -> Tensor:
        """An ordinary convolution of ``inputs`` with any ``kernel`` (K', C/G, F'), by the layer's strides, padding,
        dilation and data format. "causal" pads nothing here: as in Keras, the caller pads.

        Raises:
            ValueError: a kernel that does not fit the inputs.
        """
        x, w = self._converted(inputs), self._converted(kernel)
        if x.ndim != 3 or w.ndim != 3 or not w.shape[1] or x.shape[self.channel_axis] % w.shape[1]:
            raise ValueError(
                "convolution_op: inputs must have 3 axes and a multiple of the kernel's channels. "
                f"Received: inputs={x.shape}, kernel={w.shape}"
            )
        padding = "valid" if self.padding == "causal" else self.padding
        stride, dilation = self.strides[0], self.dilation_rate[0]
        zeros = Geometry.resolve(x.shape[self.time_axis], w.shape[0], stride, dilation, padding).padding
        groups = x.shape[self.channel_axis] // w.shape[1]
        return ops.conv1d(x, w, stride=stride, dilation=dilation, padding=zeros, layout=self.layout, groups=groups)
