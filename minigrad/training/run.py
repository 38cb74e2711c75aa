"""Run: where a training stands, and how it goes on from there in another process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigrad.backend import HostArray
from minigrad.callbacks.callback import CallbackList, Floats
from minigrad.metrics import Results
from minigrad.saving.archive import conforms
from minigrad.saving.checkpoint import CheckpointError, read_checkpoint, save_checkpoint
from minigrad.variable import assign_all

# What `Run.save` writes, by name; files say it, so it is looked at before it is believed.
_STATE = {
    "epoch": int, "batch": int, "seed": int, "steps": (int, None), "stop": bool, "logs": (dict, None),
    "metrics": [[HostArray]], "callbacks": [[str, dict]],
}  # fmt: skip


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
            epoch=self.epoch, batch=self.batch, seed=self.seed, steps=self.steps, stop=bool(model.stop_training),
            logs=None if logs is None or isinstance(logs, Results) else dict(Floats(logs)),
            metrics=[[sums.numpy() for sums in metric.variables] for metric in model.metrics],
            callbacks=self.callbacks.get_state(),
        )

    def restore(self, path: str | Path) -> None:
        """Go on where the file says.

        Raises:
            CheckpointError: no checkpoint, or none of this training. Nothing has changed then.
        """
        model, checkpoint = self.model, read_checkpoint(path)
        state = checkpoint.state
        if missing := _STATE.keys() - state.keys():
            raise CheckpointError(
                f"checkpoint: it must be of a call of fit. Received: {path}, without {sorted(missing)}"
            )
        if not conforms(state, _STATE) or min(state["epoch"], state["batch"], state["seed"]) < 0:
            raise CheckpointError(f"checkpoint: it must be as a call of fit wrote it. Received: {path}")
        if state["steps"] != self.steps:
            raise CheckpointError(
                "checkpoint: the data must be that of the training so far. "
                f"Received: {self.steps} batches an epoch, and {state['steps']} in {path}"
            )
        sums = [[(array.shape, array.dtype) for array in arrays] for arrays in state["metrics"]]
        if sums != [[(variable.shape, variable.dtype) for variable in metric.variables] for metric in model.metrics]:
            raise CheckpointError(
                "checkpoint: the metrics must be those of the training so far. "
                f"Received: {[metric.name for metric in model.metrics]}, and {len(sums)} others in {path}"
            )
        try:
            pairs = self.callbacks.matched(state["callbacks"])
        except ValueError as error:
            raise CheckpointError(f"{error}, in {path}") from error
        variables = [variable for metric in model.metrics for variable in metric.variables]
        with checkpoint.checked(model, model.optimizer):
            self.epoch, self.batch, self.seed, self.logs = (state[name] for name in ("epoch", "batch", "seed", "logs"))
            if self.batch:  # the epoch has begun for them too; whatever they change now is overwritten
                self.callbacks.begin("epoch", self.epoch)
            assign_all(variables, [array for arrays in state["metrics"] for array in arrays])
            checkpoint.restore(model, model.optimizer)
        for callback, own in pairs:
            callback.set_state(own)
        model.stop_training = state["stop"]
