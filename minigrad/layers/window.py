"""Window: the shape arithmetic of every layer whose outputs each see a window of steps."""

from __future__ import annotations

import functools

from minigrad.kernels.geometry import Geometry
from minigrad.kernels.layout import channel_axis, time_axis
from minigrad.layers.arguments import layout_of

Shape = tuple[int | None, ...]

_geometry = functools.lru_cache(maxsize=1024)(Geometry.resolve)  # a layer sees the same few lengths at every call


class Window:
    """Shape arithmetic over the arguments ``strides``, ``padding`` and ``data_format``."""

    name: str
    strides: tuple[int]
    padding: str
    data_format: str
    dilation_rate: tuple[int] = (1,)

    @property
    def taps(self) -> int:
        """How many steps a window takes in."""
        raise NotImplementedError

    @property
    def layout(self) -> str:
        """"NLC" or "NCL", as the ops call the data format."""
        return layout_of(self.data_format)

    @property
    def time_axis(self) -> int:
        """The axis of time."""
        return time_axis(self.layout)

    @property
    def channel_axis(self) -> int:
        """The axis of channels."""
        return channel_axis(self.layout)

    def geometry(self, input_shape: Shape) -> Geometry:
        """The geometry over inputs of this shape.

        Raises:
            ValueError: the window does not fit into the input.
        """
        length = input_shape[self.time_axis]
        assert length is not None
        try:
            return _geometry(length, self.taps, self.strides[0], self.dilation_rate[0], self.padding)
        except ValueError as error:
            raise ValueError(
                f"Computed output size would be zero or negative. Received `inputs shape={input_shape}`, "
                f"`kernel shape=({self.taps},)`, `strides={self.strides}`, `padding={self.padding}`, "
                f"`dilation_rate={self.dilation_rate}` in layer {self.name}"
            ) from error

    def out_shape(self, input_shape: Shape, filters: int | None) -> Shape:
        """The output shape for so many filters; T is None where L is.

        Raises:
            ValueError: not 3 axes, or an input shorter than the window.
        """
        if len(input_shape) != 3:
            raise ValueError(f"{self.name}: inputs must have 3 axes. Received: input_shape={input_shape}")
        steps = None if input_shape[self.time_axis] is None else self.geometry(input_shape).out_length
        return (input_shape[0], steps, filters) if self.layout == "NLC" else (input_shape[0], filters, steps)
