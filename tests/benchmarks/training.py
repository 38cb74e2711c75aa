"""One epoch of training, minigrad against PyTorch eager.

    python -m tests.benchmarks.training --peers torch [--threads 2] [--only Vowels] [--json FILE]

"spoken digits": 64 frames of 40 mel bands; three SeparableConv1D of 64, 96 and 128 filters and 9 taps with ReLU,
max-pooling after the first two, dropout after each, the mean over time and 10 scores. "Japanese Vowels": the network,
penalty, constraint and schedule of examples/japanese_vowels.py. The data is random. PyTorch uses its fused Adam, which
is its fastest.

Before anything is timed, the networks start from the same weights and make some steps without dropout; their losses
must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from tests.benchmarks import timing
from tests.benchmarks.workloads import Workload

RATE = 2e-3
EPOCHS = 60  # of the schedule
CHECKED = 4  # steps
Epoch = Callable[..., list[float]]  # trains, and returns the loss of each step


class Task(NamedTuple):
    """A network and its data: L, C, the filters of each block, K, how many blocks end in a max-pool, classes, ..."""

    name: str
    samples: int
    length: int
    channels: int
    filters: tuple[int, ...]
    taps: int
    pools: int
    classes: int
    batch: int
    penalty: float = 0.0  # L2, of the pointwise kernels
    max_norm: float = 0.0  # of each filter of the depthwise kernels
    cosine: bool = False  # whether the learning rate falls

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(0)
        x = random.standard_normal((self.samples, self.length, self.channels), np.float32)
        return x, random.integers(0, self.classes, self.samples)

    @property
    def steps(self) -> int:
        return -(-self.samples // self.batch)

    def batches(self, random: np.random.Generator) -> Iterator[np.ndarray]:
        yield from np.array_split(random.permutation(self.samples), self.steps)


TASKS = [
    Task("spoken digits", 2700, 64, 40, (64, 96, 128), 9, 2, 10, 64),
    Task("Japanese Vowels", 270, 29, 12, (128, 128), 3, 0, 9, 32, penalty=1e-5, max_norm=2.0, cosine=True),
]


def build(task: Task) -> Any:
    """The network in minigrad."""
    from minigrad import Sequential, constraints, layers, regularizers

    network = Sequential()
    for i, filters in enumerate(task.filters):
        network.add(layers.SeparableConv1D(
            filters, task.taps, padding="same", activation="relu",
            pointwise_regularizer=regularizers.L2(task.penalty) if task.penalty else None,
            depthwise_constraint=constraints.MaxNorm(task.max_norm, axis=0) if task.max_norm else None,
        ))
        if i < task.pools:
            network.add(layers.MaxPooling1D(2))
        network.add(layers.Dropout(0.2))
    network.add(layers.GlobalAveragePooling1D())
    network.add(layers.Dense(task.classes))
    network.build((None, task.length, task.channels))
    return network


def minigrad(task: Task, weights: list[np.ndarray]) -> dict[str, Epoch]:
    from minigrad import Tensor, losses, optimizers

    network = build(task)
    network.set_weights(weights)
    schedule = optimizers.schedules.CosineDecay(RATE, EPOCHS * task.steps) if task.cosine else RATE
    optimizer = optimizers.Adam(schedule)
    loss_of = losses.SparseCategoricalCrossentropy(from_logits=True)
    random = np.random.default_rng(0)
    x, labels = task.arrays()
    inputs = Tensor(x)

    def epoch(training: bool = True, steps: int | None = None) -> list[float]:
        history = []
        for rows in list(task.batches(random))[:steps]:
            loss = loss_of(labels[rows], network(inputs[rows], training=training)) + sum(network.losses)
            loss.backward()
            optimizer.step(network.trainable_weights)
            history.append(loss.item())
        return history

    return {"minigrad": epoch}


def torch(task: Task, weights: list[np.ndarray]) -> dict[str, Epoch]:
    """PyTorch eager, in each layout."""
    from tests.benchmarks.in_torch import LAYOUTS

    return {f"torch {layout}": in_layout(task, weights, layout) for layout in LAYOUTS}


def in_layout(task: Task, weights: list[np.ndarray], layout: str) -> Epoch:
    import torch
    from torch import nn

    from tests.benchmarks import in_torch

    flat = layout != "NLC, conv2d"
    modules: list[Any] = []
    channels, length = task.channels, task.length
    for i, filters in enumerate(task.filters):
        modules += in_torch.separable(Workload("", task.batch, length, channels, filters, task.taps), layout)
        modules.append(nn.ReLU())
        if i < task.pools:
            modules.append(nn.MaxPool1d(2) if flat else nn.MaxPool2d((1, 2)))
            length //= 2
        modules.append(nn.Dropout(0.2))
        channels = filters
    network = in_torch.network([*modules, in_torch.Mean(), nn.Linear(channels, task.classes)], layout)
    in_torch.load(network, weights)
    parameters = list(network.parameters())
    blocks = slice(0, 3 * len(task.filters), 3)
    depthwise, pointwise = parameters[blocks], parameters[1:][blocks]
    optimizer = torch.optim.Adam(parameters, RATE, eps=1e-7, fused=True)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * task.steps) if task.cosine else None
    random = np.random.default_rng(0)
    x, y = task.arrays()
    inputs, labels = in_torch.placed(x, layout), torch.from_numpy(y)

    def epoch(training: bool = True, steps: int | None = None) -> list[float]:
        network.train(training)
        history = []
        for rows in map(torch.from_numpy, list(task.batches(random))[:steps]):
            loss = nn.functional.cross_entropy(network(inputs[rows]), labels[rows])
            if task.penalty:
                loss = loss + task.penalty * sum(w.square().sum() for w in pointwise)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if task.max_norm:
                with torch.no_grad():
                    for w in depthwise:
                        norm = w.norm(dim=-1, keepdim=True)
                        w *= norm.clamp(max=task.max_norm) / (norm + 1e-7)
            if rate:
                rate.step()
            history.append(loss.item())
        return history

    return epoch


PEERS = {"torch": torch}


def main() -> None:
    options = timing.parser(__doc__, peers="torch", threads=2, rounds=5, seconds=0.15, only="")
    options.add_argument("--samples", type=int, help="instead of as many as the data set has")
    given = options.parse_args()
    present = timing.installed(given.peers, PEERS)
    timing.limit_threads(given.threads)
    for task in timing.chosen(TASKS, given.only):
        task = task._replace(samples=given.samples or task.samples)
        weights = build(task).get_weights()
        epochs = minigrad(task, weights)
        for name in present:
            epochs |= PEERS[name](task, weights)
        losses = {name: epoch(training=False, steps=CHECKED) for name, epoch in epochs.items()}
        for name in epochs:
            timing.same(name, ["loss"], [np.array(losses["minigrad"])], [np.array(losses[name])])
        times = timing.taken_in_turns(epochs, given.rounds, given.seconds)
        timing.keep(given.json, timing.report(f"{task.name}, one epoch", times, "minigrad", present))


if __name__ == "__main__":
    main()
