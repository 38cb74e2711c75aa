"""Make japanese_vowels.npz from the copy of the UCI Japanese Vowels data that the package aeon 1.6.0 carries.

    python make_japanese_vowels.py                                     # with aeon installed
    python make_japanese_vowels.py --aeon aeon-1.6.0-py3-none-any.whl  # with its wheel, or its unpacked folder

It needs NumPy alone: aeon is located, not imported, and its text files are read here. The same input gives the
same bytes: NumPy stamps every member of an archive with 1980-01-01.
"""

from __future__ import annotations

import argparse
import hashlib
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CHANNELS = 12
LENGTHS = (7, 29)  # frames of the shortest and of the longest utterance; every one is padded to the longest
UTTERANCES = {  # of each speaker, as the data's authors state them
    "TRAIN": [30] * 9,
    "TEST": [31, 35, 88, 44, 29, 24, 40, 50, 29],
}


def package(path: Path | None) -> Path | zipfile.Path:
    """The folder of the package aeon: the installed one, or the one in ``path``, its wheel or the folder itself."""
    if path is None:
        spec = find_spec("aeon")
        if spec is None or spec.origin is None:
            raise SystemExit("aeon must be installed, or its wheel or folder be given with --aeon. Received: neither")
        return Path(spec.origin).parent
    return zipfile.Path(path, "aeon/") if path.is_file() else path


def read(text: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Utterances (N, L, C), zero-padded behind their last frame, and speakers 0..8, of a .ts file.

    Behind the line @data each line is an utterance: its channels, each a list of frames, then its speaker, 1..9,
    all separated by colons.
    """
    lines = text.partition("@data\n")[2].split()
    x = np.zeros((len(lines), LENGTHS[1], CHANNELS), np.float32)
    y = np.empty(len(lines), np.int64)
    for i, line in enumerate(lines):
        *channels, speaker = line.split(":")
        frames = np.array([channel.split(",") for channel in channels], np.float32).T
        x[i, : len(frames)] = frames
        y[i] = int(speaker) - 1
    return x, y


def load(folder: Path | zipfile.Path, split: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The part ``split``; data that are not those the authors describe are refused."""
    x, y = read((folder / f"JapaneseVowels_{split}.ts").read_text(encoding="utf-8"))
    counts = np.bincount(y).tolist()
    if counts != UTTERANCES[split]:
        raise ValueError(f"{split}: utterances of each speaker must be {UTTERANCES[split]}. Received: {counts}")
    if not np.isfinite(x).all():
        raise ValueError(f"{split}: every value must be finite. Received: NaN or infinity")
    present = (x != 0).any(axis=-1)  # a frame of 12 exact zeros is padding
    lengths = present.sum(axis=-1)
    if not (present == (np.arange(LENGTHS[1]) < lengths[:, None])).all():
        raise ValueError(f"{split}: only padding may be zero. Received: a frame of zeros within an utterance")
    if lengths.min() < LENGTHS[0]:
        raise ValueError(f"{split}: an utterance must have {LENGTHS[0]} frames or more. Received: {lengths.min()}")
    return x, y


def main() -> None:
    """Read, check, write, and print the checksum."""
    parser = argparse.ArgumentParser(description="Make japanese_vowels.npz")
    parser.add_argument("--aeon", type=Path, help="the wheel of aeon, or the folder of the package")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("japanese_vowels.npz"))
    options = parser.parse_args()
    folder = package(options.aeon) / "datasets" / "data" / "JapaneseVowels"
    x_train, y_train = load(folder, "TRAIN")
    x_test, y_test = load(folder, "TEST")
    np.savez_compressed(options.output, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    print(options.output, hashlib.sha256(options.output.read_bytes()).hexdigest())


if __name__ == "__main__":
    main()
