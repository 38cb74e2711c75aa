"""Tape against differences, input by input: first along random directions, then element by element."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from minigrad.backend import Generator, module_for
from minigrad.gradcheck import numeric
from minigrad.gradcheck.elements import Elements
from minigrad.gradcheck.lines import line_along, not_analytic, receives, stands_still
from minigrad.gradcheck.numeric import Settings
from minigrad.gradcheck.report import Finding
from minigrad.gradcheck.subject import Differentiable, Pullback, random_signs, unravel

host: Any = module_for("cpu")

UNSTEADY = (
    "asked again, the tape gives another answer (analytic and numeric are the two): the backward pass is not "
    "deterministic, changes what it reads, or is not linear in the gradient it is given"
)


class Slope(NamedTuple):
    """The derivative of all outputs along a direction in which some inputs move."""

    moves: dict[int, Any]
    scale: float
    method: str
    estimate: numeric.Estimate


class Comparison:
    """The gradients of a subject from one recorded run, against differences of it."""

    def __init__(
        self, subject: Differentiable, pullback: Pullback, order: int, settings: Settings, rng: Generator
    ) -> None:
        self.subject, self.pullback, self.order = subject, pullback, order
        self.settings, self.rng = settings, rng
        self.center = pullback.center
        self.findings = [
            Finding(
                subject.labels[i], tuple(x.shape), str(subject.dtypes[i]), order, settings.method,
                settings.step_for(settings.method, pullback.scales[i]),
                compared="directions" if x.size and self.center.size else "empty",
            )
            for i, x in enumerate(subject.arrays)
        ]
        self.moving = [i for i, finding in enumerate(self.findings) if finding.compared != "empty"]

    def run(self) -> list[Finding]:
        """The findings for every input.

        Each input moves alone along one direction; along the others all move together. Where the two derivatives do
        not agree as well as they should, or are too rough to tell, the elements of the input are compared one by one.

        Raises:
            ValueError: an input on which the function does not depend.
        """
        if not self.moving:
            return self.findings
        alone = {i: self.alone(i) for i in self.moving}
        together = [self.together() for _ in range(self.settings.directions - 1)]
        u = self.weights([*alone.values(), *together])
        gradients = self.repeated(u)
        suspects = {i for i in self.moving if self.settings.full}
        for i, slope in alone.items():
            self.findings[i].compared = f"{self.settings.directions} direction" + "s" * (self.settings.directions > 1)
            v = abs(slope.moves[i]) * host.where(gradients[i] < 0, -1.0, 1.0)  # nothing cancels
            line = line_along(self.subject, {i: v})
            self.findings[i].curve = partial(
                numeric.curve, line, u, float(gradients[i] @ v), self.center, self.settings.eps
            )
            self.use_every_input(i, slope)
            if not self.agrees(slope, u, gradients, self.findings[i]) or not self.sees_all(i, slope, u, gradients[i]):
                suspects.add(i)
        if not suspects and not all(self.agrees(slope, u, gradients) for slope in together):
            suspects |= set(self.moving)
        for i in sorted(suspects):
            finding, settings = self.findings[i], self.settings
            Elements(self.subject, i, self.pullback, finding, settings, self.rng, u, gradients[i]).compare()
        return self.findings

    # ------------------------------------------------------------------ directions

    def alone(self, i: int) -> Slope:
        """One input moves."""
        x, finding, scale = self.subject.arrays[i], self.findings[i], self.pullback.scales[i]
        v = random_signs(self.rng, (x.size,))
        line = line_along(self.subject, {i: v})
        if finding.method == "complex" and (why := not_analytic(line, self.center, self.settings, scale)):
            finding.notes.append(f"{why}; Richardson's differences take the place of complex steps for this input")
            finding.method = "richardson"
            finding.step = self.settings.step_for("richardson", scale)
        return self.slope({i: v}, finding.method, finding.step, scale)

    def together(self) -> Slope:
        """All inputs move at once, each by its own scale."""
        scales = self.pullback.scales if self.settings.step is None else [1.0] * len(self.pullback.scales)
        moves = {i: scales[i] * random_signs(self.rng, (self.subject.arrays[i].size,)) for i in self.moving}
        methods = {self.findings[i].method for i in self.moving}
        method = methods.pop() if len(methods) == 1 else "richardson"
        return self.slope(moves, method, self.settings.step or numeric.step_for(method, 1.0, self.settings.eps), 1.0)

    def slope(self, moves: dict[int, Any], method: str, step: float, scale: float) -> Slope:
        """J v by a method; inputs of this scale move."""
        line, settings = line_along(self.subject, moves), self.settings
        if method == "central":
            estimate = numeric.central(line, self.center, step, settings.eps)
        elif method == "complex":
            value = numeric.complex_step(line, step)
            estimate = numeric.Estimate(value, 100 * settings.eps * abs(value), host.zeros(value.shape, bool))
        else:
            steps = [step] if settings.step else [step, *numeric.steps_for(scale)[1:4]]
            estimate = numeric.search(line, self.center, steps, settings.eps, settings.rtol)
        return Slope(moves, scale, method, estimate)

    def weights(self, slopes: list[Slope]) -> Any:
        """Random weights under which every output counts alike: by its largest derivative along these directions or,
        where that is lost in rounding, by what can be seen of it.
        """
        sizes = host.zeros(self.center.shape)
        for slope in slopes:
            value, error, _, gap = slope.estimate
            size = host.maximum(abs(value), error * (1 / self.settings.rtol))
            sizes = host.fmax(sizes, host.maximum(size, gap) * slope.scale)
        sizes[~(sizes < host.inf)] = 0.0
        sizes[sizes == 0] = sizes.max() or 1.0
        return random_signs(self.rng, self.center.shape) / host.clip(sizes, 1e-300, 1e300)

    def agrees(
        self, slope: Slope, u: Any, gradients: Sequence[Any] | dict[int, Any], finding: Finding | None = None
    ) -> bool:
        """Whether u^T J v is the same both ways, is known well enough to tell, and no kink lies on the line."""
        value, error, kink, gap = slope.estimate
        settings = self.settings
        parts = u * value
        contributions = [gradients[i] * v for i, v in slope.moves.items()]
        n, analytic = float(parts.sum()), float(sum(part.sum() for part in contributions))
        off = abs(analytic - n)
        size = max(abs(n), abs(analytic), numeric.norm(parts), *(numeric.norm(part) for part in contributions))
        if finding is not None:
            finding.absolute, finding.relative = off, off / size if size else 0.0
            finding.analytic, finding.numeric = analytic, n
        if not (size < host.inf and off < host.inf):
            return False
        rough = 10 * numeric.norm(u * error * ((value != 0) | (gap != 0)))
        allowed = settings.rtol * size + rough
        if settings.atol:
            allowed += settings.atol * numeric.norm(u) * sum(numeric.norm(v) for v in slope.moves.values())
        if not (off <= allowed and rough <= settings.sight * size):
            return False
        if slope.method == "central":
            kink = (abs(u) * gap > 1e-3 / slope.scale) & (gap > 1e3 * error)
        return not host.any(kink)

    def sees_all(self, i: int, slope: Slope, u: Any, gradient: Any) -> bool:
        """Whether what was too small to be seen along a direction is right too: outputs that other inputs move more,
        elements of the input that count less than others, or not at all.
        """
        value, error, *_ = slope.estimate
        parts, shares = abs(u * value), abs(gradient * slope.moves[i])
        size = max(numeric.norm(parts), numeric.norm(shares))
        small = (parts < 1e-4 * size / len(parts) ** 0.5) & (abs(value) * self.settings.rtol > error)
        if small.sum() > 1 + 1e-3 * small.size:  # more than chance has it
            u = self.weights([slope])
            gradient = self.pullback(u)[i]
            if not self.agrees(slope, u, {i: gradient}):
                return False
            shares = abs(gradient * slope.moves[i])
            size = max(numeric.norm(u * value), numeric.norm(shares))
        if not gradient.all():
            line = line_along(self.subject, {i: host.where(gradient == 0, slope.moves[i], 0.0)})
            h = self.settings.step_for("complex", slope.scale)
            if not stands_still(line, self.center, h, slope.scale)[0].all():
                return False
        hidden = shares <= 2 * self.settings.rtol * size
        while hidden.any() and not hidden.all():
            v = host.where(hidden, slope.moves[i], 0.0)
            part = self.slope({i: v}, slope.method, self.findings[i].step, slope.scale)
            if not self.agrees(part, u, {i: gradient}):
                return False
            shares = abs(gradient * v)
            size = max(numeric.norm(u * part.estimate.value), numeric.norm(shares))
            still = hidden & (shares <= 2 * self.settings.rtol * size)
            if not size or (still == hidden).all():
                break
            hidden = still
        return True

    # ------------------------------------------------------------------ what must hold beside

    def repeated(self, u: Any) -> list[Any]:
        """The gradients for weights u, which must be the same when asked for again, of other multiples of u too."""
        gradients = self.pullback(u)
        for k in range(self.pullback.repeats):
            large = abs(u).max(initial=0.0) > 1e100
            factor = 1.0 if k % 2 else -1 / 64 if large else -64.0  # a power of two changes no digit
            for finding, g, again in zip(self.findings, gradients, self.pullback(factor * u), strict=True):
                again = again / factor
                if (g == again).all():
                    continue
                off = host.where((g == again) | (host.isnan(g) & host.isnan(again)), 0.0, abs(again - g))
                size = host.where(host.isfinite(g), abs(g), 0.0)
                bound = self.settings.eps * (1e6 * size + 100 * size.max(initial=0.0))
                if finding.status != "wrong" and not (off <= bound).all():
                    worst = int(host.nan_to_num(off, nan=host.inf).argmax())
                    finding.status, finding.pattern = "wrong", "unsteady"
                    finding.analytic, finding.numeric = float(again[worst]), float(g[worst])
                    finding.absolute = float(off[worst])
                    finding.index = unravel(worst, finding.shape)
                    finding.cause = UNSTEADY
        return gradients

    def use_every_input(self, i: int, slope: Slope) -> None:
        """An input that moves nothing and that the tape does not reach may still select, as a mask or an index does."""
        if self.order == 2 or slope.estimate.value.any() or self.pullback.leaves[i].node in self.pullback.nodes():
            return
        if not receives(self.subject, i):
            raise ValueError(
                f"gradcheck: f must use every input. Received: the output does not depend on {self.subject.labels[i]}"
            )
