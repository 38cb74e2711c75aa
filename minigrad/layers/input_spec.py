"""InputSpec: what a layer expects of its input's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class InputSpec(NamedTuple):
    """The dtype, the shape (None for any length), the number of axes, its bounds, and lengths of some axes.

    >>> InputSpec(ndim=2).check((3,), "x")
    Traceback (most recent call last):
    ...
    ValueError: x is incompatible with the layer: expected ndim=2, found ndim=1. Full shape received: (3,)
    """

    dtype: Any = None
    shape: tuple[int | None, ...] | None = None
    ndim: int | None = None
    max_ndim: int | None = None
    min_ndim: int | None = None
    axes: Mapping[int, int] = {}

    def check(self, shape: tuple[int | None, ...], who: str, dtype: Any = None) -> None:
        """Compare a shape, and a dtype if it is given; an unknown length (None) fits.

        Raises:
            ValueError: they do not fit.
        """
        ndim = len(shape)
        if self.ndim is not None and ndim != self.ndim:
            raise _mismatch(who, f"expected ndim={self.ndim}, found ndim={ndim}. Full shape received: {shape}")
        if self.min_ndim is not None and ndim < self.min_ndim:
            raise _mismatch(who, f"expected min_ndim={self.min_ndim}, found ndim={ndim}. Full shape received: {shape}")
        if self.max_ndim is not None and ndim > self.max_ndim:
            raise _mismatch(who, f"expected max_ndim={self.max_ndim}, found ndim={ndim}. Full shape received: {shape}")
        for axis, length in self.axes.items():
            if shape[axis] not in (None, length):
                found = f"but received input with shape {shape}"
                raise _mismatch(who, f"expected axis {axis} of input shape to have value {length}, {found}")
        if self.shape is not None and (
            ndim != len(self.shape)
            or any(n != m and None not in (n, m) for n, m in zip(self.shape, shape, strict=True))
        ):
            raise _mismatch(who, f"expected shape={self.shape}, found shape={shape}")
        if self.dtype is not None and dtype is not None and dtype != self.dtype:
            raise _mismatch(who, f"expected dtype={self.dtype}, found dtype={dtype}")


def _mismatch(who: str, what: str) -> ValueError:
    return ValueError(f"{who} is incompatible with the layer: {what}")
