"""Tape against differences, input by input, along random directions: two numbers for u^T J v."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from minigrad.backend import Generator, is_array, module_for
from minigrad.gradcheck import numeric
from minigrad.gradcheck.explain import MOST, Settings, explain, line_along
from minigrad.gradcheck.report import Finding
from minigrad.gradcheck.subject import Differentiable, Pullback, random_signs
from minigrad.ops.op import Op, watching
from minigrad.tape import Value

host: Any = module_for("cpu")


def compare(
    subject: Differentiable, pullback: Pullback, order: int, settings: Settings, rng: Generator
) -> list[Finding]:
    """The findings for every input of a subject.

    Along the first direction each input moves alone; along the others all move together, and alone again only if
    something is at odds.

    Raises:
        ValueError: an input on which the function does not depend.
    """
    arrays, center = subject.arrays, pullback.center
    findings = [
        Finding(
            subject.labels[i], tuple(x.shape), str(subject.dtypes[i]), order, settings.method,
            settings.step_for(settings.method, pullback.scales[i]),
            compared="directions" if x.size and center.size else "empty",
        )
        for i, x in enumerate(arrays)
    ]
    moving = [i for i, finding in enumerate(findings) if finding.compared != "empty"]
    reaches = pullback.reaches()
    suspects: dict[int, tuple[Any, bool]] = {}
    for number in range(settings.directions if moving else 0):
        u = random_signs(rng, center.shape)
        gradients = pullback(u)
        if number and _agree_together(subject, moving, pullback, u, gradients, findings, settings, rng):
            continue
        for i in moving:
            if i not in suspects:
                agreed, certain, constant = _compare_alone(
                    subject, i, pullback, u, gradients[i], findings[i], settings, rng, first=number == 0
                )
                if order == 1 and constant and not reaches[i]:
                    raise ValueError(
                        "gradcheck: f must use every input. Received: the output does not depend on "
                        f"{subject.labels[i]}"
                    )
                if not agreed or settings.full:
                    suspects[i] = u, certain
        if suspects:
            break
    for i, (u, certain) in suspects.items():
        explain(subject, i, pullback, findings[i].method, findings[i], settings, rng, u, certain)
    return findings


def _compare_alone(
    subject: Differentiable, i: int, pullback: Pullback, u: Any, gradient: Any, finding: Finding, settings: Settings,
    rng: Generator, first: bool,
) -> tuple[bool, bool, bool]:
    """Whether the two agree along a direction of one input; whether an error is certain; whether f is constant."""
    x, center, scale = subject.arrays[i], pullback.center, pullback.scales[i]
    # of the sign of the gradient: in the analytic value nothing cancels
    v = abs(random_signs(rng, (x.size,))) * host.where(gradient < 0, -1.0, 1.0)
    line = line_along(subject, {i: v})
    if first:
        finding.curve = partial(_curve, line, u, float(gradient @ v), center, settings.eps)
        if settings.method == "complex" and (why := _not_analytic(line, center, settings, scale)):
            finding.notes.append(f"{why}; Richardson's differences take the place of complex steps for this input")
            finding.method = "richardson"
            finding.step = settings.step_for("richardson", scale)
    rounding = settings.rounding(pullback, i)
    estimate = _derivative(line, center, finding.method, finding.step, settings)
    agreed = _agree(finding, u, estimate, float(gradient @ v), _size(gradient, v), settings, rounding)
    if not agreed and finding.method == "central":  # rounding, strong curvature, a kink or an error: these can tell
        estimate = _derivative(line, center, "richardson", settings.step_for("richardson", scale), settings)
        agreed = _agree(finding, u, estimate, float(gradient @ v), _size(gradient, v), settings, rounding)
    finding.compared = f"{settings.directions} direction" + "s" * (settings.directions > 1)
    return agreed, x.size > MOST and not host.any(estimate.kink), not estimate.value.any()


def _agree_together(
    subject: Differentiable, moving: list[int], pullback: Pullback, u: Any, gradients: list[Any],
    findings: list[Finding], settings: Settings, rng: Generator,
) -> bool:
    """Whether the two agree when all inputs move at once, each by its own scale."""
    v = {i: random_signs(rng, gradients[i].shape) for i in moving}
    if settings.step is None:
        v = {i: v[i] * pullback.scales[i] for i in moving}
    methods = {findings[i].method for i in moving}
    method = methods.pop() if len(methods) == 1 else "richardson"
    step = settings.step or numeric.step_for(method, 1.0, settings.eps)
    estimate = _derivative(line_along(subject, v), pullback.center, method, step, settings)
    analytic = sum(float(gradients[i] @ v[i]) for i in moving)
    size = sum(_size(gradients[i], v[i]) for i in moving)
    rounding = sum(settings.rounding(pullback, i) * numeric.norm(v[i]) / len(v[i]) ** 0.5 for i in moving)
    return _agree(None, u, estimate, analytic, size, settings, rounding)


def _agree(
    finding: Finding | None, u: Any, estimate: numeric.Estimate, analytic: float, size: float, settings: Settings,
    rounding: float,
) -> bool:
    """Whether u^T J v is the same both ways, and no kink lies on the line; written into a finding."""
    n = float(u @ estimate.value)
    size = max(abs(n), size, _size(estimate.value, u))
    off = abs(analytic - n)
    if finding is not None:
        finding.absolute, finding.relative = off, off / size if size else 0.0
        finding.analytic, finding.numeric = analytic, n
    bound = (settings.atol or 0.0) + settings.rtol * size + rounding * numeric.norm(u)
    bound += 10 * estimate.error if isinstance(estimate.error, float) else float(abs(u) @ estimate.error)
    return off <= bound and not host.any(estimate.kink)


def _size(a: Any, b: Any) -> float:
    """How large a product a @ b of such vectors is, when their signs are random."""
    return math.sqrt(float(a @ a) * float(b @ b) / a.size)


def _derivative(line: numeric.Line, center: Any, method: str, h: float, settings: Settings) -> numeric.Estimate:
    """J v by a method."""
    if method == "central":
        return numeric.central(line, center, h, settings.eps)
    if method == "richardson":
        return numeric.search(line, center, h, settings.eps, settings.rtol)
    value = numeric.complex_step(line, h)
    return numeric.Estimate(value, 100 * settings.eps * abs(value), host.zeros(value.shape, bool))


def _not_analytic(line: numeric.Line, center: Any, settings: Settings, scale: float) -> str:
    """Why complex steps cannot be used along a line; "" when they can."""
    blamed: list[str] = []

    def watcher(op: Op, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        arrays = [x.data if isinstance(x, Value) else x for x in inputs]
        blamed.append(op.name)  # in case it raises
        y = op(*inputs, **attributes)
        if y.dtype.kind != "f" or not any(is_array(x) and x.dtype.kind == "c" and x.imag.any() for x in arrays):
            blamed.pop()
        return y

    h = settings.step_for("complex", scale)
    try:
        with host.errstate(all="ignore"), watching(watcher):
            value = numeric.complex_step(line, h)
    except (TypeError, ValueError, RuntimeError) as error:
        return f"{f'op {blamed[-1]}' if blamed else 'f'} cannot compute on complex numbers ({error})"
    if blamed:
        return f"op {blamed[0]} is not analytic"
    known = _derivative(line, center, "richardson", settings.step_for("richardson", scale), settings)
    if known.kink.any():
        return "f has a kink here"
    same = (abs(value - known.value) <= 1e-6 * abs(known.value).max() + 10 * known.error).all()
    return "" if same else "f is not analytic"


def _curve(
    line: numeric.Line, u: Any, analytic: float, center: Any, eps: float, method: str, steps: list[float]
) -> list[float]:
    """The relative error of a method for each step, for plots; NaN where it cannot be computed."""
    errors = []
    for h in steps:
        try:
            with host.errstate(all="ignore"):
                if method == "complex":
                    value = numeric.complex_step(line, h)
                elif method == "central":
                    value = numeric.central(line, center, h, eps).value
                else:
                    value = numeric.richardson(line, center, h, eps).value
            errors.append(abs(float(u @ value) - analytic) / (abs(analytic) or 1.0))
        except (TypeError, ValueError, RuntimeError):
            errors.append(math.nan)
    return errors
