"""What is checked: a function of Tensors, seen as one from a list of arrays to one vector of numbers.

`Subject` is the user's function; `Gradients` is the gradient of a subject, seen as a subject again, so that a check
to order 2 is a check to order 1 of the gradient.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, NamedTuple, Protocol

from minigrad.backend import Array, Generator, asarray, describe, is_array, is_inexact, module_for, move, to_host
from minigrad.functional import leaf, pull
from minigrad.gradcheck.numeric import scale_of
from minigrad.tape import Node, Value, recorded
from minigrad.tensor import Tensor

host: Any = module_for("cpu")
OFTEN = 6


class Differentiable(Protocol):
    """A function of ``arrays``, whose outputs and gradients can be asked for at any point."""

    labels: list[str]
    arrays: list[Array]
    dtypes: list[Any]
    output_labels: list[str]  # none where outputs have no names

    def outputs(self, leaves: list[Tensor], create_graph: bool) -> list[Tensor]:
        """The outputs at ``leaves``, which can be differentiated with respect to them, if ``create_graph``."""


def values(subject: Differentiable, arrays: list[Array]) -> Any:
    """All outputs at ``arrays``, as one vector on the host."""
    return _vector(subject.outputs([leaf(x) for x in arrays], create_graph=False))


def _vector(outputs: list[Tensor]) -> Any:
    vectors = [y.numpy().reshape(-1) for y in outputs]
    return vectors[0] if len(vectors) == 1 else host.concatenate(vectors)


class Pullback:
    """One recorded run of a subject, from which the gradient for any weighting of its outputs can be asked."""

    def __init__(self, subject: Differentiable, arrays: list[Array] | None = None) -> None:
        self.leaves = [leaf(x) for x in (subject.arrays if arrays is None else arrays)]
        self.outputs = subject.outputs(self.leaves, create_graph=True)
        self.center = _vector(self.outputs)
        self.scales = [scale_of(x.data) for x in self.leaves]

    def __call__(self, weights: Any) -> list[Any]:
        """The gradients of ``weights @ outputs``, as host vectors, one for each input."""
        total: list[Any] = [0.0] * len(self.leaves)
        start = 0
        for y in self.outputs:
            part = weights[start : start + y.size].reshape(y.shape).astype(y.dtype)
            start += y.size
            for i, g in enumerate(pull(y, self.leaves, move(part, y.device))):
                total[i] = total[i] + to_host(g.data).reshape(-1)
        return total

    def nodes(self) -> set[Any]:
        """The tape behind the outputs, with its leaves."""
        seen: set[Any] = {y.node for y in self.outputs if y.node is not None}
        stack = list(seen)
        while stack:
            fresh = {parent for parent in stack.pop().parents if parent is not None} - seen
            seen |= fresh
            stack += [parent for parent in fresh if isinstance(parent, Node)]
        return seen

    @property
    def repeats(self) -> int:
        """How often to ask for the gradient again, to see that it repeats itself: often, where a user's own ops are."""
        ops = [node.op for node in self.nodes() if isinstance(node, Node)]
        return 1 if all(op.compute.__module__.startswith("minigrad.") for op in ops) else OFTEN

    def place(self, row: int) -> tuple[int, tuple[int, ...]]:
        """Where an element of the vector stands: the number of the output, and the index within."""
        for number, y in enumerate(self.outputs):
            if row < y.size:
                return number, unravel(row, y.shape)
            row -= y.size
        raise IndexError(row)


