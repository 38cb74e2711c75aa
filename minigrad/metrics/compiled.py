"""The metrics of a model: asked for by name before the data is known, settled when the first batch is seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from minigrad.losses import (
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    Hinge,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    hinge,
    squared_hinge,
)
from minigrad.metrics import distance
from minigrad.metrics.accuracy import BinaryAccuracy, CategoricalAccuracy, SignAccuracy, SparseCategoricalAccuracy
from minigrad.metrics.metric import Metric
from minigrad.metrics.reduction import MeanMetricWrapper
from minigrad.tape import no_grad
from minigrad.tensor import Tensor

_OF_CLASSES = (CategoricalCrossentropy, CategoricalFocalCrossentropy, SparseCategoricalCrossentropy)
_ALONG_CLASSES = (
    CategoricalAccuracy, SparseCategoricalAccuracy, distance.CategoricalCrossentropy,
    distance.SparseCategoricalCrossentropy,
)  # fmt: skip


class Results(Mapping[str, Tensor]):
    """The results of metrics by name. Each is computed when it is asked for: nobody asks in most steps."""

    def __init__(self, metrics: Sequence[Metric], weighted: Sequence[Metric] = ()) -> None:
        self._metrics = named(metrics, weighted)

    def __getitem__(self, name: str) -> Tensor:
        return self._metrics[name].result()

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def __len__(self) -> int:
        return len(self._metrics)

    def __repr__(self) -> str:
        return repr({name: result.item() for name, result in self.items()})


def named(metrics: Sequence[Metric], weighted: Sequence[Metric] = ()) -> dict[str, Metric]:
    """The metrics by name. A name that is taken gets a number (mse, mse_1), if ``weighted`` a word (weighted_mse)."""
    found: dict[str, Metric] = {}
    counts: dict[str, int] = {}
    for metric in metrics:
        name = metric.name
        if name in counts and metric in weighted:
            name = f"weighted_{name}"
        count = counts.get(name, 0)
        counts[name] = count + 1
        found[f"{name}_{count}" if count else name] = metric
    return found


class CompiledMetrics:
    """The metrics given to ``compile``: what "accuracy" means is found by the loss and the shapes of the first batch.

    Beside a loss from logits, metrics that are asked for by name take logits too, and beside one whose classes stand
    on another axis they look there.

    Args:
        metrics: names, functions of (y_true, y_pred), `Metric` objects; their samples all count the same.
        weighted: the same, with samples that count by their weights.

    Raises:
        TypeError: no list.
        ValueError: something that names no metric.
    """

    def __init__(self, metrics: Any = None, weighted: Any = None) -> None:
        for argument, given in (("metrics", metrics), ("weighted_metrics", weighted)):
            if given is not None and not isinstance(given, (list, tuple)):
                raise TypeError(f"compile: {argument} must be a list or None. Received: {argument}={given!r}")
        self._asked = [(metric, False) for metric in metrics or ()] + [(metric, True) for metric in weighted or ()]
        for identifier, _ in self._asked:
            if not _means_accuracy(identifier):
                _found(identifier)  # a wrong name is refused now
        self._settled: list[tuple[Metric, bool]] = []

    @property
    def metrics(self) -> list[Metric]:
        """The metrics, once `settle` has run."""
        return [metric for metric, _ in self._settled]

    @property
    def weighted(self) -> list[Metric]:
        """Those of them whose samples count by their weights."""
        return [metric for metric, weighted in self._settled if weighted]

    def settle(self, y_true: Any, y_pred: Tensor, loss: Any = None) -> None:
        """Choose the metrics by the shapes of a batch and the loss beside them, unless that was done."""
        if not self._settled:
            self._settled = [(_chosen(asked, y_true, y_pred, loss), weighted) for asked, weighted in self._asked]
        for metric in self.metrics:
            metric.to(y_pred.device)

    def update_state(self, y_true: Any, y_pred: Tensor, sample_weight: Any = None, loss: Any = None) -> None:
        """Add a batch to every metric."""
        if not self._settled:
            self.settle(y_true, y_pred, loss)
        with no_grad():
            for metric, weighted in self._settled:
                if weighted:
                    metric.update_state(y_true, y_pred, sample_weight)
                else:
                    metric.update_state(y_true, y_pred)


def shape_family(y_true: Any, y_pred: Any, axis: int = -1) -> str:
    """What y_true is by its shape beside that of y_pred, as Keras decides: "binary", "sparse" or "categorical"."""
    if len(y_pred.shape) < 2 or y_pred.shape[axis] == 1:
        return "binary"
    return "sparse" if len(y_true.shape) < len(y_pred.shape) or y_true.shape[axis] == 1 else "categorical"


def _means_accuracy(identifier: Any) -> bool:
    return isinstance(identifier, str) and identifier.lower() in ("accuracy", "acc")


def _chosen(identifier: Any, y_true: Any, y_pred: Tensor, loss: Any) -> Metric:
    function = getattr(loss, "fn", None)
    from_logits = getattr(loss, "from_logits", False) or getattr(function, "keywords", {}).get("from_logits", False)
    axis: int = loss.axis if isinstance(loss, _OF_CLASSES) else -1  # type: ignore[union-attr]
    if not _means_accuracy(identifier):
        metric = _found(identifier)
        if isinstance(identifier, str) and from_logits and hasattr(metric, "from_logits"):
            metric.from_logits = True
        if isinstance(identifier, str) and isinstance(metric, _ALONG_CLASSES):
            metric.axis = axis  # type: ignore[union-attr]
        return metric
    family = shape_family(y_true, y_pred, axis)
    if family == "binary":
        if isinstance(loss, (Hinge, SquaredHinge)) or function in (hinge, squared_hinge):
            return SignAccuracy(name=identifier)
        return BinaryAccuracy(name=identifier, threshold=0.0 if from_logits else 0.5)
    accuracy = {"sparse": SparseCategoricalAccuracy, "categorical": CategoricalAccuracy}[family](name=identifier)
    accuracy.axis = axis  # type: ignore[attr-defined]
    return accuracy


def _found(identifier: Any) -> Metric:
    """The metric that a string, a function or an object asks for; a string also names it."""
    metric = Metric.get(identifier)
    if metric is None:
        raise ValueError("compile: a metric must be a name, a function or a Metric. Received: None")
    if not isinstance(metric, Metric):
        return MeanMetricWrapper(metric)
    if isinstance(identifier, str):
        metric.name = identifier
    return metric
