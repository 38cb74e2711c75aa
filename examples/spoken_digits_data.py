"""Spoken digits: from an archive of recordings to log-mel features, with the standard library and NumPy.

Data: Free Spoken Digit Dataset v1.0.10 (Zohar Jackson and others, CC BY-SA 4.0): six speakers say each digit 50 times,
3,000 WAV files named DIGIT_SPEAKER_NUMBER.wav, 8 kHz, 16 bits, mono, trimmed to little silence. Recordings 0 to 4 of
each are for testing, 5 to 49 for training.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import os
import re
import struct
import sys
import urllib.error
import urllib.request
import wave
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

NAME = "free-spoken-digit-dataset-1.0.10.zip"
URL = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.zip"
# What `LC_ALL=C sha256sum *.wav | sha256sum` prints in the folder of the recordings. The bytes of an archive that
# GitHub makes may change from one day to another; those of the recordings do not.
SHA256 = "1801eae019c063377d98f831d3f93574f259475df7332bb0e3d1b080fb5e6959"
RECORDING = re.compile(r"([0-9])_([a-z]+)_([0-9]+)\.wav")

RATE = 8000  # samples a second
WINDOW = 256  # samples of a frame: 32 ms
HOP = 100  # samples from one frame to the next: 12.5 ms
FRAMES = 64  # L: 0.82 s
BANDS = 40  # C
SILENCE = 1e-4  # power of a band that counts as none: a tone of full scale has 4096, 76 dB more
CHUNK = 256  # recordings transformed at once

# What zipfile raises for damaged archives: fuzzing found all of these.
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError, struct.error)


class Recordings(NamedTuple):
    """Log-mel features (N, 64, 40) with the digit, the speaker and the number of each recording, (N,)."""

    x: np.ndarray
    digit: np.ndarray
    speaker: np.ndarray
    number: np.ndarray

    def where(self, chosen: np.ndarray) -> Recordings:
        """Those recordings for which ``chosen``, (N,), holds."""
        return Recordings(*(column[chosen] for column in self))


# ---------------------------------------------------------------------- where the recordings are


def data_folder() -> Path:
    """MINIGRAD_DATA, or minigrad's folder in the user's cache."""
    if given := os.environ.get("MINIGRAD_DATA"):
        return Path(given)
    home = {"darwin": Path("~/Library/Caches"), "win32": Path(os.environ.get("LOCALAPPDATA", "~/AppData/Local"))}
    cache = os.environ.get("XDG_CACHE_HOME") or home.get(sys.platform, Path("~/.cache"))
    return Path(cache).expanduser() / "minigrad"


def said(error: Exception) -> str:
    """The words of an error; its name when it has none."""
    return str(error) or type(error).__name__


def wav_files(path: Path, origin: str) -> dict[str, bytes]:
    """The recordings in a zip archive or a folder, or in folders below, by name."""
    if path.is_dir():
        return {file.name: file.read_bytes() for file in path.rglob("*.wav") if RECORDING.fullmatch(file.name)}
    if not path.exists():
        raise FileNotFoundError(f"data: must be a zip archive or a folder of recordings. Received: {origin}, not there")
    try:
        with zipfile.ZipFile(path) as archive:
            names = {member: member.rpartition("/")[2] for member in archive.namelist()}
            return {name: archive.read(member) for member, name in names.items() if RECORDING.fullmatch(name)}
    except DAMAGED as error:
        raise ValueError(f"data: must be a whole zip archive. Received: {origin}: {said(error)}") from error


def verified(path: Path, sha256: str, origin: str = "") -> dict[str, bytes]:
    """The recordings of a copy, if their names and contents are those expected.

    Raises:
        FileNotFoundError: nothing is at the path.
        ValueError: a damaged archive, other contents. The sentence names ``origin``, or the path.
    """
    origin = origin or str(path)
    files = wav_files(path, origin)
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    found = hashlib.sha256("".join(lines).encode()).hexdigest()
    if found != sha256:
        raise ValueError(
            f"data: must hold the recordings of version 1.0.10 (SHA-256 {sha256}). "
            f"Received: {origin} with {len(files):,} recordings (SHA-256 {found})"
        )
    return files


def download(url: str, target: Path, sha256: str) -> dict[str, bytes]:
    """Fetch the archive: under another name first, so that ``target`` is there whole and verified, or not at all.

    Raises:
        ConnectionError: the server, the network or the disk failed.
        ValueError: what came is not the data.
    """
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        fetch(url, part)
        files = verified(part, sha256, origin=url)
        part.replace(target)
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(
            f"download: {url} must arrive as a whole. Received: {said(error)}. "
            "Try again, or fetch it by other means and give its path with --data"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return files


def fetch(url: str, path: Path) -> None:
    """Write what a server sends into a file, with a progress bar.

    Raises:
        ConnectionError: the server refused, or the answer broke off.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        answer = urllib.request.urlopen(url, timeout=30)
    except urllib.error.HTTPError as error:
        with error:  # it is an answer too, which holds a socket
            raise ConnectionError(str(error)) from None
    with answer as response, path.open("wb") as file:
        length = response.headers.get("Content-Length")
        total = int(length) if length else None
        with tqdm(total=total, desc="download", unit="B", unit_scale=True) as bar:
            while block := response.read(1 << 16):
                bar.update(file.write(block))
        if total is not None and file.tell() != total:
            raise ConnectionError(f"broke off after {file.tell():,} of {total:,} bytes")


