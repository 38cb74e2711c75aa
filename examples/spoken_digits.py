"""Zero to nine, heard: raw audio, log-mel features, and a SeparableConv1D network of 25,000 numbers.

Data: Free Spoken Digit Dataset v1.0.10 (Zohar Jackson and others, CC BY-SA 4.0), six speakers, 3,000 recordings. It is
downloaded once (16 MB); see examples/spoken_digits_data.py, which also makes the features.

    python examples/spoken_digits.py [--epochs 30] [--seed 0] [--device cpu|cuda] [--data PATH] [--output .] [--no-plot]
    python examples/spoken_digits.py --leave-one-speaker-out   # how well it understands somebody it never heard
    python examples/spoken_digits.py --predict FILE.wav        # which digit is that? Trains first if it has not yet
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from spoken_digits_data import BANDS, DAMAGED, FRAMES, Recordings, load, log_mel, read_wav, said

import minigrad as mg
from minigrad import Tensor, layers, losses, optimizers, plot

DIGITS = 10
BATCH = 64
LEARNING_RATE = 3e-3
TEST = 5  # recordings 0 to 4 of each digit and speaker
WEIGHTS = "spoken_digits.npz"


class Disturb(layers.Layer):
    """While training, what should not matter is changed at random, for each recording anew.

    It begins up to 50 ms sooner or later; it sounds a band higher or lower, as a shorter or longer vocal tract would
    (Jaitly and Hinton 2013); up to 8 frames and up to 4 bands are hidden (SpecAugment: Park et al. 2019).
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training:
            return inputs
        n, length, channels = inputs.shape
        random = mg.random.generator()  # the one that set_random_seed starts

        def moved(count: int, most: int) -> np.ndarray:
            """Where each step comes from (N, count); at the ends, the last one is repeated."""
            return np.clip(np.arange(count) + random.integers(-most, most + 1, (n, 1)), 0, count - 1)

        def kept(count: int, most: int) -> np.ndarray:
            """All but a stretch of up to ``most`` steps (N, count)."""
            hidden = random.integers(0, most + 1, (n, 1))
            begin = random.integers(0, count - hidden + 1)
            return (np.arange(count) < begin) | (np.arange(count) >= begin + hidden)

        frames, bands = moved(length, 4)[:, :, None], moved(channels, 1)[:, None, :]
        mask = kept(length, 8)[:, :, None] & kept(channels, 4)[:, None, :]
        rows = np.arange(n)[:, None, None]
        index = tuple(Tensor(part, device=inputs.device) for part in (rows, frames, bands))
        return inputs[index] * Tensor(mask.astype("float32"), device=inputs.device)


def build() -> mg.Sequential:
    """Each band standardized, three separable blocks, the mean over time, and one score for each digit."""
    network = mg.Sequential([
        layers.InputLayer((FRAMES, BANDS)),
        layers.BatchNormalization(momentum=0.9, center=False, scale=False),  # 0 is now the mean of a band,
        Disturb(),  # and hides it
    ])
    for filters, pool in (64, 2), (96, 2), (128, None):
        network.add(layers.SeparableConv1D(
            filters, kernel_size=9, padding="same", use_bias=False, pointwise_initializer="he_uniform"
        ))
        network.add(layers.BatchNormalization(momentum=0.9))
        network.add(layers.Activation("relu"))
        if pool:
            network.add(layers.MaxPooling1D(pool))
        network.add(layers.Dropout(0.2))  # behind the pooling, which would pick what is left
    network.add(layers.GlobalAveragePooling1D())
    network.add(layers.Dense(DIGITS))
    return network


