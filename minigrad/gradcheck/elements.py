"""Every element of the Jacobian of one input both ways: the verdict on each, and what a difference looks like."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from minigrad.backend import Generator, module_for, to_host
from minigrad.gradcheck import numeric
from minigrad.gradcheck.causes import guess
from minigrad.gradcheck.lines import by_complex_step, line_along, moves_outside, narrow_op, shaking, stands_still
from minigrad.gradcheck.numeric import FLOOR, Settings
from minigrad.gradcheck.report import Finding
from minigrad.gradcheck.subject import Differentiable, Pullback, random_signs, unravel, values
from minigrad.gradcheck.verdict import EDGE, KINK, RIGHT, UNDECIDED, UNSEEN, WRONG, Derivative, Judged, judge
from minigrad.gradcheck.verdict import by_complex_steps as judge_by_complex_steps

host: Any = module_for("cpu")
LIMIT = 1_000_000  # elements of a Jacobian; a larger one is compared for one random weighting of the outputs
ROWS = 256  # outputs; of more, a random weighting is compared first
MOST = 2048  # elements of an input; of a larger one a random choice is compared


class Elements:
    """The comparison of one input, element by element."""

    def __init__(
        self, subject: Differentiable, i: int, pullback: Pullback, finding: Finding, settings: Settings,
        rng: Generator, u: Any, gradient: Any,
    ) -> None:
        self.subject, self.i, self.pullback, self.finding = subject, i, pullback, finding
        self.settings, self.rng, self.u, self.gradient = settings, rng, u, gradient
        self.x = to_host(subject.arrays[i]).reshape(-1)
        self.scale = pullback.scales[i]
        self.certain = False  # whether the direction alone proves an error
        self.chosen = host.arange(self.x.size)
        self.worst: tuple[int, int] | None = None  # the output and the element that are to be told
        self.apart = False  # whether every output is compared by itself
        self.analytic: Any = None
        self.grain: Any = None  # how finely outputs are rounded

    def compare(self) -> None:
        """Compare; write into the finding where and how the two differ most, and why."""
        m, n = self.pullback.center.size, self.x.size
        if n > MOST and not self.settings.full:
            self.choose()
        possible = self.settings.full or m * len(self.chosen) <= LIMIT
        self.apart = self.settings.full or (possible and m <= ROWS)
        self.look()
        if not self.apart and possible and (self.verdict >= UNDECIDED).any():
            self.apart = True  # which output?
            self.look()
        self.conclude()

    # ------------------------------------------------------------------ both sides

    def choose(self) -> None:
        """Choose elements at random, beside those that halving finds, if the direction alone proves an error."""
        n = self.x.size
        v = random_signs(self.rng, (n,)) * self.scale
        project, block = self.u, host.arange(n)

        def off(part: Any) -> float:
            """By how much the two differ when this part of the elements moves."""
            moved = host.zeros(n)
            moved[part] = v[part]
            line = line_along(self.subject, {self.i: moved}, project)
            center = (project @ self.pullback.center)[None]
            value = numeric.search(line, center, numeric.steps_for(1.0, quick=True), self.settings.eps, 1e-8).value
            return abs(float(self.gradient[part] @ v[part]) - float(value[0]))

        self.certain = self.direction(v) == WRONG
        while self.certain and len(block) > 32:
            halves = block[: len(block) // 2], block[len(block) // 2 :]
            block = max(halves, key=off)
        known = block if self.certain else block[:0]
        others = host.setdiff1d(host.arange(n), known)
        self.chosen = host.sort(host.concatenate([known, self.rng.choice(others, MOST - len(known), replace=False)]))

    def direction(self, v: Any) -> int:
        """The verdict along a direction, of the outputs as weighted."""
        line = line_along(self.subject, {self.i: v}, self.u)
        center = self.pullback.center
        grain = self.settings.eps * (abs(self.u) @ abs(center))[None]
        claim = Derivative((self.gradient @ v)[None], 0.0, 1.0, grain)
        center = (self.u @ center)[None]
        return int(judge(line, center, claim, numeric.steps_for(1.0)[:5], self.settings, careful=True).verdict[0])

    def rows(self, pullback: Pullback, outputs: Any = None) -> Any:
        """The chosen columns of the Jacobian by the tape, of all outputs or of some, or of their weighted sum."""
        if not self.apart:
            return pullback(self.u)[self.i][None, self.chosen]
        outputs = host.arange(pullback.center.size) if outputs is None else outputs
        rows = host.empty((len(outputs), len(self.chosen)))
        for k, output in enumerate(outputs):
            one = host.zeros(pullback.center.size)
            one[output] = 1.0
            rows[k] = pullback(one)[self.i][self.chosen]
        return rows

    def shake(self, outputs: Any) -> None:
        """Measure the rounding of f and of the tape: what changes when each op's result changes in its last digit.

        Rounding grows with what is shaken. What does not is a tie that falls apart, and no rounding.
        """
        eps = 2 * self.settings.eps
        analytic = self.analytic[outputs]
        own = 2 * eps * abs(analytic)
        grain, fine, coarse = self.grain, own, host.zeros(own.shape)
        for size in (eps, eps, eps, 256 * eps, 256 * eps):
            try:
                with shaking(self.rng, size):
                    pullback = Pullback(self.subject)
                    rows = self.rows(pullback, outputs)
            except (TypeError, ValueError, RuntimeError):
                return
            if pullback.center.shape != self.pullback.center.shape:
                return
            center = pullback.center if self.apart else (self.u @ pullback.center)[None]
            grain = host.fmax(grain, abs(center - self.center) * (eps / size))
            if size == eps:
                fine = host.fmax(fine, abs(rows - analytic))
            else:
                coarse = host.fmax(coarse, abs(rows - analytic))
        self.grain = host.where(host.isfinite(grain), grain, self.grain)
        slack = host.where(coarse > 4 * fine, host.maximum(fine, coarse / 128), own)
        self.slack[outputs] = host.where(host.isfinite(coarse) & host.isfinite(slack), slack, 0.0)

    def look(self) -> None:
        """The verdicts; suspects are looked at again, with care."""
        self.project = None if self.apart else self.u
        center = self.pullback.center
        self.center = center if self.apart else (self.u @ center)[None]
        self.grain = self.settings.eps * (abs(center) if self.apart else (abs(self.u) @ abs(center))[None])
        self.analytic = self.rows(self.pullback)
        shape = self.analytic.shape
        self.slack: Any = host.zeros(shape)
        self.verdict = host.full(shape, UNDECIDED)
        self.value, self.error = host.full(shape, host.nan), host.full(shape, host.inf)
        for k in range(len(self.chosen)):
            self.judge(k, careful=False)
        if (self.verdict == WRONG).any():  # if the worst is wrong for sure, that is enough
            row, column = self.worst_of(WRONG)
            quick = self.verdict[:, column].copy()
            self.shake(host.asarray([row]))
            self.judge(column, careful=True)
            if self.verdict[row, column] == WRONG:
                self.verdict[:, column] = host.where(quick == WRONG, quick, self.verdict[:, column])
                self.worst = row, column
                return
        suspects = [k for k in range(len(self.chosen)) if (self.verdict[:, k] > UNSEEN).any()]
        if suspects:
            self.shake(host.flatnonzero((self.verdict > UNSEEN).any(1)))
        for k in suspects:
            self.judge(k, careful=True)

    def worst_of(self, verdict: int) -> tuple[int, int]:
        """Where the two differ most, beside the other elements of the same output, among elements of one verdict."""
        off = abs(self.analytic - self.value)
        beside = host.where(host.isfinite(self.value), abs(self.value), 0.0).max(1, keepdims=True)
        rank = host.nan_to_num(off / host.where(beside > 0, beside, 1.0), nan=host.inf)
        row, column = divmod(int(host.where(self.verdict == verdict, rank, -1.0).argmax()), off.shape[1])
        return row, column

    def judge(self, k: int, careful: bool) -> None:
        """The verdicts on one column."""
        j = int(self.chosen[k])
        v = host.zeros(self.x.size)
        v[j] = 1.0
        line = line_along(self.subject, {self.i: v}, self.project)
        own = abs(float(self.x[j]))
        scale = own if 0 < own < self.scale / 64 else self.scale
        analytic, still = self.analytic[:, k], (True, True)
        if not analytic.all():
            still = stands_still(line, self.center, self.settings.step_for("complex", scale), scale)
        claim = Derivative(analytic, self.slack[:, k], scale, self.grain, *still)
        steps = [self.settings.step] if self.settings.step and self.settings.method == "richardson" else []
        steps += numeric.steps_for(self.scale, own, quick=not careful)
        judged = judge(line, self.center, claim, steps, self.settings, careful)
        if (judged.verdict == UNDECIDED).any() or (careful and (judged.verdict == WRONG).any()):
            judged = self.by_complex_steps(line, judged, claim, own)
        self.verdict[:, k], self.value[:, k], self.error[:, k] = judged

    def by_complex_steps(self, line: numeric.Line, judged: Judged, claim: Derivative, own: float) -> Judged:
        """Where differences leave a question open, the answer of complex steps, if f takes them."""
        h = self.settings.step_for("complex", min(claim.scale, 1.0) if own == 0 else claim.scale)
        first, why = by_complex_step(line, h, continued=True)
        if why or moves_outside(line, h, claim.scale):
            return judged
        second = by_complex_step(line, 1.3125 * h, continued=True)[0]
        span = host.maximum(abs(self.center), self.grain / self.settings.eps)
        lost = (claim.analytic != 0) & (abs(first) * h <= numeric.FLOOR)  # too few digits left
        if lost.any():
            large = claim.scale * 2.0**-27  # whose square is eps
            first, second = (
                host.where(lost, by_complex_step(line, t, continued=True)[0], former)
                for t, former in ((large, first), (1.3125 * large, second))
            )
            h = host.where(lost, large, h)
        return judge_by_complex_steps(first, second, h, span, judged, claim, self.settings)

    # ------------------------------------------------------------------ what it says

    def conclude(self) -> None:
        """The status, the notes, the place where the two differ most, and what that looks like."""
        finding, verdict, shape = self.finding, self.verdict, self.finding.shape
        size = math.prod(shape)
        count = len(self.chosen)
        finding.compared = f"all {count} elements" if count == size else f"{count} of {size} elements"
        worst = max(int(verdict.max(initial=RIGHT)), WRONG if self.certain else RIGHT)
        if finding.status != "wrong":
            finding.status = {KINK: "kink", EDGE: "edge", UNDECIDED: "undecided", WRONG: "wrong"}.get(worst, "ok")
        self.add_notes()
        self.name_the_worst(worst)
        if (verdict == WRONG).any():
            if not finding.cause:
                self.explain()
        elif finding.status == "wrong" and not finding.cause:
            finding.cause = (
                f"a direction proves it, but none of the {count} elements that were compared one by one is wrong; "
                "full=True compares all"
            )
        elif worst == UNDECIDED:
            finding.cause = self.reason()

    def add_notes(self) -> None:
        """Where there is no derivative, or nothing to be seen."""
        for code, text in (
            (KINK, "is a kink: the derivatives from the two sides differ there, and the gradient lies between them"),
            (EDGE, "no numeric derivative exists: f is not finite to one side"),
            (UNSEEN, f"nothing is seen: value and derivative are below {FLOOR:g}, where numbers end"),
        ):
            places = self.chosen[(self.verdict == code).any(0)]
            if len(places):
                self.finding.notes.append(f"at {_places(places, self.finding.shape)} {text}")

    def name_the_worst(self, worst: int) -> None:
        """The element where the two differ most, beside the other elements of its output."""
        finding = self.finding
        named = worst if worst >= UNDECIDED else RIGHT
        if not (self.verdict == named).any():
            return
        row, column = self.worst = self.worst or self.worst_of(named)
        finding.absolute = abs(float(self.analytic[row, column]) - float(self.value[row, column]))
        finding.analytic, finding.numeric = float(self.analytic[row, column]), float(self.value[row, column])
        finding.relative = finding.absolute / (max(abs(finding.analytic), abs(finding.numeric)) or 1.0)
        finding.index = unravel(int(self.chosen[column]), finding.shape)
        if not self.apart:
            return
        number, finding.output_index = self.pullback.place(row)
        finding.output = self.subject.output_labels[number] if self.subject.output_labels else ""
        if len(self.pullback.outputs) > 1 and not finding.output:
            finding.output_index = (number, *finding.output_index)

    def explain(self) -> None:
        """What the error looks like."""
        subject, settings = self.subject, self.settings
        usable = (self.verdict == RIGHT) | (self.verdict >= UNDECIDED)
        others = {}
        for k, other in enumerate(subject.arrays):
            if self.apart and k != self.i and other.size == self.x.size == len(self.chosen):
                beside = Elements(subject, k, self.pullback, self.finding, settings, self.rng, self.u, self.gradient)
                beside.apart = True
                others[subject.labels[k]] = beside.rows(self.pullback), partial(beside.expected)
        whole = self.apart and len(self.pullback.outputs) == 1
        self.finding.pattern, self.finding.cause = guess(
            host.where(usable, self.analytic, 0.0), host.where(usable & (self.error < host.inf), self.value, 0.0),
            self.pullback.outputs[0].shape if whole else self.analytic.shape[:1],
            self.finding.shape if len(self.chosen) == self.x.size else self.chosen.shape, others,
            dict(zip(subject.labels, subject.arrays, strict=True)), self.verdict == WRONG,
        )

    def expected(self) -> Any:
        """The numeric Jacobian, to see whether it is what another input's gradient shows."""
        columns = []
        for j in range(self.x.size):
            v = host.zeros(self.x.size)
            v[j] = 1.0
            steps = numeric.steps_for(self.scale, abs(float(self.x[j])), quick=True)
            line = line_along(self.subject, {self.i: v})
            eps, rtol = self.settings.eps, self.settings.rtol
            columns.append(numeric.search(line, self.pullback.center, steps, eps, rtol).value)
        return host.stack(columns, axis=1)

    def reason(self) -> str:
        """Why an element is undecided, and what would decide it."""
        assert self.worst is not None
        row, column = self.worst
        error, output = float(self.error[row, column]), float(self.center[row])
        op, dtype = narrow_op(lambda: values(self.subject, self.subject.arrays))
        if op:
            return (
                f"op {op} computes in {dtype} within f, whose few digits leave no room for differences; let f compute "
                "in float64 while it is checked, or pass the rtol that its digits allow"
            )
        if not error < host.inf:
            return "f is not finite at any step to either side; a point within its domain would decide it"
        return (
            f"the difference is known to {error:.1g} only, for f, here {output:.3g}, is rounded, and complex steps do "
            "not tell; checking the part that depends on this element by itself, without the larger numbers beside "
            "it, or a point where it is smoother, would decide it"
        )


def _places(columns: Any, shape: tuple[int, ...]) -> str:
    """Some elements of an input, for people."""
    shown = ", ".join(str(unravel(int(j), shape)) for j in columns[:3])
    return shown + (f" and {len(columns) - 3} more" if len(columns) > 3 else "")
