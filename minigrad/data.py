"""Batches: arrays cut into them in an order that depends on (seed, epoch) alone, or any iterable of them."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from minigrad.backend import (
    Array,
    array_module,
    asarray,
    device_of,
    host_generator,
    is_array,
    is_inexact,
    module_for,
    move,
    to_host,
)
from minigrad.config import as_integer, positive
from minigrad.settings import floatx
from minigrad.tensor import Tensor


class Batch(NamedTuple):
    """Samples that belong together: x, y or None, and a weight for each sample or None."""

    x: Any
    y: Any = None
    sample_weight: Any = None


def batches(
    x: Any, y: Any = None, batch_size: int = 32, seed: int | None = None, epoch: int = 0, *,
    sample_weight: Any = None, start: int = 0,
) -> Iterator[tuple[Any, ...]]:
    """The batches of one epoch, each a tuple of what was given: (x,), (x, y) or (x, y, sample_weight).

    The order depends on ``seed`` and ``epoch`` alone, so an epoch can be repeated, and taken up at any batch. The last
    batch holds what remains. Rows of arrays are copied.

    Args:
        x: an array or a Tensor of shape (N, ...), or a list or tuple of such; y and sample_weight of the same N.
        seed: a non-negative integer; None leaves the samples in their order.
        start: how many batches to leave out.

    Raises:
        ValueError: no samples, different lengths, a batch size that is not positive.

    >>> [y.tolist() for x, y in batches(Tensor.zeros(5, 2), Tensor([0, 1, 2, 3, 4]), 2)]
    [[0, 1], [2, 3], [4]]
    >>> once = [y.tolist() for x, y in batches(Tensor.zeros(5, 2), Tensor([0, 1, 2, 3, 4]), 2, seed=0, epoch=3)]
    >>> once == [y.tolist() for x, y in batches(Tensor.zeros(5, 2), Tensor([0, 1, 2, 3, 4]), 2, seed=0, epoch=3)]
    True
    """
    source = Arrays(x, y, sample_weight, batch_size=batch_size, shuffle=seed is not None, who="batches")
    given = 1 + max((i for i, part in enumerate((x, y, sample_weight)) if part is not None), default=0)
    return (tuple(batch[:given]) for batch in source.epoch(epoch, seed or 0, start))


class Arrays:
    """Arrays of one length, cut into batches."""

    def __init__(
        self, x: Any, y: Any = None, sample_weight: Any = None, *, batch_size: Any = None, shuffle: bool = False,
        class_weight: Mapping[int, float] | None = None, labels: bool | None = None, who: str = "fit",
    ) -> None:
        self.parts = Batch(
            each_input(x, _part),
            None if y is None else _part(y),
            None if sample_weight is None else _part(sample_weight),
        )
        self.samples = check_lengths(self.parts, who)
        if class_weight is not None:
            weights = class_weights(self.parts.y, class_weight, sample_weight, labels)
            self.parts = self.parts._replace(sample_weight=weights)
        self.batch_size = positive("batch_size", 32 if batch_size is None else batch_size)
        self.shuffle = shuffle
        self.known: int | None = math.ceil(self.samples / self.batch_size)  # how many batches an epoch has

    def first(self) -> Batch:
        """A sample to look at."""
        return self._rows(slice(0, 1))

    def epoch(self, number: int, seed: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the one with the number ``start``."""
        order = host_generator([seed, number]).permutation(self.samples) if self.shuffle else None
        for i in range(start * self.batch_size, self.samples, self.batch_size):
            rows = slice(i, i + self.batch_size)
            yield self._rows(rows if order is None else order[rows], copy=order is None)

    def _rows(self, rows: Any, copy: bool = False) -> Batch:
        """Some rows of all parts; ``copy`` is for slices, which else are views of arrays that others may change."""
        x, y, weights = self.parts
        return Batch(
            each_input(x, lambda part: _taken(part, rows, copy)),
            None if y is None else _taken(y, rows, copy),
            None if weights is None else _taken(weights, rows, copy),
        )


