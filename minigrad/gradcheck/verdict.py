"""Right, wrong or undecided: one derivative from the tape against differences, for each output by itself.

A difference is compared at its own scale and with its own error. What is not known well enough to see an error of
`Settings.sight` is undecided, not right. Steps go from coarse to fine, for a function may be steep, or its domain end,
on a smaller scale than that of the input; the finest steps that tell anything decide.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

from minigrad.backend import module_for
from minigrad.gradcheck import numeric
from minigrad.gradcheck.numeric import FLOOR, Samples, Settings

host: Any = module_for("cpu")
RIGHT, UNSEEN, KINK, EDGE, UNDECIDED, WRONG = range(6)


class Derivative(NamedTuple):
    """What the tape says about a line: its derivative, how much that jitters by the tape's own rounding, the size of
    the number that moves, how finely outputs are rounded, where more coarsely than their size tells, which of them
    stand still for sure, and whether complex steps say so.
    """

    analytic: Any
    slack: Any
    scale: float
    grain: Any
    still: Any = True
    seen: bool = True

    def excuse(self, span: Any, settings: Settings) -> Any:
        """The jitter, where it may excuse a difference: where it is small beside what the function does."""
        most = settings.sight * host.maximum(span, abs(self.analytic) * self.scale)
        return host.where(self.slack * self.scale <= most, self.slack, 0.0)


class Judged(NamedTuple):
    """For each output: the verdict, the numeric derivative, and how far that may be off."""

    verdict: Any
    value: Any
    error: Any


def judge(
    line: numeric.Line, center: Any, claim: Derivative, steps: list[float], settings: Settings, careful: bool = False
) -> Judged:
    """The verdicts along a line; ``careful`` measures how much f jitters, and looks at all steps before it blames."""
    shape = center.shape
    verdict, confirmed = host.full(shape, UNDECIDED), host.zeros(shape, bool)
    value, error = host.full(shape, host.nan), host.full(shape, host.inf)
    span = abs(center)  # how large outputs are about here, or the terms of one that is all rounding
    span = host.where(span <= 10 * claim.grain, claim.grain / settings.eps, span)
    moved, rough = host.zeros(shape, bool), host.zeros(shape)
    if careful:  # steep places are no jitter at small steps, and results that stand still hide it there
        rough, fine = (numeric.noise(line, center, 2.0**-13 * h) for h in (steps[0], steps[-1]))
        claim = claim._replace(grain=host.maximum(claim.grain, host.minimum(rough, fine)))
    for h in steps:
        open_ = (verdict != RIGHT) & (verdict != UNSEEN)
        if not open_.any():
            break
        samples = numeric.sample(line, center, h, claim.grain)
        moves = host.zeros(shape, bool)
        for y in (samples.plus[0], samples.minus[0]):
            span = host.maximum(span, host.where(host.isfinite(y), abs(y), 0.0))
            moves |= y != center
        here = _at(samples, claim, span, settings, last=h is steps[-1])
        grain = host.maximum(claim.grain, settings.eps * abs(center))
        lost = moved & ~moves & (abs(value) * h < 8 * host.maximum(grain, rough))  # what was seen would be rounded off
        here = Judged(
            host.where(lost, UNDECIDED, here.verdict), here.value, host.where(lost, host.inf, here.error)
        )
        moved |= moves
        told = open_ & (here.verdict != UNDECIDED)
        wrong = told & (here.verdict == WRONG)
        near = abs(here.value - value) <= 0.1 * abs(value) + 20 * 2**numeric.LEVELS * grain / h
        confirmed = host.where(wrong, (verdict == WRONG) & (near | ~host.isfinite(claim.analytic)), confirmed & ~told)
        blank = verdict == UNDECIDED
        better = (told & (blank | ~near)) | (open_ & ~(here.error >= error) & (told | blank))
        verdict = host.where(told, here.verdict, verdict)
        value, error = host.where(better, here.value, value), host.where(better, here.error, error)
    if careful:  # what one size of step alone says may be a coincidence
        verdict = host.where((verdict == WRONG) & ~confirmed, UNDECIDED, verdict)
    return Judged(verdict, value, error)


def _at(samples: Samples, claim: Derivative, span: Any, settings: Settings, last: bool) -> Judged:
    """The verdicts by the steps of one size."""
    eps, analytic = settings.eps, claim.analytic
    value, error, kink, _ = numeric.extrapolate(samples, eps)
    known = host.isfinite(error)
    off, size = abs(analytic - value), host.maximum(abs(analytic), abs(value))
    size = host.where(host.isfinite(analytic), size, 0.0)  # infinity allows nothing
    slack = claim.excuse(span, settings)
    margin = settings.atol + settings.rtol * size + 10 * slack
    sharp = 10 * error <= settings.atol + settings.sight * size + 100 * slack
    # an output that is all rounding, such as a sum of softmax minus 1, may give a gradient that is all rounding
    noise = (abs(samples.center) <= 1e-12 * span) & (abs(analytic) * claim.scale <= 100 * eps * span)
    zero = ((abs(analytic) <= 10 * slack) | noise) & (abs(value) <= 10 * error)
    still = 10 * error * claim.scale <= 1e-6 * span
    moved = samples.plus[0], samples.minus[0]
    coarse = 4 * host.maximum(samples.grain, eps * abs(samples.center))
    quiet = (abs(moved[0] - samples.center) <= coarse) & (abs(moved[1] - samples.center) <= coarse)
    constant = (analytic == 0) & (moved[0] == samples.center) & (moved[1] == samples.center)
    right = known & ~kink & (((off <= margin + 10 * error) & (sharp | (zero & still))) | constant)
    noise &= abs(samples.center) <= 10 * samples.grain
    right &= (analytic != 0) | claim.still | (sharp & (slack > 0)) | noise | (~quiet & (not claim.seen))
    verdict = host.where(right, RIGHT, UNDECIDED)
    largest = host.maximum(abs(samples.center), host.maximum(abs(moved[0]), abs(moved[1])))
    lost = (largest < FLOOR) | ((analytic != 0) & still & (abs(value) <= 10 * error) & ~kink)
    verdict = host.where(~right & lost & (abs(analytic) * claim.scale < FLOOR), UNSEEN, verdict)
    rest = verdict == UNDECIDED
    if not rest.any():
        return Judged(verdict, value, error)
    (left, left_error), (above, above_error) = numeric.one_sided(samples, eps)
    margin += 10 * host.where(known, error, 0.0)
    low = host.minimum(left - 10 * left_error, above - 10 * above_error) - margin
    high = host.maximum(left + 10 * left_error, above + 10 * above_error) + margin
    both = host.isfinite(low) & host.isfinite(high)
    inside = (analytic >= low) & (analytic <= high)
    apart = known & both & ~inside & ~(off <= margin)
    apart &= ~(off <= 10 * claim.slack)
    verdict = host.where(rest & apart, WRONG, verdict)
    clear = 10 * (left_error + above_error) <= 1e-2 * abs(above - left)
    verdict = host.where(rest & ~apart & kink & known & both & clear, KINK, verdict)
    if last:
        verdict = _without_bounds(samples, claim, settings, verdict)
    reach = host.isfinite(moved[0]) | host.isfinite(moved[1])
    return Judged(host.where(host.isnan(analytic) & reach, WRONG, verdict), value, error)


def _without_bounds(samples: Samples, claim: Derivative, settings: Settings, verdict: Any) -> Any:
    """The verdicts at the smallest steps where f ends or jumps: its domain has an edge, or its slope grows for ever."""
    center, steps, plus, minus, _ = samples
    analytic = claim.analytic
    lows, highs, finite, steep = [], [], [], []
    for values, sign, (end, off) in zip(
        (minus, plus), (-1.0, 1.0), numeric.one_sided(samples, settings.eps), strict=True
    ):
        slopes = [sign * (values[k] - center) / steps[k] for k in range(len(steps))]
        grows = host.ones(center.shape, bool)
        for before, slope in pairwise(slopes):
            grows &= (slope * before > 0) & (abs(slope) > 1.2 * abs(before))
        exists = host.isfinite(values[-1])
        lows.append(host.where(grows & (slopes[-1] < 0), -host.inf, host.where(exists, end - 10 * off, host.inf)))
        highs.append(host.where(grows & (slopes[-1] > 0), host.inf, host.where(exists, end + 10 * off, -host.inf)))
        finite.append(exists)
        steep.append(grows)
    margin = settings.atol + settings.rtol * host.where(host.isfinite(analytic), abs(analytic), 0.0)
    inside = (analytic >= host.minimum(*lows) - margin) & (analytic <= host.maximum(*highs) + margin)
    edge = (verdict == UNDECIDED) & (finite[0] ^ finite[1])
    jump = (verdict == UNDECIDED) & finite[0] & finite[1] & (steep[0] | steep[1])
    grown = host.where(finite[0], steep[0], steep[1])  # the slope is infinite there, and no number is
    infinite = host.where(host.fmax(*highs) == host.inf, analytic == host.inf, analytic == -host.inf)
    inside = host.where(grown, infinite, inside)
    told = host.where(inside, EDGE, host.where(grown & host.isfinite(analytic), UNDECIDED, WRONG))
    verdict = host.where(edge, told, verdict)
    return host.where(jump & inside, KINK, verdict)


def by_complex_steps(
    first: Any, second: Any, h: Any, span: Any, judged: Judged, claim: Derivative, settings: Settings
) -> Judged:
    """The verdicts again, where two complex steps, h and one like it, see what differences cannot: small parts beside
    large ones, and what f rounds off. Where they give the tape's number, and it is not 0, it is right. They are
    trusted to blame only where they agree with the difference, as far as that is known.
    """
    value, error = second, 4 * abs(first - second) + 16 * settings.eps * abs(second)
    off, size = abs(claim.analytic - value), host.maximum(abs(claim.analytic), abs(value))
    slack = claim.excuse(span, settings)
    same = abs(value - judged.value) <= 10 * judged.error + settings.sight * abs(value)
    sharp = host.isfinite(off) & (10 * error <= settings.atol + settings.sight * size + 100 * slack)
    margin = settings.atol + settings.rtol * size + 10 * error
    undecided = sharp & (judged.verdict == UNDECIDED)
    right = undecided & same & (off <= margin + 10 * slack)
    right |= sharp & (judged.verdict >= UNDECIDED) & (value != 0) & (off <= margin)
    seen = host.isfinite(judged.error) & (value != 0) & (abs(value) * h > FLOOR)
    wrong = undecided & same & ~right & seen & ~(off <= 10 * claim.slack)
    told = right | wrong
    verdict = host.where(told, host.where(right, RIGHT, WRONG), judged.verdict)
    return Judged(verdict, host.where(told, value, judged.value), host.where(told, error, judged.error))