def trained(known: Recordings, test: Recordings, options: argparse.Namespace) -> tuple[mg.Sequential, Any]:
    """A network that learned from ``known``, and its history. On the test recordings it is only watched."""
    mg.set_random_seed(options.seed)
    network = build().to(options.device)
    steps = options.epochs * -(-len(known.digit) // BATCH)
    network.compile(
        optimizer=optimizers.Adam(optimizers.schedules.CosineDecay(LEARNING_RATE, decay_steps=steps)),
        loss=losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = network.fit(
        known.x, known.digit, batch_size=BATCH, epochs=options.epochs, validation_data=(test.x, test.digit)
    )
    if history.interrupted:
        sys.exit("nothing is saved")
    return network, history


def probabilities(network: mg.Sequential, x: np.ndarray) -> np.ndarray:
    """How likely each digit is, (N, 10)."""
    return Tensor(network.predict(x, verbose=0)).softmax(-1).numpy()


def report(title: str, of: np.ndarray, right: np.ndarray) -> None:
    """How many recordings were heard right, for each speaker and in total."""
    print(f"{title:<12}{'right':>10}{'accuracy':>10}")
    for name in [*np.unique(of), "all"]:
        mine = right[(of == name) | (name == "all")]
        print(f"{name:<12}{f'{mine.sum()}/{len(mine)}':>10}{mine.mean():>10.3f}")


def leave_one_speaker_out(recordings: Recordings, options: argparse.Namespace) -> None:
    """Six trainings: each time one speaker is a stranger, of whom no recording is used, and then all are asked."""
    right = np.zeros(len(recordings.digit), bool)
    for stranger in np.unique(recordings.speaker):
        asked = recordings.speaker == stranger
        print(f"without {stranger}:")
        network, _ = trained(recordings.where(~asked), recordings.where(asked), options)
        right[asked] = probabilities(network, recordings.x[asked]).argmax(-1) == recordings.digit[asked]
    report("stranger", recordings.speaker, right)


def known_speakers(recordings: Recordings, options: argparse.Namespace) -> mg.Sequential:
    """Train on recordings 5 to 49, test on 0 to 4, and save the weights and the pictures."""
    start = time.perf_counter()
    test = recordings.where(recordings.number < TEST)
    network, history = trained(recordings.where(recordings.number >= TEST), test, options)
    print(f"{network.count_params():,} parameters, {time.perf_counter() - start:.1f} s")
    heard = probabilities(network, test.x).argmax(-1)
    or_exit(save, options.output / WEIGHTS, network)
    if not options.no_plot:
        pictures = {
            "history": plot.history(history),
            "confusion": plot.confusion_matrix(test.digit, heard),
            "kernels": plot.kernels(network.layers[2]),
        }
        for name, figure in pictures.items():
            path = options.output / f"spoken_digits_{name}.png"
            figure.savefig(path, dpi=120)
            print(f"picture: {path}")
    right = heard == test.digit
    report("speaker", test.speaker, right)
    print(f"test accuracy {right.mean():.3f} ({right.sum()}/{len(right)})")
    return network


def save(path: Path, network: mg.Sequential) -> None:
    """Write the weights, under another name first: an older file stays whole until the new one is."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.savez(file, *network.get_weights())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    print(f"weights: {path}")


def restored(path: Path) -> mg.Sequential:
    """The network with the weights of an earlier run.

    Raises:
        ValueError: another file.
    """
    network = build()
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("a file that is no npz archive, or not the whole of one")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            network.set_weights([archive[name] for name in archive.files])
    except DAMAGED as error:
        raise ValueError(f"weights: {path} must be what an earlier run saved. Received: {said(error)}") from error
    return network


def predict(options: argparse.Namespace) -> None:
    """Which digit a WAV file says, by the weights of an earlier run, or of a training now."""
    x = or_exit(lambda: log_mel([read_wav(options.predict)]))
    weights = options.output / WEIGHTS
    if weights.exists():
        network = or_exit(restored, weights)
    else:
        print(f"no {weights} yet: training first")
        network = known_speakers(or_exit(load, options.data), options)
    likely = probabilities(network, x)[0]
    first, second = np.argsort(likely)[:-3:-1]
    print(f"{options.predict}: {first} ({likely[first]:.1%}), or else {second} ({likely[second]:.1%})")


def or_exit(work: Callable[..., Any], *arguments: Any) -> Any:
    """What ``work`` returns; when a file or the network is at fault, its sentence ends the program."""
    try:
        return work(*arguments)
    except (OSError, ValueError) as error:
        sys.exit(f"{Path(__file__).name}: {error}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--data", type=Path, help="a copy of the data at hand, a zip archive or a folder")
    parser.add_argument("--output", type=Path, default=Path(), help="the folder for the weights and the pictures")
    parser.add_argument("--no-plot", action="store_true", help="save no pictures")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--leave-one-speaker-out", action="store_true", help="six trainings, each asks a stranger")
    mode.add_argument("--predict", type=Path, metavar="FILE", help="a WAV file, mono, 16 bits, 8 kHz")
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error(f"--epochs must be a positive integer. Received: {options.epochs}")
    if options.seed < 0:
        parser.error(f"--seed must not be negative. Received: {options.seed}")
    if not options.output.is_dir() or not os.access(options.output, os.W_OK):
        parser.error(f"--output must be a folder that can be written to. Received: {options.output}")

    if options.predict:
        predict(options)
    elif options.leave_one_speaker_out:
        leave_one_speaker_out(or_exit(load, options.data), options)
    else:
        known_speakers(or_exit(load, options.data), options)


if __name__ == "__main__":
    main()
