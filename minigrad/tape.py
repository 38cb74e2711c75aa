"""The engine: values with a history, ops that record, and the walk back. It knows no arithmetic.

Three ideas carry this file.

* **Birth order.** Every node takes its birth index from one counter, and an output is younger than its
  inputs. "Youngest first" therefore *is* the reverse of the tape; no graph search decides the order.
  A variable that is assigned is born again, so a tape that used its former value finds an input younger
  than itself, and refuses.
* **Links point one way.** A value holds its node, a node holds the nodes of its inputs, nobody holds
  outputs. There are no cycles: dropping the loss drops the tape by reference count alone.
* **A rule's parameters say what the tape keeps.** ``lambda g, b: ...`` keeps ``b`` and nothing else.
"""

from __future__ import annotations

import inspect
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import update_wrapper
from operator import attrgetter
from typing import Any, NoReturn, overload

from minigrad.backend import Array, array_types, asarray, device_of, filled_like, is_array

_births = itertools.count()
_recording: ContextVar[bool] = ContextVar("minigrad_recording", default=True)
_by_birth = attrgetter("birth")
_watcher: ContextVar[Any] = ContextVar("minigrad_watcher", default=None)
_watchers = 0  # how many there are in all threads: asked first at every call, since a global costs next to nothing
_watchers_lock = threading.Lock()
value_types: set[type] = set()  # Value and its subclasses: asking a set is faster than isinstance


@contextmanager
def _recording_set(state: bool) -> Iterator[None]:
    token = _recording.set(state)
    try:
        yield
    finally:
        _recording.reset(token)


def no_grad() -> Any:
    """A context (and a decorator) in which nothing is recorded, in this thread or task alone.

    >>> from minigrad import Tensor, no_grad
    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> with no_grad():
    ...     (w * 2).requires_grad
    False
    """
    return _recording_set(False)


@contextmanager
def watching(watcher: Callable[[Op, tuple[Any, ...], dict[str, Any]], Any]) -> Iterator[None]:
    """A context in which each call of an op in this thread becomes ``watcher(op, inputs, attributes)``.

    The watcher, while it runs unwatched, calls the op and returns its output.
    """
    global _watchers
    with _watchers_lock:
        _watchers += 1
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)
        with _watchers_lock:
            _watchers -= 1


class Node:
    """One line of the tape: the op that made a value, and the nodes of its inputs (None for constants).

    ``saved`` holds the arrays and attributes that the op's rules ask for, and is None once the tape was let go.
    ``shape`` and ``dtype`` are those of the value made here: what its gradient must have.
    """

    __slots__ = ("birth", "dtype", "parents", "plan", "saved", "shape")

    plan: Plan
    birth: int
    parents: Sequence[Any]
    saved: list[Any] | None
    shape: tuple[int, ...]
    dtype: Any

    @property
    def op(self) -> Op:
        """The op that made the value."""
        return self.plan.op


class Leaf:
    """The node of a value that a user asked gradients for. It holds the gradient, and was made by no op."""

    __slots__ = ("birth", "dtype", "gradient", "shape")

    parents = ()

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.birth = next(_births)
        self.shape = shape
        self.dtype = dtype
        self.gradient: Any = None

    def born_again(self) -> None:
        """Its value has changed: tapes recorded before this moment no longer speak of it."""
        self.birth = next(_births)


class Value:
    """An array with a history. `minigrad.Tensor` adds operators and methods to it."""

    __slots__ = ("data", "node")

    data: Array
    node: Node | Leaf | None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        value_types.add(cls)

    def __init__(self, data: Array, node: Node | Leaf | None = None) -> None:
        self.data = data
        self.node = node

    @staticmethod
    def _output(data: Array, node: Node | Leaf | None) -> Value:
        """A new value of this family, for the output of an op."""
        return Value(data, node)

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self.data.shape

    @property
    def dtype(self) -> Any:
        """The dtype of the elements."""
        return self.data.dtype


