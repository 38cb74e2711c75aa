"""The gradient-check laboratory: numeric derivatives, the check, and a report that tells what is wrong."""

from minigrad.gradcheck.adjoint import adjointcheck
from minigrad.gradcheck.check import gradcheck
from minigrad.gradcheck.devices import compare_devices
from minigrad.gradcheck.layer import check_layer
from minigrad.gradcheck.report import Culprit, Finding, GradcheckError, GradcheckReport, UndecidedError

__all__ = [
    "Culprit", "Finding", "GradcheckError", "GradcheckReport", "UndecidedError", "adjointcheck", "check_layer",
    "compare_devices", "gradcheck",
]