class Stream:
    """Any iterable of batches, walked through once an epoch, or a function of the epoch that returns one.

    An iterator, such as a generator, can be walked through only once: an epoch takes ``steps`` batches of it, and the
    next epoch goes on where it stopped.
    """

    def __init__(
        self, source: Any, steps: int | None = None, class_weight: Mapping[int, float] | None = None, who: str = "fit",
        labels: bool | None = None,
    ) -> None:
        self._source: Callable[[int], Iterable[Any]] = source if callable(source) else lambda epoch: source
        self._once = isinstance(source, Iterator)
        self._head: list[Any] = []
        self._steps = None if steps is None else positive("steps", steps)
        self._class_weight = class_weight if class_weight is None else checked_class_weight(class_weight)
        self._labels = labels
        self._who = who
        self.known = steps if steps is not None else len(source) if hasattr(source, "__len__") else None

    def first(self) -> Batch:
        """A batch to look at; it is not lost.

        Raises:
            ValueError: there is none.
        """
        for batch in self._source(0):
            if self._once:
                self._head = [batch]
            return self._checked(batch)
        raise ValueError(f"{self._who}: data must hold a batch. Received: an iterable without any")

    def epoch(self, number: int, seed: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from the one with the number ``start``: those before are passed over."""
        head, self._head = self._head, []
        source = itertools.chain(head, self._source(number)) if self._once else iter(self._source(number))
        count = 0
        for batch in itertools.islice(source, start, self._steps):
            count += 1
            yield self._checked(batch)
        if count == 0 and start == 0:
            raise ValueError(
                f"{self._who}: data must hold batches for every epoch; an iterator can be walked through only once, so "
                "give a list, a function of the epoch that returns an iterable, or steps_per_epoch. "
                f"Received: no batch in epoch {number}"
            )
        if self._steps is not None and start + count < self._steps:
            warnings.warn(f"{self._who}: data ran out after {start + count} of {self._steps} batches", stacklevel=3)

    def _checked(self, batch: Any) -> Batch:
        parts = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
        if not 1 <= len(parts) <= 3:
            raise ValueError(
                f"{self._who}: a batch must be x, (x, y) or (x, y, sample_weight). Received: {len(parts)} parts"
            )
        x, y, weights = Batch(*parts)
        checked = Batch(
            each_input(x, _own), None if y is None else _own(y), None if weights is None else _own(weights)
        )
        check_lengths(checked, self._who)
        check_numbers(checked, self._who, host_only=True)
        if self._class_weight is not None:
            weights = class_weights(checked.y, self._class_weight, weights, self._labels)
            checked = checked._replace(sample_weight=weights)
        return checked


Source = Arrays | Stream


def source_of(
    x: Any, y: Any = None, sample_weight: Any = None, *, batch_size: Any = None, shuffle: bool = False,
    class_weight: Mapping[int, float] | None = None, labels: bool | None = None, steps: int | None = None,
    who: str = "fit", numbers: bool = True,
) -> Source:
    """Arrays, or an iterable of batches, as something that gives the batches of an epoch.

    With ``numbers`` arrays are searched for NaN.

    Raises:
        TypeError, ValueError: neither; arguments that do not go with it; data that cannot be trained with.
    """
    if _are_arrays(x):
        if steps is not None:
            raise ValueError(f"{who}: steps must be given for an iterable of batches only. Received: steps={steps}")
        source = Arrays(
            x, y, sample_weight, batch_size=batch_size, shuffle=shuffle, class_weight=class_weight, labels=labels,
            who=who,
        )
        if numbers:
            check_numbers(source.parts, who)
        return source
    if isinstance(x, (str, bytes, Mapping)) or not (isinstance(x, Iterable) or callable(x)):
        raise TypeError(
            f"{who}: x must be an array, a list of arrays, or an iterable of batches. Received: {type(x).__name__}"
        )
    for name, given in (("y", y), ("sample_weight", sample_weight), ("batch_size", batch_size)):
        if given is not None:
            raise ValueError(f"{who}: {name} must be in the batches when x is an iterable of them. Received: {name}")
    return Stream(x, steps, class_weight, who, labels)


def train_validation_split(parts: Any, validation_split: float) -> tuple[Batch, Batch]:
    """The arrays of (x, y, sample_weight) without their last part, and that part: nothing is shuffled before.

    Raises:
        ValueError: a share outside (0, 1); too few samples for both.
        TypeError: no arrays.

    >>> train, validation = train_validation_split((Tensor([1, 2, 3, 4, 5]),), 0.4)
    >>> train.x.tolist(), validation.x.tolist()
    ([1, 2, 3], [4, 5])
    """
    if not isinstance(validation_split, float) or not 0 < validation_split < 1:
        raise ValueError(
            f"fit: validation_split must be between 0 and 1. Received: validation_split={validation_split!r}"
        )
    if not _are_arrays(parts[0]):
        raise TypeError("fit: validation_split must be given for arrays only. Received: an iterable of batches")
    source = Arrays(*parts)
    cut = math.floor(source.samples * (1 - validation_split))
    if cut in (0, source.samples):
        raise ValueError(
            f"Training data contains {source.samples} samples, which is not sufficient to split it into a validation "
            f"and training set as specified by `validation_split={validation_split}`. Either provide more data, or a "
            "different value for the `validation_split` argument."
        )
    return source._rows(slice(0, cut)), source._rows(slice(cut, None))


def class_weights(
    y: Any, class_weight: Mapping[int, float], sample_weight: Any = None, labels: bool | None = None
) -> Array:
    """The weight of each sample, or of each of its steps, by its class; 1 for classes that are not named.

    Args:
        y: labels (N,) or (N, L), also with a last axis of length 1; or targets (N, C) or (N, L, C), where the class is
            the place of the highest.
        class_weight: a weight for each class.
        labels: whether y holds labels; else they are known by being integers and no one-hot vectors.

    Raises:
        ValueError: no dict of classes and numbers; a key that is no class; weights of samples beside it; no labels.

    >>> class_weights(Tensor([0, 2, 1]), {0: 2.0, 2: 0.5}).tolist()
    [2.0, 0.5, 1.0]
    """
    known = checked_class_weight(class_weight)
    if sample_weight is not None:
        raise ValueError("fit: class_weight and sample_weight must not be given both. Received: both")
    if y is None:
        raise ValueError("fit: class_weight must come with labels y. Received: y=None")
    classes = to_host(y.data if isinstance(y, Tensor) else y)
    if classes.ndim > 1 and classes.shape[-1] == 1:
        classes = classes.reshape(classes.shape[:-1])
    elif classes.ndim > 1 and not (_are_labels(classes) if labels is None else labels):
        check_classes(known, classes.shape[-1])
        classes = classes.argmax(-1)
    weights = module_for("cpu").ones(classes.shape, floatx())
    classes = classes.round()
    for label, weight in known.items():
        weights[classes == label] = weight
    return weights


def _are_labels(y: Any) -> bool:
    """Whether an array of several axes holds integers that are no one-hot vectors."""
    return not is_inexact(y.dtype) and not (((y == 0) | (y == 1)).all() and (y.sum(-1) == 1).all())


def checked_class_weight(class_weight: Any) -> dict[int, float]:
    """The weights of classes, if they are a dict of integers from 0 on and finite numbers.

    Raises:
        ValueError: they are not.
    """
    if not isinstance(class_weight, Mapping):
        raise ValueError(
            "fit: class_weight must be a dict of a weight for each class, such as {0: 1.0, 1: 5.0}; of a list w it is "
            f"dict(enumerate(w)). Received: class_weight={class_weight!r}"
        )
    known: dict[int, float] = {}
    for label, weight in class_weight.items():
        whole = int(label) if isinstance(label, float) and label.is_integer() else as_integer(label)
        if whole is None or whole < 0:
            raise ValueError(f"fit: class_weight must have classes 0, 1, ... as keys. Received: the key {label!r}")
        try:
            known[whole] = float(weight)
        except (TypeError, ValueError):
            known[whole] = math.nan
        if not math.isfinite(known[whole]):
            raise ValueError(
                f"fit: class_weight must have a finite number for each class. Received: {weight!r} for {label!r}"
            )
    return known


def check_classes(class_weight: Mapping[int, float], count: int) -> None:
    """Refuse weights of more classes than there are."""
    if beyond := [label for label in class_weight if label >= count]:
        raise ValueError(
            f"fit: class_weight must have classes from 0 to {count - 1} as keys, for {count} classes. "
            f"Received: the key {beyond[0]!r}"
        )


# ---------------------------------------------------------------------- checks


def check_lengths(parts: Batch, who: str) -> int:
    """How many samples there are: the same number, not 0, in all parts."""
    lengths: dict[str, int] = {}
    for name, part in zip(Batch._fields, parts, strict=True):
        for i, array in enumerate(part if isinstance(part, (list, tuple)) else [part] if part is not None else []):
            if not array.shape:
                raise ValueError(f"{who}: {name} must have an axis of samples. Received: a single number")
            lengths[f"{name}[{i}]" if isinstance(part, (list, tuple)) else name] = array.shape[0]
    if len(set(lengths.values())) != 1:
        raise ValueError(
            f"{who}: x, y and sample_weight must have the same number of samples. "
            f"Received: {', '.join(f'{name} of {length}' for name, length in lengths.items())}"
        )
    count = next(iter(lengths.values()))
    if count == 0:
        raise ValueError(f"{who}: x must hold samples. Received: {', '.join(lengths)} of length 0")
    return count


def check_numbers(parts: Batch, who: str, host_only: bool = False) -> None:
    """Refuse data with NaN in it: by a sum, which is NaN then, and by a closer look if it is."""
    for name, part in zip(Batch._fields, parts, strict=True):
        for value in part if isinstance(part, (list, tuple)) else [part] if part is not None else []:
            array = value.data if isinstance(value, Tensor) else value
            if not is_inexact(array.dtype) or (host_only and device_of(array) != "cpu"):
                continue
            xp = array_module(array)
            with module_for("cpu").errstate(all="ignore"):
                total = float(array.sum())
            count = int(xp.isnan(array).sum()) if math.isnan(total) else 0
            if count:
                where = tuple(int(axis[0]) for axis in xp.nonzero(xp.isnan(array)))
                raise ValueError(
                    f"{who}: {name} must hold numbers. Received: {count} NaN in {name} of shape {array.shape}, the "
                    f"first at {where}"
                )


# ---------------------------------------------------------------------- parts


def _is_one(x: Any) -> bool:
    """Whether x is an array: one already, or numbers in nested lists."""
    if isinstance(x, (list, tuple)) and x:
        return not (isinstance(x[0], Tensor) or is_array(x[0])) and _is_one(x[0])
    return isinstance(x, (Tensor, bool, int, float)) or is_array(x)


def _are_arrays(x: Any) -> bool:
    """Whether x is an array, or several inputs in a list or tuple."""
    several = isinstance(x, (list, tuple)) and bool(x)
    return _is_one(x) or (several and all(isinstance(part, Tensor) or is_array(part) for part in x))


def each_input(x: Any, function: Callable[[Any], Any]) -> Any:
    """``function`` of x, or of each of several inputs."""
    return function(x) if _is_one(x) else type(x)(function(part) for part in x)


def _part(value: Any) -> Any:
    """Numbers, an array or a Tensor: something with a shape."""
    if isinstance(value, Tensor):
        return value.detach()
    return asarray(value) if is_array(value) else Tensor(value)


def _own(value: Any) -> Any:
    """The same of a batch of somebody else's, who may fill the arrays again for the next one."""
    part = _part(value)
    return part if isinstance(part, Tensor) else part.copy()


def _taken(part: Any, rows: Any, copy: bool) -> Any:
    array = part.data if isinstance(part, Tensor) else part
    if is_array(rows) and device_of(array) != "cpu":
        rows = move(rows, device_of(array))
    if isinstance(part, Tensor):
        return Tensor._output(array[rows], None)
    return array[rows].copy() if copy else array[rows]
