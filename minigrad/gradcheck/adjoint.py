"""Linear ops need no differences: their adjoint identity is exact, in float32 and on the GPU too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad.backend import Generator, device_of, host_generator, module_for, move, to_host
from minigrad.gradcheck import numeric
from minigrad.gradcheck.comparison import UNSTEADY
from minigrad.gradcheck.report import Finding, GradcheckReport
from minigrad.gradcheck.subject import Pullback, Subject, random_signs

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
        GradcheckError: the gradient is not the adjoint.  UndecidedError: f is rounded too much to tell.
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
    with host.errstate(all="ignore"):
        report.findings += [_identity(subject, subject.labels.index(label), rtol, rng) for label in labels]
    return report.check()


def _identity(subject: Subject, i: int, rtol: float | None, rng: Generator) -> Finding:
    """Both sides of the identity for one input.

    Each output counts by its own size. As f is linear, v may be as large as it must be for the part that depends on it
    not to be lost beside f(0).
    """
    x, label = subject.arrays[i], subject.labels[i]

    def run(v: Any) -> tuple[Pullback, Any]:
        pullback = Pullback(subject, [*subject.arrays[:i], v, *subject.arrays[i + 1 :]])
        return pullback, pullback.center.astype("float64")

    v, w = (move(random_signs(rng, tuple(x.shape)), device_of(x)).astype(x.dtype) for _ in range(2))
    finding = Finding(label, tuple(x.shape), str(x.dtype), 1, "adjoint", 0.0, compared="<f(v), u> = <v, f*(u)>")
    (_, at_zero), (_, at_v) = run(x * 0), run(v)
    larger = _enlargement(at_v - at_zero, at_zero)
    v, w = v * larger, w * larger
    (pullback, at_v), (_, at_w), (_, at_both) = run(v), run(w), run(v + w)
    image = at_v - at_zero
    eps = max(float(host.finfo(dtype).eps) for dtype in (x.dtype, *(y.dtype for y in pullback.outputs)))
    grain = eps * host.max([abs(y) for y in (at_v, at_w, at_both, at_zero)], axis=0)  # how finely outputs are rounded
    sizes = abs(image).reshape(-1)
    if not (abs((at_both - at_w) - image) <= 1e3 * host.maximum(grain, eps * sizes.max(initial=0.0))).all():
        raise ValueError(f"adjointcheck: f must be linear. Received: {subject.name}, which is not linear in {label}")
    tolerance = rtol or (1e-12 if eps < 1e-10 else 1e-5)
    parts = host.clip(host.maximum(sizes, grain), numeric.FLOOR, 1 / numeric.FLOOR)
    u = random_signs(rng, image.shape) / parts
    answers = [[g / k for g in pullback(k * u)] for k in (1.0, -64.0, *[1.0] * (pullback.repeats - 1))]
    gradient = answers[0][i]
    contributions = to_host(v).reshape(-1).astype("float64") * gradient
    left, right = float((image * u).sum()), float(contributions.sum())
    size = max(numeric.norm(image * u), numeric.norm(contributions)) or 1.0
    finding.absolute, finding.relative = abs(left - right), abs(left - right) / size
    finding.analytic, finding.numeric = right, left
    rough = 10 * numeric.norm(grain * u)
    pairs = [(g, again) for others in answers[1:] for g, again in zip(answers[0], others, strict=True)]
    if not all((abs(g - again) <= 1e3 * eps * abs(g).max(initial=0.0)).all() for g, again in pairs):
        finding.status, finding.cause, finding.pattern = "wrong", UNSTEADY, "unsteady"
    elif not abs(left - right) <= tolerance * size + rough:
        finding.status = "wrong"
    elif rough > max(1e-4, tolerance) * size:
        finding.status = "undecided"
        finding.cause = "f is rounded to fewer digits than its linear part has; without f(0), it can be decided"
    return finding


def _enlargement(image: Any, offset: Any) -> float:
    """The power of two by which an image reaches the size of what is added to it, as far as numbers go."""
    known = (image != 0) & host.isfinite(image)
    if not known.any():
        return 1.0
    wanted = float((abs(offset[known]) / abs(image[known])).max())
    most = 1e290 / float(abs(image[known]).max())
    return numeric.power_of_two(max(min(wanted, most), 1.0))
