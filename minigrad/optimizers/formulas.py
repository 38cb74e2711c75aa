"""What several rules have in common."""

from __future__ import annotations

from collections.abc import Sequence

from minigrad.backend import Array, array_module


def lerp(average: Array, value: Array, weight: float) -> None:
    """Move ``average`` in place by the share ``weight`` of its way to ``value``: a <- (1 - weight) a + weight v."""
    average += weight * (value - average)


def norm(arrays: Sequence[Array]) -> Array:
    """The Euclidean norm of all numbers in ``arrays``, as an array of no axes on their device."""
    return array_module(*arrays).sqrt(sum((a * a).sum() for a in arrays))


def shrink(length: Array, limit: float) -> Array:
    """The factor that brings a vector of this length to at most ``limit``."""
    return limit / array_module(length).maximum(length, limit)
