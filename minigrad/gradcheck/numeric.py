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
    """A derivative, how far it may be off, and where the two one-sided differences disagree for good."""

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


def central(line: Line, h: float) -> Any:
    """(f(h) - f(-h)) / 2h.

    >>> round(float(central(lambda t: (2 + t) ** 3, 1e-5)), 6)
    12.0
    """
    return (line(h) - line(-h)) / (2 * h)


def complex_step(line: Line, h: float = 1e-30) -> Any:
    """Im f(ih) / h.

    >>> complex_step(lambda t: _host.asarray((2 + t) ** 3)).item()
    12.0
    """
    return line(1j * h).imag / h


def richardson(line: Line, center: Any, h: float, eps: float, levels: int = LEVELS) -> Estimate:
    """The best entry, element by element, of the tableau of extrapolated central differences.

    ``center`` is line(0): with it the one-sided differences come for free. Where f is smooth their gap, h f'',
    halves with the step; at a kink it stays.

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
        for k in range(levels):
            step = h / 2**k
            plus, minus = line(step), line(-step)
            rounding = eps * (abs(plus) + abs(minus)) / step
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


def search(line: Line, center: Any, h: float, eps: float, rtol: float) -> Estimate:
    """`richardson`, with smaller first steps as long as elements are not known to ``rtol``, or look like kinks.

    What looks like a kink from afar may be one nearby, which a smaller step does not reach.
    """
    best = richardson(line, center, h, eps)
    for factor in (2e-2, 5e-4, 1e-5):
        if not (best.kink | ~(best.error <= rtol * abs(best.value) + 1e4 * eps * scale_of(center))).any():
            break
        finer = richardson(line, center, h * factor, eps)
        better = (finer.error < best.error) | (best.kink & ~finer.kink)
        best = Estimate(
            _host.where(better, finer.value, best.value),
            _host.where(better, finer.error, best.error),
            best.kink & finer.kink,
        )
    return best
