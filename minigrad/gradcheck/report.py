"""What a check found: a table for people, a dict for scripts, curves for the eye."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

HEADINGS = ("order", "input", "shape", "status", "checked", "abs error", "rel error", "analytic", "numeric", "ratio")


@dataclass
class Finding:
    """What was found for one input, at one order of derivative.

    ``index`` is the place in the input, ``output_index`` in the output, where ``analytic`` and ``numeric`` differ
    most; both are None when only random directions were compared.
    """

    label: str
    shape: tuple[int, ...]
    dtype: str
    order: int
    method: str
    step: float
    status: str = "ok"  # ok, kink, edge or wrong
    checked: str = ""
    absolute: float = 0.0
    relative: float = 0.0
    analytic: float = 0.0
    numeric: float = 0.0
    index: tuple[int, ...] | None = None
    output_index: tuple[int, ...] | None = None
    cause: str = ""
    notes: list[str] = field(default_factory=list)
    float32_error: float | None = None

    @property
    def ratio(self) -> float:
        """Analytic over numeric."""
        if self.numeric:
            return self.analytic / self.numeric
        return float("nan") if self.analytic == 0 else float("inf")

    def sentence(self) -> str:
        """The finding in one line: input, index, analytic, numeric, ratio."""
        what = "the gradient" if self.order == 1 else "the second derivative"
        at = "" if self.index is None else f" at index {self.index}"
        out = f" (output {self.output_index})" if self.output_index else ""
        return (
            f"{what} of {self.label} is wrong{at}{out}: analytic {self.analytic:.9g}, numeric {self.numeric:.9g}, "
            f"ratio {self.ratio:.6g}" + (f"; {self.cause}" if self.cause else "")
        )


class GradcheckError(AssertionError):
    """A gradient that differs from the numeric derivative; ``report`` tells where, and how."""

    def __init__(self, report: GradcheckReport) -> None:
        super().__init__(f"gradcheck: {report.summary()}\n{report}")
        self.report = report


@dataclass
class GradcheckReport:
    """The findings of one check."""

    name: str
    method: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether no gradient was found wrong."""
        return not any(f.status == "wrong" for f in self.findings)

    def summary(self) -> str:
        """One line."""
        wrong = [f for f in self.findings if f.status == "wrong"]
        if wrong:
            return f"{self.name}: " + ". ".join(f.sentence() for f in wrong[:1]) + "."
        return f"{self.name}: all {len(self.findings)} gradients agree with {self.method} differences."

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        findings = [vars(f) | {"ratio": f.ratio, "shape": list(f.shape)} for f in self.findings]
        return {"name": self.name, "method": self.method, "passed": self.passed, "findings": findings}

    def __str__(self) -> str:
        rows = [list(HEADINGS)]
        for f in self.findings:
            rows.append([
                str(f.order), f.label, str(f.shape), f.status, f.checked, f"{f.absolute:.1e}", f"{f.relative:.1e}",
                f"{f.analytic:.6g}", f"{f.numeric:.6g}", f"{f.ratio:.6g}",
            ])
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.insert(1, "-" * len(lines[0]))
        lines += [f"{f.label}: {note}" for f in self.findings for note in f.notes]
        return "\n".join(lines)