class Subject:
    """The user's function at the user's point: floating inputs become float64 copies, all else is passed on."""

    def __init__(self, f: Callable[..., Any], inputs: Any) -> None:
        self.f = f
        self.name = name_of(f)
        if isinstance(inputs, dict):
            tree: tuple[list[Any], dict[str, Any]] = [], inputs
        else:
            tree = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs], {}
        self.output_labels: list[str] = []
        self.labels: list[str] = []
        self.arrays: list[Array] = []
        self.dtypes: list[Any] = []
        for label, x in _leaves_of(tree, _argument_names(f, len(tree[0]))):
            array = differentiable(x)
            if array is None:
                continue
            if array.dtype.kind == "c":
                raise TypeError(
                    "gradcheck: inputs must be real, for the tape differentiates real numbers; give the real and the "
                    f"imaginary part as two inputs. Received: {label}={describe(array)}"
                )
            if array.dtype.itemsize < 4:
                raise TypeError(
                    "gradcheck: inputs must be float32 or float64, for the three digits of float16 leave no room for a "
                    f"difference; convert with .astype('float32'). Received: {label}={describe(array)}"
                )
            self.labels.append(label)
            self.dtypes.append(array.dtype)
            self.arrays.append(array.astype("float64"))  # a copy: the user's arrays are never touched
        if not self.arrays:
            raise TypeError(
                "gradcheck: one input at least must be floating, for integers have no derivative; convert with "
                f".astype('float64'). Received: inputs={inputs!r}"
            )
        self.tree = _with_slots(tree, count())

    def outputs(self, leaves: list[Tensor], create_graph: bool) -> list[Tensor]:
        """What f returns at ``leaves``, recorded in any case, for f may itself ask for gradients."""
        args, kwargs = _filled(self.tree, leaves)
        with recorded():
            result = self.f(*args, **kwargs)
        outputs: list[Tensor] = []
        for label, y in _leaves_of(([result], {}), ["the output"]):
            if not isinstance(y, Value):
                raise TypeError(
                    f"gradcheck: f must return a Tensor, or a list or dict of them. Received: {label} of type "
                    f"{type(y).__name__}"
                )
            if y.dtype.kind == "c" and not any(x.dtype.kind == "c" for x in leaves):
                raise TypeError(
                    "gradcheck: f must return real numbers; return the real and the imaginary part, or abs(). "
                    f"Received: {label} of {y.dtype}"
                )
            if is_inexact(y.dtype):
                outputs.append(y)  # type: ignore[arg-type]
        if not outputs:
            raise TypeError(f"gradcheck: f must return a floating Tensor. Received: {y.dtype}")
        return outputs

    def run(self) -> Pullback:
        """A recorded run, once f has shown that it can be checked.

        Raises:
            TypeError, ValueError: each with its own sentence.
        """
        before = [x.copy() for x in self.arrays]
        pullback = Pullback(self)
        first, again = pullback.center, values(self, self.arrays)
        for label, x, known in zip(self.labels, self.arrays, before, strict=True):
            if not bool(((x == known) | (known != known)).all()):
                raise ValueError(f"gradcheck: f must not change its inputs. Received: f changed {label}")
        if first.shape != again.shape or not bool(((first == again) | (first != first)).all()):
            by = "their shape" if first.shape != again.shape else f"{float(abs(first - again).max()):.2g}"
            raise ValueError(
                "gradcheck: f must be deterministic; seed it anew in every call, and leave dropout out. "
                f"Received: two calls at one point that differ by {by}"
            )
        wrong = host.flatnonzero(~host.isfinite(first))
        if wrong.size:
            raise ValueError(
                "gradcheck: f must be finite at the point. "
                f"Received: {first[wrong[0]]} at {pullback.place(int(wrong[0]))[1]} of the output"
            )
        return pullback


