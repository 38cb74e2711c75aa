"""The engine: values with a history, and the walk back. It knows no arithmetic.

Three ideas carry this file.

* **Birth order.** Every node takes its birth index from one counter, and an output is younger than its
  inputs. "Youngest first" therefore *is* the reverse of the tape; no graph search decides the order.
  A variable that is assigned is born again, so a tape that used its former value finds an input younger
  than itself, and refuses.
* **Links point one way.** A value holds its node, a node holds the nodes of its inputs, nobody holds
  outputs. There are no cycles: dropping the loss drops the tape by reference count alone.
* **Nobody else can change what a tape holds.** Values own their arrays, and an op copies what a rule will need of
  an array that is no value. The gradients handed out at the end are nobody else's either.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from operator import attrgetter
from sys import getrefcount
from typing import Any, ClassVar, NoReturn

from minigrad.backend import ALONE, Array, array_types, asarray, capturing, describe, device_of, filled_like, unshared
from minigrad.grad_mode import no_grad as no_grad
from minigrad.grad_mode import recorded as recorded
from minigrad.grad_mode import recording as recording

births = itertools.count()
_adding = threading.Lock()  # held while gradients are added into leaves, which threads may share
_by_birth = attrgetter("birth")
new = object.__new__
value_types: set[type] = set()  # Value and its subclasses: asking a set is faster than isinstance


class Node:
    """One line of the tape: the op that made a value, and the nodes of its inputs (None for constants).

    ``saved`` holds the arrays and attributes that the op's rules ask for, and is None once the tape was let go.
    ``shape`` and ``dtype`` are those of the value made here: what its gradient must have.
    """

    __slots__ = ("birth", "dtype", "parents", "plan", "saved", "shape")

    plan: Any  # a minigrad.ops.op.Plan: the op's rules for these inputs
    birth: int
    parents: Sequence[Any]
    saved: list[Any] | None
    shape: tuple[int, ...]
    dtype: Any

    @property
    def op(self) -> Any:
        """The op that made the value."""
        return self.plan.op

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(
            "copy, pickle: a value with a history must be detached first; .detach() has its values. "
            f"Received: a value of shape {self.shape} made by {self.op.name}"
        )


class Leaf:
    """The node of a value that a user asked gradients for. It holds the gradient, and was made by no op."""

    __slots__ = ("birth", "dtype", "gradient", "name", "shape")

    parents = ()

    def __init__(self, shape: tuple[int, ...], dtype: Any, name: str = "") -> None:
        self.birth = next(births)
        self.shape = shape
        self.dtype = dtype
        self.name = name  # of a variable, for pictures of the tape
        self.gradient: Any = None

    def born_again(self) -> None:
        """Its value has changed: tapes recorded before this moment no longer speak of it."""
        self.birth = next(births)

    def __reduce__(self) -> Any:
        own = {"gradient": self.gradient}
        return Leaf, (self.shape, self.dtype, self.name), (None, own)  # born anew, by the counter of where it lands


class Value:
    """An array with a history. `minigrad.Tensor` adds operators and methods to it.

    ``data`` is the array itself, for reading. Tapes and other values may hold it or a view of it, so who writes to
    it changes their numbers behind their back, and nothing tells: assign to a `Variable`, or make a new value.
    """

    __slots__ = ("data", "node")

    data: Array
    node: Node | Leaf | None
    family: ClassVar[type]  # what ops give: of a Tensor and all that inherit from it a Tensor

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        value_types.add(cls)
        if cls.__base__ is Value:
            cls.family = cls

    def __init__(self, data: Array, node: Node | Leaf | None = None) -> None:
        self.data = data
        self.node = node

    @classmethod
    def _output(cls, data: Array, node: Node | Leaf | None) -> Any:
        """A new value of this family."""
        output: Any = new(cls.family)
        output.data = data
        output.node = node
        return output

    def __setstate__(self, state: Any) -> None:
        for name, part in state[1].items():
            setattr(self, name, part)
        if self.data.base is not None:  # a buffer that whoever unpickles may share with others
            self.data = self.data.copy()

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self.data.shape

    @property
    def dtype(self) -> Any:
        """The dtype of the elements."""
        return self.data.dtype


def _tape(output: Node | Leaf) -> list[Node]:
    """All nodes behind ``output``, youngest first. Refuses a tape that was let go, or whose inputs have changed."""
    if type(output) is Leaf:
        return []
    seen = {output}
    stack = [output]
    while stack:
        node: Any = stack.pop()
        if node.saved is None:
            _refuse_let_go(node)
        for parent in node.parents:
            if type(parent) is Node:
                if parent not in seen:
                    seen.add(parent)
                    stack.append(parent)
            elif parent is not None and parent.birth > node.birth:
                raise RuntimeError(
                    "backward: inputs must be as they were when the tape was recorded; compute the output again. "
                    f"Received: an argument of {node.op.name} of shape {parent.shape} that was assigned since"
                )
    return sorted(seen, key=_by_birth, reverse=True)  # type: ignore[arg-type]


def _refuse_let_go(node: Node) -> NoReturn:
    raise RuntimeError(
        "backward: the tape must not have been used by backward() before, which lets it go. Compute the output again, "
        f"or ask minigrad.grad(), which keeps it. Received: a value made by {node.op.name}"
    )


def _seed(output: Value, gradient: Any, who: str) -> Any:
    """The gradient that the walk starts with: ones for a scalar, else what the user gave, checked."""
    if output.node is None:
        raise RuntimeError(
            f"{who}: the output must depend on a tensor with requires_grad=True, recorded outside no_grad(). "
            f"Received: a tensor of shape {output.shape} without a tape"
        )
    if gradient is None:
        if output.data.size != 1:
            raise RuntimeError(
                f"{who}: the output must be a scalar, or gradient= must be given. Received: shape={output.shape}"
            )
        return filled_like(output.data, 1)
    if isinstance(gradient, Value):
        array = gradient.data
    else:
        array = gradient = asarray(gradient, like=output.data)
    if (captured := capturing.get()) is not None:
        captured.keeps(array)
    if array.shape != output.shape or device_of(array) != device_of(output.data):
        raise ValueError(
            f"{who}: gradient must have the shape and device of the output. Received: gradient={describe(array)} "
            f"on {device_of(array)!r}, output={describe(output.data)} on {device_of(output.data)!r}"
        )
    if array.dtype != output.dtype:
        if array.dtype.kind not in "biuf" or output.dtype.kind != "f":
            raise TypeError(
                f"{who}: gradient must have the dtype of the output. Received: gradient={array.dtype}, "
                f"output={output.dtype}"
            )
        return gradient.astype(output.dtype)
    return gradient if isinstance(gradient, Value) else gradient.copy()  # rules and results may keep it


def grad(output: Any, inputs: Any, gradient: Any = None, create_graph: bool = False) -> Any:
    r"""The gradient of ``output`` with respect to ``inputs``: a pure question, which may be asked again.

    With :math:`L = \sum (\text{gradient} \cdot \text{output})` it returns :math:`\partial L / \partial x` for
    each input ``x``, touches no ``.grad`` and keeps the tape.

    Args:
        output: a Tensor; a scalar unless ``gradient`` is given.
        inputs: a Tensor with ``requires_grad``, or a list of them; they need not be leaves.
        gradient: of the shape of ``output``; ones when it is a scalar.
        create_graph: record the derivative too, so that it can itself be differentiated.

    Returns:
        A Tensor of the shape and dtype of each input; a list when ``inputs`` was one. The gradient is zero for an
        input that the output does not depend on, or by steps alone, as through `ops.sign`.

    Raises:
        RuntimeError: no tape, as behind integers and comparisons; a tape already let go; inputs assigned since.
        TypeError, ValueError: a gradient or an input that does not fit.

    >>> from minigrad import Tensor, grad
    >>> x = Tensor(3.0, requires_grad=True)
    >>> dy = grad(x ** 3, x, create_graph=True)
    >>> dy.item(), grad(dy, x).item()
    (27.0, 18.0)
    """
    several = isinstance(inputs, (list, tuple))
    targets = list(inputs) if several else [inputs]
    for who, x in [("output", output), *((f"inputs[{i}]", x) for i, x in enumerate(targets))]:
        if not isinstance(x, Value):
            raise TypeError(f"grad: {who} must be a Tensor. Received: {type(x).__name__}")
    for i, x in enumerate(targets):
        if x.node is None:
            raise RuntimeError(f"grad: inputs[{i}] must require gradients. Received: {describe(x.data)} without a tape")
    seed = _seed(output, gradient, "grad")
    tape = _tape(output.node)
    found: dict[Any, Any] = {x.node: None for x in targets}
    needed: set[Any] = set(found)
    for node in reversed(tape):  # oldest first: a node matters if a target is behind it
        if any(parent in needed for parent in node.parents):
            needed.add(node)
    if create_graph:
        seed = seed if isinstance(seed, Value) else output._output(seed, None)
    else:
        seed = seed.data if isinstance(seed, Value) else seed
    gradients = {output.node: seed}
    with recorded(create_graph):
        _walk(tape, gradients, needed, found, create_graph, output)
    found |= {node: g for node, g in gradients.items() if node in found}  # the leaves
    results = []
    for x in targets:
        g = found[x.node]
        if g is None:
            g = filled_like(x.data, 0)
        results.append(g if isinstance(g, Value) else x._output(asarray(g), None))
    return results if several else results[0]


def backward(output: Value, gradient: Any = None) -> None:
    """Add the gradient of ``output`` into the ``.grad`` of every leaf behind it, and let go of the tape.

    `minigrad.Tensor.backward` documents it; an event, where `grad` is a question.
    """
    seed = _seed(output, gradient, "backward")
    tape = _tape(output.node)  # type: ignore[arg-type]
    gradients = {output.node: seed.data if isinstance(seed, Value) else seed}
    token = recording.set(False)  # as `no_grad` does, in a fifth of its time
    try:
        _walk(tape, gradients, None, {}, False, output)
    finally:
        recording.reset(token)
    family = output.family
    del seed
    with _adding:
        while gradients:  # all but leaves was popped
            leaf: Any
            leaf, g = gradients.popitem()
            if leaf.gradient is not None:
                g = leaf.gradient.data + g
            elif (getrefcount(g) > ALONE or g.base is not None) and not unshared(g):
                g = g.copy()  # it is the one given, or that of another leaf, or a view
            tensor: Any = new(family)  # as _output does; a call less for every leaf
            tensor.data = g if type(g) in array_types else asarray(g)
            tensor.node = None
            leaf.gradient = tensor


def _walk(
    tape: list[Node], gradients: dict[Any, Any], needed: set[Any] | None, found: dict[Any, Any], create_graph: bool,
    value: Value,
) -> None:
    """Carry gradients from the youngest node to the oldest. Those of leaves stay in ``gradients``; those of other
    nodes are taken out, and kept in ``found`` where it has a place for them.

    Without ``needed`` (backward) every node matters, and each is let go as soon as it was used.
    """
    for node in tape:
        g = gradients.pop(node, None)
        if g is None:
            continue
        if needed is not None and node in found:
            found[node] = g
        parents = node.parents
        saved: Any
        saved, rules = node.saved, node.plan.rules
        if saved is None:
            _refuse_let_go(node)  # by another thread, meanwhile
        if create_graph:
            saved, rules = saved_values(node, saved, value), node.plan.recorded_rules()
        for position, rule, sources in rules:
            parent = parents[position]
            if needed is not None and parent not in needed:
                continue
            if not sources:
                contribution = rule(g)
            elif len(sources) == 1:
                i = sources[0]
                contribution = rule(g, saved[i] if i >= 0 else parent.shape)
            else:
                given = [g]
                for i in sources:
                    given.append(saved[i] if i >= 0 else parent.shape)
                contribution = rule(*given)
            try:
                if contribution.shape != parent.shape or contribution.dtype is not parent.dtype:
                    contribution = node.plan.op.fitted(contribution, parent, position)
            except AttributeError as error:
                node.plan.op.refuse_kind(contribution, position, error)
            before = gradients.get(parent)
            gradients[parent] = contribution if before is None else before + contribution
        if needed is None:
            node.saved = None
            node.parents = ()


def saved_values(node: Node, saved: list[Any], value: Value) -> list[Any]:
    """What a node saved, as values with their history, so that its rules are themselves recorded."""
    nodes = [*node.parents, node]
    arrays = [
        array if nodes[i] is None and type(array) not in array_types else value._output(array, nodes[i])
        for i, array in zip(node.plan.keep, saved, strict=False)
    ]
    return arrays + saved[len(arrays) :]
