"""What fit adds to a loop by hand: epochs on Japanese Vowels, both with the same work.

    python -m tests.benchmarks.fit [--rounds 12] [--json FILE]

The network, penalty, constraint and schedule of examples/japanese_vowels.py, on random data of that size; "loss" keeps
the mean loss, as the example does, "accuracy" the hits too. A turn is one call of fit, and as many epochs by hand;
who goes first changes from round to round. Both are checked first to make the same steps to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import Sequential, Tensor, losses, optimizers
from minigrad.data import batches
from tests.benchmarks import timing
from tests.benchmarks.training import RATE, TASKS, build

EPOCHS = 15  # of a turn; a training has 60
TASK = next(task for task in TASKS if task.name == "Japanese Vowels")


def prepared() -> tuple[Sequential, Any, Any]:
    network = build(TASK)
    schedule = optimizers.schedules.CosineDecay(RATE, 60 * TASK.steps)
    return network, optimizers.Adam(schedule), losses.SparseCategoricalCrossentropy(from_logits=True)


def by_hand(accuracy: bool, weights: list[np.ndarray]) -> tuple[Sequential, Callable[..., list[float]]]:
    """The loop of the example, with the batches of `minigrad.data`."""
    network, optimizer, loss_of = prepared()
    network.set_weights(weights)
    x, y = TASK.arrays()
    inputs = Tensor(x)

    def epochs(count: int = EPOCHS, shuffle: bool = True) -> list[float]:
        history = []
        for epoch in range(count):
            total = hits = 0.0
            for rows, labels in batches(inputs, y, TASK.batch, 0 if shuffle else None, epoch):
                scores = network(rows, training=True)
                loss = loss_of(labels, scores) + sum(network.losses)
                loss.backward()
                optimizer.step(network.trainable_weights)
                total += loss.item() * len(labels)
                if accuracy:
                    hits += int((scores.data.argmax(-1) == labels).sum())
            history.append(total / len(y))
        return history

    return network, epochs


def by_fit(accuracy: bool, weights: list[np.ndarray]) -> tuple[Sequential, Callable[..., list[float]]]:
    network, optimizer, loss_of = prepared()
    network.set_weights(weights)
    network.compile(optimizer, loss_of, ["accuracy"] if accuracy else None)
    x, y = TASK.arrays()
    inputs = Tensor(x)

    def epochs(count: int = EPOCHS, shuffle: bool = True) -> list[float]:
        history = network.fit(inputs, y, batch_size=TASK.batch, epochs=count, shuffle=shuffle, verbose=0)
        return history.history["loss"]

    return network, epochs


def check(weights: list[np.ndarray]) -> None:
    """The loop and fit must make the same steps; dropout is out of the way for that."""
    found = []
    for make in (by_hand, by_fit):
        network, epochs = make(True, weights)
        for layer in network.layers:
            if type(layer).__name__ == "Dropout":
                layer.rate = 0
        found.append([np.array(epochs(2, shuffle=False)), *network.get_weights()])
    timing.same("fit", ["losses", *["weights"] * len(weights)], *found, tolerance=1e-12)


def in_turns(contestants: dict[str, Callable[..., list[float]]], rounds: int) -> timing.Times:
    """Seconds of every turn; the first one, of an epoch, warms up and does not count."""
    times: timing.Times = {name: [] for name in contestants}
    for epochs in contestants.values():
        epochs(1)
    for i in range(rounds):
        for name in list(contestants)[:: -1 if i % 2 else 1]:
            times[name].append(timing.seconds_of(contestants[name], 1))
    return times


def main() -> None:
    options = timing.parser(__doc__, threads=1, rounds=12)
    given = options.parse_args()
    timing.limit_threads(given.threads)
    weights = build(TASK).get_weights()
    check(weights)
    for name, accuracy in (("loss", False), ("accuracy", True)):
        steps = {"fit": by_fit(accuracy, weights)[1], "loop": by_hand(accuracy, weights)[1]}
        times = in_turns(steps, given.rounds)
        row = timing.report(f"{TASK.name}, {EPOCHS} epochs with the {name}", times, "fit", ["loop"])
        print(f"  fit adds {100 * (row['ratios']['loop'] - 1):+.1f} %")
        timing.keep(given.json, row)


if __name__ == "__main__":
    main()
