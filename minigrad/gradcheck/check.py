"""gradcheck: the gradients of the tape against numeric derivatives."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from operator import index
from typing import Any

from minigrad.backend import Generator, device_of, host_generator, module_for, move
from minigrad.gradcheck.comparison import Comparison
from minigrad.gradcheck.locate import locate
from minigrad.gradcheck.numeric import METHODS, TOLERANCE, Settings, scale_of
from minigrad.gradcheck.report import Culprit, GradcheckReport
from minigrad.gradcheck.subject import Gradients, Pullback, Subject, random_signs

host: Any = module_for("cpu")
AT_KINK = (
    "op {0.op}, called at {0.line}, stands at a kink, where the chain rule need not hold; a point a little off would "
    "decide it"
)
CUT = "every op is right by itself, so the history must be cut somewhere, as detach(), .data and .numpy() do"


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
    dtype_check: bool = False,
    seed: int = 0,
) -> GradcheckReport:
    r"""Compare the gradients that the tape gives with numeric derivatives.

    For random u and v the number :math:`u^T J v` is computed twice, :math:`(u^T J) v` from the tape and
    :math:`u^T (J v)` numerically, with every output weighted by its own size. Where they differ, or are too rough to
    tell, every element of J is computed both ways, and is right, wrong or undecided; then every op that f called is
    checked alone, to tell which one is to blame. What is below 1e-305 counts as right, and is listed as not seen.

    Args:
        f: a function of Tensors to a Tensor, or to a list or dict of them.
        inputs: a list for f(x, y, ...), a dict for f(x=..., y=...), or one input for f(x); inputs may themselves be
            lists and dicts. What is floating is checked, in float64 copies; all else is passed on.
        order: 2 checks the derivative of the gradient too.
        method: "central", "richardson" or "complex"; see `minigrad.gradcheck.numeric`.
        directions: how many random directions for each input.
        step: the step, where the one chosen by the dtype and the scale of the input will not do.
        rtol, atol: what still counts as equal. By default rtol is 1e-6, 1e-8 or 1e-10 by the method, 1e-2 where f
            returns float32, and atol 0. "Right" may hide an error of 1e-4 of an element, or of rtol if that is larger;
            of a direction 1e-6 times the root of the number of elements, which full=True makes good.
        full: compare every element in any case.
        dtype_check: report too how far the gradient computed in float32 is from the one in float64.
        seed: of the directions.

    Raises:
        GradcheckError: a gradient is wrong; its ``report`` says which, where, and what it looks like.
        UndecidedError: none is, but differences cannot tell some from wrong ones; it says why, and what would.
        TypeError, ValueError: a function or inputs that cannot be checked, and why.

    >>> from minigrad import Tensor
    >>> report = gradcheck(lambda x, y: (x * y).tanh(), [Tensor([1.0, 2.0]), Tensor([0.5, 0.1])], order=2)
    >>> report.passed, len(report.findings)
    (True, 5)
    """
    if order not in (1, 2):
        raise ValueError(f"gradcheck: order must be 1 or 2. Received: order={order!r}")
    if method not in METHODS:
        raise ValueError(f"gradcheck: method must be one of {METHODS}. Received: method={method!r}")
    with suppress(TypeError):
        directions = index(directions)  # NumPy's integers are counts as well
    if not isinstance(directions, int) or directions < 1:
        raise ValueError(f"gradcheck: directions must be a positive integer. Received: directions={directions!r}")
    for name, value in {"step": step, "rtol": rtol, "atol": atol}.items():
        if value is not None and not value > 0:
            raise ValueError(f"gradcheck: {name} must be a positive number. Received: {name}={value!r}")
    subject = Subject(f, inputs)
    return check_subject(subject, order, method, directions, step, rtol, atol, full, dtype_check, seed)


def check_subject(subject: Subject, *args: Any, **kwargs: Any) -> GradcheckReport:
    """What `gradcheck` does, once it is said what to check. NaN and infinity are its own business: no warnings."""
    with host.errstate(all="ignore"):
        return _check_subject(subject, *args, **kwargs)


def _check_subject(
    subject: Subject, order: int, method: str, directions: int = 2, step: float | None = None,
    rtol: float | None = None, atol: float | None = None, full: bool = False, dtype_check: bool = False, seed: int = 0,
) -> GradcheckReport:
    pullback = subject.run()
    eps = max(float(host.finfo(y.dtype).eps) for y in pullback.outputs)  # f may compute in less than float64
    if rtol is None:
        rtol = TOLERANCE[method] if eps < 1e-10 else 1e-2
    settings = Settings(method, directions, step, rtol, atol or 0.0, full, eps)
    report = GradcheckReport(subject.name, method)
    rng = host_generator(seed)
    report.findings += Comparison(subject, pullback, 1, settings, rng).run()
    if dtype_check:
        _add_float32_errors(subject, pullback, report, rng)
    if order == 2 and report.passed:
        gradients = Gradients(subject, pullback.outputs, rng)
        report.findings += Comparison(gradients, Pullback(gradients), 2, settings, rng).run()
    if report.wrong:
        level = report.wrong[0].order
        report.culprits, kinks, stopped = locate(subject, level, report.wrong, settings, rng)
        if not report.culprits:  # every op is right by itself
            why = f"{stopped[0]}, and passes none on" if stopped else CUT
            if kinks and level == 2:  # where the gradient jumps there is no second derivative
                _excuse_kinks(subject, level, report, kinks, settings, rng)
            for finding in report.wrong:
                if finding.pattern in ("nan", "unsteady"):
                    continue
                if kinks:  # each rule is right, and relu(x) - relu(-x) is still wrong at 0
                    finding.status, finding.cause, finding.pattern = "undecided", AT_KINK.format(kinks[0]), ""
                else:
                    finding.cause = "; ".join(filter(None, [finding.cause, why]))
    return report.check()


def _excuse_kinks(
    subject: Subject, order: int, report: GradcheckReport, kinks: list[Culprit], settings: Settings, rng: Generator
) -> None:
    """A chain of right rules may be wrong right at a kink within, as that of |x| |x| at 0: is it right a little off?"""
    here = subject.arrays
    subject.arrays = [x + move(1e-3 * scale_of(x) * random_signs(rng, x.shape), device_of(x)) for x in here]
    try:
        moved: Any = subject if order == 1 else Gradients(subject, Pullback(subject).outputs, rng)
        nearby = {f.label: f.status for f in Comparison(moved, Pullback(moved), order, settings, rng).run()}
    finally:
        subject.arrays = here
    for finding in report.wrong:
        if nearby[finding.label] not in ("wrong", "undecided") and finding.pattern not in ("nan", "unsteady"):
            finding.status, finding.cause, finding.pattern = "kink", "", ""
            finding.notes.append(
                f"op {kinks[0].op}, called at {kinks[0].line}, stands at a kink, where the chain rule need not hold; a "
                "little off, the gradient is right"
            )


def _add_float32_errors(subject: Subject, pullback: Pullback, report: GradcheckReport, rng: Generator) -> None:
    """How far the gradients computed in float32 are off, relative to their largest element."""
    narrow = Pullback(subject, [x.astype("float32") for x in subject.arrays])
    weights = rng.normal(size=pullback.center.shape).astype("float32")
    for finding, rough, exact in zip(report.findings, narrow(weights), pullback(weights), strict=True):
        largest = float(abs(exact).max(initial=0.0))
        finding.float32_error = float(abs(rough - exact).max(initial=0.0)) / (largest or 1.0)