# ---------------------------------------------------------------------- from bytes to numbers


def read_wav(path: Path, content: bytes | None = None) -> np.ndarray:
    """The samples of a recording, within [-1, 1); of ``content`` when it is read already.

    Raises:
        OSError: the file cannot be read.
        ValueError: not a WAV file of 16 bits, mono, 8 kHz, or one that is empty or cut off.
    """
    who = f"WAV file {path}"
    content = path.read_bytes() if content is None else content
    try:
        with wave.open(io.BytesIO(content)) as reader:
            channels, width, rate, count = reader.getparams()[:4]
            data = reader.readframes(count)
    except (wave.Error, EOFError, RuntimeError) as error:  # the last when a chunk reaches beyond the file
        reason = str(error) or "a header or a chunk that is cut off"
        raise ValueError(f"{who}: must be RIFF WAVE with plain samples (PCM). Received: {reason}") from error
    if (channels, width, rate) != (1, 2, RATE):
        raise ValueError(
            f"{who}: must be mono, 16 bits, {RATE} Hz (to convert it: sox {path} -c 1 -b 16 -r {RATE} new.wav). "
            f"Received: {channels} channels, {8 * width} bits, {rate} Hz"
        )
    if len(data) != width * count or not count:
        raise ValueError(f"{who}: must hold the samples its header tells of. Received: {len(data) // 2:,} of {count:,}")
    return np.frombuffer(data, "<i2").astype(np.float32) / 2**15


def mel_filters() -> np.ndarray:
    """Triangles over the frequencies of the spectrum, equally wide on the mel scale: (WINDOW / 2 + 1, BANDS).

    mel(f) = 2595 log10(1 + f / 700), f in Hz: O'Shaughnessy 1987, "Speech Communication". Triangles: Davis and
    Mermelstein 1980, "Comparison of parametric representations for monosyllabic word recognition".
    """
    low, high = (2595 * np.log10(1 + f / 700) for f in (60, RATE / 2))
    edges = 700 * (10 ** (np.linspace(low, high, BANDS + 2) / 2595) - 1)
    left, peak, right = edges[:-2], edges[1:-1], edges[2:]
    f = np.fft.rfftfreq(WINDOW, 1 / RATE)[:, None]
    return np.maximum(np.minimum((f - left) / (peak - left), (right - f) / (right - peak)), 0).astype(np.float32)


def fitted(signal: np.ndarray, length: int) -> np.ndarray:
    """A signal with zeros on both sides, or the part around the moment before which half of its energy lies."""
    spare = len(signal) - length
    if spare <= 0:
        return np.pad(signal, (-spare // 2, -spare - -spare // 2))
    energy = np.cumsum(signal.astype(np.float64) ** 2)
    begin = np.clip(np.searchsorted(energy, energy[-1] / 2) - length // 2, 0, spare)
    return signal[begin : begin + length]


def log_mel(signals: Sequence[np.ndarray]) -> np.ndarray:
    """How loud each band is in each frame, as the logarithm of its power: (N, 64, 40).

    A signal stands in the middle of the 0.82 s; of a longer one those 0.82 s count that its sound is in.
    """
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    filters = mel_filters()
    features = np.empty((len(signals), FRAMES, BANDS), np.float32)
    for start in range(0, len(signals), CHUNK):
        chunk = signals[start : start + CHUNK]
        padded = np.stack([fitted(signal, (FRAMES - 1) * HOP + WINDOW) for signal in chunk])
        frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW, axis=1)[:, ::HOP]  # (N, L, WINDOW), a view
        power = np.abs(np.fft.rfft(frames * window)) ** 2
        features[start : start + CHUNK] = np.log(power @ filters + SILENCE)
    return features


def parsed(files: Mapping[str, bytes]) -> Recordings:
    """Features and labels of recordings, in the order of their names."""
    names = sorted(files)
    parts = [RECORDING.fullmatch(name).groups() for name in names]  # type: ignore[union-attr]
    digit, speaker, number = (np.array(column) for column in zip(*parts, strict=True))
    x = log_mel([read_wav(Path(name), files[name]) for name in names])
    return Recordings(x, digit.astype(np.int64), speaker, number.astype(np.int64))


def load(data: Path | None = None, url: str = URL, sha256: str = SHA256) -> Recordings:
    """The recordings of a copy at hand, or of `data_folder`, where they are downloaded to if need be."""
    archive = data or data_folder() / NAME
    files = verified(archive, sha256) if data or archive.exists() else download(url, archive, sha256)
    return parsed(files)
