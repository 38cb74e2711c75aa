"""Zero to nine, heard: raw audio, log-mel features, and a SeparableConv1D network of 25,000 numbers.

Data: Free Spoken Digit Dataset v1.0.10 (Zohar Jackson and others, CC BY-SA 4.0), six speakers, 3,000 recordings. It is
downloaded once (16 MB); see examples/spoken_digits_data.py, which also makes the features.

    python examples/spoken_digits.py [--epochs 40] [--seed 0] [--device cpu|cuda] [--data PATH] [--output .] [--no-plot]
    python examples/spoken_digits.py --leave-one-speaker-out   # how well it understands somebody it never heard
    python examples/spoken_digits.py --predict FILE.wav        # which digit is that? Trains first if it has not yet
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from spoken_digits_data import BANDS, FRAMES, HOP, RATE, Recordings, load, log_mel, read_wav

import minigrad as mg
from minigrad import Tensor, layers, losses, optimizers, plot
from minigrad.saving import load_checkpoint, save_checkpoint

DIGITS = 10
BATCH = 64
LEARNING_RATE = 3e-3
TEST = 5  # recordings 0 to 4 of each digit and speaker
WEIGHTS = "spoken_digits.ckpt"


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
            filters, kernel_size=9, padding="same", use_bias=False, pointwise_initializer="he_uniform",
            name=f"separable_{filters}",
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


def report(title: str, speaker: np.ndarray, right: np.ndarray) -> list[float]:
    """Print how many recordings of each speaker were heard right; return the accuracies."""
    print(f"{title:<12}{'right':>10}{'accuracy':>10}")
    accuracies = []
    for name in np.unique(speaker):
        mine = right[speaker == name]
        accuracies.append(float(mine.mean()))
        print(f"{name:<12}{f'{mine.sum()}/{len(mine)}':>10}{accuracies[-1]:>10.3f}")
    return accuracies


def leave_one_speaker_out(recordings: Recordings, options: argparse.Namespace) -> None:
    """Six trainings: each time one speaker is a stranger, of whom no recording is used, and then all are asked."""
    heard = np.empty_like(recordings.digit)
    for stranger in np.unique(recordings.speaker):
        asked = recordings.speaker == stranger
        print(f"without {stranger}:")
        network, _ = trained(recordings.where(~asked), recordings.where(asked), options)
        heard[asked] = probabilities(network, recordings.x[asked]).argmax(-1)
    save_pictures(options, strangers=lambda: plot.confusion_matrix(recordings.digit, heard))
    right = heard == recordings.digit
    accuracies = report("stranger", recordings.speaker, right)
    print(f"mean accuracy {np.mean(accuracies):.3f}, for speakers from {min(accuracies):.3f} to {max(accuracies):.3f}")


def known_speakers(recordings: Recordings, options: argparse.Namespace) -> mg.Sequential:
    """Train on recordings 5 to 49, test on 0 to 4, and save the weights and the pictures."""
    start = time.perf_counter()
    test = recordings.where(recordings.number < TEST)
    network, history = trained(recordings.where(recordings.number >= TEST), test, options)
    print(f"{network.count_params():,} parameters, {time.perf_counter() - start:.1f} s")
    heard = probabilities(network, test.x).argmax(-1)
    or_exit(save_checkpoint, options.output / WEIGHTS, network)
    print(f"weights: {options.output / WEIGHTS}")
    save_pictures(
        options,
        features=lambda: picture_of(test),
        history=lambda: plot.history(history),
        confusion=lambda: plot.confusion_matrix(test.digit, heard),
        kernels=lambda: plot.kernels(network.get_layer("separable_64")),
    )
    right = heard == test.digit
    report("speaker", test.speaker, right)
    print(f"test accuracy {right.mean():.3f} ({right.sum()}/{len(right)})")
    return network


def picture_of(recordings: Recordings) -> Any:
    """What the network hears: the features of the first recording of each digit."""
    figure, panels = plot.figure(2, 5, size=(2.2, 1.9))
    for digit, axes in enumerate(panels):
        first = int(np.argmax(recordings.digit == digit))
        axes.imshow(recordings.x[first].T, origin="lower", aspect="auto", extent=(0, FRAMES * HOP / RATE, 0, BANDS))
        axes.set_title(f"{digit}, {recordings.speaker[first]}", fontsize=10)
        axes.set(xlabel="time (s)" if digit >= 5 else "", ylabel="mel band" if digit % 5 == 0 else "")
    return figure


def save_pictures(options: argparse.Namespace, **pictures: Callable[[], Any]) -> None:
    """Draw each, and write it under its name."""
    for name, draw in pictures.items() if not options.no_plot else ():
        path = options.output / f"spoken_digits_{name}.png"
        or_exit(draw().savefig, path)
        print(f"picture: {path}")


def predict(options: argparse.Namespace) -> None:
    """Which digit a WAV file says, by the weights of an earlier run, or of a training now."""
    x = or_exit(lambda: log_mel([read_wav(options.predict)]))
    weights = options.output / WEIGHTS
    if weights.exists():
        network = build()
        or_exit(lambda: load_checkpoint(weights, network, random=False))
    else:
        print(f"no {weights} yet: training first")
        network = known_speakers(or_exit(load, options.data), options)
    likely = probabilities(network, x)[0]
    first, second = np.argsort(likely)[:-3:-1]
    print(f"{options.predict}: {first} ({likely[first]:.1%}), or else {second} ({likely[second]:.1%})")


def or_exit(work: Callable[..., Any], *arguments: Any) -> Any:
    """What ``work`` returns; when a file or the connection is at fault, a sentence ends the program."""
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
    written = not (options.predict and (options.output / WEIGHTS).exists())
    if not options.output.is_dir() or (written and not os.access(options.output, os.W_OK)):
        parser.error(f"--output must be a folder that can be written to. Received: {options.output}")

    if options.predict:
        predict(options)
    elif options.leave_one_speaker_out:
        leave_one_speaker_out(or_exit(load, options.data), options)
    else:
        known_speakers(or_exit(load, options.data), options)


if __name__ == "__main__":
    main()
