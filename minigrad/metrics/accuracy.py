"""How often a prediction is right: for labels, one-hot targets, bits, and among the k highest."""

from __future__ import annotations

from typing import Any

from minigrad.backend import Array, array_module, asarray
from minigrad.config import argument, number, positive
from minigrad.losses.loss import match_ranks
from minigrad.metrics.reduction import MeanMetricWrapper
from minigrad.settings import floatx
from minigrad.tensor import Tensor


def _values(y_true: Any, y_pred: Any) -> tuple[Tensor, Tensor]:
    """Both as Tensors, on the device of y_pred; only their arrays are used."""
    p = y_pred if isinstance(y_pred, Tensor) else Tensor._output(asarray(y_pred), None)
    t = y_true if isinstance(y_true, Tensor) else Tensor._output(asarray(y_true, like=p.data), None)
    return t, p


def _matches(hits: Array) -> Tensor:
    return Tensor._output(asarray(hits).astype(floatx()), None)


def _along_last(x: Tensor, axis: int, ndim: int) -> Tensor:
    """X with the axis of the classes at its end, if it has as many axes as the predictions."""
    if axis == -1 or x.ndim != ndim:
        return x
    return Tensor._output(array_module(x.data).moveaxis(x.data, axis, -1), None)


def _highest_at(labels: Array, p: Array) -> Tensor:
    """1 where the highest prediction stands at the label; never where one of them is not a number."""
    xp = array_module(p)
    return _matches((labels == p.argmax(-1)) & ~xp.isnan(p.max(-1)))


def _labels(who: str, t: Tensor, p: Tensor) -> Array:
    """Labels of shape (N, ...) for predictions of shape (N, ..., classes), given so or as (N, ..., 1)."""
    labels = t.data.reshape(t.shape[:-1]) if t.ndim == p.ndim and t.shape[-1:] == (1,) else t.data
    if labels.shape != p.shape[:-1]:
        raise ValueError(
            f"{who}: labels must have the shape of y_pred without the axis of the classes. "
            f"Received: y_true.shape={t.shape}, y_pred.shape={p.shape}"
        )
    return labels


def _same_shape(who: str, t: Tensor, p: Tensor) -> None:
    if t.shape != p.shape:
        raise ValueError(
            f"{who}: y_true and y_pred must have the same shape. "
            f"Received: y_true.shape={t.shape}, y_pred.shape={p.shape}"
        )


def accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 where y_true = y_pred, 0 elsewhere.

    >>> accuracy([1, 2, 3], [1, 2, 4]).tolist()
    [1.0, 1.0, 0.0]
    """
    t, p = match_ranks(*(value.detach() for value in _values(y_true, y_pred)))
    _same_shape("accuracy", t, p)
    return _matches(t.data.astype(p.dtype) == p.data)


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Tensor:
    """1 where y_pred is on the same side of the threshold as the bit y_true; 0 where it is not a number.

    >>> binary_accuracy([[1], [0], [1]], [[0.9], [0.2], [0.5]]).tolist()
    [[1.0], [1.0], [0.0]]
    """
    t, p = match_ranks(*(value.detach() for value in _values(y_true, y_pred)))
    _same_shape("binary_accuracy", t, p)
    return _matches(((p.data > threshold).astype(t.dtype) == t.data) & (p.data == p.data))


def sign_accuracy(y_true: Any, y_pred: Any) -> Tensor:
    """1 where y_pred is above 0 and y_true is, or neither, for labels -1 and 1, or 0 and 1: what a hinge asks for.

    >>> sign_accuracy([[1], [-1], [1]], [[0.2], [-3.0], [-0.1]]).tolist()
    [[1.0], [1.0], [0.0]]
    """
    t, p = match_ranks(*(value.detach() for value in _values(y_true, y_pred)))
    _same_shape("sign_accuracy", t, p)
    return _matches(((p.data > 0) == (t.data > 0)) & (p.data == p.data))


def categorical_accuracy(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """1 where the highest of y_pred along ``axis`` stands where the highest of y_true does; 0 where one is NaN.

    >>> categorical_accuracy([[0, 1], [1, 0]], [[0.1, 0.9], [0.2, 0.8]]).tolist()
    [1.0, 0.0]
    """
    t, p = _values(y_true, y_pred)
    _same_shape("categorical_accuracy", t, p)
    t, p = _along_last(t, axis, p.ndim), _along_last(p, axis, p.ndim)
    return _highest_at(t.data.argmax(-1), p.data)


def sparse_categorical_accuracy(y_true: Any, y_pred: Any, axis: int = -1) -> Tensor:
    """1 where the highest of y_pred along ``axis`` stands at the label; 0 where one is NaN.

    >>> sparse_categorical_accuracy([1, 0], [[0.1, 0.9], [0.2, 0.8]]).tolist()
    [1.0, 0.0]
    """
    t, p = _values(y_true, y_pred)
    t, p = _along_last(t, axis, p.ndim), _along_last(p, axis, p.ndim)
    return _highest_at(_labels("sparse_categorical_accuracy", t, p), p.data)


def _among_highest(labels: Array, p: Array, k: int) -> Tensor:
    """1 where fewer than k predictions are higher than that of the label; never where one is not a number."""
    xp = array_module(p)
    right = labels.reshape((*labels.shape, 1)) == xp.arange(p.shape[-1])
    chosen = xp.where(right & ~xp.isnan(p), p, -float("inf")).max(-1, keepdims=True)
    return _matches(((p > chosen).sum(-1) < k) & ~xp.isnan(p).any(-1))


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Tensor:
    """1 where the highest of y_true is among the k highest of y_pred.

    >>> top_k_categorical_accuracy([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.02, 0.9]], k=2).tolist()
    [1.0, 0.0]
    """
    t, p = _values(y_true, y_pred)
    _same_shape("top_k_categorical_accuracy", t, p)
    return _among_highest(t.data.argmax(-1), p.data, k)


def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Tensor:
    """1 where the label is among the k highest of y_pred.

    >>> sparse_top_k_categorical_accuracy([2, 1], [[0.1, 0.9, 0.8], [0.05, 0.02, 0.9]], k=2).tolist()
    [1.0, 0.0]
    """
    t, p = _values(y_true, y_pred)
    return _among_highest(_labels("sparse_top_k_categorical_accuracy", t, p), p.data, k)


class Accuracy(MeanMetricWrapper, function=accuracy):
    """How often y_pred equals y_true.

    >>> Accuracy()([1, 2, 3, 4], [1, 2, 0, 0]).item()
    0.5
    """

    direction = "up"


class BinaryAccuracy(MeanMetricWrapper, function=binary_accuracy):
    """How often y_pred is on the side of the threshold where the bit y_true is."""

    threshold: float = argument(number, 0.5)
    direction = "up"


class SignAccuracy(MeanMetricWrapper, function=sign_accuracy):
    """How often y_pred has the sign of y_true: what "accuracy" means beside a hinge."""

    direction = "up"


class CategoricalAccuracy(MeanMetricWrapper, function=categorical_accuracy):
    """How often the highest prediction is that of the right class, for one-hot targets."""

    axis = -1
    direction = "up"


class SparseCategoricalAccuracy(MeanMetricWrapper, function=sparse_categorical_accuracy):
    """How often the highest prediction is that of the right class, for labels.

    >>> accuracy = SparseCategoricalAccuracy()
    >>> accuracy.update_state([0, 1], [[0.9, 0.1], [0.2, 0.8]]); accuracy.update_state([1], [[0.6, 0.4]])
    >>> round(accuracy.result().item(), 4)
    0.6667
    """

    axis = -1
    direction = "up"


class TopKCategoricalAccuracy(MeanMetricWrapper, function=top_k_categorical_accuracy):
    """How often the right class is among the k highest predictions, for one-hot targets."""

    k: int = argument(positive, 5)
    name: str
    dtype: str
    direction = "up"


class SparseTopKCategoricalAccuracy(MeanMetricWrapper, function=sparse_top_k_categorical_accuracy):
    """How often the right class is among the k highest predictions, for labels."""

    k: int = argument(positive, 5)
    name: str
    dtype: str
    direction = "up"
