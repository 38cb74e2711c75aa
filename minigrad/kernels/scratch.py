"""Scratch: memory that a kernel needs for a moment, on the CPU the same at every call.

A new array for every tile would be given back to the system and faulted in again each time.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

from minigrad.backend import Array, array_module, device_of

_buffers = threading.local()


def scratch(like: Array, name: str, shape: Sequence[int], dtype: Any = None) -> Array:
    """An uninitialized array where ``like`` is, by default of its dtype. On the CPU each thread has one buffer of each
    ``name``, which holds until the name is asked for again.
    """
    xp = array_module(like)
    dtype = xp.dtype(dtype or like.dtype)
    if device_of(like) != "cpu":
        return xp.empty(tuple(shape), dtype)
    nbytes = math.prod(shape) * dtype.itemsize
    buffer = getattr(_buffers, name, None)
    if buffer is None or buffer.nbytes < nbytes:
        buffer = xp.empty(nbytes, "uint8")
        setattr(_buffers, name, buffer)
    return buffer[:nbytes].view(dtype).reshape(shape)
