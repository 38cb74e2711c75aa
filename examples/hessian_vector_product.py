"""Newton's method without a Hessian: curvature as products H v, at the price of two more gradients.

Softmax regression on the mean cepstrum of each utterance of the Japanese Vowels (9 speakers, 117 weights, L2). Gradient
descent knows the slope only and creeps along the flat directions. Newton-CG solves H p = -g by conjugate gradients,
for which it needs H only through `hvp`, and is done in a few steps.

    python examples/hessian_vector_product.py [--no-plot]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from minigrad import Tensor, functional
from minigrad.gradcheck import gradcheck

DATA = Path(__file__).parent / "data" / "japanese_vowels.npz"
DECAY = 1e-3

with np.load(DATA) as data:
    frames = data["x_train"].astype(float)
    heard = (frames != 0).any(axis=-1).sum(axis=1, keepdims=True)
    means = frames.sum(axis=1) / heard
    X = np.column_stack([(means - means.mean(axis=0)) / means.std(axis=0), np.ones(len(means))])
    Y = np.eye(9)[data["y_train"]]


def loss(w: Tensor) -> Tensor:
    """Mean cross-entropy of the weights (13, 9), with weight decay."""
    return -((X @ w).log_softmax() * Y).sum() / len(X) + DECAY * (w * w).sum()


def gradient(w: np.ndarray) -> tuple[float, np.ndarray]:
    value, g = functional.vjp(loss, Tensor(w))
    return value.item(), g.numpy()


def newton_step(w: np.ndarray, g: np.ndarray) -> tuple[np.ndarray, int]:
    """Solve H p = -g by conjugate gradients, to a tenth of |g|^1.5, and count the products H v."""
    p, r = np.zeros_like(w), -g
    d, products = r, 0
    tolerance = 0.1 * np.linalg.norm(g) ** 1.5
    while np.linalg.norm(r) > tolerance:
        h = functional.hvp(loss, Tensor(w), Tensor(d))[1].numpy()
        products += 1
        alpha = (r * r).sum() / (d * h).sum()
        p = p + alpha * d
        before, r = (r * r).sum(), r - alpha * h
        d = r + (r * r).sum() / before * d
    return p, products


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-plot", action="store_true", help="save no picture")
    options = parser.parse_args()

    w = np.zeros((X.shape[1], Y.shape[1]))
    print(gradcheck(loss, [w + 0.1], order=2).summary())
    v = np.random.default_rng(0).normal(size=w.shape)
    hessian = functional.hessian(loss, Tensor(w)).numpy()
    product = functional.hvp(loss, Tensor(w), Tensor(v))[1].numpy()
    eigenvalues = np.linalg.eigvalsh(hessian.reshape(w.size, w.size))
    print(f"hvp against the full Hessian ({w.size}^2): {abs(product - np.tensordot(hessian, v, 2)).max():.1e} off")
    flat, steep = eigenvalues[0], eigenvalues[-1]
    print(f"curvature from {flat:.4f} to {steep:.4f}: {steep / flat:.0f} to 1\n")

    newton, cost = [], 0
    for step in range(20):
        value, g = gradient(w)
        newton.append((cost, float(np.linalg.norm(g))))
        print(f"newton {step}: loss {value:.12f}, |gradient| {np.linalg.norm(g):.1e}, gradients so far {cost + 1}")
        if np.linalg.norm(g) < 1e-12:
            break
        p, products = newton_step(w, g)
        w = w + p
        cost += 1 + 2 * products  # a product is two walks back
    descent, u = [], np.zeros_like(w)
    for step in range(max(400, 2 * cost)):
        value, g = gradient(u)
        descent.append((step, float(np.linalg.norm(g))))
        u = u - g / eigenvalues[-1]
    print(f"descent after {len(descent)} gradients: loss {value:.12f}, |gradient| {descent[-1][1]:.1e}")
    right = ((X @ w).argmax(axis=1) == Y.argmax(axis=1)).mean()
    print(f"{right:.1%} of the training utterances are told apart by their mean alone")
    if not options.no_plot:
        plot(Path("hessian_vector_product.png"), newton, descent, eigenvalues)


def plot(
    path: Path, newton: list[tuple[int, float]], descent: list[tuple[int, float]], eigenvalues: np.ndarray
) -> None:
    """Convergence, and the spectrum that explains it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.semilogy(*zip(*descent, strict=True), label="gradient descent, step 1 / largest curvature")
    left.semilogy(*zip(*newton, strict=True), "o-", label="Newton-CG with hvp")
    left.set(xlabel="gradients computed", ylabel="norm of the gradient", title="Slope alone, and with curvature")
    left.grid(alpha=0.25)
    left.legend()
    right.semilogy(eigenvalues[::-1], ".", color="C2")
    right.set(xlabel="direction, by curvature", ylabel="eigenvalue of H at the start", title="The valley is long")
    right.grid(alpha=0.25)
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


if __name__ == "__main__":
    main()
