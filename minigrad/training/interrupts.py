"""Ctrl-C while a model trains: the running step is done first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupt:
    """Whether Ctrl-C was pressed: true or false, as it stands."""

    def __init__(self) -> None:
        self._pressed = False

    def __bool__(self) -> bool:
        return self._pressed

    def press(self, *_: Any) -> None:
        """Note Ctrl-C; the second time, end at once as Python does.

        Raises:
            KeyboardInterrupt: it was noted before.
        """
        if self._pressed:
            raise KeyboardInterrupt
        self._pressed = True


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """A context in which Ctrl-C only turns the `Interrupt` true, unless somebody handles it otherwise.

    Signals reach the main thread alone; in another one nothing changes.
    """
    interrupt = Interrupt()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupt
        return
    signal.signal(signal.SIGINT, interrupt.press)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
