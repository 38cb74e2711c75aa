"""InputSpec: what a layer expects of its input's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class InputSpec(NamedTuple):
    """The number of axes, its bounds, and lengths of some axes.

    >>> InputSpec(ndim=2).check((3,), "x")
    Traceback (most recent call last):
    ...
    ValueError: x is incompatible with the layer: expected ndim=2, found ndim=1. Full shape received: (3,)
    """

    ndim: int | None = None
    min_ndim: int | None = None
    max_ndim: int | None = None
    axes: Mapping[int, int] = {}

    def check(self, shape: tuple[int | None, ...], who: str) -> None:
        """Compare a shape; an unknown length (None) fits.

        Raises:
            ValueError: it does not fit.
        """
        start = f"{who} is incompatible with the layer: "
        found = f"found ndim={len(shape)}. Full shape received: {shape}"
        if self.ndim is not None and len(shape) != self.ndim:
            raise ValueError(f"{start}expected ndim={self.ndim}, {found}")
        if self.min_ndim is not None and len(shape) < self.min_ndim:
            raise ValueError(f"{start}expected min_ndim={self.min_ndim}, {found}")
        if self.max_ndim is not None and len(shape) > self.max_ndim:
            raise ValueError(f"{start}expected max_ndim={self.max_ndim}, {found}")
        for axis, length in self.axes.items():
            if shape[axis] not in (None, length):
                raise ValueError(
                    f"{start}expected axis {axis} of input shape to have value {length}, but received input with shape "
                    f"{shape}"
                )
