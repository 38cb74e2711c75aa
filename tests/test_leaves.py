"""Leaves: copied and sent to other processes, frozen and thawed; what is real, and what has the derivative zero."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import Sequential, Tensor, grad, gradcheck, layers, no_grad, ops
from minigrad.optimizers import SGD, Optimizer
from minigrad.variable import Variable

# ---------------------------------------------------------------------- copies


def leaf() -> Tensor:
    x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    (x * x).sum().backward()
    return x


def gradient_of(x: Tensor) -> Any:
    return None if x.grad is None else x.grad.tolist()


@pytest.mark.parametrize("through", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("make", [leaf, lambda: Variable([1.0, 2.0], name="w"), lambda: Tensor([1.0, 2.0])])
def test_a_copy_of_a_leaf_is_a_leaf_of_its_own(make: Any, through: Any) -> None:
    x = make()
    y = through(x)
    assert type(y) is type(x)
    assert (y.tolist(), y.dtype, y.requires_grad) == (x.tolist(), x.dtype, x.requires_grad)
    assert not np.shares_memory(x.data, y.data)
    if not x.requires_grad:
        return
    assert y.node is not x.node
    before = gradient_of(x)
    assert gradient_of(y) == before
    y.grad = None
    (3 * y).sum().backward()
    assert y.grad.tolist() == [3.0, 3.0]
    assert gradient_of(x) == before


def test_unpickled_values_own_their_memory() -> None:
    x = Variable(np.arange(3.0))
    buffers: list[pickle.PickleBuffer] = []
    sent = pickle.dumps(x, protocol=5, buffer_callback=buffers.append)
    shared = [bytearray(buffer) for buffer in buffers]  # as memory that processes share
    y = pickle.loads(sent, buffers=shared)
    loss = (y * y).sum()
    for memory in shared:
        memory[:] = bytes(len(memory))
    assert y.tolist() == [0.0, 1.0, 2.0]
    assert grad(loss, y).tolist() == [0.0, 2.0, 4.0]


ELSEWHERE = """
import pickle, sys
from minigrad import optimizers
network, x = pickle.loads(sys.stdin.buffer.read())
sgd = optimizers.Optimizer.get("sgd")
for _ in range(3):
    loss = (network(x) ** 2).sum()
    loss.backward()
    sgd.step(network.trainable_weights)
