"""The same function on two devices: outputs and gradients must agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad.backend import host_generator, is_array, module_for, move
from minigrad.gradcheck.report import Finding, GradcheckReport
from minigrad.gradcheck.subject import Pullback, Subject, random_signs, unravel
from minigrad.tape import Value
from minigrad.tensor import Tensor

host: Any = module_for("cpu")


def compare_devices(
    f: Callable[..., Any], inputs: Any, device: str = "cuda", other: str = "cpu", rtol: float | None = None,
    seed: int = 0,
) -> GradcheckReport:
    """Compare the outputs and gradients of ``f`` on ``device`` with those on ``other``, in the dtypes of the inputs.

    Args:
        f: a function of its inputs alone, for what it closes over stays where it is.
        inputs: as for `gradcheck`.
        rtol: largest difference, relative to the largest element; 1e-10 in float64, 1e-4 in float32 by default.

    Returns:
        A report, in which "analytic" is the value on ``device`` and "numeric" the one on ``other``.

    Raises:
        GradcheckError: they differ.  ImportError, RuntimeError: the device cannot be used, and why.
    """
    runs = []
    for place in (device, other):
        subject = Subject(f, _moved(inputs, place))
        arrays = [x.astype(dtype) for x, dtype in zip(subject.arrays, subject.dtypes, strict=True)]
        pullback = Pullback(subject, arrays)
        u = random_signs(host_generator(seed), pullback.center.shape)
        runs.append((pullback, [pullback.center, *pullback(u)]))
    (pullback, there), (_, here) = runs
    report = GradcheckReport(subject.name, f"{device} against {other}")
    shapes = [pullback.center.shape, *(x.shape for x in arrays)]
    dtypes = [pullback.center.dtype, *subject.dtypes]
    for i, label in enumerate(["the output", *subject.labels]):
        finding = Finding(label, tuple(shapes[i]), str(dtypes[i]), min(i, 1), report.method, 0.0)
        finding.compared = "all elements"
        report.findings.append(finding)
        if not there[i].size:
            continue
        off = abs(there[i] - here[i])
        worst = int(off.argmax())
        finding.absolute = float(off[worst])
        finding.relative = finding.absolute / (float(abs(here[i]).max()) or 1.0)
        finding.analytic, finding.numeric = float(there[i][worst]), float(here[i][worst])
        finding.index = pullback.place(worst)[1] if i == 0 else unravel(worst, shapes[i])
        tolerance = rtol or (1e-4 if min(d.itemsize for d in dtypes) < 8 else 1e-10)
        finding.status = "ok" if finding.relative <= tolerance else "wrong"
    return report.check()


def _moved(tree: Any, device: str) -> Any:
    """Arrays and Tensors of a nest of lists and dicts on a device, as Tensors without history."""
    if isinstance(tree, dict):
        return {key: _moved(branch, device) for key, branch in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(_moved(branch, device) for branch in tree)
    array = tree.data if isinstance(tree, Value) else tree
    return Tensor._output(move(array, device), None) if is_array(array) else tree
