"""Gradient checkers against each other: the same planted errors and the same right functions for all of them.

    python -m tests.benchmarks.gradcheck [WORD ...]    # the checkers whose names have one of the words, or all

Needs torch, jax and autograd beside minigrad; prints the tables of docs/gradient_checking.md. A function is given to
the peers as a custom function: its values, the (wrong) gradients of its rule and the derivatives of those are
minigrad's, as NumPy arrays, so that all check the same numbers. Every checker runs with its own defaults.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from minigrad import Tensor, gradcheck, layers, ops
from minigrad.functional import leaf, pull
from minigrad.gradcheck import GradcheckError, check_layer
from tests import hidden_places, planted, wild_functions
from tests.hidden_errors import Hidden, flat

Arrays = list[np.ndarray]
RIGHT = 500  # functions without an error, for each of the two tables


class Portable:
    """A function of Tensors as functions of arrays: its value, its gradients, and the gradients of those.

    Several outputs become one vector.
    """

    def __init__(self, f: Callable[..., Any], inputs: Arrays) -> None:
        self.f, self.inputs = f, [np.asarray(x, float) for x in inputs]
        self.shape = self.value(*self.inputs).shape

    def output(self, leaves: list[Tensor]) -> Tensor:
        outputs = flat(self.f(*leaves))
        return outputs[0] if len(outputs) == 1 else ops.concatenate(*[y.flatten() for y in outputs], axis=0)

    def value(self, *xs: Any) -> np.ndarray:
        return np.asarray(self.output([Tensor._output(np.asarray(x), None) for x in xs]).numpy())

    def gradients(self, g: Any, *xs: Any) -> Arrays:
        """The gradients of sum(g f(xs))."""
        leaves = [leaf(np.asarray(x)) for x in xs]
        return [d.numpy() for d in pull(self.output(leaves), leaves, np.asarray(g))]

    def second(self, hs: Any, g: Any, *xs: Any) -> Arrays:
        """The gradients of sum(h gradients(g, xs)) for g and xs."""
        leaves = [leaf(np.asarray(g)), *(leaf(np.asarray(x)) for x in xs)]
        firsts = pull(self.output(leaves[1:]), leaves[1:], leaves[0], create_graph=True)
        total = [np.zeros(x.shape) for x in leaves]
        for h, first in zip(hs, firsts, strict=True):
            if first.node is None:  # an input that only selects
                continue
            for i, part in enumerate(pull(first, leaves, np.asarray(h))):
                total[i] = total[i] + part.numpy()
        return total


Checker = Callable[[Portable, int], bool | str]  # whether it found fault with the function, at this order


def minigrad_check(function: Portable, order: int) -> bool | str:
    try:
        gradcheck(function.f, function.inputs, order=order)
    except GradcheckError as error:
        return True if type(error) is GradcheckError else "undecided"
    return False


def torch_checker(fast: bool) -> Checker:
    """torch.autograd.gradcheck, and gradgradcheck for order 2."""
    import torch

    def check(function: Portable, order: int) -> bool:
        arrays = lambda tensors: [t.detach().numpy() for t in tensors]
        tensors = lambda arrays: tuple(torch.from_numpy(np.array(a)) for a in arrays)

        class Second(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, g: Any, *xs: Any) -> Any:
                ctx.save_for_backward(g, *xs)
                return tensors(function.gradients(*arrays([g, *xs])))

            @staticmethod
            def backward(ctx: Any, *hs: Any) -> Any:
                g, *xs = ctx.saved_tensors
                return tensors(function.second(arrays(hs), *arrays([g, *xs])))

        class First(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *xs: Any) -> Any:
                ctx.save_for_backward(*xs)
                return tensors([function.value(*arrays(xs))])[0]

            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                return Second.apply(g, *ctx.saved_tensors)

        inputs = [torch.tensor(x, requires_grad=True) for x in function.inputs]
        right = torch.autograd.gradcheck(First.apply, inputs, raise_exception=False, fast_mode=fast)
        if order == 2 and right:
            right = torch.autograd.gradgradcheck(First.apply, inputs, raise_exception=False, fast_mode=fast)
        return not right

    return check


def jax_checker() -> Checker:
    """jax.test_util.check_grads in reverse mode."""
    import jax
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)

    def check(function: Portable, order: int) -> bool:
        like = lambda *xs: [jax.ShapeDtypeStruct(np.shape(x), float) for x in xs]

        @jax.custom_vjp
        def pulled(g: Any, *xs: Any) -> Any:
            return tuple(jax.pure_callback(lambda *a: function.gradients(*a), like(*xs), g, *xs))

        pulled.defvjp(
            lambda g, *xs: (pulled(g, *xs), (g, *xs)),
            lambda kept, hs: tuple(
                jax.pure_callback(lambda hs, *a: function.second(hs, *a), like(*kept), list(hs), *kept)
            ),
        )

        @jax.custom_vjp
        def f(*xs: Any) -> Any:
            return jax.pure_callback(function.value, jax.ShapeDtypeStruct(function.shape, float), *xs)

        f.defvjp(lambda *xs: (f(*xs), xs), lambda xs, g: pulled(g, *xs))
        try:
            check_grads(f, tuple(function.inputs), order=order, modes=["rev"])
        except AssertionError:
            return True
        return False

    return check


def autograd_checker() -> Checker:
    """autograd.test_util.check_grads in reverse mode."""
    import autograd
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads

    def check(function: Portable, order: int) -> bool:
        count = len(function.inputs)
        parts = [primitive(lambda g, *xs, i=i: function.gradients(g, *xs)[i]) for i in range(count)]

        def second(i: int, k: int) -> Any:
            """The rule of part i for argument k of (g, *xs)."""

            def vjp(answer: Any, g: Any, *xs: Any) -> Any:
                zeros = [np.zeros(x.shape) for x in xs]
                return lambda h: function.second([*zeros[:i], h, *zeros[i + 1 :]], g, *xs)[k]

            return vjp

        for i, part in enumerate(parts):
            defvjp(part, *[second(i, k) for k in range(count + 1)])
        f = primitive(function.value)
        defvjp(f, *[lambda answer, *xs, i=i: lambda g: parts[i](g, *xs) for i in range(count)])
        try:
            for i in range(count):
                check_grads(f, i, modes=["rev"], order=order)(*function.inputs)
        except AssertionError:
            return True
        return False

    assert autograd
    return check


def checkers() -> dict[str, Checker]:
    """The chosen ones, by name."""
    makers: dict[str, Callable[[], Checker]] = {
        "minigrad `gradcheck`": lambda: minigrad_check,
        "torch `gradcheck`": lambda: torch_checker(fast=False),
        "torch `gradcheck(fast_mode=True)`": lambda: torch_checker(fast=True),
        "JAX `check_grads`": jax_checker,
        "autograd `check_grads`": autograd_checker,
    }
    chosen = lambda name: not sys.argv[1:] or any(word in name for word in sys.argv[1:])
    return {name: make() for name, make in makers.items() if chosen(name)}


def right_functions() -> list[tuple[int, Portable]]:
    """Random functions whose gradients are right, with the order to check them to."""
    found: list[tuple[int, Portable]] = []
    seed = 0
    while len(found) < RIGHT:
        f, inputs = planted.random_function(seed)
        with suppress(OverflowError):
            found.append((2 if seed % 5 == 0 else 1, Portable(f, inputs)))
        seed += 1
    return found


class Count:
    """How often a checker found fault, and how often it could not decide."""

    def __init__(self) -> None:
        self.found = self.undecided = 0

    def add(self, answer: bool | str) -> None:
        self.found += bool(answer)
        self.undecided += answer == "undecided"

    def __str__(self) -> str:
        return f"{self.found} ({self.undecided} undecided)" if self.undecided else f"{self.found}"


def print_table(errors: list[tuple[str, Any, int]], right: list[tuple[int, Portable]]) -> None:
    """Caught of each kind, false alarms, and the time that the processors were busy.

    Args:
        errors: of each its kind, the error, and the order to check it to.
        right: of each the order and the function.
    """
    totals = Counter(kind for kind, _, _ in errors)
    heads = [f"{kind} ({total})" for kind, total in totals.items()]
    print(f"\n| checker | caught of {len(errors)} | {' | '.join(heads)} | CPU time", end=" | ")
    print(f"false alarms of {len(right)} | CPU time |")
    print("|---|" + "---|" * (len(totals) + 4))
    for name, check in checkers().items():
        caught, alarms = {kind: Count() for kind in ["", *totals]}, Count()
        start = time.process_time()
        for kind, error, order in errors:
            inputs = error.inputs if isinstance(error, Hidden) else error.values()
            function = Portable(error.f if isinstance(error, Hidden) else error.function(), inputs)
            with error.planted() if isinstance(error, Hidden) else planted.planted(error):
                answer = answer_of(check, function, order)
            caught[""].add(answer)
            caught[kind].add(answer)
        middle = time.process_time()
        for order, function in right:
            with suppress(ValueError):  # minigrad refuses a function that does not depend on an input
                alarms.add(check(function, order) if check is minigrad_check else answer_of(check, function, order))
        end = time.process_time()
        cells = [*map(str, caught.values()), f"{middle - start:.1f} s", str(alarms), f"{end - middle:.1f} s"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def answer_of(check: Checker, function: Portable, order: int) -> bool | str:
    """What a checker says; one that breaks on a function has found fault with it."""
    try:
        return check(function, order)
    except Exception:
        return True


def compare_checkers() -> None:
    """Two tables: one wrong rule each, and the seven families of errors that hide."""
    kinds = ["sign", "factor", "second order", "other"]
    kind_of = lambda e: "second order" if e.order == 2 else e.kind if e.kind in kinds else "other"
    errors = [(kind_of(error), error, error.order) for error in planted.errors()]
    print_table(sorted(errors, key=lambda row: kinds.index(row[0])), right_functions())
    wild = [wild_functions.draw(seed) for seed in range(RIGHT)]
    print_table(
        [(error.family, error, error.order) for error in hidden_places.errors()],
        [(function.order, Portable(function.f, function.inputs)) for function in wild],
    )


def best(function: Callable[[], Any], repeat: int = 40) -> float:
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def compare_layer() -> None:
    """One SeparableConv1D layer, N=4, L=32, C=8, F=16, k=5, to order 1."""
    import torch

    x = np.random.default_rng(0).normal(size=(4, 32, 8))
    layer = layers.SeparableConv1D(16, 5, padding="same", dtype="float64")
    layer(Tensor(x))
    depthwise = torch.nn.Conv1d(8, 8, 5, padding=2, groups=8, bias=False).double()
    pointwise = torch.nn.Conv1d(8, 16, 1).double()
    with torch.no_grad():
        depthwise.weight.copy_(torch.from_numpy(layer.depthwise_kernel.numpy().transpose(1, 2, 0)))
        pointwise.weight.copy_(torch.from_numpy(layer.pointwise_kernel.numpy().transpose(2, 1, 0)))
        pointwise.bias.copy_(torch.from_numpy(layer.bias.numpy()))
    weights = [depthwise.weight, pointwise.weight, pointwise.bias]
    xs = torch.tensor(x.transpose(0, 2, 1), requires_grad=True)

    def f(x: Any, d: Any, p: Any, b: Any) -> Any:
        y = torch.nn.functional.conv1d(x, d, padding=2, groups=8)
        return torch.nn.functional.conv1d(y, p, b)

    same = f(xs, *weights).detach().numpy().transpose(0, 2, 1)
    np.testing.assert_allclose(layer(Tensor(x)).numpy(), same, rtol=1e-10, atol=1e-10)
    rows = {
        "minigrad `check_layer`": best(lambda: check_layer(layer, x)),
        "minigrad `check_layer(directions=1)`": best(lambda: check_layer(layer, x, directions=1)),
        "minigrad `check_layer(order=2)`": best(lambda: check_layer(layer, x, order=2)),
        "minigrad `check_layer(full=True)`": best(lambda: check_layer(layer, x, full=True), 1),
        "torch `gradcheck`": best(lambda: torch.autograd.gradcheck(f, [xs, *weights]), 1),
        "torch `gradcheck(fast_mode=True)`": best(lambda: torch.autograd.gradcheck(f, [xs, *weights], fast_mode=True)),
    }
    print("\n| checker | time |\n|---|---|")
    for name, seconds in rows.items():
        print(f"| {name} | {1e3 * seconds:.1f} ms |")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    compare_checkers()
    if not sys.argv[1:]:
        compare_layer()
