"""Losses of probabilities: y_pred holds probabilities, or logits with ``from_logits``.

Probabilities are brought to the sum 1 and held within [epsilon, 1 - epsilon] before the logarithm, as in Keras 3, so
their gradient is 0 where a model is sure. Logits have no such limits: prefer them.
"""

from __future__ import annotations

import warnings
from typing import Any

from minigrad import ops
from minigrad.backend import Array, array_module, device_of, module_for, move
from minigrad.config import argument, number
from minigrad.losses.loss import Loss, loss_function
from minigrad.settings import epsilon
from minigrad.tensor import Tensor


def _normalized(y_pred: Tensor, axis: int) -> Tensor:
    """Probabilities with the sum 1, away from 0 and 1."""
    return (y_pred / y_pred.sum(axis, keepdims=True)).clip(epsilon(), 1 - epsilon())


def _log_probabilities(y_pred: Tensor, from_logits: bool, axis: int) -> Tensor:
    return y_pred.log_softmax(axis) if from_logits else _normalized(y_pred, axis).log()


def _same_shape(y_true: Tensor, y_pred: Tensor) -> None:
    if y_true.shape != y_pred.shape:
        raise ValueError(
            "Arguments `target` and `output` must have the same shape. "
            f"Received: target.shape={y_true.shape}, output.shape={y_pred.shape}"
        )


def _check_axis(who: str, y_pred: Tensor, axis: int) -> None:
    if not -y_pred.ndim <= axis < y_pred.ndim:
        raise ValueError(f"{who}: axis must be one of y_pred. Received: axis={axis}, y_pred.shape={y_pred.shape}")


def _spread(who: str, y_true: Tensor, y_pred: Tensor, label_smoothing: float, axis: int) -> Tensor:
    """Targets with a share of them spread over all classes of the axis, once their shape is checked."""
    _same_shape(y_true, y_pred)
    if y_pred.ndim < 1:
        raise ValueError(f"Arguments `target` and `output` must be at least rank 1. Received: shape={y_pred.shape}")
    _check_axis(who, y_pred, axis)
    if y_pred.shape[axis] == 1:
        warnings.warn(
            f"In loss {who}, expected y_pred.shape to be (batch_size, num_classes) with num_classes > 1. Received: "
            f"y_pred.shape={y_pred.shape}. Consider using 'binary_crossentropy' if you only have 2 classes.",
            SyntaxWarning,
            stacklevel=4,
        )
    return y_true * (1 - label_smoothing) + label_smoothing / y_true.shape[axis] if label_smoothing else y_true


def _binary_crossentropy(t: Tensor, p: Tensor, from_logits: bool) -> Tensor:
    """-(t log p + (1-t) log (1-p)), element by element: of logits exact, else with p away from 0 and 1."""
    if from_logits:  # log p = -softplus(-x), log(1 - p) = -softplus(x)
        return t * ops.softplus(-p) + (1 - t) * ops.softplus(p)
    p = p.clip(epsilon(), 1 - epsilon())
    return -(t * p.log() + (1 - t) * (1 - p).log())


