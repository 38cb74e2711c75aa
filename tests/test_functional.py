"""Derivatives of functions, against formulas written down by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad import Tensor, functional, grad, gradcheck
from minigrad.functional import hessian, hvp, jacobian, jvp, vjp

rng = np.random.default_rng(4)
A, B = rng.normal(size=(3, 4)), rng.normal(size=(4,))


def f(x: Tensor, y: Tensor) -> Tensor:
    """Shape (3,): tanh(x @ y)."""
    return (x @ y).tanh()


def df() -> tuple[np.ndarray, np.ndarray]:
    """The Jacobians of f, (3, 3, 4) and (3, 4)."""
    slope = 1 - np.tanh(A @ B) ** 2
    by_x = np.zeros((3, 3, 4))
    by_x[range(3), range(3)] = slope[:, None] * B
    return by_x, slope[:, None] * A


def test_jacobian_of_one_input() -> None:
    j = jacobian(lambda y: f(Tensor(A), y), Tensor(B))
    assert j.shape == (3, 4)
    np.testing.assert_allclose(j.numpy(), df()[1], rtol=1e-14)
    assert jacobian(lambda x: x.sum(), Tensor(A)).shape == (3, 4)


def test_jacobian_of_several_inputs() -> None:
    by_x, by_y = jacobian(f, [Tensor(A), Tensor(B)])
    np.testing.assert_allclose(by_x.numpy(), df()[0], rtol=1e-14)
    np.testing.assert_allclose(by_y.numpy(), df()[1], rtol=1e-14)


def test_vjp_is_the_transposed_product() -> None:
    v = rng.normal(size=3)
    y, (by_x, by_y) = vjp(f, [Tensor(A), Tensor(B)], Tensor(v))
    np.testing.assert_allclose(y.numpy(), np.tanh(A @ B))
    np.testing.assert_allclose(by_x.numpy(), np.tensordot(v, df()[0], 1), rtol=1e-14)
    np.testing.assert_allclose(by_y.numpy(), v @ df()[1], rtol=1e-14)
    assert not y.requires_grad
    assert vjp(lambda x: x.sum(), Tensor(A))[1].tolist() == np.ones((3, 4)).tolist()


def test_jvp_is_the_product() -> None:
    t, s = rng.normal(size=(3, 4)), rng.normal(size=4)
    y, product = jvp(f, [Tensor(A), Tensor(B)], [Tensor(t), Tensor(s)])
    np.testing.assert_allclose(y.numpy(), np.tanh(A @ B))
    np.testing.assert_allclose(product.numpy(), np.tensordot(df()[0], t, 2) + df()[1] @ s, rtol=1e-13)
    np.testing.assert_allclose(jvp(lambda x: x * x, Tensor(B), B)[1].numpy(), 2 * B * B)


def test_hessian_of_a_quadratic_form() -> None:
    matrix = rng.normal(size=(4, 4))
    form = lambda x: (x @ matrix) @ x
    np.testing.assert_allclose(hessian(form, Tensor(B)).numpy(), matrix + matrix.T, rtol=1e-13)


def test_hessian_blocks() -> None:
    g = lambda x, y: (x * x).sum() * (y**3).sum()
    x, y = rng.normal(size=2), rng.normal(size=3)
    (xx, xy), (yx, yy) = hessian(g, [Tensor(x), Tensor(y)])
    np.testing.assert_allclose(xx.numpy(), 2 * (y**3).sum() * np.eye(2), rtol=1e-13)
    np.testing.assert_allclose(xy.numpy(), np.outer(2 * x, 3 * y**2), rtol=1e-13)
    np.testing.assert_allclose(yx.numpy(), xy.numpy().T, rtol=1e-13)
    np.testing.assert_allclose(yy.numpy(), (x * x).sum() * np.diag(6 * y), rtol=1e-13)


def test_hvp_equals_the_product_with_the_hessian() -> None:
    g = lambda x, y: (x @ y).tanh().sum() + (y * y * y).sum()
    inputs = [Tensor(A), Tensor(B)]
    t, s = rng.normal(size=(3, 4)), rng.normal(size=4)
    value, (by_x, by_y) = hvp(g, inputs, [Tensor(t), Tensor(s)])
    assert value.item() == pytest.approx(g(*inputs).item())
    (xx, xy), (yx, yy) = (tuple(block.numpy() for block in row) for row in hessian(g, inputs))
    np.testing.assert_allclose(by_x.numpy(), np.tensordot(xx, t, 2) + np.tensordot(xy, s, 1), rtol=1e-12)
    np.testing.assert_allclose(by_y.numpy(), np.tensordot(yx, t, 2) + yy @ s, rtol=1e-12)


def test_functions_that_are_constant_or_linear() -> None:
    constant = lambda x: Tensor(np.array(3.0))
    x = Tensor(B)
    assert vjp(constant, x)[1].tolist() == [0.0] * 4
    assert jvp(constant, x, x)[1].item() == 0.0
    assert jacobian(constant, x).tolist() == [0.0] * 4
    assert hessian(constant, x).tolist() == np.zeros((4, 4)).tolist()
    assert hvp(lambda x: x.sum(), x, x)[1].tolist() == [0.0] * 4
    assert jvp(lambda x, y: x * 2, [x, x], [x, x])[1].tolist() == (2 * B).tolist()


def test_empty_outputs() -> None:
    assert jacobian(lambda x: x[:0], Tensor(B)).shape == (0, 4)


def test_results_can_be_differentiated() -> None:
    """create_graph: the gradient of each product is right too."""
    v = Tensor(rng.normal(size=3))
    t = Tensor(rng.normal(size=4))
    y0 = Tensor(B)
    gradcheck(lambda y: vjp(lambda y: f(Tensor(A), y), y, v, create_graph=True)[1], [y0], order=2)
    gradcheck(lambda y: jvp(lambda y: f(Tensor(A), y), y, t, create_graph=True)[1], [y0])
    gradcheck(lambda y: hvp(lambda y: f(Tensor(A), y).sum(), y, t, create_graph=True)[1], [y0])
    gradcheck(lambda y: jacobian(lambda y: f(Tensor(A), y), y, create_graph=True), [y0])
    gradcheck(lambda y: hessian(lambda y: f(Tensor(A), y).sum(), y, create_graph=True), [y0])


def test_a_derivative_of_a_derivative_of_a_derivative() -> None:
    x = Tensor(np.array([0.7]))
    third = lambda x: jacobian(lambda x: hessian(lambda x: (x**5).sum(), x, create_graph=True), x)
    assert third(x).item() == pytest.approx(60 * 0.7**2)


def test_inputs_and_their_gradients_are_left_alone() -> None:
    x = Tensor(B, requires_grad=True)
    hvp(lambda x: (x * x).sum(), x, x)
    assert x.grad is None
    y = Tensor(B)
    vjp(lambda y: (y * y).sum(), y)
    assert not y.requires_grad
    assert y.tolist() == B.tolist()


@pytest.mark.parametrize("device", ["standin"])
def test_on_another_device(device: str) -> None:
    x = Tensor(B, device=device)
    assert hvp(lambda x: (x**3).sum(), x, x)[1].device == device
    assert jacobian(lambda x: x.tanh(), x).device == device
    assert jvp(lambda x: x * x, x, x)[1].device == device


@pytest.mark.parametrize(
    ("use", "kind", "message"),
    [
        (lambda: vjp(lambda x: x, Tensor([1, 2])), TypeError, r"vjp: inputs must be floating.*\[0\]=int64\(2,\)"),
        (lambda: jacobian(lambda x: 3.0, Tensor(B)), TypeError, "jacobian: f must return a Tensor. Received: float"),
        (lambda: hessian(lambda x: x, Tensor(B)), ValueError, r"hessian: f must return a scalar.*shape=\(4,\)"),
        (lambda: hvp(lambda x: x, Tensor(B), B), ValueError, "hvp: f must return a scalar"),
        (lambda: jvp(lambda x: x, Tensor(B), A), ValueError, r"jvp: v must have the shape.*v\[0\]=float64\(3, 4\)"),
        (lambda: jvp(f, [Tensor(A), Tensor(B)], [Tensor(A)]), ValueError, "jvp: v must be a list like inputs, of 2"),
        (lambda: jvp(f, [Tensor(A), Tensor(B)], Tensor(A)), ValueError, "jvp: v must be a list like inputs, of 2"),
        (lambda: vjp(lambda x: x, Tensor(B)), RuntimeError, "grad: the output must be a scalar"),
    ],
)
def test_bad_input(use: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        use()


def test_the_public_names() -> None:
    assert functional.__doc__ is not None
    for name in ("vjp", "jvp", "jacobian", "hessian", "hvp"):
        assert ">>>" in getattr(functional, name).__doc__


# ---------------------------------------------------------------------- arguments and memory orders


def test_partial_derivatives_of_an_argument_that_follows_from_another() -> None:
    x = Tensor(np.array([2.0, 5.0]), requires_grad=True)
    y = x * 3  # with a history that leads to x
    by_x, by_y = jacobian(lambda x, y: x * y, [x, y])
    assert (np.diag(by_x.numpy()).tolist(), np.diag(by_y.numpy()).tolist()) == ([6.0, 15.0], [2.0, 5.0])
    assert vjp(lambda x, y: x * y, [x, y], Tensor(np.ones(2)))[1][0].tolist() == [6.0, 15.0]
    assert jvp(lambda x, y: x * y, [x, y], [Tensor(np.ones(2)), Tensor(np.zeros(2))])[1].tolist() == [6.0, 15.0]
    assert hvp(lambda x, y: (x * x * y).sum(), [x, y], [np.ones(2), np.zeros(2)])[1][1].tolist() == [4.0, 10.0]
    product = vjp(lambda x, y: x * y, [x, y], Tensor(np.ones(2)), create_graph=True)[1][0]
    assert grad(product.sum(), x).tolist() == [3.0, 3.0]  # the history of y is there


def test_what_f_reads_from_elsewhere_is_held() -> None:
    w = Tensor(np.array([3.0]), requires_grad=True)
    assert vjp(lambda x: (x * w).sum(), w)[1].tolist() == [3.0]
    assert jacobian(lambda x: x * w, w).tolist() == [[3.0]]
    assert hessian(lambda x: (x * x * w).sum(), w).tolist() == [[6.0]]


@pytest.mark.parametrize("leaf", [False, True])
def test_one_tensor_given_twice(leaf: bool) -> None:
    x = Tensor(np.array([2.0, 3.0]), requires_grad=leaf)
    first, second = jacobian(lambda a, b: a * b * b, [x, x])
    assert np.diag(first.numpy()).tolist() == [4.0, 9.0]
    assert np.diag(second.numpy()).tolist() == [8.0, 18.0]
    blocks = hessian(lambda a, b: (a * b * b).sum(), [x, x])
    found = [[np.diag(block.numpy()).tolist() for block in row] for row in blocks]
    assert found == [[[0.0, 0.0], [4.0, 6.0]], [[4.0, 6.0], [4.0, 6.0]]]
    v = [Tensor(np.ones(2)), Tensor(np.zeros(2))]
    assert jvp(lambda a, b: a * b * b, [x, x], v)[1].tolist() == [4.0, 9.0]
    assert [g.tolist() for g in vjp(lambda a, b: (a * b * b).sum(), [x, x])[1]] == [[4.0, 9.0], [8.0, 18.0]]


ORDERS: dict[str, Any] = {
    "transposed": lambda x: (x * 2.0).T, "moved": lambda x: (x * 2.0).reshape(2, 1, 3).transpose(1, 2, 0),
    "reversed": lambda x: (x * 2.0)[::-1, ::-1], "broadcast": lambda x: (x * 2.0).broadcast_to(2, 2, 3),
    "flat": lambda x: (x * 2.0).T.reshape(-1), "0-D": lambda x: (x * 2.0).sum(),
}  # fmt: skip


@pytest.mark.parametrize("memory", ["C", "F"])
@pytest.mark.parametrize("name", ORDERS)
def test_outputs_and_inputs_in_any_memory_order(name: str, memory: Any) -> None:
    use, a = ORDERS[name], np.array(rng.normal(size=(2, 3)), order=memory)
    expected = np.zeros((*use(Tensor(a)).shape, 2, 3))
    for index in np.ndindex(2, 3):
        one = np.zeros((2, 3))
        one[index] = 1.0
        expected[(..., *index)] = use(Tensor(one)).numpy()  # f is linear
    np.testing.assert_array_equal(jacobian(use, Tensor(a)).numpy(), expected)
    rows = expected.reshape(-1, 2, 3)
    found = hessian(lambda x: (use(x) ** 2).sum() * 0.5, Tensor(a))
    np.testing.assert_array_equal(found.numpy(), np.einsum("nij,nkl->ijkl", rows, rows))


def test_complex_inputs_are_refused() -> None:
    with pytest.raises(TypeError, match=r"vjp: inputs must be floating. Received: inputs\[0\]=complex128\(1,\)"):
        vjp(lambda x: x.abs().sum(), Tensor(np.array([1j])))
