"""Callback: what is done between the steps of training, under Keras's names; and the list of them that runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

Logs = Mapping[str, Any]


class Callback:
    """Something that looks on, or steps in, while a model trains. A subclass writes the hooks that it wants.

    ``logs`` holds floats by name: in the hooks of a batch the metrics of the epoch so far, which are read from the
    device only if the hook looks at them; in `on_epoch_end` those of the epoch, with "val_" before the names of the
    validation. A hook of batches costs time at every step, others do not.

    >>> class Spoken(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(f"epoch {epoch}: {logs['loss']}")
    >>> Spoken().on_epoch_end(0, {"loss": 0.5})
    epoch 0: 0.5
    """

    params: Mapping[str, Any] | None = None
    model: Any = None
    state_names: ClassVar[tuple[str, ...]] = ()  # the attributes that a checkpoint must hold
    runs_last: ClassVar[bool] = False  # after all others: what it sees is what they leave

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Take verbose, epochs and steps (of an epoch; None when not known)."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Take the model that trains."""
        self.model = model

    def get_state(self) -> dict[str, Any]:
        """What a resumed run must know: numbers, strings and arrays, also in lists and dicts."""
        return {name: getattr(self, name) for name in self.state_names}

    def check_state(self, state: Mapping[str, Any]) -> None:
        """Raise ValueError for a state from a file that is not one for `set_state`."""
        if type(self).get_state is Callback.get_state and not state.keys() <= set(self.state_names):
            raise ValueError(
                f"checkpoint: the state of {type(self).__name__} must have the names {list(self.state_names)}. "
                f"Received: {list(state)}"
            )

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take what `get_state` returned; called after `on_train_begin`."""
        for name, value in state.items():
            setattr(self, name, value)

    def close(self) -> None:
        """Let go of what it holds: the last call of a training, also of one that failed."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """After the last epoch, unless training was interrupted."""

    def on_interrupt(self, logs: Logs | None = None) -> None:
        """After the step in which Ctrl-C was pressed; the end of a training that was interrupted."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch; they count from 0."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """After an epoch and its validation. What is put into ``logs`` goes into the history."""

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """`on_train_batch_begin`, by its older name."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """`on_train_batch_end`, by its older name."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a step; they count from 0 in every epoch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a step."""
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Before `evaluate`, also before the validation of an epoch."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """After `evaluate`."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of `evaluate`."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of `evaluate`."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Before `predict`."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """After `predict`."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Before a batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a batch of `predict`, with its "outputs"."""


class LambdaCallback(Callback):
    """A callback made of functions, each given by the name of its hook.

    Raises:
        TypeError: a name that is no hook.

    >>> LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs)).on_epoch_end(3, {"loss": 0.5})
    3 {'loss': 0.5}
    """

    def __init__(self, **hooks: Callable[..., Any] | None) -> None:
        for name, hook in hooks.items():
            if name not in HOOKS or not (hook is None or callable(hook)):
                raise TypeError(f"LambdaCallback: functions must be given by names of hooks. Received: {name}={hook!r}")
            if hook is not None:
                setattr(self, name, hook)


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class Floats(Mapping[str, Any]):
    """Logs as Python floats, each copied from its device when it is looked at."""

    def __init__(self, logs: Mapping[str, Any]) -> None:
        self._logs = logs

    def __getitem__(self, name: str) -> Any:
        value = self._logs[name]
        return float(value) if getattr(value, "shape", None) == () else value

    def __iter__(self) -> Iterator[str]:
        return iter(self._logs)

    def __len__(self) -> int:
        return len(self._logs)

    def __repr__(self) -> str:
        return repr(dict(self))


class CallbackList:
    """Callbacks called in their order. Hooks that nobody wrote cost nothing.

    Raises:
        TypeError: something that is no Callback.
    """

    def __init__(self, callbacks: Any, model: Any, **params: Any) -> None:
        given = [callbacks] if isinstance(callbacks, Callback) else list(callbacks or ())
        for callback in given:
            if not isinstance(callback, Callback):
                raise TypeError(f"callbacks: each must be a Callback. Received: {callback!r}")
        self.callbacks: list[Callback] = sorted(given, key=lambda callback: callback.runs_last)
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)
        self._hooks = {name: self._written(name) for name in HOOKS}
        self._begins, self._ends = (
            {name[3 : -len(end)]: hooks for name, hooks in self._hooks.items() if name.endswith(end)}
            for end in ("_begin", "_end")
        )

    def _written(self, name: str) -> list[Callable[..., None]]:
        """The hooks of this name that somebody wrote, or their older names."""
        names = {name, name.replace("train_", "")} if "train_batch" in name else {name}
        return [
            getattr(callback, name) for callback in self.callbacks
            if any(getattr(getattr(callback, n), "__func__", None) is not vars(Callback)[n] for n in names)
        ]

    def begin(self, name: str, number: int) -> None:
        """Call ``on_<name>_begin`` of an epoch or a batch."""
        for hook in self._begins[name]:
            hook(number, {})

    def batch_end(self, name: str, number: int, logs: Mapping[str, Any]) -> None:
        """Call ``on_<name>_end`` of a batch, with logs that are read when they are looked at."""
        hooks = self._ends[name]
        if hooks:  # most often there are none, and this is every step
            shown = Floats(logs)
            for hook in hooks:
                hook(number, shown)

    def epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Call ``on_epoch_end``; the logs may grow on the way."""
        for hook in self._hooks["on_epoch_end"]:
            hook(epoch, logs)

    def call(self, name: str, logs: Mapping[str, Any] | None = None) -> None:
        """Call the hook ``name``, one without a number."""
        for hook in self._hooks[name]:
            hook(dict(logs or {}))

    def close(self) -> None:
        """Close every callback."""
        for callback in self.callbacks:
            callback.close()

    def get_state(self) -> list[list[Any]]:
        """The state of every callback that has some, with the name of its class."""
        states = [(type(callback).__name__, callback.get_state()) for callback in self.callbacks]
        return [[name, state] for name, state in states if state]

    def matched(self, states: Iterable[Any]) -> list[tuple[Callback, dict[str, Any]]]:
        """The callbacks that the states of `get_state` are for.

        Raises:
            ValueError: a state for a callback that is not here, or that is none.
        """
        free = list(self.callbacks)
        pairs = []
        for name, state in states:
            own = next((callback for callback in free if type(callback).__name__ == name), None)
            if own is None:
                raise ValueError(
                    f"checkpoint: the run must have the callbacks that it was begun with. Received: no {name} among "
                    f"{[type(callback).__name__ for callback in self.callbacks]}"
                )
            own.check_state(state)
            free.remove(own)
            pairs.append((own, state))
        return pairs
