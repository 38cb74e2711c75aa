"""Variables: names, assignment, and updates in place that nobody else ever sees."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad import Sequential, Tensor, grad, layers, losses, no_grad, optimizers
from minigrad.variable import Variable


def test_assign_takes_a_copy_in_the_dtype_of_the_variable() -> None:
    w = Variable([1.0, 2.0], name="w")
    value = np.array([3.0, 4.0])
    assert w.assign(value) is w
    value[:] = 0
    assert w.tolist() == [3.0, 4.0]
    assert w.dtype == np.float32
    assert w.assign_add([1.0, 1.0]).tolist() == [4.0, 5.0]
    assert w.assign_sub(2.0).tolist() == [2.0, 3.0]


def test_assign_refuses_another_shape_and_changes_nothing() -> None:
    w = Variable([1.0, 2.0], path="layer/w")
    message = r"assign: the value must have the shape of the variable 'layer/w'\. Received: value shape=\(3,\)"
    with pytest.raises(ValueError, match=message):
        w.assign([1.0, 2.0, 3.0])
    assert w.tolist() == [1.0, 2.0]


def test_assign_refuses_another_device() -> None:
    w = Variable([1.0, 2.0], path="layer/w")
    with pytest.raises(TypeError, match="assign: the value must be on the device of the variable 'layer/w'"):
        w.assign(Tensor([3.0, 4.0], device="standin"))
    assert w.tolist() == [1.0, 2.0]


def test_a_frozen_variable_takes_no_gradient_and_integers_cannot_train() -> None:
    w = Variable([1.0], trainable=False)
    assert not w.trainable
    assert not (w * 2).requires_grad
    with pytest.raises(TypeError, match=r"requires_grad: the dtype must be floating\. Received: dtype=int64"):
        Variable([1, 2])


def test_a_tape_refuses_when_a_weight_was_assigned_since() -> None:
    w = Variable([1.0, 2.0])
    y = (w * w).sum()
    w.assign([3.0, 4.0])
    with pytest.raises(RuntimeError, match="inputs must be as they were when the tape was recorded"):
        y.backward()
    assert w.grad is None
    (w * w).sum().backward()
    assert w.grad.tolist() == [6.0, 8.0]


@pytest.mark.parametrize("hold", [lambda w: w.detach(), lambda w: w.value, lambda w: w.reshape(-1)])
def test_an_update_in_place_never_reaches_what_was_recorded_before(hold: object) -> None:
    """A detached tensor or a view is a constant on a tape, and has no node to tell that its numbers changed."""
    w = Variable(np.array([2.0, 3.0]), name="w")
    x = Tensor([1.0, 1.0], dtype="float64", requires_grad=True)
    with no_grad():
        constant = hold(w)  # type: ignore[operator]
    y = (x * constant).sum()
    optimizers.SGD(0.5).apply([np.array([1.0, 1.0])], [w])
    assert w.tolist() == [1.5, 2.5]
    assert grad(y, x).tolist() == [2.0, 3.0]


def test_an_update_of_a_variable_that_nobody_holds_keeps_its_array() -> None:
    w = Variable(np.ones(4))
    array_id = id(w.data)
    for _ in range(3):
        (w * w).sum().backward()
        optimizers.Adam(0.1).step([w])
    assert id(w.data) == array_id


def test_training_learns_the_training_set() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(40) % 4
    x = rng.standard_normal((40, 12, 3)) * 0.3
    x[np.arange(40), 3 * (y % 4), 0] += 3.0  # a peak whose place in time tells the class
    network = Sequential([
        layers.SeparableConv1D(16, 5, padding="causal", activation="relu", depthwise_constraint="unit_norm"),
        layers.Flatten(),
        layers.Dense(4),
    ])
    loss_of = losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = optimizers.Adam(0.02)
    values = []
    for _ in range(60):
        loss = loss_of(y, network(x))
        loss.backward()
        optimizer.step(network.trainable_weights)
        values.append(loss.item())
    assert values[-1] < 0.05 < 1.0 < values[0]
    norms = np.sqrt((network.layers[0].depthwise_kernel.numpy() ** 2).sum(axis=0))
    np.testing.assert_allclose(norms, 1, atol=1e-5)
