"""What constraints and penalties do to the weights: one network on the Japanese Vowels, trained in five ways.

MaxNorm, NonNeg and UnitNorm are projections: after each step the optimizer puts the kernels back into the set that is
allowed, so that what they promise holds exactly. L1 is a penalty: it pulls all weights towards 0 with the same force,
and those that the data do not hold up end close to 0. They can be set to 0, and the network hardly notices.

    python examples/constraints_tour.py [--epochs 30] [--runs 3] [--seed 0] [--no-plot]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from japanese_vowels import BATCH, SPEAKERS, load, predict
from tqdm import tqdm

import minigrad as mg
from minigrad import Tensor, constraints, initializers, layers, losses, optimizers, plot, regularizers

SMALL = 1e-3  # a weight no larger than this hardly acts: the largest are about 1


def asked(what: str, depthwise: Any, pointwise: Any) -> dict[str, Any]:
    """Arguments of SeparableConv1D: a constraint or regularizer for each of its two kernels."""
    return {f"depthwise_{what}": depthwise, f"pointwise_{what}": pointwise}


# A norm is that of the inputs of one unit: over the taps of (K, C, 1), and over the channels of (1, C, F).
WAYS: dict[str, dict[str, Any]] = {
    "free": {},
    "MaxNorm(1)": asked("constraint", constraints.MaxNorm(1.0, axis=0), constraints.MaxNorm(1.0, axis=1)),
    "NonNeg": asked("constraint", constraints.NonNeg(), constraints.NonNeg()),
    "UnitNorm": asked("constraint", constraints.UnitNorm(axis=0), constraints.UnitNorm(axis=1)),
    "L1(0.001)": asked("regularizer", regularizers.L1(1e-3), regularizers.L1(1e-3)),
}


class Run(NamedTuple):
    """What one training led to."""

    accuracy: float
    pruned_accuracy: float  # without the small weights
    weights: np.ndarray  # of the constrained kernels, all in one row

    def share(self, limit: float) -> float:
        """Of the weights, those not larger than ``limit``."""
        return float((abs(self.weights) <= limit).mean())


def build(way: dict[str, Any], filters: int = 64) -> mg.Sequential:
    """Two separable blocks, the mean over time, and one score for each speaker."""

    def block() -> layers.SeparableConv1D:
        return layers.SeparableConv1D(
            filters, kernel_size=3, padding="same", activation="relu",
            depthwise_initializer=initializers.RandomUniform(-1.0, 1.0), pointwise_initializer="he_uniform", **way,
        )

    return mg.Sequential([
        block(), layers.Dropout(0.2), block(), layers.GlobalAveragePooling1D(), layers.Dense(SPEAKERS),
    ])


def kernels(network: mg.Sequential) -> list[Any]:
    """The weights that the ways differ in."""
    return [
        kernel
        for layer in network.layers if isinstance(layer, layers.SeparableConv1D)
        for kernel in (layer.depthwise_kernel, layer.pointwise_kernel)
    ]  # fmt: skip


def train(way: dict[str, Any], x: Tensor, y: np.ndarray, epochs: int, seed: int) -> mg.Sequential:
    """The same steps on the same batches from the same first weights, whatever the way."""
    mg.set_random_seed(seed)
    random = np.random.default_rng(seed)
    network = build(way)
    loss_of = losses.SparseCategoricalCrossentropy(from_logits=True)
    steps = -(-len(x) // BATCH)
    optimizer = optimizers.Adam(optimizers.schedules.CosineDecay(5e-3, decay_steps=epochs * steps))
    for _ in range(epochs):
        for rows in np.array_split(random.permutation(len(x)), steps):
            loss = loss_of(y[rows], network(x[rows], training=True)) + sum(network.losses)
            loss.backward()
            optimizer.step(network.trainable_weights)  # projects the constrained kernels too
    return network


def judge(network: mg.Sequential, x: Tensor, y: np.ndarray) -> Run:
    """Accuracy as it is, and with the small weights set to 0."""
    weights = np.concatenate([kernel.numpy().ravel() for kernel in kernels(network)])
    accuracy = float((predict(network, x) == y).mean())
    for kernel in kernels(network):
        kernel.assign(np.where(abs(kernel.numpy()) <= SMALL, 0, kernel.numpy()))
    return Run(accuracy, float((predict(network, x) == y).mean()), weights)


def report(tour: dict[str, list[Run]]) -> None:
    """The table."""
    columns = f"{'accuracy':>10}{'worst':>8}{'exactly 0':>12}{f'|w| <= {SMALL}':>14}{'without these':>15}{'largest':>9}"
    print(f"{'':12}{columns}")
    for name, runs in tour.items():
        accuracies = [run.accuracy for run in runs]
        exact, small = (np.mean([run.share(limit) for run in runs]) for limit in (0, SMALL))
        pruned = np.mean([run.pruned_accuracy for run in runs])
        largest = max(abs(run.weights).max() for run in runs)
        print(
            f"{name:12}{np.mean(accuracies):10.3f}{min(accuracies):8.3f}{exact:12.1%}{small:14.1%}{pruned:15.3f}"
            f"{largest:9.2f}"
        )


def draw(path: Path, tour: dict[str, list[Run]]) -> None:
    """The weights of the first run in each way, and the accuracy of all runs."""
    figure, panels = plot.figure(2, 3, size=(4.0, 2.8))
    *histograms, last = panels
    widest = max(abs(runs[0].weights).max() for runs in tour.values())
    bins = np.linspace(-widest, widest, 80)  # an odd number of bins: one is around 0
    for axes, (name, (first, *_)) in zip(histograms, tour.items(), strict=True):
        axes.hist(first.weights, bins=bins, color=plot.COLORS[0])
        axes.set(
            title=f"{name}: {first.share(SMALL):.1%} within ±{SMALL}", xlabel="weight", ylabel="weights in a bin",
            yscale="log", ylim=(0.7, 1.5 * len(first.weights)),
        )
        axes.grid(color=plot.INK, alpha=0.2)
    for i, runs in enumerate(tour.values()):
        last.plot([100 * run.accuracy for run in runs], [i] * len(runs), "o", color=plot.COLORS[1], alpha=0.8)
    last.set(title="Test accuracy of each run", xlabel="utterances told right (%)", yticks=range(len(tour)))
    last.set_yticklabels(tour)
    last.set_ylim(len(tour) - 0.5, -0.5)
    last.grid(color=plot.INK, alpha=0.2)
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--runs", type=int, default=3, help="trainings from different first weights, each way")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-plot", action="store_true", help="save no picture")
    options = parser.parse_args()
    for name in ("epochs", "runs"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be a positive integer. Received: {getattr(options, name)}")

    start = time.perf_counter()
    x_train, y_train, x_test, y_test = load()
    x, test = Tensor(x_train), Tensor(x_test)
    tour: dict[str, list[Run]] = {name: [] for name in WAYS}
    for name, runs in (progress := tqdm([*tour.items()] * options.runs, unit="training")):
        progress.set_description(name)
        network = train(WAYS[name], x, y_train, options.epochs, options.seed + len(runs))
        runs.append(judge(network, test, y_test))
    report(tour)
    print(f"{options.runs} runs of {options.epochs} epochs each way, {time.perf_counter() - start:.1f} s")
    if not options.no_plot:
        draw(Path("constraints_tour.png"), tour)


if __name__ == "__main__":
    main()
