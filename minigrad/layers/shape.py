"""Layers that only move numbers, or repeat, add or cut some off."""

from __future__ import annotations

import math
from typing import Any

from minigrad.config import argument, as_integer, integers
from minigrad.kernels.layout import time_axis
from minigrad.layers.arguments import data_format, layout_of
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


def _target_shape(name: str, value: Any) -> tuple[int, ...]:
    lengths = tuple(map(as_integer, value if isinstance(value, (list, tuple)) else (value,)))
    if any(n is None or n < -1 for n in lengths) or lengths.count(-1) > 1:
        raise ValueError(
            f"The `{name}` argument must hold lengths, and -1 at most once. Received: {name}={value!r}"
        )
    return lengths  # type: ignore[return-value]


class Reshape(Movement):
    """Each example in another shape; one length may be -1, which is what is left.

    Raises:
        ValueError: two -1, or a shape of another size.

    >>> Reshape((2, -1))(Tensor.ones(5, 6)).shape
    (5, 2, 3)
    """

    target_shape: tuple[int, ...] = argument(_target_shape)

    def call(self, inputs: Tensor) -> Tensor:
        return inputs.reshape(self.compute_output_shape(inputs.shape))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        rest, target = input_shape[1:], self.target_shape
        if None in rest:
            return (input_shape[0], *(None if n == -1 else n for n in target))
        size, known = math.prod(rest), math.prod(n for n in target if n != -1)  # type: ignore[arg-type]
        if size % known if -1 in target and known else size != known:
            raise ValueError(
                "The total size of the tensor must be unchanged. "
                f"Received: input_shape={tuple(input_shape)}, target_shape={target}"
            )
        return (input_shape[0], *(size // max(known, 1) if n == -1 else n for n in target))


def _dims(name: str, value: Any) -> tuple[int, ...]:
    dims = tuple(map(as_integer, value)) if isinstance(value, (list, tuple)) else ()
    if not dims or set(dims) != set(range(1, len(dims) + 1)):
        raise ValueError(
            f"Invalid permutation argument `{name}` for Permute Layer. The set of indices in `{name}` must be "
            f"consecutive and start from 1. Received {name}={value!r}"
        )
    return dims  # type: ignore[return-value]


class Permute(Movement):
    """Axis i of the output is axis dims[i - 1] of the input; the batch is axis 0 and stays.

    >>> Permute((2, 1))(Tensor.ones(5, 2, 3)).shape
    (5, 3, 2)
    """

    dims: tuple[int, ...] = argument(_dims)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def call(self, inputs: Tensor) -> Tensor:
        return inputs.transpose(0, *self.dims)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *(input_shape[i] for i in self.dims))


def _times(name: str, value: Any) -> int:
    times = as_integer(value)
    if times is None:
        raise TypeError(f"Expected an integer value for `{name}`, got {type(value)}.")
    if times < 1:
        raise ValueError(f"Argument `{name}` should be a positive integer. Received: {name}={value}")
    return times


class RepeatVector(Movement):
    """Each example n times, along a new axis: (N, C) to (N, n, C).

    Raises:
        TypeError, ValueError: n is no integer, or not positive.
    """

    n: int = argument(_times)

    input_spec = InputSpec(ndim=2)

    def call(self, inputs: Tensor) -> Tensor:
        return inputs.expand_dims(1).broadcast_to(self.compute_output_shape(inputs.shape))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], self.n, input_shape[1])


class UpSampling1D(Movement):
    """Each time step ``size`` times: (N, L, C) to (N, size*L, C).

    Raises:
        TypeError, ValueError: size is no integer, or not positive.

    >>> UpSampling1D(2)(Tensor([[[1.0], [2.0]]])).reshape(-1).tolist()
    [1.0, 1.0, 2.0, 2.0]
    """

    size: int = argument(_times, 2)

    input_spec = InputSpec(ndim=3)

    def call(self, inputs: Tensor) -> Tensor:
        batch, steps, channels = inputs.shape
        repeated = inputs.expand_dims(2).broadcast_to(batch, steps, self.size, channels)
        return repeated.reshape(batch, steps * self.size, channels)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, steps, channels = input_shape
        return batch, None if steps is None else steps * self.size, channels


class ZeroPadding1D(Movement):
    """Zeros before and after the time steps.

    Raises:
        ValueError: padding is no integer or pair of them, none negative.

    >>> ZeroPadding1D((2, 1))(Tensor.ones(1, 3, 4)).shape
    (1, 6, 4)
    """

    padding: tuple[int, int] = argument(integers(2, 0), 1)
    data_format: str = data_format()

    input_spec = InputSpec(ndim=3)

    def call(self, inputs: Tensor) -> Tensor:
        widths = [(0, 0)] * 3
        widths[time_axis(layout_of(self.data_format))] = self.padding
        return inputs.pad(widths)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        shape, axis = list(input_shape), time_axis(layout_of(self.data_format))
        length = shape[axis]
        shape[axis] = None if length is None else length + sum(self.padding)
        return tuple(shape)


class Cropping1D(Movement):
    """The time steps without the first and last few: (N, L, C) to (N, L - before - after, C).

    Raises:
        ValueError: cropping is no integer or pair of them, none negative; or nothing would be left.
    """

    cropping: tuple[int, int] = argument(integers(2, 0), (1, 1))

    input_spec = InputSpec(ndim=3)

    def call(self, inputs: Tensor) -> Tensor:
        self.compute_output_shape(inputs.shape)
        before, after = self.cropping
        return inputs[:, before : inputs.shape[1] - after]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, steps, channels = input_shape
        if steps is not None and steps <= sum(self.cropping):
            raise ValueError(
                "`cropping` parameter of `Cropping1D` layer must be smaller than the input length. "
                f"Received: input_shape={tuple(input_shape)}, cropping={self.cropping}"
            )
        return batch, None if steps is None else steps - sum(self.cropping), channels
