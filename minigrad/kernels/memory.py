"""Memory that one step has freed is there for the next.

Where the C library is glibc, large arrays are by default mapped from the system and given back when they are freed, or
trimmed off the end of the heap, as luck has it; the next step then pays a page fault for every piece of them again.
Where that happened, it took a fifth to a half of the time of a layer step with arrays of 16 MB. So importing minigrad
tells glibc to keep what is freed, up to 2 GB. MINIGRAD_KEEP_MEMORY=0 leaves everything as it was.
"""

from __future__ import annotations

import ctypes
import os
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_LARGEST = (1 << 31) - 1  # bytes, what the int of mallopt can say


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory for this process; whether it was told so.

    Raises:
        ValueError: MINIGRAD_KEEP_MEMORY is neither 0 nor 1.
    """
    wanted = os.environ.get("MINIGRAD_KEEP_MEMORY", "1")
    if wanted not in ("0", "1"):
        raise ValueError(f"MINIGRAD_KEEP_MEMORY: must be 0 or 1. Received: {wanted!r}")
    if wanted == "0" or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_TRIM_THRESHOLD, _LARGEST)) and bool(mallopt(_MMAP_THRESHOLD, _LARGEST))
