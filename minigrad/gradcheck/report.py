"""What a check found: a table for people, a dict for scripts, curves for the eye."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minigrad.files import replaced

HEADINGS = ("order", "input", "shape", "compared", "abs error", "rel error", "at", "analytic", "numeric", "ratio", "")


@dataclass
class Finding:
    """What was found for one input, at one order of derivative.

    ``analytic`` and ``numeric`` are the two values where they differ most: at ``index`` of the input and
    ``output_index`` of the output, or along a random direction, when both are None.
    """

    label: str
    shape: tuple[int, ...]
    dtype: str
    order: int
    method: str
    step: float
    status: str = "ok"  # "kink" or "edge" where the derivative does not exist, "undecided", "wrong"
    compared: str = ""
    absolute: float = 0.0
    relative: float = 0.0
    analytic: float = 0.0
    numeric: float = 0.0
    index: tuple[int, ...] | None = None
    output_index: tuple[int, ...] | None = None
    output: str = ""  # of a second derivative: the gradient that was differentiated
    pattern: str = ""
    cause: str = ""
    notes: list[str] = field(default_factory=list)
    float32_error: float | None = None
    curve: Callable[[str, list[float]], list[float]] | None = None

    @property
    def ratio(self) -> float:
        """Analytic over numeric."""
        if self.numeric:
            return self.analytic / self.numeric
        return math.nan if self.analytic == 0 else math.copysign(math.inf, self.analytic)

    @property
    def what(self) -> str:
        """What was checked, in words."""
        return f"the gradient of {self.label}" if self.order == 1 else f"the second derivative by {self.label}"

    def sentence(self) -> str:
        """A wrong or undecided gradient in a line: input, index, both values, their ratio, the cause if it shows."""
        at = "" if self.index is None else f" at index {self.index}"
        out = f" of output {self.output_index}" if self.output_index else ""
        if self.output:
            out = f" of {self.output}" + (f" at {self.output_index}" if self.output_index else "")
        text = (
            f"{self.what} is {self.status}{at}{out}: analytic {self.analytic:.9g}, numeric {self.numeric:.9g}, "
            f"ratio {self.ratio:.6g}"
        )
        return f"{text}. {self.cause[0].upper()}{self.cause[1:]}" if self.cause else text

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {name: value for name, value in vars(self).items() if name != "curve"} | {"ratio": self.ratio}


@dataclass
class Culprit:
    """An op whose own rule is wrong, found by checking each op that the function called."""

    op: str
    argument: str
    line: str
    finding: Finding

    def sentence(self) -> str:
        """The op in one line."""
        order = "" if self.finding.order == 1 else "the second derivative of "
        why = f": {self.finding.cause}" if self.finding.cause else ""
        return f"{order}op {self.op}, its rule for {self.argument!r}{why}; called at {self.line}"


class GradcheckError(AssertionError):
    """A gradient that differs from the numeric derivative; ``report`` tells where, and how."""

    def __init__(self, report: GradcheckReport) -> None:
        super().__init__(f"gradcheck: {report.summary()}\n\n{report}")
        self.report = report


class UndecidedError(GradcheckError):
    """No gradient was found wrong, but some cannot be told from wrong ones; the report says why, and what would."""


@dataclass
class GradcheckReport:
    """The findings of one check; ``print`` it, ``plot`` it, or read `to_dict`."""

    name: str
    method: str
    findings: list[Finding] = field(default_factory=list)
    culprits: list[Culprit] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether no gradient was found wrong, and none is undecided."""
        return not self.wrong and not self.undecided

    def check(self) -> GradcheckReport:
        """The report itself, if all is right.

        Raises:
            GradcheckError: a gradient is wrong.  UndecidedError: none is, but there are some that cannot be decided.
        """
        if self.passed:
            return self
        raise GradcheckError(self) if self.wrong else UndecidedError(self)

    @property
    def wrong(self) -> list[Finding]:
        """The findings that are wrong gradients."""
        return [f for f in self.findings if f.status == "wrong"]

    @property
    def undecided(self) -> list[Finding]:
        """The findings of which the differences tell too little."""
        return [f for f in self.findings if f.status == "undecided"]

    def summary(self) -> str:
        """The result in a sentence."""
        if self.passed:
            return f"{self.name}: all {len(self.findings)} gradients agree with {self.method} differences."
        return f"{self.name}: " + "; ".join(f.sentence() for f in self.wrong or self.undecided)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {
            "name": self.name,
            "method": self.method,
            "passed": self.passed,
            "findings": [f.to_dict() for f in self.findings],
            "culprits": [vars(c) | {"finding": c.finding.to_dict()} for c in self.culprits],
        }

    def __str__(self) -> str:
        narrow = any(f.float32_error is not None for f in self.findings)
        rows = [[*HEADINGS, *(["float32"] if narrow else [])]]
        for f in self.findings:
            at = "" if f.index is None else str(f.index)
            row = [str(f.order), f.label, str(f.shape), f.compared, f"{f.absolute:.1e}", f"{f.relative:.1e}", at]
            row += [f"{f.analytic:.6g}", f"{f.numeric:.6g}", f"{f.ratio:.6g}"]
            row += [f.status.upper() if f.status in ("wrong", "undecided") else f.status]
            rows.append(row + (["" if f.float32_error is None else f"{f.float32_error:.1e}"] if narrow else []))
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.insert(1, "-" * max(map(len, lines)))
        lines += [f"{f.what}: {f.cause}" for f in (*self.wrong, *self.undecided) if f.cause]
        lines += [f"wrong rule: {culprit.sentence()}" for culprit in self.culprits]
        lines += [f"{f.what}: {note}" for f in self.findings for note in f.notes]
        return "\n".join([self.name, *lines])

    def plot(self, path: Any = None) -> Any:
        """Draw, for each input, error against step size: the V of each method. Needs matplotlib.

        A right gradient gives a V, down to about 1e-10 for central differences; a wrong one a plateau at its error.

        Args:
            path: a file to save the figure to.

        Returns:
            The figure.

        Raises:
            OSError: the file cannot be written, and why.
        """
        from matplotlib.figure import Figure

        drawn = [f for f in self.findings if f.curve is not None]
        columns = min(len(drawn), 3) or 1
        rows = -(-len(drawn) // columns) or 1
        figure = Figure(figsize=(4.5 * columns, 3.4 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        steps = [10.0 ** (-k / 4) for k in range(57)]
        for axes in grid.flat[len(drawn) :]:
            axes.set_visible(False)
        for axes, finding in zip(grid.flat, drawn, strict=False):
            assert finding.curve is not None
            for method, color in (("central", "C0"), ("richardson", "C1"), ("complex", "C2")):
                errors = [max(e, 1e-17) for e in finding.curve(method, steps)]
                if not all(math.isnan(e) for e in errors):
                    axes.loglog(steps, errors, color=color, label=method)
            axes.axvline(finding.step, color="0.8", zorder=0)
            wrong = "" if finding.status == "ok" else f" ({finding.status})"
            axes.set_title(f"order {finding.order}: {finding.label}{wrong}", fontsize=10)
            axes.set_xlabel("step")
            axes.set_ylabel("relative error")
            axes.set_ylim(1e-17, 1e2)
        grid.flat[0].legend(fontsize=8)
        if path is not None:
            path = Path(path) if Path(path).suffix else Path(path).with_suffix(".png")
            with replaced(path, "plot: the path") as file:
                figure.savefig(file, dpi=120, format=path.suffix[1:])
        return figure
