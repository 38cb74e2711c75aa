"""The engine: order, memory, refusals, and gradients of gradients."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from minigrad import Op, Tensor, grad, no_grad, ops
from minigrad.tape import Node


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What is freed while this holds is freed by reference count."""
    while gc.collect():  # what was finalized may leave more behind
        pass
    gc.disable()
    yield
    gc.enable()


def tensor(*values: float) -> Tensor:
    return Tensor(np.array(values, float), requires_grad=True)


# ---------------------------------------------------------------------- walking back


def test_backward_adds_into_leaves() -> None:
    x, y = tensor(1, 2), tensor(3, 4)
    (x * y).sum().backward()
    (x * x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [5.0, 8.0]
    assert y.grad is not None
    assert y.grad.tolist() == [1.0, 2.0]


def test_values_used_twice_add_up() -> None:
    x = tensor(2)
    y = x * x
    (y * y + y).sum().backward()  # x^4 + x^2
    assert x.grad is not None
    assert x.grad.tolist() == [36.0]


def test_an_argument_given_twice() -> None:
    x = tensor(3)
    assert grad(ops.concatenate(x, x, x), x, np.array([1.0, 10.0, 100.0])).tolist() == [111.0]


def test_a_leaf_is_its_own_output() -> None:
    x = tensor(3)
    assert grad(x, x, np.array([5.0])).tolist() == [5.0]
    x.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0]


def test_grad_is_a_question() -> None:
    x = tensor(1, 2)
    y = (x * x * x).sum()
    assert grad(y, x).tolist() == grad(y, x).tolist() == [3.0, 12.0]
    assert x.grad is None
    y.backward()


def test_grad_with_respect_to_values_on_the_way() -> None:
    x = tensor(3)
    square = x * x
    y = (square * square).sum()
    by_square, by_x = grad(y, [square, x])
    assert by_square.tolist() == [18.0]
    assert by_x.tolist() == [108.0]


def test_grad_of_an_independent_input_is_zero() -> None:
    x, other = tensor(1), tensor(2, 3)
    g = grad(x.sum(), other)
    assert g.tolist() == [0.0, 0.0]
    assert g.dtype == other.dtype
    assert [g.tolist() for g in grad(x.sum(), [other, x])] == [[0.0, 0.0], [1.0]]


def test_grad_does_no_more_than_it_must(made: Any) -> None:
    called = []

    @made
    def watched(a: Any, b: Any) -> Any:
        return a * b

    watched.backward(a=lambda g, b: called.append("a") or g * b, b=lambda g, a: called.append("b") or g * a)
    a, b = tensor(1), tensor(2)
    grad(watched(a, b).sum(), a)
    assert called == ["a"]
    watched(a, b.detach()).sum().backward()
    assert called == ["a", "a"]


def test_gradients_of_gradients() -> None:
    x = tensor(2)
    y = (x**5).sum()
    for expected in (80.0, 160.0, 240.0, 240.0, 120.0):
        g = grad(y, x, create_graph=True)
        assert g.tolist() == [expected]
        y = g.sum()
    assert grad(x.sum(), x, create_graph=True).node is None


def test_backward_through_a_gradient() -> None:
    x = tensor(1, 2)
    g = grad((x**3).sum(), x, create_graph=True)
    (g * g).sum().backward()  # 9 x^4
    assert x.grad is not None
    assert x.grad.tolist() == [36.0, 288.0]


