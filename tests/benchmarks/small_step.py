"""One training step of the Japanese Vowels network at batch 32, so small that starting it may outlast computing it.

    python -m tests.benchmarks.small_step [--device cpu|cuda] [--peers torch] [--threads 2] [--json FILE]

A step is forward, loss, penalties, backward, Adam and the projection of the depthwise kernels; the batch lies on the
device. On a GPU, "minigrad captured" replays all of it as a CUDA graph. Dropout is left out on both sides: each draws
its masks elsewhere. PyTorch computes channels first, with its fused Adam. Who cannot make the step, or whose losses of
some steps are not those of minigrad on the CPU, is dropped, and the reason printed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from minigrad import Tensor, cuda, losses, optimizers
from minigrad.backend import device_summary
from tests.benchmarks import device, timing
from tests.benchmarks.training import CHECKED, RATE, TASKS, Task, build
from tests.benchmarks.workloads import Workload

TASK = next(task for task in TASKS if task.name == "Japanese Vowels")
Step = Callable[[], Any]  # returns the loss, where it was computed


def batch(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """The first samples."""
    x, labels = task.arrays()
    return x[: task.batch], labels[: task.batch]


def minigrad(task: Task, weights: list[np.ndarray], where: str, captured: bool = False) -> Step:
    """The step in minigrad.

    Raises:
        RuntimeError, TypeError: it is to be captured, and cannot be.
    """
    network = build(task)
    network.set_weights(weights)
    network.to(where)
    optimizer = optimizers.Adam(RATE)
    loss_of = losses.SparseCategoricalCrossentropy(from_logits=True)
    trained = network.trainable_weights
    x, labels = (Tensor(array, device=where) for array in batch(task))

    def step(x: Tensor, labels: Tensor) -> Tensor:
        loss = loss_of(labels, network(x, training=False)) + sum(network.losses)
        loss.backward()
        optimizer.step(trained)
        return loss

    made = cuda.capture(step, x, labels) if captured else step
    return lambda: made(x, labels)


def torch(task: Task, weights: list[np.ndarray], where: str) -> Step:
    """The step in PyTorch eager."""
    import torch
    from torch import nn

    from tests.benchmarks import in_torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    modules: list[Any] = []
    channels = task.channels
    for filters in task.filters:
        modules += in_torch.separable(Workload("", task.batch, task.length, channels, filters, task.taps), "NCL")
        modules.append(nn.ReLU())
        channels = filters
    network = in_torch.network([*modules, in_torch.Mean(), nn.Linear(channels, task.classes)], "NCL")
    in_torch.load(network, weights)
    network.to(where)
    parameters = list(network.parameters())
    blocks = slice(0, 3 * len(task.filters), 3)
    depthwise, pointwise = parameters[blocks], parameters[1:][blocks]
    optimizer = torch.optim.Adam(parameters, RATE, eps=1e-7, fused=True)
    x, labels = batch(task)
    inputs, targets = in_torch.placed(x, "NCL").to(where), torch.from_numpy(labels).to(where)

    def step() -> Any:
        loss = nn.functional.cross_entropy(network(inputs), targets)
        loss = loss + task.penalty * sum(w.square().sum() for w in pointwise)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for w in depthwise:
                norm = w.norm(dim=-1, keepdim=True)
                w *= norm.clamp(max=task.max_norm) / (norm + 1e-7)
        return loss

    return step


def steps_of(task: Task, where: str, present: list[str], dropped: dict[str, str] | None = None) -> dict[str, Step]:
    """All steps, by name, whose losses were found equal; why others are ``dropped``."""
    weights = build(task).get_weights()
    makers = {"minigrad": minigrad}
    if where != "cpu":
        makers["minigrad captured"] = partial(minigrad, captured=True)
    if "torch" in present:
        makers["torch eager"] = torch
    losses_of = lambda step: np.array([step().item() for _ in range(CHECKED)])
    reference = losses_of(minigrad(task, weights, "cpu"))
    steps: dict[str, Step] = {}
    for name, make in makers.items():
        with timing.dropping(name, {} if dropped is None else dropped):
            step = make(task, weights, where)
            timing.same(name, ["loss"], [reference], [losses_of(step)])
            steps[name] = step
    return steps


def main() -> None:
    options = timing.parser(__doc__, peers="torch", threads=2, rounds=9, seconds=0.15)
    options.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    given = options.parse_args()
    present = timing.installed(given.peers, ["torch"])
    measures = device.measures(given.device, given.threads)
    dropped: dict[str, str] = {}
    steps = steps_of(TASK, given.device, present, dropped)
    times = timing.taken_in_turns(steps, given.rounds, given.seconds, *measures)
    row = timing.report(f"{TASK.name}, one step", times, "minigrad", present)
    row["ratios_captured"] = timing.ratios(times, "minigrad captured", present)
    timing.keep(given.json, row | {"device": device_summary(given.device), "dropped": dropped})


if __name__ == "__main__":
    main()
