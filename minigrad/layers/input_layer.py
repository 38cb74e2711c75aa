"""InputLayer: says which shape a Sequential takes, so that it is built before the first call."""

from __future__ import annotations

from typing import Any

from minigrad.backend import dtype_of
from minigrad.config import argument
from minigrad.layers.layer import SameShape, Shape, checked_shape
from minigrad.settings import floatx
from minigrad.tensor import Tensor


def _shape(name: str, value: Any) -> Shape | None:
    return None if value is None else checked_shape(value, "InputLayer")


class InputLayer(SameShape):
    """The shape that a Sequential takes: ``shape`` without the batch's axis, or ``batch_shape`` with it.

    Raises:
        ValueError: both shapes, or neither.

    >>> InputLayer((29, 12)).batch_shape
    (None, 29, 12)
    """

    shape: Shape | None = argument(_shape, None)
    batch_size: int | None = argument(default=None)
    dtype: str = argument(lambda name, value: str(dtype_of(value or floatx())), None)
    batch_shape: Shape | None = argument(_shape, None)
    name: str
    activity_regularizer = None

    _foreign = {"sparse": False, "ragged": False, "optional": False}
    autocast = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_shape is not None and (self.shape is not None or self.batch_size is not None):
            other = "shape" if self.shape is not None else "batch_size"
            raise ValueError(f"You cannot pass both `{other}` and `batch_shape` at the same time.")
        if self.batch_shape is None:
            if self.shape is None:
                raise ValueError("You must pass a `shape` argument.")
            self.batch_shape = (self.batch_size, *self.shape)
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs

    def get_config(self) -> dict[str, Any]:
        return {"batch_shape": self.batch_shape, "dtype": self._policy, "name": self.name}
