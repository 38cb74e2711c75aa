"""Who is speaking? Nine speakers told apart by one vowel pair, with a small SeparableConv1D network.

Data: UCI Japanese Vowels (Kudo, Toyama and Shimbo 1999, CC BY 4.0), 270 training and 370 test utterances of
12 cepstral coefficients over up to 29 frames; see examples/data/README.md.

    python examples/japanese_vowels.py [--epochs 60] [--seed 0] [--device cpu|cuda] [--no-plot]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from tqdm import tqdm

import minigrad as mg
from minigrad import Tensor, constraints, initializers, layers, losses, optimizers, plot, regularizers
from minigrad.gradcheck import check_layer

DATA = Path(__file__).parent / "data" / "japanese_vowels.npz"
SPEAKERS = 9
BATCH = 32


def load() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Utterances (N, 29, 12), each channel standardized by the frames of the training set, and speakers (N,).

    Shorter utterances are padded with zeros at the end; the padding stays zero.
    """
    with np.load(DATA) as data:
        x_train, y_train, x_test, y_test = (data[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    frames = x_train[(x_train != 0).any(axis=-1)]
    mean, std = frames.mean(axis=0), frames.std(axis=0)

    def standardized(x: np.ndarray) -> np.ndarray:
        return np.where((x != 0).any(axis=-1, keepdims=True), (x - mean) / std, 0).astype(np.float32)

    return standardized(x_train), y_train, standardized(x_test), y_test


def build(filters: int = 128, activation: str = "relu") -> mg.Sequential:
    """Two separable blocks, the mean over time, and one score for each speaker."""

    def block() -> layers.SeparableConv1D:
        return layers.SeparableConv1D(
            filters, kernel_size=3, padding="same", activation=activation,
            depthwise_initializer=initializers.RandomUniform(-1.0, 1.0),  # +-sqrt(3 / K): keeps the signal's size
            pointwise_initializer="he_uniform",
            pointwise_regularizer=regularizers.L2(1e-5),  # a little weight decay for the many
            depthwise_constraint=constraints.MaxNorm(2.0, axis=0),  # no filter grows beyond a gain of 2
        )

    return mg.Sequential([
        block(),
        layers.Dropout(0.2),
        block(),
        layers.Dropout(0.2),
        layers.GlobalAveragePooling1D(),
        layers.Dense(SPEAKERS),
    ])


class Criterion(layers.Layer):
    """A network followed by the training loss, so that one check covers all that training differentiates."""

    def __init__(self, network: mg.Sequential, y: np.ndarray) -> None:
        super().__init__(dtype="float64")
        self.network, self.y = network, y
        self.loss_of = losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float64")

    def call(self, inputs: Tensor) -> Tensor:
        return self.loss_of(self.y, self.network(inputs))


def check_gradient(x: np.ndarray, y: np.ndarray) -> None:
    """Compare the tape with numeric derivatives, for the input and every weight of a small copy of the network.

    The copy has tanh in the place of ReLU: numeric derivatives stumble over its kink, where no derivative exists.
    """
    report = check_layer(Criterion(build(filters=8, activation="tanh"), y[:3]), x[:3])
    print(f"gradient check: {report.summary()}")


def train(network: mg.Sequential, x: Tensor, y: np.ndarray, epochs: int, seed: int) -> list[float]:
    """The loop, step by step; returns the mean loss of each epoch."""
    loss_of = losses.SparseCategoricalCrossentropy(from_logits=True)
    steps = -(-len(x) // BATCH)
    optimizer = optimizers.Adam(optimizers.schedules.CosineDecay(2e-3, decay_steps=epochs * steps))
    random = np.random.default_rng(seed)
    history = []
    progress = tqdm(range(epochs), desc="training", unit="epoch")
    for _ in progress:
        order = random.permutation(len(x))
        total = 0.0
        for rows in np.array_split(order, steps):
            scores = network(x[rows], training=True)  # computes, and writes the tape
            loss = loss_of(y[rows], scores) + sum(network.losses)  # with the penalties of the weights
            loss.backward()  # walks the tape back: every weight now has .grad
            optimizer.step(network.trainable_weights)  # moves the weights, applies the constraints, drops .grad
            total += loss.item() * len(rows)
        history.append(total / len(x))
        progress.set_postfix(loss=f"{history[-1]:.4f}")
    return history


def predict(network: mg.Sequential, x: Tensor) -> np.ndarray:
    """The speaker with the highest score, without writing a tape."""
    with mg.no_grad():
        return network(x).argmax(axis=-1).numpy()


def save_pictures(history: list[float], y: np.ndarray, predicted: np.ndarray) -> None:
    """Learning curve and confusion matrix."""
    pictures = {
        "history": plot.history({"loss": history}),
        "confusion": plot.confusion_matrix(y, predicted, labels=range(1, SPEAKERS + 1)),
    }
    for name, figure in pictures.items():
        path = Path(f"japanese_vowels_{name}.png")
        figure.savefig(path, dpi=120)
        print(f"picture: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--no-plot", action="store_true", help="save no pictures")
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error(f"--epochs must be a positive integer. Received: {options.epochs}")

    mg.set_random_seed(options.seed)
    x_train, y_train, x_test, y_test = load()
    check_gradient(x_train, y_train)

    start = time.perf_counter()
    network = build()
    x = Tensor(x_train, device=options.device)
    history = train(network, x, y_train, options.epochs, options.seed)
    print(f"{network.count_params():,} parameters, {time.perf_counter() - start:.1f} s")
    predicted = predict(network, Tensor(x_test, device=options.device))
    if not options.no_plot:
        save_pictures(history, y_test, predicted)
    right = int((predicted == y_test).sum())
    print(f"test accuracy {right / len(y_test):.3f} ({right}/{len(y_test)})")


if __name__ == "__main__":
    main()