class Plan:
    """What one op keeps and which rules it runs, for one pattern of inputs that require gradients.

    A node saves the arrays at the positions ``keep`` (the output stands behind the inputs), then the attributes
    ``extra``, given as (name, default). ``rules`` lists, for each input that requires gradients, its position, its
    rule, and for each parameter of the rule its index in what is saved; -1 stands for the shape of the input.
    """

    __slots__ = ("extra", "keep", "op", "rules")

    def __init__(self, op: Op, parents: Sequence[Any]) -> None:
        self.op = op
        count = len(parents)
        active = [(i, op.rule_of(i)) for i in range(count) if parents[i] is not None]
        asked = [(i, rule, [op.source(name, i, count) for name in op.asks[rule]]) for i, rule in active if rule]
        sources = dict.fromkeys(source for _, _, given in asked for source in given)
        self.keep = tuple([source for source in sources if isinstance(source, int) and source >= 0])
        self.extra = tuple([source for source in sources if isinstance(source, tuple)])
        index = {source: i for i, source in enumerate((*self.keep, *self.extra))}
        self.rules = [(i, rule, [index.get(source, -1) for source in given]) for i, rule, given in asked]


class Op:
    """A documented function of arrays with one explicit backward rule per argument.

    Called with arrays it computes; called with values it computes and writes one line on the tape. The
    signature is the schema: positional parameters are differentiable arrays, keyword-only ones are
    attributes. Made by `op`; `Op.registry` lists all of them by name.
    """

    registry: dict[str, Op] = {}

    def __init__(self, compute: Callable[..., Array], broadcasts: bool) -> None:
        update_wrapper(self, compute)
        self.compute = compute
        self.name: str = compute.__name__
        self.broadcasts = broadcasts
        parameters = inspect.signature(compute).parameters.values()
        self.arguments = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        self.rules: dict[str, Callable[..., Any] | None] = {}
        self.asks: dict[Callable[..., Any], list[str]] = {}
        self._plans: dict[int, Plan] = {}
        if self.name in Op.registry:
            raise ValueError(f"op: names must be unique. Received: {self.name!r} twice")
        Op.registry[self.name] = self

    def __repr__(self) -> str:
        return f"<op {self.name}({', '.join(self.arguments)})>"

    def backward(self, **rules: Callable[..., Any] | None) -> None:
        """Write down the rule of every argument; None says "not differentiable" aloud.

        A rule's first parameter is ``g``, the gradient of the output (``h`` where an argument is called g).
        The others ask by name for what the tape must keep: an argument, ``y`` the output, an attribute,
        ``x_shape`` the shape of its own argument ``x``; for a variadic op also ``index``, and
        ``arrays_shape`` gives all shapes.

        Raises:
            TypeError: the rules are not named like the arguments, or ask for something unknown.
        """
        if list(rules) != self.arguments:
            raise TypeError(
                f"{self.name}.backward: rules must be named like the arguments, in their order. "
                f"Received: rules={list(rules)}, arguments={self.arguments}"
            )
        for argument, rule in rules.items():
            if rule is None:
                continue
            first, *asked = inspect.signature(rule).parameters
            known = {"y", *self.arguments, *self.defaults, f"{argument}_shape"}
            if self.variadic:
                known.add("index")
            if first != ("h" if "g" in self.arguments else "g") or not known.issuperset(asked):
                raise TypeError(
                    f"{self.name}.backward: a rule takes g (h, where g is an argument), then what the tape must keep, "
                    f"of {sorted(known)}. Received: {argument}=({', '.join([first, *asked])})"
                )
            self.asks[rule] = asked
        self.rules = rules

    def rule_of(self, position: int) -> Callable[..., Any] | None:
        """The rule for the input at ``position``."""
        return self.rules[self.arguments[min(position, len(self.arguments) - 1)]]

    def source(self, name: str, position: int, count: int) -> int | tuple[str, Any]:
        """Where a rule's parameter comes from: the position of an array among ``count`` inputs and the output,
        (name, default) of an attribute, or -1 for the shape of the input at ``position``.
        """
        if name in self.arguments:
            return self.arguments.index(name)
        if name == "y":
            return count
        if name in self.defaults:
            return name, self.defaults[name]
        if self.variadic:
            return name, position
        return -1

    def __call__(self, *inputs: Any, **attributes: Any) -> Any:
        if _watchers and (watcher := _watcher.get()) is not None:
            token = _watcher.set(None)
            try:
                return watcher(self, inputs, attributes)
            finally:
                _watcher.reset(token)
        arrays = []
        parents = []
        pattern = 0  # bit i tells whether input i requires gradients
        bit = 1
        value = None
        for x in inputs:
            kind = type(x)
            if kind in value_types:
                value = x
                arrays.append(x.data)
                node = x.node
                parents.append(node)
                if node is not None:
                    pattern |= bit
            else:
                arrays.append(asarray(x) if kind is list or kind is tuple else x)
                parents.append(None)
            bit += bit
        try:
            y = self.compute(*arrays, **attributes)
        except (TypeError, ValueError, IndexError) as error:
            self._explain(error, arrays)
        if value is None:
            return y
        if type(y) not in array_types:
            y = asarray(y)
        if not pattern or not _recording.get() or y.dtype.kind not in "fc":
            return value._output(y, None)
        if self.variadic:
            attributes[f"{self.arguments[-1]}_shape"] = [array.shape for array in arrays]
            pattern |= bit  # tells apart calls with more or fewer inputs
        plan = self._plans.get(pattern)
        if plan is None:
            plan = self._plans[pattern] = Plan(self, parents)
        if not plan.rules:
            return value._output(y, None)
        arrays.append(y)
        node = Node()
        node.plan = plan
        node.birth = next(_births)
        node.parents = parents
        node.saved = saved = []
        for i in plan.keep:
            saved.append(arrays[i])
        for name, default in plan.extra:
            saved.append(attributes.get(name, default))
        node.shape = y.shape
        node.dtype = y.dtype
        return value._output(y, node)

    def _explain(self, error: Exception, arrays: list[Any]) -> NoReturn:
        """Raise again, saying who refused what; devices first, for they are the usual reason."""
        names = self.arguments[:-1] + [f"{self.arguments[-1]}[{i}]" for i in range(len(arrays))]
        named = dict(zip(names if self.variadic else self.arguments, arrays, strict=False))
        devices = {name: device_of(array) for name, array in named.items() if is_array(array)}
        if len(set(devices.values())) > 1:
            received = ", ".join(f"{name} on {device!r}" for name, device in devices.items())
            raise TypeError(
                f"{self.name}: arguments must be on one device; move one with .to(device). Received: {received}"
            ) from error
        message = str(error).removeprefix(f"{self.name}: ").rstrip(". ")
        if "Received: " in message:
            raise error
        received = ", ".join(f"{name}={describe(array)}" for name, array in named.items())
        kind = next(kind for kind in (ValueError, IndexError, TypeError) if isinstance(error, kind))
        raise kind(f"{self.name}: {message}. Received: {received}") from error

    def fitted(self, gradient: Any, parent: Any, position: int) -> Any:
        """The gradient with the shape and dtype of its argument: broadcasting summed, promotion undone."""
        if gradient.shape != parent.shape:
            if not self.broadcasts or not _broadcasts_to(parent.shape, gradient.shape):
                self._refuse("shape", gradient, parent, position)
            gradient = sum_to(gradient, parent.shape)
        if gradient.dtype != parent.dtype:
            if gradient.dtype.kind != parent.dtype.kind:
                self._refuse("dtype", gradient, parent, position)
            gradient = gradient.astype(parent.dtype)
        return gradient

    def _refuse(self, what: str, gradient: Any, parent: Any, position: int) -> NoReturn:
        argument = self.arguments[min(position, len(self.arguments) - 1)]
        raise RuntimeError(
            f"{self.name}: the backward rule of {argument!r} must return the {what} of its argument. Received: "
            f"gradient {what}={getattr(gradient, what)}, argument {what}={getattr(parent, what)}"
        )


