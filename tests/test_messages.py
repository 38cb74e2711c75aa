"""What is said about likely mistakes, by docs/errors.md: who, what must hold, what was received, and the cure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from minigrad import Op, Tensor, functional, grad, op, ops
from minigrad.gradcheck import gradcheck
from tests.standin import StandIn

A = np.arange(6.0).reshape(2, 3)


@pytest.fixture(autouse=True)
def _no_op_stays() -> Iterator[None]:
    before = dict(Op.registry)
    yield
    Op.registry.clear()
    Op.registry.update(before)


def says(use: Callable[[], Any], kind: type[Exception], *words: str) -> None:
    """``use`` is refused by exactly this kind of exception, and its message has these parts, in this order."""
    with pytest.raises(kind) as caught:
        use()
    assert type(caught.value) is kind
    message = str(caught.value)
    assert re.match(r"[\w.]+: ", message), message
    assert " Received: " in message
    position = 0
    for part in words:
        assert part in message[position:], f"{part!r} is missing in {message!r}"
        position = message.index(part, position)


# ---------------------------------------------------------------------- ops of one's own


def test_an_op_without_rules() -> None:
    @op
    def scaled(x: Any, factor: Any, *, shift: float = 0.0) -> Any:
        return x * factor + shift

    x = Tensor(A, requires_grad=True)
    assert scaled(Tensor(A), 2.0).tolist() == (2 * A).tolist()  # without a gradient none is needed
    words = ("scaled: an op must have a rule for each argument", "write scaled.backward(x=..., factor=...)")
    says(lambda: scaled(x, 2.0), RuntimeError, *words)
    scaled.backward(x=lambda g, factor: g * factor, factor=None)
    assert grad(scaled(x, 2.0).sum(), x).tolist() == np.full((2, 3), 2.0).tolist()


def test_rules_without_names() -> None:
    @op
    def twice(x: Any) -> Any:
        return 2 * x

    says(
        lambda: twice.backward(lambda g: 2 * g), TypeError,
        "twice.backward: rules must be named like the arguments", "write twice.backward(x=...)", "1 without a name",
    )
    says(lambda: op(3), TypeError, "op: a function of arrays must be given. Received: 3")


RULES: dict[str, Callable[..., Any]] = {
    "a ufunc": lambda g, x: 2 * g * np.absolute(x),
    "a function": lambda g, x: 2 * np.pad(g, 1)[1:-1] * x,
    "a method of arrays": lambda g, x: 2 * g.copy() * x,
}


@pytest.mark.parametrize("how", RULES)
def test_a_rule_in_numpy_cannot_be_differentiated_again(how: str) -> None:
    @op
    def square(x: Any) -> Any:
        return x * x

    square.backward(x=RULES[how])
    x = Tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    assert grad(square(x).sum(), x).tolist() == [2.0, 4.0]
    gradcheck(square, [x])
    words = ("square: the backward rule of 'x' must be written with operators and minigrad.ops, not with NumPy",)
    says(lambda: grad(square(x).sum(), x, create_graph=True), TypeError, *words)
    says(lambda: gradcheck(square, [x], order=2), TypeError, *words)
    square.backward(x=lambda g, x: 2 * g * x)
    gradcheck(square, [x], order=2)


def test_what_a_rule_returns() -> None:
    @op
    def halved(x: Any) -> Any:
        return x / 2

    x = Tensor([4.0, 6.0], requires_grad=True)
    for wrong, shown in ((None, "None"), (0.5, "0.5"), ([0.5, 0.5], "[0.5, 0.5]")):
        halved.backward(x=returning(wrong))
        words = ("halved: the backward rule of 'x' must return an array", f"Received: {shown}")
        says(lambda: halved(x).sum().backward(), RuntimeError, *words)
        says(lambda: grad(halved(x).sum(), x, create_graph=True), RuntimeError, *words)
        assert x.grad is None
    halved.backward(x=lambda g: g.nothing)  # a slip within the rule stays what it is
    with pytest.raises(AttributeError, match="nothing"):
        halved(x).sum().backward()


def returning(value: Any) -> Callable[[Any], Any]:
    return lambda g: value


def test_a_rule_that_forgets_broadcasting_is_told_of_it() -> None:
    def added(a: Any, b: Any) -> Any:
        return a + b

    rules: dict[str, Any] = {"a": lambda g: g, "b": lambda g: g}
    a, b = Tensor(np.ones((3, 2)), requires_grad=True), Tensor(np.ones((1, 2)), requires_grad=True)
    plain = op(added)
    plain.backward(**rules)
    cure = "say @op(broadcasts=True)"
    says(
        lambda: plain(a, b).sum().backward(), RuntimeError,
        "added: the backward rule of 'b' must return the shape of its argument", cure,
        "gradient shape=(3, 2), argument shape=(1, 2)",
    )
    told = op(broadcasts=True)(added)
    told.backward(**rules)
    assert grad(told(a, b).sum(), b).tolist() == [[3.0, 3.0]]
    plain.backward(a=lambda g: g[:2], b=lambda g: g)  # no broadcasting explains this
    with pytest.raises(RuntimeError, match=r"rule of 'a' must return the shape of its argument\. Received"):
        plain(a, a).sum().backward()


# ---------------------------------------------------------------------- arguments of ops


@pytest.mark.parametrize(
    ("use", "kind", "words"),
    [
        (lambda x: ops.concatenate([x, x]), TypeError, ("concatenate: arrays must be given one by one",
                                                        "or concatenate(*arrays)", "a list of 2 tensors")),
        (lambda x: ops.stack((x, x, x)), TypeError, ("stack: ", "stack(*arrays)", "a tuple of 3 tensors")),
        (lambda x: ops.sum([x, x]), TypeError, ("sum: ", "ops.stack(*tensors) makes one Tensor of several")),
        (lambda x: x + [x], TypeError, ("add: a list must hold numbers", "ops.stack")),
        (lambda x: x + [[1.0], [1.0, 2.0]], ValueError, ("add: a list must hold numbers, in rows of one length",)),
        (lambda x: x + None, TypeError, ("add: arguments must be Tensors, arrays or numbers", "b=None")),
        (lambda x: x**"2", TypeError, ("power: arguments must be Tensors, arrays or numbers", "b='2'")),
        (lambda x: x < object, TypeError, ("less: arguments must be Tensors", "b=<class 'object'>")),
        (lambda x: ops.softmax("x"), TypeError, ("softmax: arguments must be Tensors, arrays or numbers", "x='x'")),
        (lambda x: x.argmax((0, 1)), TypeError, ("argmax: axis must be one integer", "Received: axis=(0, 1)")),
        (lambda x: ops.stack(x, x, axis=[0]), TypeError, ("stack: axis must be one integer", "axis=[0]")),
        (lambda x: x.sum("rows"), TypeError, ("sum: axis must be an integer", "axis='rows'")),
        (lambda x: x.max(1.0), TypeError, ("max: axis must be an integer", "axis=1.0")),
        (lambda x: x.mean(2), ValueError, ("mean: ", "axis 2 is out of bounds", "x=float64(2, 3), axis=2")),
        (lambda x: ops.pad(x, widths=((0, 1), (0, 1)), value=x), TypeError, ("pad: value must not be a Tensor",)),
        (lambda x: ops.stack(), ValueError, ("stack: ", "Received: nothing")),
        (lambda x: Tensor([[1.0], [1.0, 2.0]]), ValueError, ("array: ", "equal lengths", "[[1.0], [1.0, 2.0]]")),
    ],
)  # fmt: skip
def test_arguments(use: Callable[[Tensor], Any], kind: type[Exception], words: tuple[str, ...]) -> None:
    says(lambda: use(Tensor(A)), kind, *words)


def test_words_and_objects_are_no_numbers() -> None:
    says(lambda: Tensor(np.array(["a", "b"])), TypeError, "Tensor: numbers must be given", "dtype=<U1")
    says(lambda: Tensor(np.array([1.0, None])), TypeError, "Tensor: numbers must be given", "dtype=object")
    says(lambda: Tensor.randn(3, dtype="int32"), TypeError, "dtype: ", "must be floating", "dtype='int32'")
    says(lambda: Tensor.uniform(3, dtype="float3"), TypeError, "dtype: must name a NumPy dtype", "'float3'")


def test_long_values_are_shortened() -> None:
    with pytest.raises(TypeError) as caught:
        Tensor(["word"] * 10_000)
    assert len(str(caught.value)) < 200
    with pytest.raises(TypeError) as caught:
        Tensor(A) + object()
    assert "b=<object object at " in str(caught.value)


# ---------------------------------------------------------------------- NumPy's functions and operators


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (np.exp, ("numpy.exp: arguments must be arrays", "Use ops.exp.", "a Tensor of shape (2, 3)")),
        (np.abs, ("numpy.absolute: ", "Use ops.abs.")),
        (lambda x: np.dot(x, 2.0), ("numpy.dot: ", "Use ops.matmul.")),
        (np.var, ("numpy.var: ", "Use the method var.")),
        (np.sin, ("numpy.sin: ", "minigrad has no op of this name; write one with @op", ".numpy()")),
        (lambda x: np.add.reduce(x), ("numpy.add: ", "Use ops.add.")),
        (lambda x: np.add(A, x, out=A.copy()), ("numpy.add: ", "no Tensor in place; write a = a + t.")),
        (lambda x: np.maximum(A, x, where=A > 1), ("numpy.maximum: ", "Use ops.maximum.")),
        (np.sum, ("numpy.sum: ", "Use ops.sum.")),
        (lambda x: np.mean(x, axis=0), ("numpy.mean: ", "Use ops.mean.")),
        (lambda x: np.concatenate([x, x]), ("numpy.concatenate: ", "Use ops.concatenate.")),
        (lambda x: np.where(A > 1, x, 0.0), ("numpy.where: ", "Use ops.where.")),
        (lambda x: np.einsum("ij->i", x), ("numpy.einsum: ", "no op of this name")),
        (lambda x: np.array([x]), ("numpy: a Tensor must be copied to the host explicitly, with .numpy()",)),
        (lambda x: A // x, ("numpy.floor_divide: ", "no op of this name")),
    ],
)
def test_functions_of_numpy(use: Callable[[Tensor], Any], words: tuple[str, ...]) -> None:
    before = A.copy()
    says(lambda: use(Tensor(A, requires_grad=True)), TypeError, *words)
    assert A.tolist() == before.tolist()


def test_an_array_is_not_changed_in_place_by_a_tensor() -> None:
    total = np.zeros((2, 3))

    def add() -> None:
        nonlocal total
        total += Tensor(A)

    says(add, TypeError, "numpy.add: ", "write a = a + t")
    assert not total.any()


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b,
    "**": lambda a, b: a**b, "@": lambda a, b: a @ b, "==": lambda a, b: a == b, "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip


@pytest.mark.parametrize("sign", OPERATORS)
@pytest.mark.parametrize("left", [A[:2, :2] + 1.0, np.float64(2.0), np.float32(2.0), np.int64(2), np.array(3.0)])
def test_an_array_on_the_left_of_an_operator(left: Any, sign: str) -> None:
    """The result is a Tensor with its history, as with a Tensor on the left."""
    if sign == "@" and np.ndim(left) == 0:
        return
    x = Tensor(A[:2, :2] + 0.5, requires_grad=True)
    operate = OPERATORS[sign]
    y, expected = operate(left, x), operate(Tensor(left), x)
    assert type(y) is Tensor
    assert y.dtype == operate(left, x.numpy()).dtype
    np.testing.assert_array_equal(y.numpy(), operate(left, x.numpy()))
    assert y.requires_grad == expected.requires_grad
    if y.requires_grad:
        np.testing.assert_array_equal(grad(y.sum(), x).numpy(), grad(expected.sum(), x).numpy())


def test_facts_that_numpy_may_ask_for() -> None:
    x = Tensor(A)
    assert (np.shape(x), np.ndim(x), np.size(x)) == ((2, 3), 2, 6)


def test_an_array_of_another_device_does_not_come_to_the_host() -> None:
    with pytest.raises(TypeError, match="standin: mixed operands"):
        StandIn(A) + Tensor(A)


# ---------------------------------------------------------------------- a Tensor as a number


def test_a_tensor_of_one_element_is_a_number() -> None:
    loss = Tensor([0.123456], requires_grad=True).sum() * 2
    assert f"{loss:.4f}" == "0.2469"
    assert f"{loss:>8.2f}|" == "    0.25|"
    assert f"{loss}" == str(loss) == repr(loss)
    assert f"{Tensor([[7]]):03d}" == "007"
    assert "%.2f" % loss == "0.25"  # noqa: UP031
    assert round(Tensor(2.345, dtype="float64"), 1) == 2.3
    assert math.exp(Tensor(0.0)) == 1.0
    assert complex(Tensor(1 + 2j)) == 1 + 2j


@pytest.mark.parametrize(
    ("use", "kind", "words"),
    [
        (lambda x: f"{x:.3f}", ValueError, ("format: a Tensor must have one element", ".tolist()", "shape=(2, 3)")),
        (bool, ValueError, ("bool: a Tensor must have one element; .numpy().all() and .any()", "shape=(2, 3)")),
        (lambda x: 1 if x > 2 else 0, ValueError, ("bool: ", "shape=(2, 3)")),
        (lambda x: 2.0 in x, ValueError, ("bool: ", "shape=(3,)")),
        (lambda x: max(x), ValueError, ("bool: ", "shape=(3,)")),
        (float, ValueError, ("float: a Tensor must have one element", "shape=(2, 3)")),
        (lambda x: math.sin(x), ValueError, ("float: a Tensor must have one element",)),
        (int, ValueError, ("int: a Tensor must have one element", "shape=(2, 3)")),
        (complex, ValueError, ("complex: a Tensor must have one element",)),
        (round, ValueError, ("round: a Tensor must have one element",)),
        (lambda x: range(x.argmax(0)), ValueError, ("index: a Tensor must have one element", "shape=(3,)")),
        (lambda x: [1, 2][x[0, 0]], TypeError, ("index: the dtype must be an integer", "dtype=float64")),
        (lambda x: float(Tensor(1j)), TypeError, ("float: the dtype must be real; .item()", "dtype=complex128")),
        (lambda x: len(x.sum()), TypeError, ("len: a tensor must have an axis", "0-D")),
        (lambda x: list(x.sum()), TypeError, ("iteration: a tensor must have an axis", ".item()", "0-D")),
        (lambda x: x.__setitem__(0, 1.0), TypeError, ("setitem: a Tensor must stay as it was", "ops.where", "(2, 3)")),
    ],
)
def test_a_tensor_that_is_no_number(
    use: Callable[[Tensor], Any], kind: type[Exception], words: tuple[str, ...]
) -> None:
    says(lambda: use(Tensor(A, requires_grad=True)), kind, *words)


# ---------------------------------------------------------------------- functional


def test_functions_of_functions() -> None:
    says(lambda: functional.jacobian(np.sin, Tensor([1.0])), TypeError, "numpy.sin: ", "@op")
    for function in (functional.vjp, functional.jacobian, functional.hessian):
        name = function.__name__
        says(lambda: function(3, Tensor(1.0)), TypeError, f"{name}: f must be a function of Tensors. Received: f=3")  # noqa: B023
