"""The check: random directions first, every element only to explain a failure or when asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from minigrad.backend import Array, Generator, device_of, host_generator, module_for, move
from minigrad.gradcheck import numeric
from minigrad.gradcheck.report import Finding, GradcheckError, GradcheckReport
from minigrad.gradcheck.subject import Differentiable, Gradients, Pullback, Subject, values

host: Any = module_for("cpu")
JACOBIAN_LIMIT = 1_000_000  # elements; beyond it a failure is explained for one random weighting of the outputs


class Settings(NamedTuple):
    """How to differentiate numerically, and what still counts as equal."""

    method: str
    directions: int
    step: float | None
    rtol: float
    atol: float | None
    full: bool
    eps: float

    def step_for(self, x: Array) -> float:
        """The step for an input."""
        return self.step or numeric.step_for(self.method, numeric.scale_of(x), self.eps)


def gradcheck(
    f: Callable[..., Any],
    inputs: Any,
    order: int = 1,
    method: str = "central",
    directions: int = 2,
    step: float | None = None,
    rtol: float | None = None,
    atol: float | None = None,
    full: bool = False,
    seed: int = 0,
) -> GradcheckReport:
    r"""Compare the gradients that the tape gives with numeric derivatives.

    For random u and v the number :math:`u^T J v` is computed twice, :math:`(u^T J) v` from the tape and
    :math:`u^T (J v)` numerically. Where they differ, every element of J is computed both ways, to tell which is wrong,
    and to make sure that it was not the difference that failed.

    Args:
        f: a function of Tensors to a Tensor, or to a list or dict of them.
        inputs: a list for f(x, y, ...), a dict for f(x=..., y=...), or one input for f(x); inputs may themselves be
            lists and dicts. What is floating is checked, in float64 copies; all else is passed on.
        order: 2 checks the derivative of the gradient too.
        method: "central", "richardson" or "complex".
        directions: how many random directions for each input.
        step: the step, where the one chosen by the scale of the input will not do.
        rtol, atol: what still counts as equal, relative and absolute.
        full: compare every element in any case.
        seed: of the directions.

    Raises:
        GradcheckError: a gradient is wrong; its ``report`` says which and where.
        TypeError, ValueError: a function or inputs that cannot be checked, and why.

    >>> from minigrad import Tensor
    >>> gradcheck(lambda x, y: (x * y).tanh(), [Tensor([1.0, 2.0]), Tensor([0.5, 0.1])], order=2).passed
    True
    """
    if order not in (1, 2):
        raise ValueError(f"gradcheck: order must be 1 or 2. Received: order={order!r}")
    if method not in numeric.METHODS:
        raise ValueError(f"gradcheck: method must be one of {numeric.METHODS}. Received: method={method!r}")
    if not isinstance(directions, int) or directions < 1:
        raise ValueError(f"gradcheck: directions must be a positive integer. Received: directions={directions!r}")
    subject = Subject(f, inputs)
    subject.validate()
    eps = _precision(subject)
    default = 1e-2 if eps > 1e-10 else {"central": 1e-6, "richardson": 1e-8, "complex": 1e-10}[method]
    settings = Settings(method, directions, step, default if rtol is None else rtol, atol, full, eps)
    report = GradcheckReport(subject.name, method)
    rng = host_generator(seed)
    report.findings += check(subject, 1, settings, rng)
    if order == 2 and report.passed:
        report.findings += check(Gradients(subject, rng), 2, settings, rng)
    if not report.passed:
        raise GradcheckError(report)
    return report


def _precision(subject: Subject) -> float:
    """The rounding unit of the outputs: f may compute in less than float64."""
    with_dtype = [y.dtype for y in Pullback(subject).outputs]
    return max(float(host.finfo(dtype).eps) for dtype in with_dtype)


def check(subject: Any, order: int, settings: Settings, rng: Generator) -> list[Finding]:
    """Check every input of a subject."""
    pullback = Pullback(subject)
    center = values(subject, subject.arrays)
    reaches = pullback.reaches()
    findings = []
    rounds = []
    for _ in range(settings.directions):
        u = _random(rng, (center.size,))
        rounds.append((u, pullback(u)))
    for i, x in enumerate(subject.arrays):
        finding = Finding(
            subject.labels[i], tuple(x.shape), str(subject.dtypes[i]), order, settings.method, settings.step_for(x)
        )
        findings.append(finding)
        if not x.size or not center.size:
            finding.checked = "empty"
            continue
        finding.checked = f"{settings.directions} directions"
        suspicious = settings.full
        independent = order == 1 and not reaches[i]
        for u, gradients in rounds:
            v = _random(rng, (x.size,))
            if u is rounds[0][0]:  # no cancellation along the first direction
                v = abs(v) * host.where(gradients[i] < 0, -1.0, 1.0)
            line = _line(subject, i, v.reshape(x.shape))
            if settings.method == "central":
                h = finding.step
                plus, minus = line(h), line(-h)
                derivative = (plus - minus) / (2 * h)
                gap = abs(plus - 2 * center + minus) / h
                noise = 1e3 * settings.eps * abs(center).max() / h
                suspicious |= bool(gap.max() > 1e-3 * abs(derivative).max() + noise)
            else:
                derivative = numeric.search(line, center, finding.step, settings.eps, settings.rtol).value
            independent &= not derivative.any()
            n, a = float(u @ derivative), float(gradients[i] @ v)
            size = max(
                abs(n), _norm(derivative) * _norm(u) / center.size**0.5, _norm(gradients[i]) * _norm(v) / x.size**0.5
            )
            off = abs(a - n)
            if not off <= finding.absolute or not finding.numeric:
                finding.absolute, finding.relative = off, off / size if size else 0.0
                finding.analytic, finding.numeric = a, n
            suspicious |= not off <= (settings.atol or 0.0) + settings.rtol * size
        if independent:
            raise ValueError(
                f"gradcheck: f must use every input. Received: the output does not depend on {finding.label}"
            )
        if suspicious:
            explain(subject, i, pullback, center, finding, settings, rng)
    return findings


def explain(
    subject: Any, i: int, pullback: Pullback, center: Any, finding: Finding, settings: Settings, rng: Generator
) -> None:
    """Compare element by element, and say where and how the two differ most."""
    x = subject.arrays[i]
    m, n = center.size, x.size
    project = None
    if m * n > JACOBIAN_LIMIT and not settings.full:
        project = _random(rng, (m,))
        analytic = pullback(project)[i][None]
        m = 1
    else:
        analytic = host.stack([pullback(row)[i] for row in host.eye(m)])
    expected, error, kink = host.empty((m, n)), host.empty((m, n)), host.empty((m, n), bool)
    h = settings.step if settings.step and settings.method != "central" else None
    h = h or numeric.step_for("richardson", numeric.scale_of(x), settings.eps)
    if project is not None:
        center = (project @ center)[None]
    for j in range(n):
        v = host.zeros(n)
        v[j] = 1.0
        line = _line(subject, i, v.reshape(x.shape), project)
        column = numeric.search(line, center, h, settings.eps, settings.rtol)
        expected[:, j], error[:, j], kink[:, j] = column
    with host.errstate(invalid="ignore"):
        off = abs(analytic - expected)
        size = host.maximum(abs(analytic), abs(expected))
        known = host.isfinite(error)
        atol = settings.atol
        if atol is None:
            atol = 1e-3 * settings.rtol * abs(expected[known]).max(initial=0.0)
        wrong = known & ~kink & ~(off <= atol + settings.rtol * size + 10 * error)
    finding.checked = f"all {n} elements" if project is None else f"all {n} elements, outputs weighted"
    _conclude(finding, analytic, expected, off, size, wrong, kink, ~known, x.shape)


def _conclude(
    finding: Finding, analytic: Any, expected: Any, off: Any, size: Any, wrong: Any, kink: Any, edge: Any,
    shape: tuple[int, ...],
) -> None:
    counted = wrong if wrong.any() else ~kink & ~edge
    if kink.any():
        places = sorted({int(j) for j in host.nonzero(kink)[1]})
        finding.status = "kink"
        finding.notes.append(
            f"a kink at {_places(places, shape)}: the derivatives from the left and from the right differ there, "
            "so neither is wrong"
        )
    if edge.any():
        places = sorted({int(j) for j in host.nonzero(edge)[1]})
        finding.status = "edge"
        finding.notes.append(f"no derivative at {_places(places, shape)}: f is not finite on both sides")
    if wrong.any():
        finding.status = "wrong"
    if not counted.any():
        return
    worst = int(host.where(counted, host.where(host.isnan(off), host.inf, off), -1.0).argmax())
    row, column = divmod(worst, off.shape[1])
    finding.absolute = float(off[row, column])
    finding.relative = finding.absolute / float(size[row, column] or 1.0)
    finding.analytic, finding.numeric = float(analytic[row, column]), float(expected[row, column])
    finding.index = tuple(int(k) for k in host.unravel_index(column, shape)) if shape else ()
    finding.output_index = (row,)


def _places(columns: list[int], shape: tuple[int, ...]) -> str:
    """Some elements of an input, for people."""
    shown = [str(tuple(int(k) for k in host.unravel_index(j, shape))) for j in columns[:3]] if shape else ["()"]
    return ", ".join(shown) + (f" and {len(columns) - 3} more" if len(columns) > 3 else "")


def _line(subject: Differentiable, i: int, v: Any, project: Any = None) -> numeric.Line:
    """The function t -> outputs at x + t v, where x is input i."""
    x = subject.arrays[i]
    direction = move(v, device_of(x))
    others = list(subject.arrays)

    def line(t: complex) -> Any:
        others[i] = x + t * direction
        y = values(subject, others)
        return y if project is None else (project @ y)[None]

    return line




def _random(rng: Generator, shape: tuple[int, ...]) -> Any:
    """Numbers away from 0, of either sign and of unit size."""
    return rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)


def _norm(x: Any) -> float:
    return math.sqrt(float(x @ x))
