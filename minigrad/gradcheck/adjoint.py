"""Linear ops need no differences: their adjoint identity is exact, in float32 and on the GPU too."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from minigrad.backend import Generator, device_of, host_generator, module_for, move, to_host
from minigrad.gradcheck.report import Finding, GradcheckError, GradcheckReport
from minigrad.gradcheck.subject import Pullback, Subject

host: Any = module_for("cpu")


def adjointcheck(
    f: Callable[..., Any], inputs: Any, arguments: Any = None, rtol: float | None = None, seed: int = 0
) -> GradcheckReport:
    r"""Check that the gradient of a linear function is its adjoint.

    The identity is :math:`\langle f(v), u\rangle = \langle v, f^*(u)\rangle` for random u and v, where v takes the
    place of one input while the others are held; f may be affine, for f(0) is taken off. There is no step, so it holds
    to rounding: to 1e-12 of the product of the sizes in float64, and to 1e-5 in float32.

    Args:
        f, inputs: as for `gradcheck`; the inputs keep their dtype and device.
        arguments: the labels of the inputs in which f is linear; all of them by default.
        rtol: what still counts as equal.

    Raises:
        GradcheckError: the gradient is not the adjoint.
        ValueError: f is not linear in an input.

    >>> from minigrad import Tensor, ops
    >>> adjointcheck(ops.matmul, [Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]])]).passed
    True
    """
    subject = Subject(f, inputs)
    subject.arrays = [x.astype(dtype) for x, dtype in zip(subject.arrays, subject.dtypes, strict=True)]
    labels = subject.labels if arguments is None else [arguments] if isinstance(arguments, str) else list(arguments)
    if unknown := set(labels) - set(subject.labels):
        raise ValueError(f"adjointcheck: arguments must be of {subject.labels}. Received: {sorted(unknown)}")
    rng = host_generator(seed)
    report = GradcheckReport(subject.name, "adjoint")
    report.findings += [_identity(subject, subject.labels.index(label), rtol, rng) for label in labels]
    if not report.passed:
        raise GradcheckError(report)
    return report


def _identity(subject: Subject, i: int, rtol: float | None, rng: Generator) -> Finding:
    """Both sides of the identity for one input."""
    x, label = subject.arrays[i], subject.labels[i]

    def run(v: Any) -> tuple[Pullback, Any]:
        pullback = Pullback(subject, [*subject.arrays[:i], v, *subject.arrays[i + 1 :]])
        return pullback, pullback.center.astype("float64")

    v, w = (move(rng.normal(size=x.shape), device_of(x)).astype(x.dtype) for _ in range(2))
    (pullback, at_v), (_, at_w), (_, at_both), (_, at_zero) = run(v), run(w), run(v + w), run(x * 0)
    image = at_v - at_zero
    eps = max(float(host.finfo(dtype).eps) for dtype in (x.dtype, *(y.dtype for y in pullback.outputs)))
    largest = max(float(abs(y).max(initial=0.0)) for y in (at_v, at_w, at_both, at_zero))
    if float(abs(at_both - at_w - image).max(initial=0.0)) > 1e3 * eps * largest:
        raise ValueError(f"adjointcheck: f must be linear. Received: {subject.name}, which is not linear in {label}")
    u = rng.normal(size=image.shape).astype(pullback.center.dtype)
    left = float(image @ u)
    right = float(to_host(v).reshape(-1).astype("float64") @ pullback(u)[i])
    size = math.sqrt(float(image @ image) * float(u @ u)) + abs(float(at_zero @ u)) or 1.0
    finding = Finding(label, tuple(x.shape), str(x.dtype), 1, "adjoint", 0.0, compared="<f(v), u> = <v, f*(u)>")
    finding.absolute, finding.relative = abs(left - right), abs(left - right) / size
    finding.analytic, finding.numeric = right, left
    finding.status = "ok" if finding.relative <= (rtol or (1e-12 if eps < 1e-10 else 1e-5)) else "wrong"
    return finding
