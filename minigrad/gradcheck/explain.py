"""The full comparison of one input: every element of the Jacobian both ways, and what the difference looks like."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

from minigrad.backend import Array, Generator, device_of, module_for, move
from minigrad.gradcheck import numeric
from minigrad.gradcheck.causes import guess
from minigrad.gradcheck.report import Finding
from minigrad.gradcheck.subject import Differentiable, Pullback, unravel, values

host: Any = module_for("cpu")
LIMIT = 1_000_000  # elements of a Jacobian; a larger one is compared for one random weighting of the outputs
MOST = 2048  # elements of an input; of a larger one a random choice is compared


class Settings(NamedTuple):
    """How to differentiate numerically, and what still counts as equal."""

    method: str
    directions: int
    step: float | None
    rtol: float
    atol: float | None
    full: bool
    eps: float

    def rounding(self, pullback: Pullback, i: int) -> float:
        """How far gradients may be off because the tape rounds too, when they should be 0."""
        return 1e3 * self.eps * pullback.largest / pullback.scales[i]

    def step_for(self, method: str, scale: float) -> float:
        """The step for an input of this scale; the user's own where it is meant for this method."""
        if self.step is not None and method == self.method:
            return self.step
        return numeric.step_for(method, scale, self.eps)


class Jacobians(NamedTuple):
    """The Jacobian of one input from the tape and numerically: elements of the output by elements of the input."""

    analytic: Any
    expected: Any
    error: Any
    kink: Any

    def wrong(self, settings: Settings, rounding: float) -> Any:
        """Where the two differ by more than the tolerance and what the numeric derivative may be off."""
        with host.errstate(invalid="ignore"):
            off = abs(self.analytic - self.expected)
            size = host.maximum(abs(self.analytic), abs(self.expected))
            known = host.isfinite(self.error)
            atol = settings.atol
            if atol is None:
                atol = 1e-3 * settings.rtol * abs(self.expected[known]).max(initial=0.0)
            return known & ~self.kink & ~(off <= atol + settings.rtol * size + 10 * self.error + rounding)


def line_along(subject: Differentiable, moves: dict[int, Any], project: Any = None) -> numeric.Line:
    """The function t -> outputs at x + t v, for inputs x and vectors v by number; t may be complex."""
    directions = {i: move(v.reshape(subject.arrays[i].shape), device_of(subject.arrays[i])) for i, v in moves.items()}
    real = list(subject.arrays)
    wide: list[Array] = []

    def line(t: complex) -> Any:
        if isinstance(t, complex) and not wide:
            wide.extend(x.astype("complex128") for x in subject.arrays)
        arrays = wide if isinstance(t, complex) else real
        for i, v in directions.items():
            arrays[i] = subject.arrays[i] + t * v
        y = values(subject, arrays)
        return y if project is None else (project @ y)[None]

    return line


class Columns:
    """The numeric Jacobian of one input at the elements ``chosen``: its values, how far off, and where it has kinks."""

    def __init__(
        self, subject: Differentiable, i: int, center: Any, method: str, settings: Settings, chosen: Any,
        weights: Any = None,
    ) -> None:
        self.subject, self.i, self.center, self.method, self.settings = subject, i, center, method, settings
        self.chosen, self.weights = chosen, weights
        shape = center.size, len(chosen)
        self.value, self.error, self.kink = host.empty(shape), host.empty(shape), host.empty(shape, bool)
        self.compute(range(len(chosen)))

    def compute(self, columns: Any, careful: bool = False) -> None:
        """Compute some columns, or compute them again, after measuring how much f jitters along them."""
        x, settings = self.subject.arrays[self.i], self.settings
        h = settings.step_for("complex" if self.method == "complex" else "richardson", numeric.scale_of(x))
        for k in columns:
            v = host.zeros(x.size)
            v[self.chosen[k]] = 1.0
            line = line_along(self.subject, {self.i: v}, self.weights)
            if self.method == "complex":
                value = numeric.complex_step(line, h)
                column = numeric.Estimate(value, 100 * settings.eps * abs(value), host.zeros(value.shape, bool))
            else:
                jitter = numeric.noise(line, self.center, h) if careful else 0.0
                column = numeric.search(line, self.center, h, settings.eps, settings.rtol, jitter)
            self.value[:, k], self.error[:, k], self.kink[:, k] = column

    def against(self, analytic: Any, u: Any = None) -> Jacobians:
        """Beside the analytic Jacobian, or both with the outputs weighted."""
        if u is None:
            return Jacobians(analytic, self.value, self.error, self.kink)
        return Jacobians(analytic, (u @ self.value)[None], (abs(u) @ self.error)[None], self.kink.any(0)[None])


def _expected(*args: Any) -> Any:
    return Columns(*args).value


