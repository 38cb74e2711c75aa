"""What the tape costs where the arrays are small: a chain of 20 layers of 8 units, forward and backward.

    python -m tests.benchmarks.overhead --peers torch,jax,autograd [--threads 1] [--json FILE]

Every layer is tanh(x w + b), with x (4, 8), w (8, 8) and b (8,) in float32; a step gives the output and the gradients
of all weights. "numpy" is the same step written by hand, without a tape. JAX is compiled, the others are not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.benchmarks import timing

DEPTH, BATCH, UNITS = 20, 4, 8
RESULTS = ["y", *(f"d{kind}{i}" for i in range(DEPTH) for kind in "wb")]
Arrays = list[np.ndarray]


def arrays() -> tuple[np.ndarray, Arrays, np.ndarray]:
    """The input, the weights [w, b, w, b, ...], and the gradient of the output."""
    random = np.random.default_rng(0)
    shapes = [(BATCH, UNITS), *[(UNITS, UNITS), (UNITS,)] * DEPTH, (BATCH, UNITS)]
    x, *weights, g = (random.standard_normal(shape).astype(np.float32) * UNITS**-0.5 for shape in shapes)
    return x, weights, g


def chain(x: Any, weights: Any, tanh: Callable[[Any], Any]) -> Any:
    """The forward pass, in any library."""
    for w, b in zip(weights[::2], weights[1::2], strict=True):
        x = tanh(x @ w + b)
    return x


def by_hand(x: np.ndarray, weights: Arrays, g: np.ndarray) -> timing.Step:
    def step() -> Any:
        ys = [x]
        for w, b in zip(weights[::2], weights[1::2], strict=True):
            ys.append(np.tanh(ys[-1] @ w + b))
        h, gradients = g, []
        for i in reversed(range(DEPTH)):
            h = h * (1 - ys[i + 1] * ys[i + 1])
            gradients += [h.sum(0), ys[i].T @ h]
            h = h @ weights[2 * i].T
        return [ys[-1], *gradients[::-1]]

    return step


def minigrad(x: np.ndarray, weights: Arrays, g: np.ndarray) -> timing.Step:
    from minigrad import Tensor, ops

    return eager(Tensor(x), [Tensor(w, requires_grad=True) for w in weights], Tensor(g), ops.tanh)


def torch(x: np.ndarray, weights: Arrays, g: np.ndarray) -> timing.Step:
    import torch

    leaves = [torch.tensor(w, requires_grad=True) for w in weights]
    return eager(torch.tensor(x), leaves, torch.tensor(g), torch.tanh)


def eager(x: Any, weights: Any, g: Any, tanh: Callable[[Any], Any]) -> timing.Step:
    """The step as it is written in minigrad and in PyTorch."""

    def step() -> Any:
        for w in weights:
            w.grad = None
        y = chain(x, weights, tanh)
        y.backward(g)
        return [y.detach(), *(w.grad for w in weights)]

    return step


def jax(x: np.ndarray, weights: Arrays, g: np.ndarray) -> timing.Step:
    import jax

    @jax.jit
    def jitted(x: Any, weights: Any, g: Any) -> Any:
        y, back = jax.vjp(lambda weights: chain(x, weights, jax.numpy.tanh), weights)
        return [y, *back(g)[0]]

    placed = jax.tree.map(jax.numpy.asarray, (x, weights, g))
    return lambda: jax.block_until_ready(jitted(*placed))


def autograd(x: np.ndarray, weights: Arrays, g: np.ndarray) -> timing.Step:
    from autograd import make_vjp
    from autograd import numpy as anp

    differentiated = make_vjp(lambda weights: chain(x, weights, anp.tanh))

    def step() -> Any:
        back, y = differentiated(weights)
        return [y, *back(g)]

    return step


PEERS = {"torch": torch, "jax": jax, "autograd": autograd}


def home(results: Any) -> Arrays:
    """As NumPy arrays; a Tensor asks for it aloud."""
    return [r.numpy() if hasattr(r, "numpy") else np.asarray(r) for r in results]


def main() -> None:
    given = timing.parser(__doc__, peers="torch", threads=1, rounds=15, seconds=0.15).parse_args()
    present = timing.installed(given.peers, PEERS)
    timing.limit_threads(given.threads)
    data = arrays()
    steps = {"minigrad": minigrad(*data), "numpy": by_hand(*data), **{name: PEERS[name](*data) for name in present}}
    results = {name: home(step()) for name, step in steps.items()}
    for name in steps:
        timing.same(name, RESULTS, results["minigrad"], results[name])
    times = timing.taken_in_turns(steps, given.rounds, given.seconds)
    row = timing.report(f"chain of {DEPTH}", times, "minigrad", ["numpy", *present])
    timing.keep(given.json, row)


if __name__ == "__main__":
    main()
