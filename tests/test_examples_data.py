"""The shipped recordings are those their authors describe, and the script that made them reads its source right."""

from __future__ import annotations

import hashlib
import runpy
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "examples" / "data"
SHIPPED = FOLDER / "japanese_vowels.npz"
SCRIPT = FOLDER / "make_japanese_vowels.py"
LENGTHS = {"train": (7, 26), "test": (7, 29)}
UTTERANCES = {"train": [30] * 9, "test": [31, 35, 88, 44, 29, 24, 40, 50, 29]}


@pytest.fixture(scope="module")
def data() -> dict[str, np.ndarray]:
    with np.load(SHIPPED, allow_pickle=False) as archive:
        return dict(archive)


@pytest.mark.parametrize("split", UTTERANCES)
def test_the_recordings_are_those_described(data: dict[str, np.ndarray], split: str) -> None:
    x, y = data[f"x_{split}"], data[f"y_{split}"]
    assert x.shape == (sum(UTTERANCES[split]), 29, 12)
    assert x.dtype == np.float32
    assert np.isfinite(x).all()
    assert y.dtype == np.int64
    assert np.bincount(y).tolist() == UTTERANCES[split]
    present = (x != 0).any(axis=-1)
    lengths = present.sum(axis=-1)
    assert (lengths.min(), lengths.max()) == LENGTHS[split]
    np.testing.assert_array_equal(present, np.arange(29) < lengths[:, None])  # zeros only behind the last frame


def test_the_first_numbers_are_those_of_the_source(data: dict[str, np.ndarray]) -> None:
    # the first channel of the first utterances in JapaneseVowels_TRAIN.ts and JapaneseVowels_TEST.ts
    np.testing.assert_array_equal(data["x_train"][0, :3, 0], np.array([1.860936, 1.891651, 1.939205], "f"))
    np.testing.assert_array_equal(data["x_test"][0, :3, 0], np.array([1.635533, 1.547694, 1.602593], "f"))


def test_no_recording_is_in_both_parts(data: dict[str, np.ndarray]) -> None:
    assert not {x.tobytes() for x in data["x_train"]} & {x.tobytes() for x in data["x_test"]}


def test_the_readme_states_the_checksum() -> None:
    assert hashlib.sha256(SHIPPED.read_bytes()).hexdigest() in (FOLDER / "README.md").read_text(encoding="utf-8")


def ts_file(x: np.ndarray, y: np.ndarray) -> str:
    """Recordings in the text format of the source."""
    lines = []
    for utterance, speaker in zip(x, y, strict=True):
        frames = utterance[(utterance != 0).any(axis=-1)]
        lines.append(":".join([*(",".join(map(str, channel)) for channel in frames.T.tolist()), str(speaker + 1)]))
    return "# a comment\n@problemName JapaneseVowels\n@data\n" + "\n".join(lines) + "\n"


def make(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


@pytest.mark.parametrize("packed", [True, False], ids=["wheel", "folder"])
def test_the_script_makes_the_same_arrays(
    data: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    folder = tmp_path / "aeon" / "datasets" / "data" / "JapaneseVowels"
    folder.mkdir(parents=True)
    for split in UTTERANCES:
        text = ts_file(data[f"x_{split}"], data[f"y_{split}"])
        (folder / f"JapaneseVowels_{split.upper()}.ts").write_text(text, encoding="utf-8")
    source = tmp_path / "aeon"
    if packed:
        source = tmp_path / "aeon.whl"
        with zipfile.ZipFile(source, "w") as wheel:
            for path in folder.iterdir():
                wheel.write(path, path.relative_to(tmp_path))
    made = tmp_path / "made.npz"
    make(monkeypatch, "--aeon", source, "--output", made)
    with np.load(made, allow_pickle=False) as archive:
        assert archive.files == list(data)
        for name, array in data.items():
            assert archive[name].dtype == array.dtype
            np.testing.assert_array_equal(archive[name], array)
    with zipfile.ZipFile(made) as archive:  # no clock in it, so the same input gives the same bytes
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_script_refuses_other_data(
    data: dict[str, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "datasets" / "data" / "JapaneseVowels"
    folder.mkdir(parents=True)
    source = folder / "JapaneseVowels_TRAIN.ts"
    made = tmp_path / "made.npz"
    x, y = data["x_train"], data["y_train"]

    def refused(first: str, match: str, others: int = 0) -> None:
        """``first`` in place of the first recording, of which ``others`` more are then taken away."""
        lines = ts_file(x, y).splitlines()
        lines[3 : 4 + others] = [first]
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with pytest.raises(ValueError, match=match):
            make(monkeypatch, "--aeon", tmp_path, "--output", made)

    refused(":".join(["1,2,3"] * 12 + ["1"]), r"^TRAIN: utterances of each speaker must be .* Received: \[29, 30", 1)
    refused(":".join(["1,nan,3"] * 12 + ["1"]), r"^TRAIN: every value must be finite\. Received: NaN")
    refused(":".join(["1,0,3"] * 12 + ["1"]), r"^TRAIN: only padding may be zero\. Received: a frame of zeros")
    refused(":".join(["1,2,3"] * 12 + ["1"]), r"^TRAIN: an utterance must have 7 frames or more\. Received: 3")
    assert not made.exists()


def test_the_script_asks_for_aeon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"^aeon must be installed, or its wheel or folder be given with --aeon\."):
        make(monkeypatch, "--output", tmp_path / "made.npz")


def test_the_script_finds_an_installed_aeon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "aeon").mkdir()
    (tmp_path / "aeon" / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"JapaneseVowels_TRAIN\.ts"):  # it looks there, and imports nothing
        make(monkeypatch, "--output", tmp_path / "made.npz")
