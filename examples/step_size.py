"""How far should one step to measure a slope? Central, Richardson and complex steps against the step size.

A central difference is wrong by about h^2 because the function is curved, and by about eps / h because its values are
rounded: a V, whose bottom lies near eps^(1/3). Richardson's extrapolation cancels h^2, h^4, ... and so lives at large
steps. A complex step subtracts nothing, and is exact for every small h.

    python examples/step_size.py [--no-plot]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import Tensor, grad, ops
from minigrad.gradcheck.numeric import central, complex_step, richardson, step_for

EPS = float(np.finfo(float).eps)
rng = np.random.default_rng(3)
X, W, V = rng.normal(size=(2, 12, 4)), rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 4, 2))


def f(w: Tensor) -> Tensor:
    """A smooth function of a depthwise kernel."""
    return ops.depthwise_conv1d(X, w, padding=(1, 1)).tanh().logsumexp()


def line(t: complex) -> Any:
    """f at W + t V: a function of one number, real or complex, as a vector of one element."""
    return f(Tensor(W + t * V)).numpy().reshape(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-plot", action="store_true", help="save no picture")
    options = parser.parse_args()

    w = Tensor(W, requires_grad=True)
    slope = float((grad(f(w), w).numpy() * V).sum())
    steps = 10.0 ** np.arange(-16, 0.01, 0.125)
    center = line(0.0)
    methods = {
        "central": lambda h: central(line, center, h, EPS).value,
        "richardson": lambda h: richardson(line, center, h, EPS).value,
        "complex": lambda h: complex_step(line, h),
    }
    errors = {name: [abs(float(m(h)[0]) - slope) / abs(slope) for h in steps] for name, m in methods.items()}

    print(f"slope along v, from the tape: {slope:.15f}\n")
    print("step     " + "".join(f"{name:>13}" for name in methods) + "   (relative error)")
    for h in 10.0 ** np.arange(0, -17, -2):
        row = [abs(float(method(h)[0]) - slope) / abs(slope) for method in methods.values()]
        print(f"{h:7.0e}  " + "".join(f"{error:13.1e}" for error in row))
    print("\nthe steps that gradcheck takes, and what they leave:")
    for name, method in methods.items():
        h = step_for(name, 1.0, EPS)
        print(f"  {name:10} h = {h:.1e}  relative error {abs(float(method(h)[0]) - slope) / abs(slope):.1e}")
    if not options.no_plot:
        plot(Path("step_size.png"), steps, errors, float(abs(center[0] / slope)))


def plot(path: Path, steps: np.ndarray, errors: dict[str, list[float]], size: float) -> None:
    """The three curves; ``size`` is |f / slope|."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5), layout="constrained")
    axes = figure.subplots()
    for name, curve in errors.items():
        axes.loglog(steps, np.maximum(curve, 1e-17), label=name, lw=1.6)
    axes.loglog(steps, 0.3 * steps**2, "k:", lw=1, label="$h^2$: what curvature adds")
    axes.loglog(steps, EPS * size / steps, "k--", lw=1, label=r"$\epsilon/h$: the rounding of f")
    axes.axvline(step_for("central", 1.0, EPS), color="0.85", lw=6, zorder=0)
    axes.text(step_for("central", 1.0, EPS), 3e-17, r" $\epsilon^{1/3}$", color="0.4", fontsize=11)
    axes.set(
        xlabel="step h", ylabel="relative error of the slope", ylim=(1e-17, 10), xlim=(steps[0], steps[-1]),
        title="Three ways to measure a slope in float64",
    )
    axes.grid(alpha=0.25)
    axes.legend(loc="center left", bbox_to_anchor=(0.01, 0.38))
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


if __name__ == "__main__":
    main()