sys.stdout.buffer.write(pickle.dumps([w.numpy() for w in network.weights]))
"""


def test_what_is_unpickled_in_another_process_trains_on() -> None:
    """There the births of nodes are counted from the beginning: younger leaves would look assigned since."""
    network = layers.Dense(2, activity_regularizer="l2")
    x = Tensor(np.linspace(-1, 1, 12, dtype="float32").reshape(4, 3))
    for _ in range(50):
        network(x)  # so many births
    network.kernel.assign(network.kernel.detach())
    sent = pickle.dumps((network, x))
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], input=sent, capture_output=True, check=True, cwd=Path(__file__).parent.parent
    )
    sgd = Optimizer.get("sgd")
    for _ in range(3):
        (network(x) ** 2).sum().backward()
        sgd.step(network.trainable_weights)
    for here, there in zip(network.weights, pickle.loads(done.stdout), strict=True):
        np.testing.assert_array_equal(here.numpy(), there)


@pytest.mark.parametrize("copied", [copy.deepcopy, pickle.dumps])
def test_a_history_is_not_copied(copied: Any) -> None:
    x = leaf()
    y = x * x
    with pytest.raises(TypeError, match=r"with a history must be detached first.*of shape \(2,\) made by multiply"):
        copied(y)
    copied(y.detach())
    with no_grad():
        copied(x * x)
    assert grad(y.sum(), x).tolist() == [2.0, 4.0]


def test_a_network_is_copied_without_the_losses_of_its_last_call() -> None:
    network = Sequential([layers.Dense(2, activity_regularizer="l2", kernel_regularizer="l1")])
    network(Tensor(np.ones((2, 3), "float32")))
    assert len(network.losses) == 2
    twin = copy.deepcopy(network)
    assert len(network.losses) == 2
    assert len(twin.losses) == 1  # of its weight
    (twin.losses[0] * 2.0).backward()
    assert [gradient_of(w) for w in network.weights] == [None, None]


# ---------------------------------------------------------------------- frozen and thawed


def test_a_tape_survives_that_a_leaf_is_frozen_and_thawed() -> None:
    w, v = Variable([1.0, 2.0]), Variable([3.0, 4.0])
    loss = (w * w * v).sum()
    w.trainable = False
    assert w.grad is None
    assert not (w * 2).requires_grad
    w.trainable = True
    assert grad(loss, w).tolist() == [6.0, 16.0]
    loss.backward()
    assert w.grad is not None
    assert w.grad.tolist() == [6.0, 16.0]
    assert v.grad is not None
    assert v.grad.tolist() == [1.0, 4.0]


def test_a_tape_that_is_walked_while_a_leaf_is_frozen() -> None:
    w, v = Variable([1.0, 2.0]), Variable([3.0, 4.0])
    loss = (w * v).sum()
    w.trainable = False
    loss.backward()
    assert v.grad is not None
    assert v.grad.tolist() == [1.0, 2.0]
    w.trainable = True
    assert w.grad is not None
    assert w.grad.tolist() == [3.0, 4.0]


def test_a_leaf_that_is_assigned_while_it_is_frozen() -> None:
    w = Variable([1.0, 2.0])
    loss = (w * w).sum()
    w.trainable = False
    w.assign([5.0, 6.0])
    w.trainable = True
    with pytest.raises(RuntimeError, match=r"an argument of multiply of shape .* that was assigned since"):
        loss.backward()
    (w * w).sum().backward()
    assert w.grad is not None
    assert w.grad.tolist() == [10.0, 12.0]


def test_variables_that_an_optimizer_changes_while_they_are_frozen() -> None:
    weights = [Variable([1.0, 2.0], name=name) for name in "ab"]
    sgd = SGD(0.5)
    sgd.apply([Tensor([1.0, 1.0])] * 2, weights)
    loss = (weights[0] * weights[1]).sum()
    for weight in weights:
        weight.trainable = False
    sgd.apply([Tensor([1.0, 1.0])] * 2, weights)
    for weight in weights:
        weight.trainable = True
    with pytest.raises(RuntimeError, match="that was assigned since"):
        loss.backward()


def test_a_layer_frozen_and_thawed_while_its_tape_lives() -> None:
    network = Sequential([layers.Dense(3, "tanh"), layers.Dense(1)])
    x = Tensor(np.linspace(-1, 1, 8, dtype="float32").reshape(4, 2))
    loss = (network(x) ** 2).sum()
    expected = [g.tolist() for g in grad(loss, network.trainable_weights)]
    network.layers[0].trainable = False
    network.layers[0].trainable = True
    loss.backward()
    assert [gradient_of(w) for w in network.trainable_weights] == expected


def test_a_tensor_that_is_no_variable() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = (x * x).sum()
    x.requires_grad = False
    x.requires_grad = False
    x.requires_grad = True
    y.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 4.0]


# ---------------------------------------------------------------------- real numbers


def test_complex_leaves_are_refused() -> None:
    z = np.array([1 + 2j, 3 - 1j])
    for use in (lambda: Tensor(z, requires_grad=True), lambda: Variable(z)):
        with pytest.raises(TypeError, match=r"requires_grad: the dtype must be floating. Received: dtype=complex128"):
            use()
    x = Tensor(z)
    with pytest.raises(TypeError, match="the dtype must be floating"):
        x.requires_grad = True
    assert x.node is None


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("multiply", lambda x: x * 2j), ("add", lambda x: np.array([1j, 2]) + x),
        ("matmul", lambda x: x @ Tensor(np.eye(2) * 1j)), ("astype", lambda x: x.astype("complex64")),
        ("where", lambda x: ops.where(np.array([True, False]), x, 1j)),
        ("concatenate", lambda x: ops.concatenate(x, Tensor([1j]))),
    ],
)  # fmt: skip
def test_real_leaves_meet_no_complex_numbers(name: str, use: Any) -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match=f"^{name}: a tape holds real numbers; .*which give complex"):
        use(x)
    assert use(x.detach()).dtype.kind == "c"
    with no_grad():
        assert use(x).dtype.kind == "c"


def test_objects_are_refused_rather_than_cut_off() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(TypeError, match="multiply: a tape holds real numbers"):
        x * np.array([1, 2], dtype=object)


def test_complex_arrays_are_computed_with() -> None:
    z = np.array([[1 + 2j, 3 - 1j], [0.5j, -2]])
    t = Tensor(z)
    np.testing.assert_allclose((t * t).abs().numpy(), abs(z * z))
    np.testing.assert_allclose((t @ t).numpy(), z @ z)
    for axis in (None, 0, 1):
        np.testing.assert_allclose(t.var(axis).numpy(), np.var(z, axis=axis))
        assert t.var(axis).dtype == "float64"


def test_the_complex_steps_of_the_checker() -> None:
    def f(x: Tensor, w: Tensor) -> Tensor:
        return ((x @ w).tanh() * 2 + x.var()).sum(0)

    inputs = [Tensor([[0.5, -1.0], [2.0, 0.25]]), Tensor([[1.0, 0.5], [0.0, -0.5]])]
    assert gradcheck(f, inputs, method="complex", order=2).passed


# ---------------------------------------------------------------------- steps


@pytest.mark.parametrize("order", [1, 2])
def test_the_gradient_through_steps_alone_is_zero(order: int) -> None:
    x = Tensor([1.0, -2.0], requires_grad=True)
    y = ops.sign(x).sum()
    g = grad(y, x, create_graph=order == 2)
    assert (g.tolist(), g.dtype) == ([0.0, 0.0], x.dtype)
    assert grad((ops.sign(x) * x).sum(), x).tolist() == [1.0, -1.0]
    assert grad((ops.sign(x) + 3 * x).sum(), x).tolist() == [3.0, 3.0]
    y.backward()
    assert x.grad is None  # nothing flowed


def test_an_argument_that_only_selects_has_the_gradient_zero() -> None:
    mask = Tensor([1.0, 0.0], requires_grad=True)
    y = ops.where(mask, Tensor([3.0, 4.0]), 5.0)
    assert y.tolist() == [3.0, 5.0]
    assert grad(y.sum(), mask).tolist() == [0.0, 0.0]


def test_behind_integers_and_comparisons_there_is_no_tape() -> None:
    x = Tensor([1.0, -2.0], requires_grad=True)
    for y in (x > 0, x.argmax(), x.astype("int64"), (x == x).astype("float32")):
        assert not y.requires_grad
        with pytest.raises(RuntimeError, match="the output must depend on a tensor with requires_grad=True"):
            grad(y.sum(), x)
