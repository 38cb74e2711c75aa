"""Run: where a training stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minigrad.callbacks.callback import CallbackList


class Run:
    """One call of ``fit``: its epoch, the batches done in it, the seed of its shuffles, its callbacks."""

    def __init__(self, model: Any, callbacks: CallbackList, epoch: int, seed: int) -> None:
        self.model = model
        self.callbacks = callbacks
        self.epoch = epoch
        self.batch = 0
        self.seed = seed
        self.logs: Mapping[str, Any] | None = None  # of the running epoch, as far as it got
