"""Initializer, and the initializers that draw nothing: arrays, constants, the identity."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from minigrad.backend import Array, asarray, dtype_of, is_array
from minigrad.config import Configurable, argument, number
from minigrad.settings import floatx
from minigrad.tensor import Tensor

Shape = tuple[int, ...]


class Initializer(Configurable, family="initializer", module="keras.initializers"):
    """A recipe for the first values of a weight: ``initializer(shape, dtype)`` gives a Tensor.

    A subclass writes `values`. Any function of (shape, dtype) can stand in its place.
    """

    _kinds: ClassVar[str] = "fiu"

    def __call__(self, shape: Any, dtype: Any = None) -> Tensor:
        dtype = dtype_of(dtype or floatx())
        if dtype.kind not in self._kinds:
            kind = "floating" if self._kinds == "f" else "a number type"
            raise ValueError(f"{type(self).__name__}: dtype must be {kind}. Received: dtype={dtype}")
        return Tensor(self.values(tuple(shape)), dtype)

    def values(self, shape: Shape) -> Array:
        """The values, on the host."""
        raise NotImplementedError(f"{type(self).__name__}: values() must be written. Received: no values()")

    def clone(self) -> Self:
        """Another initializer with the same arguments; one without a seed draws a new one."""
        return self.from_config(self.get_config())

    @classmethod
    def get(cls, identifier: Any) -> Any:
        if isinstance(identifier, Tensor):
            identifier = identifier.numpy()
        if is_array(identifier):
            return Given(asarray(identifier))
        return super().get(identifier)


class Given(Initializer):
    """An array as it is; the weight must have its shape.

    Raises:
        ValueError: called for another shape.
    """

    value: Any = argument()

    def values(self, shape: Shape) -> Array:
        value = asarray(self.value)
        if value.shape != shape:
            raise ValueError(
                f"Expected `shape` to be {value.shape} for direct tensor as initializer. Received shape={shape}"
            )
        return value


class Constant(Initializer):
    """One value everywhere."""

    value: float = argument(number, 0.0)

    def values(self, shape: Shape) -> Array:
        return Tensor.full(shape, float(self.value), "float64").data


class Zeros(Constant):
    """0 everywhere."""

    aliases = ("zero",)
    value = 0.0


class Ones(Constant):
    """1 everywhere."""

    aliases = ("one",)
    value = 1.0


class Identity(Initializer):
    """``gain`` on the diagonal of a matrix, 0 beside it.

    Raises:
        ValueError: called for a shape that is no matrix.

    >>> Identity()((2, 3)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """

    aliases = ("IdentityInitializer",)
    gain: float = argument(number, 1.0)

    def values(self, shape: Shape) -> Array:
        if len(shape) != 2:
            raise ValueError(
                "Identity matrix initializer can only be used for 2D matrices. "
                f"Received: shape={shape} of rank {len(shape)}."
            )
        return self.gain * Tensor.eye(*shape, dtype="float64").data
