"""Checking a layer: its input, every weight, and the losses that regularizers add."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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
    all_weights, family = layer.weights, layer._family_tree()
    weights = [w for w in all_weights if w.can_train]
    dtype: Any = ""
    with_losses = True

    def f(x: Any, values: list[Tensor]) -> list[Tensor]:
        nonlocal dtype, with_losses
        wanted = (values[0] if values else _flat(x)[0]).data.dtype
        if wanted is not dtype:
            dtype = wanted
            for member in family:
                member.dtype = dtype.name
        for variable, value in zip(weights, values, strict=True):
            variable.data, variable.node = value.data, value.node
        outputs = _flat(layer(x, **call))
        if not with_losses:
            return outputs
        losses = layer.losses
        with_losses = bool(losses)  # whether there are any does not change, and looking for them takes a while
        return [*outputs, *losses]

    with _unchanged(family, all_weights):
        subject = Subject(f, [x, weights])
        subject.name = str(getattr(layer, "name", type(layer).__name__))
        subject.labels[len(subject.labels) - len(weights) :] = [w.path for w in weights]
        return check_subject(subject, order, method, **options)


def _flat(x: Any) -> list[Any]:
    """One Tensor or several, as a list."""
    return list(x) if isinstance(x, (list, tuple)) else [x]


@contextmanager
def _unchanged(family: list[Any], weights: list[Any]) -> Iterator[None]:
    """A context after which a layer with its sublayers and weights are as they were."""
    before = [dict(vars(member)) for member in family]
    frozen = [(w, w.data, w.node) for w in weights]
    try:
        yield
    finally:
        for member, attributes in zip(family, before, strict=True):
            vars(member).clear()
            vars(member).update(attributes)
        for variable, data, node in frozen:
            variable.data, variable.node = data, node
