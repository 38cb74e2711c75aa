"""Run: where a training stands, and how it goes on from there in another process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigrad.backend import move
from minigrad.callbacks.callback import CallbackList, Floats
from minigrad.metrics import Results
from minigrad.saving.checkpoint import read_checkpoint, save_checkpoint


class Run:
    """One call of ``fit``: its epoch, the batches done in it, the seed of its shuffles, its callbacks."""

    def __init__(self, model: Any, callbacks: CallbackList, epoch: int, seed: int, steps: int | None) -> None:
        self.model = model
        self.callbacks = callbacks
        self.epoch = epoch
        self.batch = 0
        self.seed = seed
        self.steps = steps  # of an epoch, if known
        self.logs: Mapping[str, Any] | None = None  # of the running epoch, as far as it got

    def save(self, path: str | Path) -> None:
        """Write all that the rest of the training depends on into one file."""
        model, logs = self.model, self.logs
        save_checkpoint(
            path, model, model.optimizer,
            epoch=self.epoch, batch=self.batch, seed=self.seed, steps=self.steps, stop=model.stop_training,
            logs=None if logs is None or isinstance(logs, Results) else dict(Floats(logs)),
            metrics=[[sums.numpy() for sums in metric.variables] for metric in model.metrics],
            callbacks=self.callbacks.get_state(),
        )

    def restore(self, path: str | Path) -> None:
        """Go on where the file says.

        Raises:
            ValueError: no checkpoint, or none of this training. Nothing has changed then.
        """
        model, checkpoint = self.model, read_checkpoint(path)
        state = checkpoint.state
        if missing := {"epoch", "batch", "seed", "steps", "stop", "logs", "metrics", "callbacks"} - state.keys():
            raise ValueError(f"checkpoint: it must be of a call of fit. Received: {path}, without {sorted(missing)}")
        if state["steps"] != self.steps:
            raise ValueError(
                "checkpoint: the data must be that of the training so far. "
                f"Received: {self.steps} batches an epoch, and {state['steps']} in {path}"
            )
        sums = [[tuple(array.shape) for array in arrays] for arrays in state["metrics"]]
        if sums != [[variable.shape for variable in metric.variables] for metric in model.metrics]:
            raise ValueError(
                "checkpoint: the metrics must be those of the training so far. "
                f"Received: {[metric.name for metric in model.metrics]}, and {len(sums)} others in {path}"
            )
        pairs = self.callbacks.matched(state["callbacks"])
        checkpoint.check(model, model.optimizer)
        self.epoch, self.batch, self.seed, self.logs = (state[name] for name in ("epoch", "batch", "seed", "logs"))
        if self.batch:  # the epoch has begun for them too; whatever they change now is overwritten
            self.callbacks.begin("epoch", self.epoch)
        checkpoint.restore(model, model.optimizer)
        for metric, arrays in zip(model.metrics, state["metrics"], strict=True):
            for variable, array in zip(metric.variables, arrays, strict=True):
                variable.replace(move(array, variable.device))
        for callback, own in pairs:
            callback.set_state(own)
        model.stop_training = state["stop"]