@overload
def op(compute: Callable[..., Array]) -> Op: ...


@overload
def op(*, broadcasts: bool) -> Callable[[Callable[..., Array]], Op]: ...


def op(compute: Callable[..., Array] | None = None, *, broadcasts: bool = False) -> Any:
    """Make an `Op` of a function of arrays. ``broadcasts`` says that NumPy's broadcasting may repeat arguments;
    the engine then sums what was repeated, so that rules need not.

    >>> from minigrad import Tensor, op
    >>> @op
    ... def double(x):
    ...     return 2 * x
    >>> double.backward(x=lambda g: 2 * g)
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> double(x).sum().backward()
    >>> x.grad.tolist()
    [2.0, 2.0]
    >>> del Op.registry["double"]
    """
    if compute is None:
        return lambda function: Op(function, broadcasts)
    return Op(compute, broadcasts)


def describe(array: Any) -> str:
    """An array as error messages show it: ``float32(2, 3)``; anything else as itself."""
    return f"{array.dtype}{array.shape}" if is_array(array) else repr(array)


def _broadcasts_to(shape: tuple[int, ...], larger: tuple[int, ...]) -> bool:
    """Whether an array of ``shape`` broadcasts to exactly ``larger``."""
    extra = len(larger) - len(shape)
    return larger[extra:] == shape or (
        extra >= 0 and all(n in (1, m) for n, m in zip(shape, larger[extra:], strict=True))
    )


