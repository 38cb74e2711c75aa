"""Seven ways to get the gradient of a depthwise convolution wrong, and what the report says about each.

The op is written anew each time with minigrad's own forward pass and one slip in a backward rule. The report names the
input, the place, both values and their ratio; where the pattern is clear, it guesses at the cause.

    python examples/find_the_wrong_gradient.py [--no-plot]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import Op, Tensor, functional, op, ops
from minigrad.gradcheck import GradcheckError, GradcheckReport, gradcheck

N, L, C, K = 2, 9, 3, 5
PAD = (2, 2)
rng = np.random.default_rng(0)
X, W = rng.normal(size=(N, L, C)), rng.normal(size=(K, C, 1))


def right_x(g: Any, w: Any) -> Any:
    return ops.depthwise_conv1d_input_grad(g, w, length=L, padding=PAD)


def right_w(g: Any, x: Any) -> Any:
    return ops.depthwise_conv1d_kernel_grad(x, g, taps=K, padding=PAD)


def bare(x: Any) -> Any:
    """The array of a Tensor, without its history."""
    return x.data if isinstance(x, Tensor) else x


# What slipped, and the two rules that result: dL/dx and dL/dw.
SLIPS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "nothing": (right_x, right_w),
    "dL/dw has the wrong sign": (right_x, lambda g, x: -right_w(g, x)),
    "dL/dw is averaged over the batch": (right_x, lambda g, x: right_w(g, x) / N),
    "dL/dw is off by 0.01 %": (right_x, lambda g, x: right_w(g, x) * 1.0001),
    "dL/dw is one tap late": (right_x, lambda g, x: right_w(g, x)[[-1, *range(K - 1)]]),
    "dL/dw forgets the second example": (right_x, lambda g, x: right_w(g[:1], x[:1])),
    "dL/dx takes the kernel unflipped": (lambda g, w: right_x(g, w[::-1]), right_w),
    "dL/dw is right, but cannot be differentiated": (right_x, lambda g, x: right_w(g, bare(x))),
}


def convolution(rule_x: Callable[..., Any], rule_w: Callable[..., Any]) -> Op:
    """A depthwise convolution with these backward rules."""

    @op
    def convolution(x: Any, w: Any) -> Any:
        return ops.depthwise_conv1d(x, w, padding=PAD)

    convolution.backward(x=rule_x, w=rule_w)
    del Op.registry["convolution"]  # so that the next one can have its name
    return convolution


def examine(f: Op) -> GradcheckReport:
    """The report, whether it is good or bad."""
    try:
        return gradcheck(f, [X, W], order=2)
    except GradcheckError as error:
        return error.report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-plot", action="store_true", help="save no picture")
    options = parser.parse_args()

    reports = {slip: examine(convolution(*rules)) for slip, rules in SLIPS.items()}
    for number, (slip, report) in enumerate(reports.items()):
        print(f"[{number}] planted: {slip}")
        for finding in report.wrong:
            print(f"    found: {finding.sentence()}")
        if report.passed:
            print(f"    found: nothing; {report.summary()}")
    print(f"\nThe whole report on [4]:\n{reports['dL/dw is one tap late']}")
    if not options.no_plot:
        plot(Path("find_the_wrong_gradient.png"), reports)


def plot(path: Path, reports: dict[str, GradcheckReport]) -> None:
    """The gradient of the first channel, from the tape and from differences, for every slip."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5.6), layout="constrained")
    g = np.random.default_rng(1).normal(size=X.shape)
    for axes, (slip, report) in zip(figure.subplots(2, 4).flat, reports.items(), strict=True):
        f = convolution(*SLIPS[slip])
        by_x, by_w = functional.vjp(f, [Tensor(X), Tensor(W)], Tensor(g))[1]
        true_x, true_w = functional.vjp(lambda x, w: ops.depthwise_conv1d(x, w, padding=PAD), [X, W], Tensor(g))[1]
        tape, true = (by_x[0, :, 0], true_x[0, :, 0]) if "dL/dx" in slip else (by_w[:, 0, 0], true_w[:, 0, 0])
        axes.axhline(0, color="0.8", lw=1)
        axes.plot(true.numpy(), "o-", color="0.6", ms=9, label="right")
        axes.plot(tape.numpy(), "s--", color="C3" if report.wrong else "C2", ms=4, label="from the tape")
        guess = report.wrong[0].pattern or "no clear pattern" if report.wrong else "passed"
        order = f"order {report.wrong[0].order}: " if report.wrong else ""
        axes.set_title(f"{slip}\nreport: {order}{guess}", fontsize=9)
        axes.set_xlabel("step of x" if "dL/dx" in slip else "tap of w", fontsize=8)
        axes.tick_params(labelsize=8)
    figure.axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


if __name__ == "__main__":
    main()
