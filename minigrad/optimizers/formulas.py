"""What several rules have in common."""

from __future__ import annotations

from minigrad.backend import Array, array_module


def lerp(average: Array, value: Array, weight: float) -> None:
    """Move ``average`` in place by the share ``weight`` of its way to ``value``: a <- (1 - weight) a + weight v."""
    if isinstance(weight, float):
        average *= 1 - weight
    else:  # a number of the host in a captured step, which meets arrays in formulas alone
        average[...] = (1 - weight) * average
    average += weight * value


def shrink(length: Array, limit: float) -> Array:
    """The factor that brings a vector of this length to at most ``limit``."""
    return limit / array_module(length).maximum(length, limit)