def test_a_graph_of_random_shape_equals_the_chain_rule() -> None:
    """Youngest first is the reverse of the tape, whatever the graph looks like."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        x = Tensor(np.array(0.3), requires_grad=True)
        values, slopes = [x], [1.0]
        for _ in range(30):
            i, j = rng.integers(len(values), size=2)
            a, b = values[i], values[j]
            if rng.random() < 0.5:
                values.append(a * b * 0.5)
                slopes.append((slopes[i] * b.item() + slopes[j] * a.item()) * 0.5)
            else:
                values.append((a + b).tanh())
                slopes.append((slopes[i] + slopes[j]) * (1 - values[-1].item() ** 2))
        assert grad(values[-1], x).item() == pytest.approx(slopes[-1], rel=1e-12)


# ---------------------------------------------------------------------- memory


def test_a_long_chain_runs_and_is_freed(no_collector: None) -> None:
    x = Tensor(1.0, requires_grad=True)
    y = x
    for _ in range(50_000):
        y = y + 1.0
    assert isinstance(y.node, Node)
    assert grad(y, x).item() == 1.0  # keeps the tape
    y.backward()
    assert x.grad is not None
    assert x.grad.item() == 1.0
    y = x
    for _ in range(50_000):
        y = y * 1.0
    probe = weakref.ref(y)
    del y  # a tape never walked is dropped without recursion, too
    assert probe() is None
    assert gc.collect() == 0


def test_dropping_the_loss_drops_the_tape(no_collector: None) -> None:
    w = tensor(1, 2, 3)
    middle = (w * 2).tanh()
    loss = (middle * middle).sum()
    probes = [weakref.ref(middle)]
    del middle, loss
    assert [probe() for probe in probes] == [None]
    for _ in range(3):
        ((w * 2).tanh() ** 2).sum().backward()
        g = grad((w**3).sum(), w, create_graph=True)
        (g * g).sum().backward()
        w.data -= 0.1 * w.grad.data
        w.grad = None
        del g
    assert gc.collect() == 0


def test_backward_lets_go_of_the_tape() -> None:
    x = tensor(1, 2)
    y = x.tanh()
    loss = y.sum()
    loss.backward()
    assert isinstance(y.node, Node)
    assert y.node.saved is None
    assert y.node.parents == ()


def test_the_tape_keeps_only_what_the_rules_ask_for() -> None:
    a, b = tensor(1, 2), tensor(3, 4)
    saved = lambda y: [x for x in y.node.saved if isinstance(x, np.ndarray)]
    assert saved(a + b) == []
    assert saved(a * 2.0) == []  # only b = 2.0, a number
    product = saved(a * b)
    assert product[0] is b.data
    assert product[1] is a.data
    only_a = saved(a * b.detach())
    assert len(only_a) == 1
    assert only_a[0] is b.data
    y = a.exp()
    assert saved(y)[0] is y.data
    assert len(saved(y)) == 1


def test_a_large_input_is_not_kept_by_its_sum() -> None:
    x = Tensor(np.zeros(10), requires_grad=True)
    doubled = x + x
    probe = weakref.ref(doubled)
    loss = doubled.sum()
    del doubled
    assert probe() is None
    loss.backward()


# ---------------------------------------------------------------------- recording


def test_nothing_is_recorded_without_need() -> None:
    x = Tensor([1.0])
    assert (x + x).node is None
    y = Tensor([1.0], requires_grad=True)
    assert (y > 0).node is None
    assert y.argmax().node is None
    assert ops.sign(y).astype("int64").node is None
    assert y.detach().node is None


def test_no_grad() -> None:
    x = tensor(1)
    with no_grad():
        assert not (x * x).requires_grad
        with no_grad():
            pass
        assert not (x * x).requires_grad
    assert (x * x).requires_grad

    @no_grad()
    def quietly() -> Tensor:
        return x * x

    assert not quietly().requires_grad
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert (x * x).requires_grad


def test_no_grad_holds_for_its_thread_alone() -> None:
    x = tensor(1)
    inside, checked = threading.Event(), threading.Event()
    seen: list[bool] = []

    def other() -> None:
        with no_grad():
            inside.set()
            checked.wait(5)
            seen.append((x * x).requires_grad)

    thread = threading.Thread(target=other)
    thread.start()
    assert inside.wait(5)
    assert (x * x).requires_grad
    checked.set()
    thread.join()
    assert seen == [False]


def test_threads_train_side_by_side() -> None:
    def work(results: list[Any]) -> None:
        x = tensor(2)
        for _ in range(300):
            x.grad = None
            (x * x * x).sum().backward()
        assert x.grad is not None
        results.append(x.grad.item())

    results: list[Any] = []
    threads = [threading.Thread(target=work, args=(results,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [12.0] * 4


# ---------------------------------------------------------------------- refusals


def test_a_second_backward_is_refused() -> None:
    x = tensor(1, 2)
    y = x * x
    loss = y.sum()
    loss.backward()
    before = x.grad
    for use in (loss.backward, lambda: grad(loss, x), lambda: (y * 2).sum().backward()):
        with pytest.raises(RuntimeError, match=r"the tape must not have been used by backward\(\) before.*made by"):
            use()
    assert x.grad is before


def test_no_tape() -> None:
    x = tensor(1)
    message = "the output must depend on a tensor with requires_grad=True.*Received: a tensor of shape"
    with pytest.raises(RuntimeError, match=f"backward: {message}"):
        Tensor(1.0).backward()
    with pytest.raises(RuntimeError, match=f"grad: {message}"):
        grad(Tensor(1.0), x)
    with pytest.raises(RuntimeError, match=r"grad: inputs\[1\] must require gradients. Received: float32\(1,\)"):
        grad(x.sum(), [x, Tensor([1.0])])


def test_grad_refuses_what_is_no_tensor() -> None:
    x = tensor(1)
    with pytest.raises(TypeError, match=r"grad: output must be a Tensor. Received: float"):
        grad(1.0, x)
    with pytest.raises(TypeError, match=r"grad: inputs\[0\] must be a Tensor. Received: ndarray"):
        grad(x.sum(), np.ones(1))


def test_a_gradient_for_what_is_no_scalar() -> None:
    x = tensor(1, 2)
    with pytest.raises(RuntimeError, match=r"must be a scalar, or gradient= must be given. Received: shape=\(2,\)"):
        (x * x).backward()
    (x * x).backward([1.0, 10.0])
    assert x.grad is not None
    assert x.grad.tolist() == [2.0, 40.0]
    grad(x * x, x, Tensor(np.array([1.0, 1.0])))


@pytest.mark.parametrize(
    ("gradient", "kind", "message"),
    [
        (np.ones(3), ValueError, r"shape and device of the output. Received: gradient=float64\(3,\) on 'cpu'"),
        (np.ones((1, 2)), ValueError, r"Received: gradient=float64\(1, 2\)"),
        (1.0, ValueError, r"Received: gradient=float64\(\)"),
        (np.ones(2, complex), TypeError, "dtype of the output. Received: gradient=complex128, output=float64"),
        (Tensor([1.0, 2.0], device="standin"), ValueError, "on 'standin', output=.* on 'cpu'"),
    ],
)
def test_a_gradient_that_does_not_fit(gradient: Any, kind: type[Exception], message: str) -> None:
    x = tensor(1, 2)
    y = x * x
    for use in (y.backward, lambda g: grad(y, x, g)):
        with pytest.raises(kind, match=message):
            use(gradient)
    assert x.grad is None
    y.backward(np.ones(2, np.float32))  # nothing was half done; another precision is welcome
    assert x.grad is not None
    assert x.grad.dtype == np.float64


def test_a_leaf_assigned_since_is_refused() -> None:
    w, x = tensor(1, 2), tensor(5, 6)
    stale = (w * x).sum()
    through = stale * 2
    w.node.born_again()  # type: ignore[union-attr]
    for use in (stale.backward, lambda: grad(through, x), lambda: (through + (w * x).sum()).backward()):
        with pytest.raises(RuntimeError, match=r"an argument of multiply of shape \(2,\) that was assigned since"):
            use()
    assert x.grad is None
    assert w.grad is None
    (w * x).sum().backward()
    assert w.grad is not None


def test_nothing_is_half_changed_by_a_rule_that_fails(made: Any) -> None:
    @made
    def broken(x: Any) -> Any:
        return x * 2

    def rule(g: Any) -> Any:
        raise ZeroDivisionError("in the rule")

    broken.backward(x=rule)
    a, b = tensor(1), tensor(2)
    loss = (broken(a) * b).sum()
    with pytest.raises(ZeroDivisionError, match="in the rule"):
        loss.backward()
    assert a.grad is None
    assert b.grad is None
    assert (a * b).requires_grad  # recording is on again


# ---------------------------------------------------------------------- rules


def test_a_rule_that_returns_another_shape_is_named(made: Any) -> None:
    @made
    def bad(x: Any, scale: Any) -> Any:
        return x * scale

    bad.backward(x=lambda g, scale: g * scale, scale=lambda g, x: g * x)
    x, scale = tensor(1, 2, 3), tensor(2)
    message = (
        r"bad: the backward rule of 'scale' must return the shape of its argument; where broadcasting repeats .* "
        r"say @op\(broadcasts=True\), and .* Received: gradient shape=\(3,\), argument shape=\(1,\)"
    )
    for use in (lambda: bad(x, scale).sum().backward(), lambda: grad(bad(x, scale).sum(), scale)):
        with pytest.raises(RuntimeError, match=message):
            use()
    assert x.grad is None


def test_broadcasting_is_summed_only_where_shapes_fit(made: Any) -> None:
    @made(broadcasts=True)
    def bad(x: Any) -> Any:
        return x * 2

    bad.backward(x=lambda g: g[:2])
    with pytest.raises(RuntimeError, match="must return the shape of its argument"):
        bad(tensor(1, 2, 3)).sum().backward()


def test_a_rule_that_returns_another_kind_is_named(made: Any) -> None:
    @made
    def bad(x: Any) -> Any:
        return x * 2

    bad.backward(x=lambda g: g * 1j)
    with pytest.raises(
        RuntimeError, match=r"the dtype of its argument. Received: gradient dtype=complex128, argument dtype=float64"
    ):
        bad(tensor(1)).sum().backward()


def test_a_gradient_takes_the_precision_of_its_argument() -> None:
    narrow = Tensor(np.ones(2, np.float32), requires_grad=True)
    wide = Tensor(np.ones(2), requires_grad=True)
    y = narrow * wide
    assert y.dtype == np.float64
    y.sum().backward()
    assert narrow.grad is not None
    assert narrow.grad.dtype == np.float32
    assert wide.grad is not None
    assert wide.grad.dtype == np.float64
    assert grad((narrow * wide).sum(), narrow, create_graph=True).dtype == np.float32


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"b": None, "a": None}, r"write example.backward\(a=..., b=...\). Received: rules=\['b', 'a'\], arguments="),
        ({"a": None}, r"Received: rules=\['a'\], arguments=\['a', 'b'\]"),
        ({"a": None, "b": None, "c": None}, "named like the arguments"),
        ({"a": lambda h: h, "b": None}, r"a rule takes g .* Received: a=\(h\)"),
        ({"a": lambda g, z: g, "b": None}, r"of \['a', 'a_shape', 'axis', 'b', 'y'\]. Received: a=\(g, z\)"),
        ({"a": lambda g, b_shape: g, "b": None}, "a rule takes g"),
        ({"a": lambda: 1, "b": None}, r"a rule takes g.*Received: a=\(\), the parameters of <function"),
        ({"a": 3, "b": None}, r"a rule takes g.*Received: a=\(\), the parameters of 3"),
    ],
)
def test_rules_that_do_not_fit_the_op(made: Any, rules: dict[str, Any], message: str) -> None:
    @made
    def example(a: Any, b: Any, *, axis: int = 0) -> Any:
        return a + b

    with pytest.raises(TypeError, match=message):
        example.backward(**rules)


def test_a_rule_where_an_argument_is_called_g(made: Any) -> None:
    @made
    def example(g: Any) -> Any:
        return g * 3

    with pytest.raises(TypeError, match=r"a rule takes g \(h, where g is an argument\)"):
        example.backward(g=lambda g: g)
    example.backward(g=lambda h: 3 * h)
    x = tensor(1)
    assert grad(example(x), x).tolist() == [3.0]


def test_an_argument_called_y_is_not_the_output(made: Any) -> None:
    @made
    def example(x: Any, y: Any) -> Any:
        return x * y

    example.backward(x=lambda g, y: g * y, y=lambda g, x: g * x)
    x, y = tensor(2), tensor(5)
    assert [g.tolist() for g in grad(example(x, y), [x, y])] == [[5.0], [2.0]]


def test_ops_of_minigrad_cannot_be_replaced(made: Any) -> None:
    message = r"op: the name of one of minigrad's own ops must not be used\. Received: 'add'"
    with pytest.raises(ValueError, match=message):

        @made
        def add(a: Any) -> Any:
            return a


def test_an_op_of_ones_own_may_be_written_anew(made: Any) -> None:
    """As a cell of a notebook that is run again does."""
    for factor in (2.0, 3.0):

        @made
        def scaled_anew(x: Any, factor: float = factor) -> Any:
            return x * factor

    assert Op.registry["scaled_anew"] is scaled_anew


def test_rules_get_attributes_and_their_defaults(made: Any) -> None:
    @made
    def scaled(x: Any, *, by: float = 3.0) -> Any:
        return x * by

    scaled.backward(x=lambda g, by: g * by)
    x = tensor(1)
    assert grad(scaled(x), x).tolist() == [3.0]
    assert grad(scaled(x, by=5.0), x).tolist() == [5.0]


def test_an_argument_that_is_not_differentiable(made: Any) -> None:
    @made
    def chosen(x: Any, where: Any) -> Any:
        return x * where

    chosen.backward(x=lambda g, where: g * where, where=None)
    x, where = tensor(2), tensor(1)
    y = chosen(x, where)
    assert [g.tolist() for g in grad(y, [x, where])] == [[1.0], [0.0]]
    assert grad(chosen(x.detach(), where), where).tolist() == [0.0]


# ---------------------------------------------------------------------- errors of ops


def test_errors_of_arrays_name_the_op_and_its_arguments() -> None:
    a, b = Tensor(np.ones((2, 3))), Tensor(np.ones((4, 5)))
    with pytest.raises(ValueError, match=r"^add: .*Received: a=float64\(2, 3\), b=float64\(4, 5\)$"):
        a + b
    with pytest.raises(ValueError, match=r"^matmul: .*Received: a=float64\(2, 3\), b=float64\(4, 5\)$"):
        a @ b
    with pytest.raises(IndexError, match=r"^getitem: .*Received: x=float64\(2, 3\), index=7$"):
        a[7]
    with pytest.raises(ValueError, match=r"^concatenate: .*arrays\[0\]=float64\(2, 3\), arrays\[1\]=float64\(4, 5\)$"):
        ops.concatenate(a, b)
    with pytest.raises(TypeError, match=r"^sum: .*unexpected .* 'axes'. Received: x=float64\(2, 3\), axes=1$"):
        ops.sum(a, axes=1)


def test_mixed_devices_name_op_arguments_and_devices() -> None:
    here, there = Tensor([1.0]), Tensor([1.0], device="standin")
    for use, received in [
        (lambda: here + there, "add: .*a on 'cpu', b on 'standin'"),
        (lambda: there @ here, "matmul: .*a on 'standin', b on 'cpu'"),
        (lambda: ops.concatenate(here, there), r"concatenate: .*arrays\[0\] on 'cpu', arrays\[1\] on 'standin'"),
        (lambda: there * np.ones(1), "multiply: .*a on 'standin', b on 'cpu'"),
    ]:
        with pytest.raises(TypeError, match=received) as caught:
            use()
        assert "one device; move one with .to(device)" in str(caught.value)
    assert (here.to("standin") + there).device == "standin"


def test_ops_compute_on_arrays_alone() -> None:
    y = ops.matmul(np.eye(2), np.ones((2, 3)))
    assert type(y) is np.ndarray
    assert ops.add([1.0, 2.0], 1).tolist() == [2.0, 3.0]


def test_an_op_shows_its_name() -> None:
    assert repr(ops.matmul) == "<op matmul(a, b)>"
    assert ops.matmul.__doc__ is not None
    assert Op.registry["matmul"] is ops.matmul


def test_rules_written_anew_replace_the_former_ones(made: Any) -> None:
    @made
    def scaled(x: Any) -> Any:
        return x * 2

    x = tensor(1)
    for rule, slope in [(lambda g: g * 2.0, 2.0), (lambda g: g * 3.0, 3.0)]:
        scaled.backward(x=rule)
        assert grad(scaled(x), x).tolist() == [slope]