@loss_function("bce", "BCE")
def binary_crossentropy(
    y_true: Tensor, y_pred: Tensor, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Tensor:
    """mean of -(t log p + (1-t) log (1-p)); smoothing draws the targets towards 1/2.

    Raises:
        ValueError: y_true and y_pred of different shapes.

    >>> binary_crossentropy([[1.0, 0.0]], [[0.0, 0.0]], from_logits=True).numpy().round(4).tolist()
    [0.6930999755859375]
    """
    _same_shape(y_true, y_pred)
    t = y_true * (1 - label_smoothing) + 0.5 * label_smoothing
    return _binary_crossentropy(t, y_pred, from_logits).mean(axis)


def _focus(wrong: Tensor, gamma: float) -> Tensor:
    """The probability of the wrong side, to the power gamma; at 0, whose power may have no derivative, that is 0."""
    return ops.maximum(wrong, float(module_for("cpu").finfo(wrong.dtype).tiny)) ** gamma


@loss_function()
def binary_focal_crossentropy(
    y_true: Tensor, y_pred: Tensor, apply_class_balancing: bool = False, alpha: float = 0.25, gamma: float = 2.0,
    from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
) -> Tensor:
    """mean of (1 - p_t)^gamma times the binary crossentropy, with p_t the probability of the right side.

    Lin et al. 2017. ``apply_class_balancing`` weighs the 1s with alpha, the 0s with 1 - alpha.
    """
    _same_shape(y_true, y_pred)
    t = y_true * (1 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:  # 1 - p is the sigmoid of -x, exact where p is near 1
        wrong = t * (-y_pred).sigmoid() + (1 - t) * y_pred.sigmoid()
    else:
        wrong = 1 - (t * y_pred + (1 - t) * (1 - y_pred))
    balance = t * alpha + (1 - t) * (1 - alpha) if apply_class_balancing else 1.0
    return (balance * _focus(wrong, gamma) * _binary_crossentropy(t, y_pred, from_logits)).mean(axis)


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
    t = _spread("categorical_crossentropy", y_true, y_pred, label_smoothing, axis)
    return -(t * _log_probabilities(y_pred, from_logits, axis)).sum(axis)


@loss_function()
def categorical_focal_crossentropy(
    y_true: Tensor, y_pred: Tensor, alpha: float = 0.25, gamma: float = 2.0, from_logits: bool = False,
    label_smoothing: float = 0.0, axis: int = -1,
) -> Tensor:
    """-sum_c alpha (1 - p_c)^gamma t_c log p_c: Lin et al. 2017."""
    t = _spread("categorical_focal_crossentropy", y_true, y_pred, label_smoothing, axis)
    if from_logits:
        log_p = y_pred.log_softmax(axis)
        wrong = -ops.expm1(log_p)
    else:
        p = _normalized(y_pred, axis)
        log_p, wrong = p.log(), 1 - p
    return -(alpha * _focus(wrong, gamma) * t * log_p).sum(axis)


def _one_hot(
    who: str, labels: Tensor, y_pred: Tensor, axis: int, ignore_class: int | None
) -> tuple[Tensor, Array | float]:
    """Where the class of each label stands in y_pred, nowhere for labels to be ignored; and what counts elsewhere: 0.

    Raises:
        ValueError: a shape that does not fit, a label that is no class. If labels are on a GPU nobody asks, for that
            would wait for it in every step; then nan counts.
    """
    _check_axis(who, y_pred, axis)
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
    if device_of(t) != "cpu":
        elsewhere = array_module(t).where(valid, 0.0, float("nan")).astype(y_pred.dtype)
        elsewhere = elsewhere.reshape((*shape[:axis], 1, *shape[axis:]))
    elif valid.all():
        elsewhere, t = 0.0, move(t, y_pred.device)
    else:
        raise ValueError(
            f"{who}: labels must be 0 .. {classes - 1}, for {classes} classes. "
            f"Received: labels from {int(t.min())} to {int(t.max())}"
        )
    numbers = array_module(t).arange(classes).reshape((-1,) + (1,) * (y_pred.ndim - 1 - axis))
    return Tensor._output(t.reshape((*shape[:axis], 1, *shape[axis:])) == numbers, None), elsewhere


@loss_function(labels=True)
def sparse_categorical_crossentropy(
    y_true: Tensor, y_pred: Tensor, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Tensor:
    """-log p_t, where t is the number of the right class; 0 where t is ``ignore_class``.

    Args:
        y_true: integers, of the shape of y_pred without the axis of the classes, or with it of length 1.

    Raises:
        ValueError: shapes that do not fit, a label that is no class (on a GPU, the loss is nan instead).

    >>> sparse_categorical_crossentropy([1, 0], [[0.0, 0.0], [0.0, 0.0]], from_logits=True).numpy().round(4).tolist()
    [0.6930999755859375, 0.6930999755859375]
    """
    right, elsewhere = _one_hot("sparse_categorical_crossentropy", y_true, y_pred, axis, ignore_class)
    return -ops.where(right, _log_probabilities(y_pred, from_logits, axis), elsewhere).sum(axis)


def _inside_0_and_1(name: str, value: Any) -> float:
    if not 0 < number(name, value) < 1:
        raise ValueError(f"{name} must be in the interval (0, 1). Received: {name}={value!r}")
    return value


@loss_function(labels=True)
def categorical_generalized_cross_entropy(y_true: Tensor, y_pred: Tensor, q: float) -> Tensor:
    """(1 - p_t^q) / q, between the crossentropy (q to 0) and 1 - p_t (q = 1): Zhang and Sabuncu 2018.

    Args:
        y_true: the number of the right class.
        q: inside (0, 1).

    Raises:
        ValueError: another q, shapes that do not fit, a label that is no class.
    """
    right, elsewhere = _one_hot("categorical_generalized_cross_entropy", y_true, y_pred, -1, None)
    return (1 - ops.where(right, y_pred, elsewhere).sum(-1) ** _inside_0_and_1("q", q)) / q


@loss_function("kld", "KLD", "kullback_leibler_divergence")
def kl_divergence(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """sum t log(t / p), both held within [epsilon, 1]."""
    t, p = y_true.clip(epsilon(), 1.0), y_pred.clip(epsilon(), 1.0)
    return (t * (t / p).log()).sum(-1)


@loss_function()
def poisson(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """mean(p - t log p), the crossentropy of counts t whose mean is p."""
    return (y_pred - y_true * (y_pred + epsilon()).log()).mean(-1)


class BinaryCrossentropy(Loss, function=binary_crossentropy):
    """`binary_crossentropy`, weighed and reduced."""


class BinaryFocalCrossentropy(Loss, function=binary_focal_crossentropy):
    """`binary_focal_crossentropy`, weighed and reduced: easy samples count less."""


class CategoricalCrossentropy(Loss, function=categorical_crossentropy):
    """`categorical_crossentropy`, weighed and reduced."""


class CategoricalFocalCrossentropy(Loss, function=categorical_focal_crossentropy):
    """`categorical_focal_crossentropy`, weighed and reduced: easy samples count less."""


class CategoricalGeneralizedCrossEntropy(Loss, function=categorical_generalized_cross_entropy):
    """`categorical_generalized_cross_entropy`, weighed and reduced: wrong labels do less harm."""

    q: float = argument(_inside_0_and_1, 0.5)


class KLDivergence(Loss, function=kl_divergence):
    """`kl_divergence`, weighed and reduced."""


class Poisson(Loss, function=poisson):
    """`poisson`, weighed and reduced."""


class SparseCategoricalCrossentropy(Loss, function=sparse_categorical_crossentropy):
    """`sparse_categorical_crossentropy`, weighed and reduced. Labels equal to ``ignore_class`` count for nothing.

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
