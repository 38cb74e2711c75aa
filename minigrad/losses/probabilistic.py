"""Losses of probabilities: y_pred holds probabilities, or logits with ``from_logits``.

Probabilities are brought to the sum 1 and held within [epsilon, 1 - epsilon] before the logarithm, as in Keras 3, so
their gradient is 0 where a model is sure. Logits have no such limits: prefer them.
"""

from __future__ import annotations

import warnings
from typing import Any

from minigrad import ops
from minigrad.backend import array_module
from minigrad.losses.loss import Loss, loss_function
from minigrad.settings import epsilon
from minigrad.tensor import Tensor


def _normalized(y_pred: Tensor, axis: int) -> Tensor:
    """Probabilities with the sum 1, away from 0 and 1."""
    return (y_pred / y_pred.sum(axis, keepdims=True)).clip(epsilon(), 1 - epsilon())


def _log_probabilities(y_pred: Tensor, from_logits: bool, axis: int) -> Tensor:
    return y_pred.log_softmax(axis) if from_logits else _normalized(y_pred, axis).log()


def _categorical(who: str, y_true: Tensor, y_pred: Tensor, label_smoothing: float) -> Tensor:
    """Targets with a share of them spread over all classes, once their shape is checked."""
    if y_true.shape != y_pred.shape:
        raise ValueError(
            "Arguments `target` and `output` must have the same shape. "
            f"Received: target.shape={y_true.shape}, output.shape={y_pred.shape}"
        )
    if y_pred.ndim < 1:
        raise ValueError(f"Arguments `target` and `output` must be at least rank 1. Received: shape={y_pred.shape}")
    if y_pred.shape[-1] == 1:
        warnings.warn(
            f"In loss {who}, expected y_pred.shape to be (batch_size, num_classes) with num_classes > 1. Received: "
            f"y_pred.shape={y_pred.shape}. Consider using 'binary_crossentropy' if you only have 2 classes.",
            SyntaxWarning,
            stacklevel=4,
        )
    return y_true * (1 - label_smoothing) + label_smoothing / y_true.shape[-1] if label_smoothing else y_true


@loss_function()
def categorical_crossentropy(
    y_true: Tensor, y_pred: Tensor, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Tensor:
    """-sum_c t_c log p_c over the classes, for targets that are themselves probabilities.

    Raises:
        ValueError: y_true and y_pred of different shapes.

    >>> categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]]).numpy().round(4).tolist()
    [0.6930999755859375]
    """
    t = _categorical("categorical_crossentropy", y_true, y_pred, label_smoothing)
    return -(t * _log_probabilities(y_pred, from_logits, axis)).sum(axis)


class CategoricalCrossentropy(Loss, function=categorical_crossentropy):
    """-sum_c t_c log p_c over the classes, for targets that are themselves probabilities."""


def _one_hot(who: str, labels: Tensor, y_pred: Tensor, axis: int, ignore_class: int | None) -> Tensor:
    """Where the class of each label stands in y_pred; nowhere for labels to be ignored.

    Raises:
        ValueError: a shape that does not fit, a label that is no class.
    """
    if y_pred.ndim < 1 or not -y_pred.ndim <= axis < y_pred.ndim:
        raise ValueError(f"{who}: axis must be one of y_pred. Received: axis={axis}, y_pred.shape={y_pred.shape}")
    axis %= y_pred.ndim
    shape = (*y_pred.shape[:axis], *y_pred.shape[axis + 1 :])
    if labels.shape not in (shape, (*y_pred.shape[:axis], 1, *y_pred.shape[axis + 1 :])):
        raise ValueError(
            "Arguments `target` and `output` must have the same shape up until the last dimension: "
            f"target.shape={labels.shape}, output.shape={y_pred.shape}"
        )
    classes = y_pred.shape[axis]
    t = labels.data.reshape(shape)
    valid = (t >= 0) & (t < classes)
    if ignore_class is not None:
        ignored = t == ignore_class
        if ignore_class >= 0:
            t = array_module(t).where(ignored, -1, t)
        valid |= ignored
    if not bool(valid.all()):
        raise ValueError(
            f"{who}: labels must be 0 .. {classes - 1}, for {classes} classes. "
            f"Received: labels from {int(t.min())} to {int(t.max())}"
        )
    numbers = array_module(t).arange(classes).reshape((-1,) + (1,) * (y_pred.ndim - 1 - axis))
    return Tensor._output(t.reshape((*shape[:axis], 1, *shape[axis:])) == numbers, None)


@loss_function(labels=True)
def sparse_categorical_crossentropy(
    y_true: Tensor, y_pred: Tensor, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Tensor:
    """-log p_t, where t is the number of the right class; 0 where t is ``ignore_class``.

    Args:
        y_true: integers, of the shape of y_pred without the axis of the classes, or with it of length 1.

    Raises:
        ValueError: shapes that do not fit, a label that is no class.

    >>> sparse_categorical_crossentropy([1, 0], [[0.0, 0.0], [0.0, 0.0]], from_logits=True).numpy().round(4).tolist()
    [0.6930999755859375, 0.6930999755859375]
    """
    right = _one_hot("sparse_categorical_crossentropy", y_true, y_pred, axis, ignore_class)
    return -ops.where(right, _log_probabilities(y_pred, from_logits, axis), 0.0).sum(axis)


class SparseCategoricalCrossentropy(Loss, function=sparse_categorical_crossentropy):
    """-log p_t, where t is the number of the right class. Labels equal to ``ignore_class`` count for nothing.

    >>> loss = SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    >>> round(loss([1, -1], [[0.0, 0.0], [0.0, 9.0]]).item(), 4)
    0.6931
    """

    from_logits: bool
    ignore_class: int | None
    reduction: str | None
    axis: int

    def mask(self, y_true: Any, values: Tensor) -> Tensor | None:
        if self.ignore_class is None:
            return None
        labels = y_true if isinstance(y_true, Tensor) else Tensor(y_true, device=values.device)
        return (labels != self.ignore_class).reshape(values.shape)
