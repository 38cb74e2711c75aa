"""Tape against differences, input by input, along random directions: two numbers for u^T J v."""

from __future__ import annotations

import math
from contextlib import suppress
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

    Raises:
        ValueError: an input on which the function does not depend.
    """
    reaches = pullback.reaches()
    weights = [random_signs(rng, pullback.center.shape) for _ in range(settings.directions)]
    pulled = [(u, pullback(u)) for u in weights] if pullback.center.size else []
    return [
        _compare_input(subject, i, pullback, [(u, g[i]) for u, g in pulled], reaches[i], order, settings, rng)
        for i in range(len(subject.arrays))
    ]


def _compare_input(
    subject: Differentiable, i: int, pullback: Pullback, rounds: list[tuple[Any, Any]], reached: bool, order: int,
    settings: Settings, rng: Generator,
) -> Finding:
    x, center = subject.arrays[i], pullback.center
    finding = Finding(
        subject.labels[i], tuple(x.shape), str(subject.dtypes[i]), order, settings.method,
        settings.step_for(settings.method, x),
    )  # fmt: skip
    if not x.size or not rounds:
        finding.compared = "empty"
        return finding
    finding.compared = f"{settings.directions} direction" + "s" * (settings.directions > 1)
    method, constant, rounding = settings.method, True, settings.rounding(center, x)
    suspect, certain = (rounds[0][0] if settings.full else None), False
    for number, (u, gradient) in enumerate(rounds):
        v = random_signs(rng, (x.size,))
        if number == 0:  # along this one nothing cancels in the analytic value
            v = abs(v) * host.where(gradient < 0, -1.0, 1.0)
        line = line_along(subject, i, v.reshape(x.shape))
        if number == 0:
            finding.curve = partial(_curve, line, u, float(gradient @ v), center, settings.eps)
            if method == "complex" and (why := _not_analytic(line, center, settings, x)):
                finding.notes.append(f"{why}; Richardson's differences take the place of complex steps for this input")
                finding.method = method = "richardson"
                finding.step = settings.step_for(method, x)
        estimate = _derivative(line, center, method, finding.step, settings)
        agreed = _agree(finding, gradient, v, u, estimate, settings, rounding, first=number == 0)
        if not agreed and method == "central":  # rounding, a strong curvature, or an error: these steps can tell
            estimate = _derivative(line, center, "richardson", settings.step_for("richardson", x), settings)
            agreed = _agree(finding, gradient, v, u, estimate, settings, rounding, first=True)
        constant &= not estimate.value.any()
        if not agreed:
            suspect, certain = u, x.size > MOST and not estimate.kink.any()
            break
    if order == 1 and constant and not reached:
        raise ValueError(
            f"gradcheck: f must use every input. Received: the output does not depend on {finding.label}"
        )
    if suspect is not None:
        explain(subject, i, pullback, method, finding, settings, rng, suspect, certain)
    return finding


def _agree(
    finding: Finding, gradient: Any, v: Any, u: Any, estimate: numeric.Estimate, settings: Settings, rounding: float,
    first: bool,
) -> bool:
    """Whether u^T J v is the same both ways, and no kink lies on the line; the finding keeps the worst."""
    a, n = float(gradient @ v), float(u @ estimate.value)
    size = max(
        abs(n),
        _norm(estimate.value) * _norm(u) / math.sqrt(u.size),
        _norm(gradient) * _norm(v) / math.sqrt(v.size),
    )
    off = abs(a - n)
    if first or not off <= finding.absolute:
        finding.absolute, finding.relative = off, off / size if size else 0.0
        finding.analytic, finding.numeric = a, n
    bound = (settings.atol or 0.0) + settings.rtol * size + float(abs(u) @ (estimate.error + rounding))
    return not estimate.kink.any() and off <= bound


def _derivative(line: numeric.Line, center: Any, method: str, h: float, settings: Settings) -> numeric.Estimate:
    """J v by a method."""
    if method == "central":
        return numeric.central(line, center, h, settings.eps)
    if method == "richardson":
        return numeric.search(line, center, h, settings.eps, settings.rtol)
    value = numeric.complex_step(line, h)
    return numeric.Estimate(value, 100 * settings.eps * abs(value), host.zeros(value.shape, bool))


def _not_analytic(line: numeric.Line, center: Any, settings: Settings, x: Any) -> str:
    """Why complex steps cannot be used along a line; "" when they can."""
    h = settings.step_for("complex", x)
    error = None
    try:
        with host.errstate(all="ignore"):
            value = numeric.complex_step(line, h)
            known = _derivative(line, center, "richardson", settings.step_for("richardson", x), settings)
        if known.kink.any():
            return "f has a kink here"
        if (abs(value - known.value) <= 1e-4 * abs(known.value).max() + 10 * known.error).all():
            return ""
    except (TypeError, ValueError, RuntimeError) as caught:
        error = caught
    blamed: list[str] = []

    def watcher(op: Op, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        arrays = [x.data if isinstance(x, Value) else x for x in inputs]
        blamed.append(op.name)  # in case it raises
        y = op(*inputs, **attributes)
        if y.dtype.kind != "f" or not any(is_array(x) and x.dtype.kind == "c" for x in arrays):
            blamed.pop()
        return y

    with suppress(TypeError, ValueError, RuntimeError), host.errstate(all="ignore"), watching(watcher):
        line(1j * h)
    who = f"op {blamed[0]}" if blamed else "f"
    return f"{who} is not analytic" if error is None else f"{who} cannot compute on complex numbers ({error})"


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


def _norm(x: Any) -> float:
    return math.sqrt(float(x @ x))
