r"""Numeric derivatives along a line, by three methods.

A line is :math:`t \mapsto f(x + t v)`, a function of one number to a vector; its derivative at 0 is :math:`J v`.

* central: :math:`(f(h) - f(-h)) / 2h`. Truncation grows with h^2, rounding with 1/h; h = eps^(1/3) balances them and
  leaves about 1e-10 in float64.
* richardson: central differences at h, h/2, h/4, ... combined so that the terms h^2, h^4, ... cancel (Ridders,
  Advances in Engineering Software 4, 1982): large steps, little rounding, about 1e-12; and it knows its own error.
* complex: :math:`\mathrm{Im} f(ih) / h` (Squire and Trapp, SIAM Review 40, 1998). Nothing is subtracted, so h can be
  1e-30, and the result is good to the last digits; f must be analytic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from minigrad.backend import Array, module_for

Line = Callable[[complex], Any]
METHODS = ("central", "richardson", "complex")
LEVELS = 5
_host: Any = module_for("cpu")


class Estimate(NamedTuple):
    """A derivative, how far it may be off, and where the two one-sided differences disagree for good.

    The latter two are told for each element or, by `central`, once for the whole vector.
    """

    value: Any
    error: Any
    kink: Any


def scale_of(x: Array) -> float:
    """How large the elements of ``x`` are: their root mean square, and 1 when all are 0."""
    rms = float((x * x).mean()) ** 0.5 if x.size else 0.0
    return rms or 1.0


def step_for(method: str, scale: float, eps: float) -> float:
    """The step along a direction of unit size, for numbers of size ``scale`` computed with precision ``eps``."""
    if method == "central":
        return float(eps ** (1 / 3) * scale)
    return 1e-30 * scale if method == "complex" else float(eps ** (1 / 10) * scale)


def central(line: Line, center: Any, h: float, eps: float) -> Estimate:
    """(f(h) - f(-h)) / 2h, with what rounding may do to it, and whether there is a kink; ``center`` is line(0).

    >>> cube = lambda t: _host.asarray([(2 + t) ** 3])
    >>> round(float(central(cube, cube(0.0), 1e-5, 2e-16).value[0]), 6)
    12.0
    """
    plus, minus = line(h), line(-h)
    value = plus - minus
    value /= 2 * h
    plus += minus
    plus -= center
    plus -= center
    rounding = 2 * eps * norm(center) / h
    kink = norm(plus) / h > 1e-3 * norm(value) + 1e3 * rounding
    return Estimate(value, rounding, kink)


def norm(x: Any) -> float:
    """The length of a vector."""
    return float(x @ x) ** 0.5


def complex_step(line: Line, h: float = 1e-30) -> Any:
    """Im f(ih) / h.

    >>> complex_step(lambda t: _host.asarray((2 + t) ** 3)).item()
    12.0
    """
    return line(1j * h).imag / h


def noise(line: Line, center: Any, h: float) -> Any:
    """How much f jitters by rounding within, which its size does not tell; h is where `richardson` starts.

    Fourth differences at small steps see no smooth function; a jitter e adds up to sqrt(70) e in them (Moré and Wild,
    SIAM Journal on Scientific Computing 33, 2011).
    """
    with _host.errstate(all="ignore"):
        steps = [1e-4 * h * k for k in (1.0, 1.37, 1.83, 2.29)]
        samples = [line(2 * s) - 4 * line(s) + 6 * center - 4 * line(-s) + line(-2 * s) for s in steps]
    worst = _host.nan_to_num(_host.max(_host.abs(samples), axis=0), posinf=0.0) / 4
    return _host.maximum(worst, _host.median(worst))


def richardson(line: Line, center: Any, h: float, eps: float, jitter: Any = 0.0) -> Estimate:
    """The best entry, element by element, of the tableau of extrapolated central differences.

    With ``center``, line(0), the one-sided differences come for free. Where f is smooth their gap, h f'', halves with
    the step; at a kink it stays.

    >>> square = lambda t: _host.asarray([(3 + t) ** 2, abs(t)])
    >>> estimate = richardson(square, square(0.0), 0.1, 2e-16)
    >>> round(float(estimate.value[0]), 12), estimate.kink.tolist()
    (6.0, [False, True])
    """
    value = _host.full(center.shape, _host.nan)
    error = _host.full(center.shape, _host.inf)
    before: list[Any] = []
    gaps: list[Any] = []
    with _host.errstate(all="ignore"):
        for k in range(LEVELS):
            step = h / 2**k
            plus, minus = line(step), line(-step)
            rounding = (eps * (abs(plus) + abs(minus)) + jitter) / step
            gaps.append(abs(plus - 2 * center + minus) / step)
            row = [(plus - minus) / (2 * step)]
            for j in range(1, k + 1):
                row.append(row[-1] + (row[-1] - before[j - 1]) / (4**j - 1))
                off = _host.maximum(abs(row[j] - row[j - 1]), abs(row[j] - before[j - 1])) + rounding
                better = off < error
                value, error = _host.where(better, row[j], value), _host.where(better, off, error)
            before = row
        floor = 1e-7 * _host.nan_to_num(abs(value)).max(initial=0.0) + 100 * rounding
        kink = (gaps[-1] > 0.75 * gaps[-2]) & (gaps[-1] > floor)
    return Estimate(value, error, kink)


def search(line: Line, center: Any, h: float, eps: float, rtol: float, jitter: Any = 0.0) -> Estimate:
    """`richardson`, with smaller first steps as long as elements are not known to ``rtol``, or look like kinks.

    What looks like a kink from afar may be one nearby, which a smaller step does not reach.
    """
    best = richardson(line, center, h, eps, jitter)
    enough = 1e4 * eps * scale_of(center)
    for factor in (2e-2, 5e-4, 1e-5):
        if not (best.kink | ~(best.error <= rtol * abs(best.value) + enough)).any():
            break
        finer = richardson(line, center, h * factor, eps, jitter)
        better = (finer.error < best.error) | (best.kink & ~finer.kink)
        best = Estimate(
            _host.where(better, finer.value, best.value),
            _host.where(better, finer.error, best.error),
            best.kink & finer.kink,
        )
    return best
