"""The gradient-check laboratory: numeric derivatives, the check, and a report that tells what is wrong."""

from minigrad.gradcheck.check import gradcheck
from minigrad.gradcheck.report import Finding, GradcheckError, GradcheckReport

__all__ = ["Finding", "GradcheckError", "GradcheckReport", "gradcheck"]