class Gradients:
    """The gradient of ``subject`` as a function of its inputs and of the weights v of its outputs.

    It is linear in v and, where the subject is, constant in the inputs.
    """

    def __init__(self, subject: Subject, outputs: list[Tensor], rng: Generator) -> None:
        self.subject = subject
        self.output_labels = [f"the gradient of {label}" for label in subject.labels]
        self.count = len(subject.arrays)
        weights = [move(random_signs(rng, y.shape), y.device) for y in outputs]
        what = "the output's gradient"
        self.labels = subject.labels + [what if len(weights) == 1 else f"{what}[{i}]" for i in range(len(weights))]
        self.arrays = subject.arrays + [w.astype(y.dtype) for w, y in zip(weights, outputs, strict=True)]
        self.dtypes = subject.dtypes + [y.dtype for y in outputs]

    def outputs(self, leaves: list[Tensor], create_graph: bool) -> list[Tensor]:
        """The gradients, one for each input of the subject."""
        inputs, weights = leaves[: self.count], leaves[self.count :]
        total: list[Any] = [None] * self.count
        for y, v in zip(self.subject.outputs(inputs, create_graph), weights, strict=True):
            if y.dtype != v.dtype:  # the derivative is taken by complex steps
                v = leaf((v.data if y.dtype.kind == "c" else v.data.real).astype(y.dtype))
            for i, g in enumerate(pull(y, inputs, v, create_graph)):
                with recorded():
                    total[i] = g if total[i] is None else total[i] + g
        return total


def random_signs(rng: Generator, shape: tuple[int, ...]) -> Any:
    """Numbers of unit size, away from 0, of either sign."""
    numbers = rng.random(shape) * 2.0 - 1.0
    return numbers + host.copysign(0.5, numbers)


def unravel(position: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The index of an element, given its position in memory order."""
    return tuple(int(k) for k in host.unravel_index(position, shape)) if shape else ()


def name_of(f: Callable[..., Any]) -> str:
    """What a function is called in a report."""
    return str(getattr(f, "__name__", None) or getattr(f, "name", None) or type(f).__name__)


def differentiable(x: Any) -> Array | None:
    """The array of a floating Tensor, array or number; None for anything else."""
    array = x.data if isinstance(x, Value) else x
    if isinstance(array, float):
        array = asarray(array, "float64")
    return asarray(array) if is_array(array) and is_inexact(array.dtype) else None


def _argument_names(f: Callable[..., Any], count: int) -> list[str]:
    """The names under which f takes its first ``count`` arguments."""
    names: list[str] = []
    try:
        for p in inspect.signature(f).parameters.values():
            if p.kind is p.VAR_POSITIONAL:
                names += [f"{p.name}[{i}]" for i in range(count - len(names))]
            elif p.kind is not p.KEYWORD_ONLY:
                names.append(p.name)
    except (TypeError, ValueError):  # a callable that hides its signature
        names = []
    return (names + [f"inputs[{i}]" for i in range(len(names), count)])[:count]


def _leaves_of(tree: Any, names: list[str]) -> Iterator[tuple[str, Any]]:
    """The leaves of (args, kwargs), each with its path."""
    args, kwargs = tree
    for name, branch in (*zip(names, args, strict=True), *kwargs.items()):
        if isinstance(branch, dict):
            yield from _leaves_of(([], {f"{name}[{key!r}]": part for key, part in branch.items()}), [])
        elif isinstance(branch, (list, tuple)):
            yield from _leaves_of((branch, {}), [f"{name}[{i}]" for i in range(len(branch))])
        else:
            yield name, branch


class _Slot(NamedTuple):
    """The place of a differentiable leaf, by number."""

    number: int


def _with_slots(tree: Any, numbers: Iterator[int]) -> Any:
    """The tree with a slot in place of each differentiable leaf."""
    if isinstance(tree, dict):
        return {key: _with_slots(branch, numbers) for key, branch in tree.items()}
    if isinstance(tree, (list, tuple)):
        parts = [_with_slots(branch, numbers) for branch in tree]
        return tuple(parts) if isinstance(tree, tuple) else parts
    return tree if differentiable(tree) is None else _Slot(next(numbers))


def _filled(tree: Any, leaves: list[Tensor]) -> Any:
    """The tree with ``leaves`` in its slots."""
    kind = type(tree)
    if kind is _Slot:
        return leaves[tree.number]
    if kind is list:
        return [_filled(branch, leaves) for branch in tree]
    if kind is dict:
        return {key: _filled(branch, leaves) for key, branch in tree.items()}
    return tuple([_filled(branch, leaves) for branch in tree]) if kind is tuple else tree
