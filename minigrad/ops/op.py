"""Op: a function of arrays that records itself, with one explicit backward rule per argument.

A rule's parameters say what the tape keeps: ``lambda g, b: ...`` keeps ``b`` and nothing else.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, update_wrapper
from typing import Any, NoReturn, overload

from minigrad.backend import Array, array_types, asarray, describe, undisguised, unshared
from minigrad.kernels.sums import rows, total
from minigrad.ops.foreign import FIXED, kept, not_lent
from minigrad.ops.refusals import on_tensors, refuse_arguments, refuse_kind
from minigrad.tape import Node, births, new, recording, value_types

_watcher: ContextVar[Any] = ContextVar("minigrad_watcher", default=None)
_watchers = 0  # how many there are in all threads: asked first at every call, since a global costs next to nothing
_watchers_lock = threading.Lock()


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
        self.rules = [
            (i, partial(not_lent, rule) if op.theirs else rule, [index.get(source, -1) for source in given])
            for i, rule, given in asked
        ]

    def recorded_rules(self) -> list[tuple[int, Any, list[int]]]:
        """The rules for a walk that is itself recorded: one that cannot run on Tensors is named."""
        op = self.op
        return [(position, partial(on_tensors, op, position, rule), sources) for position, rule, sources in self.rules]


class Op:
    """A documented function of arrays with one explicit backward rule per argument.

    Called with arrays it computes; called with values it computes and writes one line on the tape. The
    signature is the schema: positional parameters are differentiable arrays, keyword-only ones are
    attributes. Made by `op`; `Op.registry` lists all of them by name. One of your own may be written anew.
    """

    registry: dict[str, Op] = {}

    def __init__(self, compute: Callable[..., Array], broadcasts: bool) -> None:
        if not (callable(compute) and hasattr(compute, "__name__")):
            raise TypeError(f"op: a function of arrays must be given. Received: {compute!r}")
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
        self.theirs = not compute.__module__.startswith("minigrad.")
        known = Op.registry.get(self.name)
        if known is not None and not known.theirs:
            raise ValueError(f"op: the name of one of minigrad's own ops must not be used. Received: {self.name!r}")
        Op.registry[self.name] = self

    def __repr__(self) -> str:
        return f"<op {self.name}({', '.join(self.arguments)})>"

    def backward(self, *unnamed: Any, **rules: Callable[..., Any] | None) -> None:
        """Write down the rule of every argument; None says "not differentiable" aloud.

        A rule's first parameter is ``g``, the gradient of the output (``h`` where an argument is called g).
        The others ask by name for what the tape must keep: an argument, ``y`` the output, an attribute,
        ``x_shape`` the shape of its own argument ``x``; for a variadic op also ``index``, and
        ``arrays_shape`` gives all shapes.

        Raises:
            TypeError: the rules are not named like the arguments, or ask for something unknown.
        """
        if unnamed or list(rules) != self.arguments:
            without = f", {len(unnamed)} without a name" if unnamed else ""
            raise TypeError(
                f"{self.name}.backward: rules must be named like the arguments, in their order; write {self._call()}. "
                f"Received: rules={list(rules)}{without}, arguments={self.arguments}"
            )
        for argument, rule in rules.items():
            if rule is None:
                continue
            try:
                first, *asked = inspect.signature(rule).parameters
            except (TypeError, ValueError):  # no function, or one without parameters that have names
                first, asked = "", []
            known = {"y", *self.arguments, *self.defaults, f"{argument}_shape"}
            if self.variadic:
                known.add("index")
            if first != ("h" if "g" in self.arguments else "g") or not known.issuperset(asked):
                raise TypeError(
                    f"{self.name}.backward: a rule takes g (h, where g is an argument), then what the tape must keep, "
                    f"of {sorted(known)}. Received: {argument}=({', '.join([first, *asked])})"
                    + ("" if first else f", the parameters of {rule!r}")
                )
            self.asks[rule] = asked
        self.rules = rules
        self._plans.clear()  # of former rules

    def rule_of(self, position: int) -> Callable[..., Any] | None:
        """The rule for the input at ``position``."""
        if not self.rules:
            raise RuntimeError(
                f"{self.name}: an op must have a rule for each argument before an argument requires gradients: write "
                f"{self._call()}, with None for an argument that has no derivative. Received: an op without rules"
            )
        return self.rules[self.argument_at(position)]

    def _call(self) -> str:
        """How its rules are written down, to be shown."""
        return f"{self.name}.backward({', '.join(f'{argument}=...' for argument in self.arguments)})"

    def argument_at(self, position: int) -> str:
        """The name of the argument that the input at ``position`` belongs to."""
        return self.arguments[min(position, len(self.arguments) - 1)]

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
        foreign = False  # whether an array is given that is no value: others may change it
        for x in inputs:
            kind = type(x)
            if kind in value_types:
                value = x
                arrays.append(x.data)
                node = x.node
                parents.append(node)
                if node is not None:
                    pattern += bit
            else:
                if kind is list or kind is tuple:
                    x = self._array_of(x)
                elif kind not in FIXED:
                    foreign = True
                    x = undisguised(x)
                arrays.append(x)
                parents.append(None)
            bit += bit
        try:
            y = self.compute(*arrays, **attributes) if attributes else self.compute(*arrays)
        except (TypeError, ValueError, IndexError, AttributeError) as error:
            refuse_arguments(self, error, arrays, attributes)
        if value is None:
            return y
        if type(y) not in array_types:
            y = asarray(y)
        if foreign or self.theirs:
            lent = self.theirs and not unshared(y)  # an op of somebody else's may keep it, and fill it again
            y = y.copy() if self._must_copy(y, lent, inputs, arrays) else y
        if not pattern or not recording.get():
            return value._output(y, None)
        pattern += bit  # tells apart calls with more or fewer inputs
        plan = self._plans.get(pattern)
        if plan is None:
            plan = self._plans[pattern] = Plan(self, parents)
        dtype = y.dtype
        if dtype.kind != "f" and not self._flows_through(y, plan, arrays):
            return value._output(y, None)
        node = Node()
        node.plan = plan
        node.birth = next(births)
        node.parents = parents
        node.shape = y.shape
        node.dtype = dtype
        node.saved = saved = []
        if plan.keep:
            arrays.append(y)
            for i in plan.keep:
                saved.append(arrays[i])
            if foreign:
                for place, i in enumerate(plan.keep):
                    if i < len(inputs) and type(inputs[i]) not in value_types:
                        saved[place] = kept(saved[place])
        if plan.extra:
            if self.variadic:
                attributes[f"{self.arguments[-1]}_shape"] = tuple([x.shape for x in arrays[: len(inputs)]])
            for name, default in plan.extra:
                attribute = attributes.get(name, default)
                saved.append(attribute if type(attribute) in FIXED else kept(attribute))
        output = new(value.family)  # as _output does; a call less at every op
        output.data = y
        output.node = node
        return output

    def _array_of(self, numbers: Any) -> Array:
        """A list of numbers as an array."""
        try:
            return asarray(numbers)
        except (TypeError, ValueError) as error:
            tensors = any(type(x) in value_types for x in numbers)
            must = "a list must hold numbers, in rows of one length"
            if tensors and self.variadic:
                must = f"arrays must be given one by one, as in {self.name}(a, b) or {self.name}(*arrays)"
            elif tensors:
                must = "a list must hold numbers; ops.stack(*tensors) makes one Tensor of several"
            of = f" of {len(numbers)} {'tensors' if tensors else 'parts'}"
            raise type(error)(f"{self.name}: {must}. Received: a {type(numbers).__name__}{of}") from error

    def _must_copy(self, y: Array, lent: bool, inputs: tuple[Any, ...], arrays: list[Any]) -> bool:
        """Whether somebody else may write to the output: it is, or views, an input that is no value, or it is lent."""
        memory = y if y.base is None else y.base
        for x, array in zip(inputs, arrays, strict=True):
            if array is memory or getattr(array, "base", None) is memory:
                return type(x) not in value_types
        return lent

    def _flows_through(self, y: Array, plan: Plan, arrays: list[Any]) -> bool:
        """Whether gradients flow through an output that is not floating: not through integers, and through complex
        numbers only where those of complex inputs do, as in the complex steps of the checker.

        Raises:
            TypeError: it is complex of real inputs, or holds no numbers.
        """
        if not plan.rules or y.dtype.kind in "biu":
            return False
        if y.dtype.kind == "c" and any(arrays[position].dtype.kind == "c" for position, _, _ in plan.rules):
            return True
        received = ", ".join(describe(array) for array in arrays)
        raise TypeError(
            f"{self.name}: a tape holds real numbers; detach() what is to meet others, or compute with real and "
            f"imaginary parts. Received: {received}, which give {y.dtype}"
        )


    def fitted(self, gradient: Any, parent: Any, position: int) -> Any:
        """The gradient with the shape and dtype of its argument: broadcasting summed, promotion undone."""
        shape = parent.shape
        if gradient.shape != shape:
            if self.broadcasts and gradient.shape[1:] == shape:  # a bias, as most are
                gradient = rows(gradient)
            elif self.broadcasts and _broadcasts_to(shape, gradient.shape):
                gradient = sum_to(gradient, shape)
            else:
                self._refuse("shape", gradient, parent, position)
        if gradient.dtype is not parent.dtype and gradient.dtype != parent.dtype:
            if gradient.dtype.kind != parent.dtype.kind:
                self._refuse("dtype", gradient, parent, position)
            gradient = gradient.astype(parent.dtype)
        return gradient

    def refuse_kind(self, gradient: Any, position: int, error: AttributeError) -> NoReturn:
        """Refuse what a rule returned, if it is no array."""
        if hasattr(gradient, "dtype"):
            raise error
        refuse_kind(self, position, gradient)

    def _refuse(self, what: str, gradient: Any, parent: Any, position: int) -> NoReturn:
        cure = ""
        if what == "shape" and not self.broadcasts and _broadcasts_to(parent.shape, gradient.shape):
            cure = "; where broadcasting repeats arguments, say @op(broadcasts=True), and what it repeated is summed"
        raise RuntimeError(
            f"{self.name}: the backward rule of {self.argument_at(position)!r} must return the {what} of its argument"
            f"{cure}. Received: gradient {what}={getattr(gradient, what)}, argument {what}={getattr(parent, what)}"
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
        return total(array, tuple(range(extra)))
    repeated = tuple(i for i, n in enumerate(array.shape) if i < extra or shape[i - extra] != n)
    return total(array, repeated, keepdims=True).reshape(shape)