def explain(
    subject: Differentiable, i: int, pullback: Pullback, method: str, finding: Finding, settings: Settings,
    rng: Generator, u: Any, certain: bool = False,
) -> None:
    """Compare element by element; write into the finding where and how the two differ most, and why.

    The outputs are first weighted with u, which takes one walk back; if something is wrong, each has its own.
    ``certain`` says that the directions alone prove an error, be it in no element that is looked at.
    """
    x, center = subject.arrays[i], pullback.center
    chosen = host.arange(x.size)
    if x.size > MOST and not settings.full:
        chosen = host.sort(rng.choice(x.size, MOST, replace=False))
    apart = settings.full or center.size * x.size <= LIMIT
    columns = Columns(
        subject, i, center if apart else (u @ center)[None], method, settings, chosen, None if apart else u
    )
    rounding = settings.rounding(pullback, i)
    rows: list[list[Any]] = []

    def each(k: int) -> Any:
        return host.stack([row[k] for row in rows])

    found = _settled(columns, pullback(u)[i][None, chosen], u if apart else None, settings, rounding)
    if settings.full or (apart and found.wrong(settings, rounding).any()):
        rows += [pullback(row) for row in host.eye(center.size)]
        found = columns.against(each(i)[:, chosen])
    wrong = found.wrong(settings, rounding)
    _conclude(finding, found, wrong, chosen, x.shape, certain and len(chosen) < x.size)
    if rows and finding.output_index:
        number, finding.output_index = pullback.place(finding.output_index[0])
        finding.output = subject.output_labels[number] if subject.output_labels else ""
        if len(pullback.outputs) > 1 and not finding.output:
            finding.output_index = (number, *finding.output_index)
    else:
        finding.output_index = None
    if not wrong.any():
        return
    others = {}
    for k, other in enumerate(subject.arrays):
        if rows and k != i and other.size == x.size == len(chosen):
            expected = partial(_expected, subject, k, center, method, settings, chosen)
            others[subject.labels[k]] = each(k), expected
    usable = host.isfinite(found.error) & ~found.kink
    finding.pattern, finding.cause = guess(
        host.where(usable, found.analytic, 0.0), host.where(usable, found.expected, 0.0),
        pullback.outputs[0].shape if rows and len(pullback.outputs) == 1 else found.analytic.shape[:1],
        x.shape if len(chosen) == x.size else chosen.shape, others,
        dict(zip(subject.labels, subject.arrays, strict=True)),
    )


def _settled(columns: Columns, analytic: Any, u: Any, settings: Settings, rounding: float) -> Jacobians:
    """The comparison, in which no column is wrong merely because the numeric derivative underrates its own error.

    The worst columns are looked at again with care; the others only if those turn out right.
    """
    found = columns.against(analytic, u)
    wrong = found.wrong(settings, rounding).any(0)
    order = host.argsort(-host.nan_to_num(abs(found.analytic - found.expected), nan=host.inf).max(0))
    suspects = [k for k in order if wrong[k]]
    for batch in (suspects[:3], suspects[3:]):
        if batch and columns.method != "complex":
            columns.compute(batch, careful=True)
            found = columns.against(analytic, u)
            if found.wrong(settings, rounding).any(0)[batch].any():
                break
    return found


def _conclude(
    finding: Finding, found: Jacobians, wrong: Any, chosen: Any, shape: tuple[int, ...], certain: bool
) -> None:
    """The status, the notes, and the place where the two differ most."""
    known = host.isfinite(found.error)
    count, size = len(chosen), math.prod(shape)
    finding.compared = f"all {count} elements" if count == size else f"{count} of {size} elements"
    finding.status = "kink" if found.kink.any() else "ok" if known.all() else "edge"
    if found.kink.any():
        finding.notes.append(
            f"at {_places(chosen[found.kink.any(0)], shape)} is a kink: the derivatives from the two sides differ "
            "there, and no gradient is wrong"
        )
    if not known.all():
        places = _places(chosen[~known.all(0)], shape)
        finding.notes.append(f"at {places} no numeric derivative exists: f is not finite nearby")
    if wrong.any() or certain:
        finding.status = "wrong"
    counted = wrong if wrong.any() else known & ~found.kink
    if not counted.any() or (certain and not wrong.any()):
        return
    with host.errstate(invalid="ignore"):
        off = abs(found.analytic - found.expected)
    worst = int(host.where(counted, host.where(host.isnan(off), host.inf, off), -1.0).argmax())
    row, column = divmod(worst, off.shape[1])
    finding.absolute = float(off[row, column])
    finding.analytic, finding.numeric = float(found.analytic[row, column]), float(found.expected[row, column])
    finding.relative = finding.absolute / (max(abs(finding.analytic), abs(finding.numeric)) or 1.0)
    finding.index, finding.output_index = unravel(int(chosen[column]), shape), (row,)


def _places(columns: Any, shape: tuple[int, ...]) -> str:
    """Some elements of an input, for people."""
    shown = ", ".join(str(unravel(int(j), shape)) for j in columns[:3])
    return shown + (f" and {len(columns) - 3} more" if len(columns) > 3 else "")
