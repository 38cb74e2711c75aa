"""Merging: several inputs to one output, element by element or side by side."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from minigrad import ops
from minigrad.config import argument, as_integer
from minigrad.layers.layer import Layer, Shape
from minigrad.tensor import Tensor


class Merge(Layer):
    """A layer of a list of inputs; a subclass says by `merge` how they become one.

    Inputs broadcast as in NumPy, but for the batch, which must be the same. One with fewer axes gets new ones behind
    the batch's.
    """

    accepts_integers = True

    def build(self, input_shape: list[Shape]) -> None:
        self.compute_output_shape(input_shape)

    def call(self, inputs: Any) -> Tensor:
        shapes = self.checked_inputs([x.shape for x in inputs] if isinstance(inputs, (list, tuple)) else inputs.shape)
        if any(shape != shapes[0] for shape in shapes):
            self.compute_output_shape(shapes)
            ndim = max(len(shape) for shape in shapes)
            inputs = [x if x.ndim == ndim else x.reshape(_lengthened(x.shape, ndim)) for x in inputs]
        return self.merge(inputs)

    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        """One output of inputs with equally many axes."""
        raise NotImplementedError(f"{type(self).__name__}.merge: must be written. Received: no merge()")

    def checked_inputs(self, shapes: Any) -> list[Shape]:
        """The shapes of the inputs.

        Raises:
            ValueError: not a list of at least one input.
        """
        if not shapes or not all(isinstance(shape, (list, tuple)) for shape in shapes):
            raise ValueError(
                f"A `{type(self).__name__}` layer should be called on a list of at least 1 input. "
                f"Received: input_shape={shapes}"
            )
        return [tuple(shape) for shape in shapes]

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        shapes = self.checked_inputs(input_shape)
        batches = {shape[0] for shape in shapes} - {None}
        if len(batches) > 1:
            raise ValueError(f"Cannot merge tensors with different batch sizes. Received tensors with shapes {shapes}")
        ndim = max(len(shape) for shape in shapes)
        lengths = zip(*(_lengthened(shape, ndim)[1:] for shape in shapes), strict=True)
        return (next(iter(batches), None), *(_common(axis, shapes) for axis in lengths))


def _lengthened(shape: Shape, ndim: int) -> Shape:
    """``shape`` with new axes of length 1 behind the first."""
    return (shape[0], *(1,) * (ndim - len(shape)), *shape[1:])


def _common(lengths: tuple[int | None, ...], shapes: list[Shape]) -> int | None:
    """The length that all broadcast to; None when an unknown one decides."""
    known = set(lengths) - {1, None}
    if len(known) > 1:
        raise ValueError(f"Inputs have incompatible shapes. Received shapes {shapes}")
    return None if None in lengths else next(iter(known), 1)


class Add(Merge):
    """The sum of all inputs.

    >>> Add()([Tensor([[1.0]]), Tensor([[2.0]])]).tolist()
    [[3.0]]
    """

    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        return functools.reduce(ops.add, inputs)


class Subtract(Merge):
    """The first input less the second; there must be two."""

    def checked_inputs(self, shapes: Any) -> list[Shape]:
        if len(shapes := super().checked_inputs(shapes)) != 2:
            raise ValueError(
                f"A `Subtract` layer should be called on exactly 2 inputs. Received: input_shape={shapes}"
            )
        return shapes

    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        return inputs[0] - inputs[1]


class Multiply(Merge):
    """The product of all inputs."""

    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        return functools.reduce(ops.multiply, inputs)


class Average(Add):
    """The mean of all inputs."""

    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        return super().merge(inputs) / len(inputs)


class Maximum(Merge):
    """The largest of all inputs, element by element; inputs that tie share the gradient."""

    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        return functools.reduce(ops.maximum, inputs)


class Minimum(Merge):
    """The smallest of all inputs, element by element; inputs that tie share the gradient."""

    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        return functools.reduce(ops.minimum, inputs)


def _axis(name: str, value: Any) -> int:
    axis = as_integer(value)
    if axis is None:
        raise TypeError(f"The `{name}` argument must be an integer. Received: {name}={value!r}")
    return axis


class Concatenate(Merge):
    """The inputs side by side along ``axis``; all other axes must be the same.

    >>> Concatenate()([Tensor([[1.0]]), Tensor([[2.0, 3.0]])]).tolist()
    [[1.0, 2.0, 3.0]]
    """

    axis: int = argument(_axis, -1)

    def merge(self, inputs: Sequence[Tensor]) -> Tensor:
        return ops.concatenate(*inputs, axis=self.axis)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        shapes = self.checked_inputs(input_shape)
        lengths = list(zip(*shapes, strict=False))
        ndims = {len(shape) for shape in shapes}
        if len(ndims) > 1 or not -len(lengths) <= self.axis < len(lengths):
            raise self._mismatch(shapes)
        axis = self.axis % len(lengths)
        if any(len(set(along) - {None}) > 1 for i, along in enumerate(lengths) if i != axis):
            raise self._mismatch(shapes)
        joined = None if None in lengths[axis] else sum(lengths[axis])
        return tuple(
            joined if i == axis else next((n for n in along if n is not None), None) for i, along in enumerate(lengths)
        )

    def _mismatch(self, shapes: list[Shape]) -> ValueError:
        return ValueError(
            "A `Concatenate` layer requires inputs with matching shapes except for the concatenation axis. "
            f"Received: input_shape={shapes}, axis={self.axis}"
        )