def sum_to(array: Any, shape: tuple[int, ...]) -> Any:
    """Sum ``array`` (or value) over the axes that broadcasting from ``shape`` repeated."""
    extra = array.ndim - len(shape)
    if array.shape[extra:] == shape:
        return array.sum(tuple(range(extra))) if extra > 1 else array.sum(0)
    repeated = tuple(i for i, n in enumerate(array.shape) if i < extra or shape[i - extra] != n)
    return array.sum(axis=repeated, keepdims=True).reshape(shape)


def _tape(output: Node | Leaf) -> list[Any]:
    """All nodes behind ``output``, youngest first. Refuses a tape that was let go, or whose inputs have changed."""
    seen = {output}
    stack = [output]
    while stack:
        node = stack.pop()
        if type(node) is Leaf:
            continue
        if node.saved is None:  # type: ignore[union-attr]
            raise RuntimeError(
                "backward: the tape must not have been used by backward() before, which lets it go. Compute the "
                "output again, or ask minigrad.grad(), which keeps it. "
                f"Received: a value made by {node.op.name}"  # type: ignore[union-attr]
            )
        for parent in node.parents:
            if parent is not None:
                if parent.birth > node.birth:
                    raise RuntimeError(
                        "backward: inputs must be as they were when the tape was recorded; compute the output again. "
                        f"Received: an argument of {node.op.name} of shape {parent.shape} "  # type: ignore[union-attr]
                        "that was assigned since"
                    )
                if parent not in seen:
                    seen.add(parent)
                    stack.append(parent)
    return sorted(seen, key=_by_birth, reverse=True)


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
        gradient = gradient.astype(output.dtype)
    return gradient


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
        A Tensor of the shape and dtype of each input; a list when ``inputs`` was one. An input that the
        output does not depend on has the gradient zero.

    Raises:
        RuntimeError: no tape, a tape already let go, inputs assigned since.
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
    needed = set(found)
    for node in reversed(tape):  # oldest first: a node matters if a target is behind it
        if any(parent in needed for parent in node.parents):
            needed.add(node)
    if create_graph:
        seed = seed if isinstance(seed, Value) else output._output(seed, None)
    else:
        seed = seed.data if isinstance(seed, Value) else seed
    with _recording_set(create_graph):
        _walk(tape, {output.node: seed}, needed, found, create_graph, output)
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
    seed = seed.data if isinstance(seed, Value) else seed
    tape = _tape(output.node)  # type: ignore[arg-type]
    found: dict[Any, Any] = {node: None for node in tape if type(node) is Leaf}
    with _recording_set(False):
        _walk(tape, {output.node: seed}, None, found, False, output)
    for leaf, g in found.items():
        if g is not None:
            before = leaf.gradient
            leaf.gradient = output._output(asarray(g if before is None else before.data + g), None)


def _walk(
    tape: list[Any], gradients: dict[Any, Any], needed: set[Any] | None, found: dict[Any, Any], create_graph: bool,
    value: Value,
) -> None:
    """Carry gradients from the youngest node to the oldest, into ``found``.

    Without ``needed`` (backward) every node matters, and each is let go as soon as it was used.
    """
    for node in tape:
        g = gradients.pop(node, None)
        if g is None:
            continue
        if type(node) is Leaf:
            if node in found:
                found[node] = g
            continue
        if needed is not None and node in found:
            found[node] = g
        parents = node.parents
        plan = node.plan
        saved = saved_values(node, value) if create_graph else node.saved
        for position, rule, sources in plan.rules:
            parent = parents[position]
            if needed is not None and parent not in needed:
                continue
            given = [g]
            for i in sources:
                given.append(saved[i] if i >= 0 else parent.shape)
            contribution = rule(*given)
            if contribution.shape != parent.shape or contribution.dtype is not parent.dtype:
                contribution = plan.op.fitted(contribution, parent, position)
            before = gradients.get(parent)
            gradients[parent] = contribution if before is None else before + contribution
        if needed is None:
            node.saved = None
            node.parents = ()


def saved_values(node: Node, value: Value) -> list[Any]:
    """What a node saved, as values with their history, so that its rules are themselves recorded."""
    nodes = [*node.parents, node]
    assert node.saved is not None
    arrays = [
        array if nodes[i] is None else value._output(array, nodes[i])
        for i, array in zip(node.plan.keep, node.saved, strict=False)
    ]
    return arrays + node.saved[len(arrays) :]
