r"""Numeric derivatives along a line, by three methods.

A line is :math:`t \mapsto f(x + t v)`, a function of one number to a vector; its derivative at 0 is :math:`J v`.

* central: :math:`(f(h) - f(-h)) / 2h`. Truncation grows with h^2, rounding with 1/h; h = eps^(1/3) balances them and
  leaves about 1e-10 in float64.
* richardson: central differences at h, h/2, h/4, ... combined so that the terms h^2, h^4, ... cancel (Ridders,
  Advances in Engineering Software 4, 1982): large steps, little rounding, about 1e-12; and it knows its own error.
* complex: :math:`\mathrm{Im} f(ih) / h` (Squire and Trapp, SIAM Review 40, 1998). Nothing is subtracted, so h can be
  1e-30, and the result is good to the last digits; f must be analytic.

Nothing is squared, so numbers from 1e-305 to 1e305 are compared like any others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from minigrad.backend import Array, module_for

Line = Callable[[complex], Any]
METHODS = ("central", "richardson", "complex")
TOLERANCE = {"central": 1e-6, "richardson": 1e-8, "complex": 1e-10}
LEVELS = 5
FLOOR = 1e-305  # where a value and all that the derivative can do to it are smaller, there are no digits to compare
QUANTUM = 5e-324  # the smallest number above 0, by which results near the end of the range are rounded
_host: Any = module_for("cpu")


class Settings(NamedTuple):
    """How to differentiate numerically, and what still counts as equal."""

    method: str
    directions: int
    step: float | None
    rtol: float
    atol: float
    full: bool
    eps: float  # of the outputs' dtype

    @property
    def sight(self) -> float:
        """The relative error that no verdict "right" may hide: a derivative known less well is undecided."""
        return max(1e-4, self.rtol)

    def step_for(self, method: str, scale: float) -> float:
        """The step for an input of this scale; the user's own where it is meant for this method."""
        if self.step is not None and method == self.method:
            return self.step
        return step_for(method, scale, self.eps)


class Estimate(NamedTuple):
    """A derivative, how far it may be off, where the one-sided differences disagree for good, and by how much they do
    at the step.
    """

    value: Any
    error: Any
    kink: Any
    gap: Any = 0.0


class Samples(NamedTuple):
    """What a function is at 0, and at steps to either side, with how finely it is rounded there."""

    center: Any
    steps: list[float]
    plus: list[Any]
    minus: list[Any]
    grain: Any

    def rounding(self, k: int, eps: float) -> Any:
        """How far rounding may put a difference quotient off."""
        grain = _host.maximum(self.grain, eps * _host.maximum(abs(self.plus[k]), abs(self.minus[k])))
        return 2 * grain / self.steps[k]


def power_of_two(x: float) -> float:
    """The largest power of two that is no larger than x; steps of such a size add to numbers without rounding."""
    return math.ldexp(0.5, math.frexp(x)[1]) if 0 < x < math.inf else 0.0


def scale_of(x: Array) -> float:
    """How large the elements of ``x`` are: their root mean square, and 1 when all are 0."""
    largest = float(abs(x).max()) if x.size else 0.0
    if not 0 < largest < math.inf:
        return 1.0
    unit = x / largest  # so that no square overflows
    return largest * float((unit * unit).mean()) ** 0.5


def step_for(method: str, scale: float, eps: float) -> float:
    """The step along a direction of unit size, for numbers of size ``scale`` computed with precision ``eps``."""
    if method == "central":
        return float(eps ** (1 / 3) * scale)
    return 1e-30 * scale if method == "complex" else float(eps ** (1 / 10) * scale)


def central(line: Line, center: Any, h: float, eps: float) -> Estimate:
    """(f(h) - f(-h)) / 2h, what rounding may do to it, and the gap, h f'' where f is smooth; ``center`` is line(0).

    >>> cube = lambda t: _host.asarray([(2 + t) ** 3])
    >>> round(float(central(cube, cube(0.0), 1e-5, 2e-16).value[0]), 6)
    12.0
    """
    plus, minus = line(h), line(-h)
    plus -= center
    minus -= center
    value = plus - minus
    value *= 0.5 / h
    plus += minus
    plus /= h
    rounding = abs(center)
    rounding *= 2 * eps / h
    rounding += QUANTUM / h
    return Estimate(value, rounding, False, abs(plus))


def norm(x: Any) -> float:
    """The length of a vector."""
    largest = float(abs(x).max(initial=0.0))
    if not 0 < largest < math.inf:
        return largest
    unit = x / largest
    return largest * float(unit @ unit) ** 0.5


def complex_step(line: Line, h: float = 1e-30) -> Any:
    """Im f(ih) / h.

    >>> complex_step(lambda t: _host.asarray((2 + t) ** 3)).item()
    12.0
    """
    return line(1j * h).imag / h


def noise(line: Line, center: Any, step: float) -> Any:
    """How much f jitters by rounding within, which its size does not tell, seen at steps of about this size.

    Fourth differences at small steps see no smooth function; a jitter e adds up to sqrt(70) e in them (Moré and Wild,
    SIAM Journal on Scientific Computing 33, 2011).
    """
    samples = []
    for s in (step, 1.25 * step, 1.75 * step, 2.25 * step):
        near = (line(s) - center) + (line(-s) - center)  # differences from the center, so that nothing overflows
        samples.append((line(2 * s) - center) + (line(-2 * s) - center) - 4 * near)
    worst = _host.nan_to_num(_host.max(_host.abs(samples), axis=0), posinf=0.0) / 4
    return _host.maximum(worst, _host.median(worst))


