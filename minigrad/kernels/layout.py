"""Which axis is which: "NLC" has the channels last, "NCL" first."""

from __future__ import annotations

LAYOUTS = ("NLC", "NCL")


def time_axis(layout: str) -> int:
    """The axis of L or T."""
    return 1 if layout == "NLC" else 2


def channel_axis(layout: str) -> int:
    """The axis of C."""
    return 2 if layout == "NLC" else 1


def shaped(batch: int, steps: int, channels: int, layout: str) -> tuple[int, int, int]:
    """(N, L, C) or (N, C, L)."""
    return (batch, steps, channels) if layout == "NLC" else (batch, channels, steps)
