"""Which op is to blame: every op that a function called, checked alone at the arrays it was called with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from minigrad.anomaly import users_line
from minigrad.backend import Generator, is_array, is_inexact, module_for
from minigrad.functional import leaf
from minigrad.gradcheck.comparison import Comparison
from minigrad.gradcheck.numeric import Settings
from minigrad.gradcheck.report import Culprit, Finding
from minigrad.gradcheck.subject import Gradients, Pullback, Subject
from minigrad.ops.op import Op, watching
from minigrad.tape import Value
from minigrad.tensor import Tensor

host: Any = module_for("cpu")
MOST = 200  # calls that are checked


class Call(NamedTuple):
    """One call of an op: its inputs, and which of them gradients flow to."""

    op: Op
    inputs: list[Any]
    active: list[int]
    attributes: dict[str, Any]
    line: str
    stopped: list[str]  # arguments in which the op has no derivative

    @property
    def key(self) -> tuple[Any, ...]:
        """Calls with equal keys need not be checked twice."""
        shapes = tuple((x.shape, str(x.dtype)) if is_array(x) else repr(x) for x in self.inputs)
        return self.op.name, shapes, tuple(self.active), repr(self.attributes)

    @property
    def all_active(self) -> bool:
        """Whether gradients flow to all arrays of numbers; one that is left out may have lost its history."""
        return all(i in self.active for i, x in enumerate(self.inputs) if is_array(x) and is_inexact(x.dtype))

    def subject(self) -> Subject:
        """The op alone, as a function of its active inputs."""

        def alone(*leaves: Tensor) -> Any:
            given = list(self.inputs)
            for i, x in zip(self.active, leaves, strict=True):
                given[i] = x
            return self.op(*given, **self.attributes)

        subject = Subject(alone, [self.inputs[i] for i in self.active])
        subject.labels = self.labels
        return subject

    @property
    def labels(self) -> list[str]:
        """The names of the active inputs."""
        names = self.op.arguments
        if self.op.variadic:
            names = names[:-1] + [f"{names[-1]}[{i}]" for i in range(len(self.inputs) - len(names) + 1)]
        return [names[i] for i in self.active]


class Located(NamedTuple):
    """The ops whose own rules are wrong, those that stand at a kink, and in words those that have no derivative."""

    culprits: list[Culprit]
    kinks: list[Culprit]
    stopped: list[str]


def calls(run: Callable[[], Any]) -> list[Call]:
    """The calls of ops with gradients to keep, while ``run`` runs, each kind once."""
    found: dict[Any, Call] = {}

    def watcher(op: Op, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        active = [i for i, x in enumerate(inputs) if isinstance(x, Value) and x.node is not None]
        if active and op.rules and len(found) < MOST:
            arrays = [x.data if isinstance(x, Value) else x for x in inputs]
            kept = [i for i in active if op.rule_of(i) is not None]
            stopped = [op.arguments[min(i, len(op.arguments) - 1)] for i in active if i not in kept]
            call = Call(op, arrays, kept, attributes, str(users_line()), stopped)
            found.setdefault(call.key, call)
        return op(*inputs, **attributes)

    with watching(watcher):
        run()
    return list(found.values())


def locate(
    subject: Subject, order: int, wrong: list[Finding], settings: Settings, rng: Generator
) -> Located:
    """The ops to blame, at their first order if any is wrong there, else at their second."""
    settings = settings._replace(method="central", step=None, full=False)
    leaves = [leaf(x) for x in subject.arrays]
    called = calls(lambda: subject.outputs(leaves, create_graph=False))
    forward = [call for call in called if call.active]
    if order == 1 and len(forward) == 1 and forward[0].all_active:  # there is no other suspect
        call = forward[0]
        given = {id(call.inputs[i]): label for i, label in zip(call.active, call.labels, strict=True)}
        arguments = {label: given.get(id(x.data)) for label, x in zip(subject.labels, leaves, strict=True)}
        blamed = [Culprit(call.op.name, arguments[f.label] or call.labels[0], call.line, f) for f in wrong]
        return Located(blamed, [], [])
    run = forward
    if order == 2:
        run = forward + calls(lambda: Pullback(Gradients(subject, Pullback(subject).outputs, rng)))
        run = [call for call in run if call.active]
    found = [culprit for call in run for culprit in _check(call, 1, settings, rng)]
    if order == 2 and not any(c.finding.status == "wrong" for c in found):
        found += [culprit for call in forward for culprit in _check(call, 2, settings, rng)]
    found = list({(c.op, c.argument): c for c in reversed(found)}.values())[::-1]
    of: Callable[[str], list[Culprit]] = lambda status: [c for c in found if c.finding.status == status]
    stopped = [f"op {call.op.name} has no derivative by {name!r}" for call in called for name in call.stopped]
    return Located(of("wrong"), of("kink"), stopped)


def _check(call: Call, order: int, settings: Settings, rng: Generator) -> list[Culprit]:
    """What is wrong with one op, or at a kink; where it cannot be checked, as next to a pole, it is not to blame."""
    try:
        subject = call.subject()
        checked: Subject | Gradients = subject
        pullback = subject.run()
        if order == 2:
            checked = Gradients(subject, pullback.outputs, rng)
            pullback = Pullback(checked)
        findings = Comparison(checked, pullback, order, settings, rng).run()
    except (ValueError, TypeError, RuntimeError):
        return []
    found = [f for f in findings if f.status in ("wrong", "kink")]
    return [Culprit(call.op.name, _argument(f, subject), call.line, f) for f in found]


def _argument(finding: Finding, subject: Subject) -> str:
    """The argument whose rule is wrong: of a second derivative the one whose gradient was differentiated."""
    return finding.output.removeprefix("the gradient of ") or finding.label
