"""Geometry: all shape arithmetic of a one-dimensional window (convolution, pooling), once.

Letters: L input length, K taps, T output length; ``span`` = dilation * (K - 1) + 1 is how far one window
reaches. Forward passes, ``compute_output_shape``, summaries and kernels all ask here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import index
from typing import ParamSpec, SupportsIndex, TypeVar

Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


def remembered(make: Callable[Arguments, Made]) -> Callable[Arguments, Made]:
    """``make``, which is called once for the same arguments: training sees the same few shapes at every step.

    With arguments that cannot be hashed it is called each time, so that it may say what is wrong with them.
    """
    known = functools.lru_cache(maxsize=1024, typed=True)(make)

    @functools.wraps(make)
    def recall(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Made:
        try:
            return known(*args, **kwargs)  # type: ignore[arg-type]
        except TypeError:
            return make(*args, **kwargs)

    return recall


def _integer(value: object) -> int:
    """``value`` as a Python integer, if it is one, of Python or NumPy; -1 of anything else."""
    return index(value) if isinstance(value, SupportsIndex) and not isinstance(value, bool) else -1


@dataclass(frozen=True, slots=True)
class Geometry:
    """A window of ``taps`` sliding along ``length`` steps padded by ``padding`` = (before, after) zeros.

    Attributes:
        span: how many steps one window reaches over.
        out_length: T, the number of windows.

    >>> Geometry(length=10, taps=3, stride=2, padding=(1, 1)).out_length
    5
    """

    length: int
    taps: int
    stride: int = 1
    dilation: int = 1
    padding: tuple[int, int] = (0, 0)
    span: int = field(init=False, repr=False, compare=False)
    out_length: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("taps", "stride", "dilation"):
            value = _integer(getattr(self, name))
            if value < 1:
                raise ValueError(f"{name} must be a positive integer. Received: {name}={getattr(self, name)!r}")
            object.__setattr__(self, name, value)
        padding = tuple(map(_integer, self.padding)) if isinstance(self.padding, tuple) else ()
        if len(padding) != 2 or min(padding) < 0:
            raise ValueError(
                f"padding must be two non-negative integers (before, after). Received: padding={self.padding!r}"
            )
        object.__setattr__(self, "padding", padding)
        span = self.dilation * (self.taps - 1) + 1
        object.__setattr__(self, "span", span)  # once, for the kernels ask at every call
        object.__setattr__(self, "out_length", (self.length + sum(padding) - span) // self.stride + 1)
        if self.out_length < (1 if self.length else 0):
            raise ValueError(
                "Computed output size would be zero or negative: the window must fit into the padded input. "
                f"Received: length={self.length}, taps={self.taps}, dilation={self.dilation}, padding={padding}"
            )

    def phases(self) -> Iterator[tuple[Geometry, slice, slice]]:
        """The same window as several of dilation 1, for stride 1: each with the inputs and the outputs that it takes.

        Of dilation d, the outputs d*q + r of one phase r see the inputs of one phase alone. Phases without outputs
        are left out.

        >>> [(str(outputs), phase.out_length) for phase, _, outputs in Geometry(5, 2, dilation=2).phases()]
        [('slice(0, None, 2)', 2), ('slice(1, None, 2)', 1)]
        """
        d, before = self.dilation, self.padding[0]
        if d == 1:
            yield self, slice(None), slice(None)
            return
        for r in range(min(d, self.out_length)):
            first = (r - before) % d  # the first input of this phase; before it, zeros
            length = len(range(first, self.length, d))
            seen = len(range(r, self.out_length, d)) + self.taps - 1
            zeros = min((first + before - r) // d, seen)
            inside = min(length, seen - zeros)
            inputs = slice(first, first + d * inside, d)
            yield Geometry(inside, self.taps, 1, 1, (zeros, seen - zeros - inside)), inputs, slice(r, None, d)

    @classmethod
    def resolve(cls, length: int, taps: int, stride: int, dilation: int, padding: str) -> Geometry:
        """The geometry that Keras means by ``padding`` = "valid", "same" or "causal".

        "same" gives ceil(L / stride) windows and puts the odd zero on the right; "causal" pads the left by
        span - 1, so that no output sees a later input.

        >>> Geometry.resolve(10, 4, 3, 1, "same").padding
        (1, 2)
        """
        span = dilation * (taps - 1) + 1
        if padding == "valid":
            zeros = (0, 0)
        elif padding == "causal":
            zeros = (span - 1, 0)
        elif padding == "same":
            total = max((-(-length // stride) - 1) * stride + span - length, 0)
            zeros = (total // 2, total - total // 2)
        else:
            raise ValueError(f"padding must be 'valid', 'same' or 'causal'. Received: padding={padding!r}")
        return cls(length, taps, stride, dilation, zeros)