def sample(line: Line, center: Any, h: float, grain: Any = 0.0) -> Samples:
    """The values at h, h/2, h/4, ... to either side; ``grain`` is how finely they are rounded at least."""
    steps = [h / 2**k for k in range(LEVELS)]
    plus, minus = [], []
    for step in steps:
        plus.append(line(step))
        minus.append(line(-step))
    return Samples(center, steps, plus, minus, grain + QUANTUM)


def _extrapolated(rows: Iterable[Any], base: int, roundings: list[Any]) -> tuple[Any, Any]:
    """The best entry, element by element, of a tableau in which terms h^p, h^2p, ... cancel, where 2^p is ``base``."""
    value, error = _host.nan, _host.inf
    before: list[Any] = []
    for k, first in enumerate(rows):
        row = [first]
        for j in range(1, k + 1):
            row.append(row[-1] + (row[-1] - before[j - 1]) / (base**j - 1))
            off = _host.maximum(abs(row[j] - row[j - 1]), abs(row[j] - before[j - 1])) + roundings[k]
            better = off < error
            value, error = _host.where(better, row[j], value), _host.where(better, off, error)
        before = row
    return value, error


def extrapolate(samples: Samples, eps: float) -> Estimate:
    """The derivative from samples at both sides.

    The one-sided differences come for free. Where f is smooth their gap, h f'', halves with the step; at a kink it
    stays.
    """
    center, steps, plus, minus, _ = samples
    roundings = [samples.rounding(k, eps) for k in range(len(steps))]
    rows = [(0.5 * (p - center) - 0.5 * (m - center)) / h for h, p, m in zip(steps, plus, minus, strict=True)]
    value, error = _extrapolated(rows, 4, roundings)
    before, last = (abs((plus[k] - center) + (minus[k] - center)) / steps[k] for k in (-2, -1))
    floor = 1e-7 * abs(_host.nan_to_num(value)) + 30 * roundings[-1]
    return Estimate(value, error, (last > 0.75 * before) & (last > floor))


def one_sided(samples: Samples, eps: float) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """The derivatives from the left and from the right, each with how far it may be off."""
    center, steps, plus, minus, _ = samples
    roundings = [samples.rounding(k, eps) for k in range(len(steps))]
    left = _extrapolated([(center - m) / h for h, m in zip(steps, minus, strict=True)], 2, roundings)
    return left, _extrapolated([(p - center) / h for h, p in zip(steps, plus, strict=True)], 2, roundings)


def richardson(line: Line, center: Any, h: float, eps: float) -> Estimate:
    """The derivative by extrapolated differences that start at h.

    >>> square = lambda t: _host.asarray([(3 + t) ** 2, abs(t)])
    >>> estimate = richardson(square, square(0.0), 0.1, 2e-16)
    >>> round(float(estimate.value[0]), 12), estimate.kink.tolist()
    (6.0, [False, True])
    """
    with _host.errstate(all="ignore"):
        return extrapolate(sample(line, center, h), eps)


def search(line: Line, center: Any, steps: Iterable[float], eps: float, rtol: float, grain: Any = 0.0) -> Estimate:
    """`richardson` from the first of some steps, and from smaller ones while elements are not known to ``rtol``, or
    look like kinks: what looks like one from afar may be one nearby, which a smaller step does not reach.
    """
    best: Estimate | None = None
    for h in steps:
        finer = extrapolate(sample(line, center, h, grain), eps)
        if best is None:
            best = finer
        else:
            better = (finer.error < best.error) | (best.kink & ~finer.kink)
            best = Estimate(
                _host.where(better, finer.value, best.value),
                _host.where(better, finer.error, best.error),
                best.kink & finer.kink,
            )
        if not (best.kink | ~(best.error <= rtol * abs(best.value) + 1e4 * eps * abs(center))).any():
            break
    assert best is not None
    return best


def steps_for(scale: float, own: float = 0.0, quick: bool = False) -> list[float]:
    """First steps for `richardson`, from coarse to fine: for an element of size ``own`` beside others of ``scale``.

    All are powers of two, and none is so small that the element would round it.
    """
    large, small = power_of_two(scale), power_of_two(own)
    coarse = [math.ldexp(large, -5 - 6 * k) for k in range(11)]
    if not small:  # 0 has no size of its own; 1 is one that many functions have
        unit = [math.ldexp(1.0, -5 - 6 * k) for k in range(6) if math.ldexp(1.0, -5) < coarse[-1]]
        return coarse[:2] if quick else coarse + unit
    if small >= large / 64:
        fine = [h for h in coarse if h >= math.ldexp(small, -37)]
        return fine[:2] if quick else fine
    fine = [math.ldexp(small, -5 - 6 * k) for k in range(6)]
    between = [math.ldexp(large, -5 - 6 * k) for k in range(180) if math.ldexp(large, -6 * k) > small]
    return [coarse[0], fine[0]] if quick else between[:12] + fine


def curve(
    line: Line, u: Any, analytic: float, center: Any, eps: float, method: str, steps: list[float]
) -> list[float]:
    """The relative error of a method for each step, for plots; NaN where it cannot be computed."""
    errors = []
    for h in steps:
        try:
            with _host.errstate(all="ignore"):
                if method == "complex":
                    value = complex_step(line, h)
                else:
                    value = {"central": central, "richardson": richardson}[method](line, center, h, eps).value
            errors.append(abs(float(u @ value) - analytic) / (abs(analytic) or 1.0))
        except (TypeError, ValueError, RuntimeError):
            errors.append(math.nan)
    return errors
