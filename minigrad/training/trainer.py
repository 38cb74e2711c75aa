"""Trainer: compile, fit, evaluate, predict. Everything here is made of pieces that a loop of one's own can use too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from minigrad.backend import array_module, to_host
from minigrad.callbacks.callback import CallbackList, Floats
from minigrad.callbacks.history import History
from minigrad.callbacks.monitor import count
from minigrad.callbacks.progress import level, progress, shown, with_bar
from minigrad.config import positive
from minigrad.data import Arrays, Batch, Source, check_classes, each_input, source_of, train_validation_split
from minigrad.losses import Loss, LossFunctionWrapper
from minigrad.metrics import CompiledMetrics, Mean, Metric, Results
from minigrad.metrics.compiled import shape_family
from minigrad.optimizers import Optimizer
from minigrad.random import new_seed
from minigrad.tape import no_grad
from minigrad.tensor import Tensor
from minigrad.training.interrupts import Interrupt, interruptible
from minigrad.training.run import Run
from minigrad.training.summary import summary

CROSSENTROPIES = {
    "binary": "binary_crossentropy", "sparse": "sparse_categorical_crossentropy",
    "categorical": "categorical_crossentropy",
}  # fmt: skip


class Trainer:
    """What a `Model` can do beside computing: learn, be measured, and predict."""

    optimizer: Any = None
    loss: Any = None
    stop_training = False  # a callback sets it, and the epoch is the last
    _loss_tracker: Mean | None = None
    _compiled: CompiledMetrics | None = None
    _results: Results | None = None
    training_run: Run | None = None  # where the training under way stands
    _target: str | None = None  # the device of the batches

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self._loss_tracker is not None

    def compile(
        self, optimizer: Any = "rmsprop", loss: Any = None, metrics: Any = None, weighted_metrics: Any = None
    ) -> None:
        """Say how to train: what `fit`, `evaluate` and `train_step` use.

        Args:
            optimizer: an `Optimizer` or its name.
            loss: a `Loss`, a function of (y_true, y_pred), or a name; "crossentropy" is the one that fits the shapes
                of y and of the output; None for the penalties of the layers alone.
            metrics: a list of metrics, functions or names; "accuracy" is the one that fits the shapes. Every sample
                counts the same.
            weighted_metrics: the same; a sample counts by its weight.

        Raises:
            ValueError, TypeError: something that names no optimizer, loss or metric.
        """
        optimizer = Optimizer.get(optimizer)
        found = loss if loss in ("crossentropy", "ce") else Loss.get(loss)
        compiled = CompiledMetrics(metrics, weighted_metrics)
        self.optimizer, self.loss, self._compiled = optimizer, found, compiled
        if found is not None and not isinstance(found, (Loss, str)):
            self.loss = LossFunctionWrapper(found, name=loss if isinstance(loss, str) else _name_of(found))
        self._loss_tracker, self._results, self.stop_training = Mean(name="loss"), None, False

    # ------------------------------------------------------------------ one step: what a subclass may write anew

    def train_step(self, x: Any, y: Any = None, sample_weight: Any = None) -> Mapping[str, Any]:
        """One step of training on a batch; returns the logs, numbers or 0-D Tensors by name."""
        y_pred = self(x, training=True)  # type: ignore[operator]
        loss = self.compute_loss(x, y, y_pred, sample_weight)
        self.optimizer.scale_loss(loss).backward()
        self.optimizer.step(self.trainable_weights)  # type: ignore[attr-defined]
        return self._tracked(loss, x, y, y_pred, sample_weight)

    def test_step(self, x: Any, y: Any = None, sample_weight: Any = None) -> Mapping[str, Any]:
        """One batch of `evaluate`; returns the logs."""
        y_pred = self(x, training=False)  # type: ignore[operator]
        return self._tracked(self.compute_loss(x, y, y_pred, sample_weight), x, y, y_pred, sample_weight)

    def predict_step(self, x: Any) -> Any:
        """The output for a batch of `predict`."""
        return self(x, training=False)  # type: ignore[operator]

    def compute_loss(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """The loss of a batch: that of `compile`, and the penalties of the layers.

        Raises:
            ValueError: there is neither; a loss without y.
        """
        penalties = self.losses  # type: ignore[attr-defined]
        penalty = sum(penalties[1:], penalties[0]) if penalties else None
        if self.loss is None:
            if penalty is None:
                raise ValueError("No loss to compute. Provide a `loss` argument in `compile()`.")
            return penalty
        if y is None:
            raise ValueError("compute_loss: y must be given, the loss compares it with the output. Received: y=None")
        loss = self._settled_loss(y, y_pred)(y, y_pred, sample_weight)
        return loss if penalty is None else loss + penalty

    def _settled_loss(self, y: Any, y_pred: Any) -> Any:
        if isinstance(self.loss, str):
            self.loss = LossFunctionWrapper(CROSSENTROPIES[shape_family(y, y_pred)], name=self.loss)
        return self.loss

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Mapping[str, Any]:
        """Add a batch to the metrics of `compile`, and return the results of all metrics so far."""
        if self._compiled is not None:
            self._compiled.update_state(y, y_pred, sample_weight, self.loss)
        return self._results or self._new_results()

    def _tracked(self, loss: Tensor, x: Any, y: Any, y_pred: Any, sample_weight: Any) -> Mapping[str, Any]:
        if self._loss_tracker is not None:
            self._loss_tracker.update_state(loss, sample_weight=len(x[0] if isinstance(x, (list, tuple)) else x))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    @property
    def metrics(self) -> list[Metric]:
        """The mean loss, the metrics of `compile` once a batch was seen, and those that are attributes."""
        compiled = self._compiled.metrics if self._compiled is not None else []
        tracker = [self._loss_tracker] if self._loss_tracker is not None else []
        return list(dict.fromkeys([*tracker, *compiled, *(v for v in vars(self).values() if isinstance(v, Metric))]))

    def reset_metrics(self) -> None:
        """Forget what the metrics have added up."""
        for metric in self.metrics:
            metric.reset_state()
        self._new_results()

    def _new_results(self) -> Results:
        """The results of the present metrics, kept for the steps to come."""
        self._results = Results(self.metrics, self._compiled.weighted if self._compiled is not None else ())
        return self._results

    # ------------------------------------------------------------------ many steps

    def fit(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, epochs: int = 1, verbose: Any = "auto",
        callbacks: Any = None, validation_split: float = 0.0, validation_data: Any = None, shuffle: bool = True,
        class_weight: Mapping[int, float] | None = None, sample_weight: Any = None, initial_epoch: int = 0,
        steps_per_epoch: int | None = None, validation_steps: int | None = None,
        validation_batch_size: int | None = None, validation_freq: int = 1,
    ) -> History:
        """Train for a number of epochs.

        Args:
            x: an array or Tensor of shape (N, ...), or a list or tuple of such when the model takes several inputs;
                or any iterable of batches (x, y) or (x, y, sample_weight), or a function of the epoch that returns one.
            y: labels or targets, of length N.
            batch_size: 32 by default; the last batch of an epoch holds what remains.
            epochs: the number of the last epoch; from ``initial_epoch``, an integer from 0 on, they are counted.
            verbose: 0 for silence, 2 for one line an epoch; "auto" and 1 for a bar where somebody looks on.
            callbacks: a list of `Callback`.
            validation_split: the share of the samples, from the end, that is not trained with but validated.
            validation_data: (x, y) or (x, y, sample_weight) to `evaluate` after an epoch, or an iterable of batches.
            shuffle: whether arrays are shuffled anew in every epoch, by a seed drawn from `set_random_seed`'s stream.
            class_weight: a weight for each class, as if it were the ``sample_weight`` of its samples; of the steps
                with its label where each step has one.
            sample_weight: how much each sample counts in the loss.
            steps_per_epoch, validation_steps: how many batches to take of an iterable.
            validation_batch_size: ``batch_size`` by default.
            validation_freq: validate after every so many epochs.

        Ctrl-C ends the training after the running step, with a message; the history says ``interrupted``. A second
        Ctrl-C ends the program as usual.

        Raises:
            ValueError, TypeError: data that cannot be trained with: nothing has been learned then.
        """
        self._require_compiled("fit")
        epochs, validation_freq = positive("epochs", epochs), positive("validation_freq", validation_freq)
        initial_epoch = count("initial_epoch", initial_epoch)
        if validation_split and validation_data is None:
            (x, y, sample_weight), validation_data = train_validation_split((x, y, sample_weight), validation_split)
        data = source_of(
            x, y, sample_weight, batch_size=batch_size, shuffle=shuffle, class_weight=class_weight,
            labels=True if getattr(_function(self.loss), "labels", False) else None, steps=steps_per_epoch,
        )
        validation = None
        if validation_data is not None:
            size = batch_size if validation_batch_size is None else validation_batch_size
            validation = _validation(validation_data, size, validation_steps)
        self._prepare(data, class_weight)
        if validation is not None:
            self._prepare(validation)
        history = History()
        hooks = CallbackList(
            [*_listed(callbacks), history, *progress(verbose)], self, verbose=verbose, epochs=epochs, steps=data.known
        )
        run = self.training_run = Run(self, hooks, initial_epoch, new_seed(), data.known)
        self.stop_training = False
        try:
            with interruptible() as interrupt:
                hooks.call("on_train_begin")
                while run.epoch < epochs and (run.batch or not self.stop_training) and not interrupt:
                    self._train_epoch(run, data, interrupt)
                    if not interrupt:
                        self._end_epoch(run, validation, validation_freq, interrupt)
            if interrupt:
                print(f"\nfit: stopped by Ctrl-C in epoch {run.epoch + 1}, after {run.batch} batches")
                hooks.call("on_interrupt")
            else:
                self.optimizer.finalize_variable_values(self.trainable_weights)  # type: ignore[attr-defined]
                hooks.call("on_train_end", run.logs)
        finally:
            hooks.close()
            self.training_run = None
        return history

    def _train_epoch(self, run: Run, data: Source, interrupt: Interrupt) -> None:
        """The batches of the running epoch that are not done yet."""
        hooks = run.callbacks
        if run.batch == 0:
            self.reset_metrics()
            run.logs = self._results
            hooks.begin("epoch", run.epoch)
        elif run.logs is None:  # taken up in the middle
            run.logs = self._new_results()
        for batch in () if self.stop_training else data.epoch(run.epoch, run.seed, run.batch):
            hooks.begin("train_batch", run.batch)
            run.logs = self.train_step(*self._placed(batch))
            run.batch += 1
            hooks.batch_end("train_batch", run.batch - 1, run.logs)
            if self.stop_training or interrupt:
                break

    def _end_epoch(self, run: Run, validation: Source | None, frequency: int, interrupt: Interrupt) -> None:
        """The validation and the end of the running epoch."""
        logs = dict(Floats(run.logs or {}))
        run.logs = logs
        if validation is not None and (run.epoch + 1) % frequency == 0:
            evaluated = self._evaluated(validation.epoch(0, 0), run.callbacks, interrupt)
            logs = logs | {f"val_{name}": value for name, value in evaluated.items()}
        if not interrupt:
            run.epoch, run.batch, run.logs = run.epoch + 1, 0, logs
            run.callbacks.epoch_end(run.epoch - 1, logs)

    def evaluate(
        self, x: Any = None, y: Any = None, batch_size: int | None = None, verbose: Any = "auto",
        sample_weight: Any = None, steps: int | None = None, callbacks: Any = None, return_dict: bool = False,
    ) -> Any:
        """The loss and the metrics of data: a number, a list of them, or with ``return_dict`` a dict by name.

        Arguments are as for `fit`. Called by a callback while the model trains, it leaves the metrics of the training
        as they are.
        """
        self._require_compiled("evaluate")
        data = source_of(x, y, sample_weight, batch_size=batch_size, steps=steps, who="evaluate")
        self._prepare(data)
        hooks = CallbackList(callbacks, self, verbose=verbose, epochs=1, steps=data.known)
        with self._metrics_kept() if self.training_run is not None else nullcontext():
            logs = self._evaluated(with_bar(data.epoch(0, 0), data.known, "evaluate", verbose), hooks)
        if level(verbose) == 2:
            print(shown(logs), flush=True)
        if return_dict:
            return logs
        return list(logs.values()) if len(logs) > 1 else next(iter(logs.values()))

    @contextmanager
    def _metrics_kept(self) -> Iterator[None]:
        """A context after which the sums of the metrics are what they were before, whatever was added in it."""
        sums = [(variable, variable.data) for metric in self.metrics for variable in metric.variables]
        results = self._results
        try:
            yield
        finally:
            for variable, data in sums:
                variable.replace(data)
            self._results = results

    def _evaluated(self, batches: Any, hooks: CallbackList, interrupt: Any = False) -> dict[str, Any]:
        self.reset_metrics()
        hooks.call("on_test_begin")
        logs: Mapping[str, Any] = {}
        with no_grad():
            for i, batch in enumerate(batches):
                hooks.begin("test_batch", i)
                logs = self.test_step(*self._placed(batch))
                hooks.batch_end("test_batch", i, logs)
                if interrupt:
                    break
        found = dict(Floats(logs))
        hooks.call("on_test_end", found)
        return found

    def predict(
        self, x: Any, batch_size: int | None = None, verbose: Any = "auto", steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """The outputs for all samples, as a NumPy array; x as for `fit`."""
        data = source_of(x, batch_size=batch_size, steps=steps, who="predict", numbers=False)
        hooks = CallbackList(callbacks, self, verbose=verbose, epochs=1, steps=data.known)
        self._target = self._device_for(data.first())
        outputs = []
        hooks.call("on_predict_begin")
        with no_grad():
            for i, batch in enumerate(with_bar(data.epoch(0, 0), data.known, "predict", verbose)):
                hooks.begin("predict_batch", i)
                outputs.append(self.predict_step(self._placed(batch).x).data)
                hooks.batch_end("predict_batch", i, {"outputs": outputs[-1]})
        hooks.call("on_predict_end")
        return to_host(array_module(outputs[0]).concatenate(outputs))

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print the layers, the shapes of their outputs and how many numbers they learn."""
        print_fn(summary(self))

    # ------------------------------------------------------------------ before the first step

    def _require_compiled(self, who: str) -> None:
        if not self.compiled:
            raise ValueError(f"You must call `compile()` before calling `{who}()`.")

    def _prepare(self, data: Source, class_weight: Mapping[int, float] | None = None) -> None:
        """See to it by a look at the data that model, metrics and optimizer are built, and that all labels exist."""
        first = data.first()
        self._target = self._device_for(first)
        x, y, weights = self._placed(first)
        with no_grad():
            y_pred = self(x, training=False)  # type: ignore[operator]
            if type(self).train_step is Trainer.train_step:  # refuses what the first step would, halfway through
                self.compute_loss(x, y, y_pred, weights)
        if self._compiled is not None and y is not None:
            self._compiled.settle(y, y_pred, self.loss)
        if class_weight is not None and y is not None and self.loss is not None:
            loss = self._settled_loss(y, y_pred)
            if getattr(_function(loss), "labels", False):
                check_classes(class_weight, y_pred.shape[getattr(loss, "axis", -1)])
            elif getattr(_function(loss), "__name__", "").startswith("binary_") and y_pred.shape[-1:] == (1,):
                check_classes(class_weight, 2)
        if y is not None and self.loss is not None and isinstance(data, Arrays):
            self._check_labels(data.parts.y, self._settled_loss(y, y_pred), y_pred)
        if not self.optimizer.built:
            self.optimizer.build(self.trainable_weights)  # type: ignore[attr-defined]

    def _check_labels(self, labels: Any, loss: Any, y_pred: Tensor) -> None:
        """Let a loss of labels see each label once, before anything is learned: it refuses those out of range."""
        if getattr(_function(loss), "labels", False) and getattr(loss, "axis", -1) == -1:
            array = labels.data if isinstance(labels, Tensor) else labels
            once = Tensor._output(array_module(array).unique(array), None)
            loss(once, Tensor.ones(len(once), y_pred.shape[-1], device=once.device))

    def _device_for(self, batch: Batch) -> str:
        """The device of the weights; of the data while there are none."""
        weights = self.weights  # type: ignore[attr-defined]
        x = batch.x[0] if isinstance(batch.x, (list, tuple)) else batch.x
        return weights[0].device if weights else _tensor(x).device

    def _placed(self, batch: Batch) -> Batch:
        """The batch as Tensors on the device of the weights."""
        x, y, weights = batch
        return Batch(
            each_input(x, self._there), None if y is None else self._there(y),
            None if weights is None else self._there(weights),
        )  # fmt: skip

    def _there(self, value: Any) -> Tensor:
        return _tensor(value).to(self._target or "cpu")


def _function(loss: Any) -> Any:
    """The function that a `Loss` is made of, if it is."""
    return getattr(loss, "fn", None) or getattr(loss, "_function", None)


def _name_of(function: Any) -> str:
    """The name of a function, also of one with some arguments given (`functools.partial`)."""
    return getattr(getattr(function, "func", function), "__name__", None) or type(function).__name__


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else Tensor._output(value, None)


def _listed(callbacks: Any) -> list[Any]:
    return list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks] if callbacks is not None else []


def _validation(data: Any, batch_size: int | None, steps: int | None) -> Source:
    """Arrays in a tuple, or an iterable of batches."""
    if not isinstance(data, tuple):
        return source_of(data, steps=steps, who="fit (validation)")
    if not 1 <= len(data) <= 3:
        raise ValueError(
            f"fit: validation_data must be (x, y) or (x, y, sample_weight). Received: a tuple of {len(data)}"
        )
    return source_of(*data, batch_size=batch_size, steps=steps, who="fit (validation)")
