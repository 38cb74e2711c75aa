"""Checking a layer: its input, every weight, and the losses that regularizers add."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minigrad.backend import is_inexact
from minigrad.gradcheck.check import check_subject
from minigrad.gradcheck.report import GradcheckReport
from minigrad.gradcheck.subject import Subject
from minigrad.tape import no_grad
from minigrad.tensor import Tensor


def check_layer(layer: Any, x: Any, order: int = 1, method: str = "central", **options: Any) -> GradcheckReport:
    """Check the gradients of a layer's outputs and losses with respect to its input and each of its weights.

    The check computes in float64, whatever the layer's dtype, and leaves the layer as it was.

    Args:
        layer: called once on ``x`` to build it, if it is not built.
        x: the input; a list for several. Integers, as an embedding takes them, are not differentiated.
        order, method, options: as for `gradcheck`; ``training`` is passed on to the call.

    Raises:
        GradcheckError: a gradient is wrong.  TypeError, ValueError: the layer cannot be checked, and why.

    >>> from minigrad import Tensor, layers
    >>> dense = layers.Dense(3, activation="tanh", kernel_regularizer="l2", name="dense")
    >>> report = check_layer(dense, Tensor.randn(2, 4, seed=0), order=2)
    >>> [finding.label for finding in report.findings if finding.order == 1]
    ['x', 'dense/kernel', 'dense/bias']
    """
    call = {"training": options.pop("training")} if "training" in options else {}
    if not getattr(layer, "built", True):
        with no_grad():
            layer(x if isinstance(x, Tensor) else Tensor(x), **call)
    weights = [w for w in layer.weights if w.can_train]
    family = layer._family_tree()

    def f(x: Any, values: list[Tensor]) -> list[Tensor]:
        dtype = next(str(value.dtype) for value in [*_flat(x), *values] if is_inexact(value.dtype))
        for member in family:
            member.dtype = dtype
        with _put(weights, values):
            y = layer(x, **call)
            return [*_flat(y), *layer.losses]

    with _unchanged(layer, family):
        subject = Subject(f, [x, weights])
        subject.name = str(getattr(layer, "name", type(layer).__name__))
        subject.labels[len(subject.labels) - len(weights) :] = [w.path for w in weights]
        return check_subject(subject, order, method, **options)


def _flat(x: Any) -> list[Any]:
    """One Tensor or several, as a list."""
    return list(x) if isinstance(x, (list, tuple)) else [x]


@contextmanager
def _put(variables: list[Any], tensors: list[Tensor]) -> Iterator[None]:
    """The arrays and nodes of ``tensors`` in the place of the variables' own."""
    before = [(variable.data, variable.node) for variable in variables]
    try:
        for variable, tensor in zip(variables, tensors, strict=True):
            variable.data, variable.node = tensor.data, tensor.node
        yield
    finally:
        for variable, (data, node) in zip(variables, before, strict=True):
            variable.data, variable.node = data, node


@contextmanager
def _unchanged(layer: Any, family: list[Any]) -> Iterator[None]:
    """A context after which the layer and its sublayers are as they were."""
    before = [dict(vars(member)) for member in family]
    frozen = [(w, w.data, w.node) for w in layer.weights]
    try:
        yield
    finally:
        for member, attributes in zip(family, before, strict=True):
            vars(member).clear()
            vars(member).update(attributes)
        for variable, data, node in frozen:
            variable.data, variable.node = data, node
