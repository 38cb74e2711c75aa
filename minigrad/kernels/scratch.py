"""Scratch, memory that a kernel needs for a moment, on the CPU the same at every call; and views of memory.

A new array for every tile would be given back to the system and faulted in again each time.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

from minigrad.backend import Array, HostArray, array_module

_FRAMES = 8  # shapes, at most, of which a thread keeps a frame

_buffers = threading.local()


def scratch(like: Array, name: str, shape: Sequence[int], dtype: Any = None) -> Array:
    """An uninitialized array where ``like`` is, by default of its dtype. On the CPU each thread has one buffer of each
    ``name``, which holds until the name is asked for again.
    """
    dtype = like.dtype if dtype is None else dtype
    if type(like) is not HostArray:
        return array_module(like).empty(tuple(shape), dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    buffer = getattr(_buffers, name, None)
    if buffer is None or buffer.nbytes < nbytes:
        buffer = HostArray(nbytes, "uint8")
        setattr(_buffers, name, buffer)
    return HostArray(shape, dtype, buffer)


def framed(
    like: Array, shape: tuple[int, int, int], before: int, after: int, dtype: Any, in_time: bool = False
) -> tuple[Array, Array]:
    """An array with so many steps of zeros before and after those of ``shape`` (N, L, C), its channels side by side in
    memory or, if ``in_time``, its steps; and the view of the steps of ``shape``, which are uninitialized. On the CPU it
    is the same at every call with the same arguments, the zeros written once.
    """
    if type(like) is not HostArray:
        return _frame(like, shape, before, after, dtype, in_time)
    frames = _buffers.__dict__.setdefault("frames", {})
    key = shape, before, after, dtype, in_time
    frame = frames.pop(key, None)
    if frame is None:
        frame = _frame(like, shape, before, after, dtype, in_time)
        if len(frames) == _FRAMES:
            del frames[next(iter(frames))]  # the one that was not asked for the longest
    frames[key] = frame
    return frame


def _frame(
    like: Array, shape: tuple[int, int, int], before: int, after: int, dtype: Any, in_time: bool
) -> tuple[Array, Array]:
    empty = array_module(like).empty
    count, length, channels = shape
    steps = before + length + after
    whole = empty((count, channels, steps), dtype).swapaxes(1, 2) if in_time else empty((count, steps, channels), dtype)
    whole[:, :before] = 0
    whole[:, before + length :] = 0
    return whole, whole[:, before : before + length]


def strided(x: Array, shape: tuple[int, ...], strides: tuple[int, ...]) -> Array:
    """The view of x that steps through its memory by these strides, in bytes, from its first element on."""
    if type(x) is HostArray and x.flags.c_contiguous:
        return HostArray(shape, x.dtype, x, 0, strides)  # the same, in a sixth of the time
    return array_module(x).lib.stride_tricks.as_strided(x, shape, strides)
