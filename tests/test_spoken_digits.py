"""The spoken digits: recordings read, fetched and refused; features by their formula; each way to run the example."""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
import threading
import wave
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tqdm")

import spoken_digits
import spoken_digits_data as data

import minigrad as mg
from minigrad import Tensor

EXAMPLES = Path(__file__).parents[1] / "examples"
GIVEN = os.environ.get("MINIGRAD_DATA", "")
with_recordings = pytest.mark.skipif(
    not (GIVEN and (Path(GIVEN) / data.NAME).exists()), reason=f"MINIGRAD_DATA names no folder with {data.NAME}"
)
Program = Callable[..., str]
SPEAKERS = ("ann", "bob", "cyd")


def tone(hertz: float, seconds: float = 0.3) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(data.RATE * seconds)) / data.RATE)


def wav(signal: np.ndarray, channels: int = 1, width: int = 2, rate: int = 8000) -> bytes:
    """A WAV file of a signal within [-1, 1)."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(width)
        writer.setframerate(rate)
        writer.writeframes((signal * 2 ** (8 * width - 1)).astype(f"<i{width}").tobytes())
    return file.getvalue()


def archive(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as writer:
        for name, content in files.items():
            writer.writestr(f"data-1.0/recordings/{name}", content)
        writer.writestr("data-1.0/README.md", "words")
    return file.getvalue()


def sha256(files: dict[str, bytes]) -> str:
    lines = [hashlib.sha256(files[name]).hexdigest() + "  " + name + "\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


FILES = {f"{digit}_ann_{number}.wav": wav(tone(200 + 100 * digit)) for digit in range(3) for number in range(2)}
SHA256 = sha256(FILES)


# ---------------------------------------------------------------------- WAV files


def test_samples_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(np.array([0.0, 0.5, -1.0, 0.25])))
    signal = data.read_wav(path)
    assert signal.dtype == np.float32
    assert signal.tolist() == [0.0, 0.5, -1.0, 0.25]


GOOD = wav(tone(440))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (wav(tone(440), channels=2), "must be mono, 16 bits, 8000 Hz .* Received: 2 channels, 16 bits, 8000 Hz$"),
        (wav(tone(440), width=4), r"must .*it: sox a\.wav -c 1 -b 16 -r 8000 new\.wav.* Received: 1 channels, 32 b"),
        (wav(tone(440), rate=16000), "must be mono, 16 bits, 8000 Hz .* Received: 1 channels, 16 bits, 16000 Hz$"),
        (wav(np.zeros(0)), "must hold the samples its header tells of. Received: 0 of 0$"),
        (GOOD[:1000], "must hold the samples its header tells of. Received: 478 of 2,400$"),
        (GOOD[:30], "must be RIFF WAVE with plain samples .* Received: a header or a chunk that is cut off$"),
        (GOOD[:20] + b"\x03" + GOOD[21:], "must be RIFF WAVE with plain samples .* Received: unknown format: 3$"),
        (b"ID3 this is music", "must be RIFF WAVE with plain samples .* Received: file does not start with RIFF id$"),
        (b"", "must be RIFF WAVE with plain samples .* Received: a header or a chunk that is cut off$"),
    ],
    ids=["stereo", "32 bits", "16 kHz", "empty", "cut off", "cut-off header", "floats", "foreign", "nothing"],
)
def test_other_files_are_refused(content: bytes, sentence: str) -> None:
    with pytest.raises(ValueError, match=rf"^WAV file a\.wav: {sentence}"):
        data.read_wav(Path("a.wav"), content)


# ---------------------------------------------------------------------- features


def test_mel_filters_are_triangles_that_cover_the_spectrum() -> None:
    filters = data.mel_filters()
    f = np.fft.rfftfreq(data.WINDOW, 1 / data.RATE)
    assert filters.shape == (129, 40)
    assert filters.max() <= 1
    assert (filters.max(axis=0) > 0.5).all()  # no band falls between two frequencies of the spectrum
    inside = (f > 100) & (f < 3800)
    np.testing.assert_allclose(filters[inside].sum(axis=1), 1, atol=1e-6)  # neighbors add up to one
    mel = 2595 * np.log10(1 + f @ filters / filters.sum(axis=0) / 700)
    assert abs(np.diff(mel)[10:] - np.diff(mel)[10:].mean()).max() < 3  # equally far apart in mel


def test_features_follow_their_formula() -> None:
    signal = np.random.default_rng(0).normal(0, 0.1, 3000).astype(np.float32)
    padded = np.zeros(63 * 100 + 256)
    padded[(len(padded) - 3000) // 2 :][:3000] = signal
    expected = np.empty((64, 40))
    for t in range(64):
        n = np.arange(256)
        frame = padded[100 * t : 100 * t + 256] * (0.5 - 0.5 * np.cos(2 * np.pi * n / 256))
        power = abs(np.exp(-2j * np.pi * np.outer(np.arange(129), n) / 256) @ frame) ** 2
        expected[t] = np.log(power @ data.mel_filters() + 1e-4)
    features = data.log_mel([signal])
    assert features.shape == (1, 64, 40)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features[0], expected, atol=2e-3)


def test_a_tone_sounds_in_its_band_and_silence_nowhere() -> None:
    features = data.log_mel([tone(1000).astype(np.float32), np.zeros(10, np.float32)])
    low, high = (2595 * np.log10(1 + f / 700) for f in (60, 4000))
    assert features[0, 32].argmax() == round((1000 - low) / (high - low) * 41) - 1  # 1000 Hz are 1000 mel
    np.testing.assert_allclose(features[1], np.log(1e-4), rtol=1e-6)


def test_features_do_not_depend_on_the_company() -> None:
    random = np.random.default_rng(1)
    signals = [random.normal(0, 0.1, random.integers(1000, 9000)).astype(np.float32) for _ in range(data.CHUNK + 3)]
    together = data.log_mel(signals)
    for i in (0, data.CHUNK - 1, data.CHUNK, data.CHUNK + 2):
        np.testing.assert_array_equal(together[i], data.log_mel([signals[i]])[0])


def test_signals_are_fitted_to_a_length() -> None:
    assert data.fitted(np.ones(3), 6).tolist() == [0, 1, 1, 1, 0, 0]
    assert data.fitted(np.ones(4), 4).tolist() == [1, 1, 1, 1]
    long = np.r_[np.zeros(50), 1.0, 2.0, 1.0, np.zeros(9)]
    assert data.fitted(long, 5).tolist() == [0, 1, 2, 1, 0]  # the sound, not the middle
    assert data.fitted(np.r_[np.zeros(7), 3.0], 4).tolist() == [0, 0, 0, 3]


def test_silence_around_a_word_does_not_matter() -> None:
    word = np.random.default_rng(2).normal(0, 0.1, 3000).astype(np.float32) * np.hanning(3000).astype(np.float32)
    alone = data.log_mel([word])[0]
    within = data.log_mel([np.pad(word, (9000, 20000))])[0]
    best = min(abs(np.roll(within, shift, axis=0) - alone).mean() for shift in range(-3, 4))
    assert best < 0.3 < alone.std()


def test_names_tell_digit_speaker_and_number() -> None:
    recordings = data.parsed(FILES)
    assert recordings.digit.tolist() == [0, 0, 1, 1, 2, 2]
    assert recordings.number.tolist() == [0, 1] * 3
    assert set(recordings.speaker) == {"ann"}
    np.testing.assert_array_equal(recordings.x[2], data.log_mel([data.read_wav(Path("a"), FILES["1_ann_0.wav"])])[0])
    assert recordings.where(recordings.digit == 1).number.tolist() == [0, 1]


# ---------------------------------------------------------------------- copies and downloads


def test_the_folder_of_the_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("MINIGRAD_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for platform, folder in (("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "AppData/Local")):
        monkeypatch.setattr(sys, "platform", platform)
        assert data.data_folder() == tmp_path / folder / "minigrad"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data.data_folder() == tmp_path / "cache" / "minigrad"
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "data"))
    assert data.data_folder() == tmp_path / "data"


def test_a_copy_at_hand_is_a_zip_archive_or_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive(FILES))
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        file.extractall(tmp_path / "folder")
    for name in ("a.zip", "folder", "folder/data-1.0/recordings"):
        assert len(data.load(tmp_path / name, sha256=SHA256).digit) == 6


def test_other_copies_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with pytest.raises(FileNotFoundError, match=r"^data: must be a zip archive or a folder of recordings\. Received: "):
        data.load(path, sha256=SHA256)
    path.write_bytes(archive(FILES)[:-100])
    with pytest.raises(ValueError, match=r"^data: must be a whole zip archive\. Received: .*a\.zip: File is not a zip"):
        data.load(path, sha256=SHA256)
    changed = FILES | {"0_ann_0.wav": FILES["1_ann_0.wav"]}
    for files in (changed, {}, dict(list(FILES.items())[:-1])):
        path.write_bytes(archive(files))
        with pytest.raises(ValueError, match=rf"must hold the recordings of version 1\.0\.10 .*with {len(files)} rec"):
            data.load(path, sha256=SHA256)
    path.write_bytes(archive(FILES).replace(FILES["0_ann_0.wav"], FILES["1_ann_0.wav"]))  # the zip's own checksum
    with pytest.raises(ValueError, match=r"must be a whole zip archive\. Received: .*Bad CRC-32"):
        data.load(path, sha256=SHA256)


class Server(BaseHTTPRequestHandler):
    """Answers by the path: whole, cut off, as another archive, or not at all."""

    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        whole = archive(FILES)
        body = {"/other": archive({}), "/page": b"<html>"}.get(self.path, whole)
        self.send_response(404 if self.path == "/missing" else 200)
        if self.path == "/chunks":  # a server that does not tell the length, as GitHub's
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n" % len(body) + body[:1000])
            return
        if self.path != "/lengthless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:1000] if self.path == "/cut" else body)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Server) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache" / "minigrad"


@pytest.mark.parametrize("path", ["/whole", "/lengthless"])
def test_a_download_is_kept(server: str, cache: Path, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked = len(Server.asked)
    for _ in range(2):
        assert data.load(url=server + path, sha256=SHA256).digit.tolist() == [0, 0, 1, 1, 2, 2]
    assert len(Server.asked) == asked + 1  # the second time it was there
    assert [file.name for file in cache.iterdir()] == [data.NAME]
    assert "download:" in capsys.readouterr().err  # the bar


@pytest.mark.parametrize(
    ("path", "kind", "sentence"),
    [
        ("/cut", ConnectionError, "^download: .*/cut must arrive as a whole. Received: broke off after 1,000 of .* b"),
        ("/chunks", ConnectionError, "must arrive as a whole. Received: IncompleteRead.*give its path with --data$"),
        ("/missing", ConnectionError, "must arrive as a whole. Received: HTTP Error 404: Not Found. Try again, or"),
        ("/other", ValueError, "^data: must hold the recordings of .* Received: http.*/other with 0 recordings"),
        ("/page", ValueError, "^data: must be a whole zip archive. Received: http.*/page: File is not a zip file$"),
    ],
)
def test_a_download_that_fails_leaves_nothing(
    server: str, cache: Path, path: str, kind: type[Exception], sentence: str
) -> None:
    with pytest.raises(kind, match=sentence) as caught:
        data.load(url=server + path, sha256=SHA256)
    assert type(caught.value) is kind
    assert not list(cache.iterdir())


def test_no_server_or_no_folder(cache: Path) -> None:
    with pytest.raises(ConnectionError, match=r"Received: <urlopen error .*refused>\. Try again, or fetch it by other"):
        data.load(url="http://127.0.0.1:9", sha256=SHA256)
    cache.rmdir()
    cache.write_text("a file where the folder should be")
    with pytest.raises(ConnectionError, match=r"must arrive as a whole\. Received: .*File exists: .*cache/minigrad"):
        data.load(url="http://127.0.0.1:9", sha256=SHA256)


def test_an_interrupted_download_leaves_nothing(server: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: object, count: int) -> None:
        assert len(list(cache.iterdir())) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr(data.tqdm, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.load(url=server + "/whole", sha256=SHA256)
    assert not list(cache.iterdir())


# ---------------------------------------------------------------------- the network


def test_the_network_has_25_thousand_parameters() -> None:
    network = spoken_digits.build()
    assert network.count_params() == 25_314
    assert network(Tensor.zeros(2, 64, 40)).shape == (2, 10)
    separable = [layer for layer in network.layers if isinstance(layer, mg.layers.SeparableConv1D)]
    assert [layer.filters for layer in separable] == [64, 96, 128]
    assert {layer.kernel_size for layer in separable} == {(9,)}


def test_disturb_moves_and_hides_within_its_bounds() -> None:
    layer = spoken_digits.Disturb()
    x = Tensor((1 + np.arange(64)[:, None] + 100.0 * np.arange(40)).astype("float32")[None].repeat(200, axis=0))
    assert layer(x) is x  # outside training
    mg.set_random_seed(0)
    disturbed = layer(x, training=True).numpy()
    frames_hidden, bands_hidden = (disturbed == 0).all(axis=2).sum(axis=1), (disturbed == 0).all(axis=1).sum(axis=1)
    assert (frames_hidden.min(), frames_hidden.max()) == (0, 8)
    assert (bands_hidden.min(), bands_hidden.max()) == (0, 4)
    frame, band = (disturbed - 1) % 100, (disturbed - 1) // 100
    shift = np.where(disturbed == 0, 0, frame - np.arange(64)[:, None])[:, 4:-4]
    assert (shift.min(), shift.max()) == (-4, 4)
    rise = np.where(disturbed == 0, 0, band - np.arange(40))[:, :, 1:-1]
    assert (rise.min(), rise.max()) == (-1, 1)
    mg.set_random_seed(0)
    np.testing.assert_array_equal(layer(x, training=True).numpy(), disturbed)
    mg.set_random_seed(0)
    np.testing.assert_array_equal(layer(x.to("standin"), training=True).to("cpu").numpy(), disturbed)


# ---------------------------------------------------------------------- the program


@pytest.fixture(scope="module")
def tones() -> data.Recordings:
    """Three speakers whose digits are tones, a little out of tune each time."""
    random = np.random.default_rng(0)
    names = [f"{digit}_{speaker}_{number}.wav" for digit in range(10) for speaker in SPEAKERS for number in range(9)]
    return data.parsed({name: wav(tone(300 + 300 * int(name[0]) + random.uniform(-30, 30))) for name in names})


@pytest.fixture
def program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tones: data.Recordings, capsys: pytest.CaptureFixture[str]
) -> Program:
    """The example on the tones, in an empty folder: takes its options, returns what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(spoken_digits, "load", lambda path: tones)

    def run(*options: object) -> str:
        monkeypatch.setattr(sys, "argv", ["spoken_digits.py", *map(str, options)])
        spoken_digits.main()
        return capsys.readouterr().out

    return run


def test_it_learns_reports_and_saves(program: Program, tmp_path: Path) -> None:
    output = program("--epochs", 25)
    assert "25,314 parameters" in output
    rows = re.findall(r"^(ann|bob|cyd) +(\d+)/(\d+) +([01]\.\d{3})$", output, re.MULTILINE)
    assert [row[0] for row in rows] == list(SPEAKERS)
    assert [int(row[2]) for row in rows] == [50, 50, 50]
    right = sum(int(row[1]) for row in rows)
    assert right > 0.9 * 150
    assert output.endswith(f"test accuracy {right / 150:.3f} ({right}/150)\n")
    pictures = ("confusion", "features", "history", "kernels")
    names = ["spoken_digits.ckpt", *(f"spoken_digits_{name}.png" for name in pictures)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    for name in names[1:]:
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")

    asked = tmp_path / "asked.wav"
    asked.write_bytes(wav(np.pad(tone(300 + 300 * 7), 5000)))
    before = (tmp_path / names[0]).read_bytes()
    assert re.fullmatch(r".*asked\.wav: 7 \(\d+\.\d%\), or else \d \(\d+\.\d%\)\n", program("--predict", asked))
    assert (tmp_path / names[0]).read_bytes() == before  # it was not trained again


def test_the_same_seed_gives_the_same_answers(program: Program, tmp_path: Path) -> None:
    first, again, other = (
        re.sub(r"\d+\.\d s|\d+\.\ds", "", program("--epochs", 1, "--no-plot", "--seed", seed)) for seed in (3, 3, 4)
    )
    assert first == again != other
    assert [path.name for path in tmp_path.iterdir()] == ["spoken_digits.ckpt"]


def test_predict_trains_first_without_weights(program: Program, tmp_path: Path) -> None:
    (tmp_path / "asked.wav").write_bytes(wav(tone(900)))
    output = program("--predict", "asked.wav", "--epochs", 1, "--no-plot")
    assert output.startswith("no spoken_digits.ckpt yet: training first\n")
    assert re.search(r"^asked\.wav: \d \(\d+\.\d%\)", output.splitlines()[-1])
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["asked.wav", "spoken_digits.ckpt"]


def test_leave_one_speaker_out_never_trains_on_the_stranger(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    trained = spoken_digits.trained

    def watched(known: data.Recordings, test: data.Recordings, options: object) -> object:
        seen.append((set(known.speaker), set(test.speaker), len(known.digit), len(test.digit)))
        return trained(known, test, options)

    monkeypatch.setattr(spoken_digits, "trained", watched)
    output = program("--leave-one-speaker-out", "--epochs", 2)
    others = [({*SPEAKERS} - {speaker}, {speaker}, 180, 90) for speaker in SPEAKERS]
    assert seen == others
    rows = re.findall(r"^(ann|bob|cyd) +(\d+)/(\d+) +[01]\.\d{3}$", output, re.MULTILINE)
    assert [row[2] for row in rows] == ["90", "90", "90"]
    mean = sum(int(row[1]) for row in rows) / 270
    assert re.search(rf"^mean accuracy {mean:.3f}, for speakers from [01]\.\d+ to [01]\.\d+\n$", output, re.MULTILINE)
    assert [path.name for path in tmp_path.iterdir()] == ["spoken_digits_strangers.png"]


def test_ctrl_c_saves_nothing(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: object, *args: object, **kwargs: object) -> mg.callbacks.History:
        history = mg.callbacks.History()
        history.interrupted = True
        return history

    monkeypatch.setattr(mg.Sequential, "fit", interrupted)
    with pytest.raises(SystemExit, match="nothing is saved"):
        program("--epochs", 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--epochs", "0"], "--epochs must be a positive integer. Received: 0"),
        (["--seed", "-1"], "--seed must not be negative. Received: -1"),
        (["--output", "nowhere"], "--output must be a folder that can be written to. Received: nowhere"),
        (["--predict", "a.wav", "--leave-one-speaker-out"], "not allowed with argument"),
    ],
)
def test_bad_options_are_refused(
    program: Program, options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        program(*options)
    assert caught.value.code == 2
    assert sentence in capsys.readouterr().err


def test_files_at_fault_end_the_program_with_a_sentence(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=r"^spoken_digits\.py: .*No such file or directory: 'asked\.wav'"):
        program("--predict", "asked.wav")
    (tmp_path / "asked.wav").write_bytes(wav(tone(300)))
    (tmp_path / "spoken_digits.ckpt").write_text("words")
    with pytest.raises(SystemExit, match=r"^spoken_digits\.py: checkpoint: .* Received: spoken_digits\.ckpt"):
        program("--predict", "asked.wav")
    monkeypatch.setattr(spoken_digits, "load", data.load)
    for mode in ([], ["--leave-one-speaker-out"]):
        with pytest.raises(SystemExit, match=r"^spoken_digits\.py: data: must be .* Received: nowhere, not there$"):
            program("--data", "nowhere", *mode)


# ---------------------------------------------------------------------- the recordings themselves


def run(folder: Path, *options: str) -> str:
    """What the script prints in a process of its own, with warnings as errors."""
    command = [sys.executable, "-W", "error", str(EXAMPLES / "spoken_digits.py"), *options]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@with_recordings
def test_the_recordings_are_those_described() -> None:
    recordings = data.load()
    assert recordings.x.shape == (3000, 64, 40)
    assert np.isfinite(recordings.x).all()
    assert np.bincount(recordings.digit).tolist() == [300] * 10
    assert np.unique(recordings.speaker, return_counts=True)[1].tolist() == [500] * 6
    assert np.bincount(recordings.number).tolist() == [60] * 50


@with_recordings
def test_few_epochs_understand_most(tmp_path: Path) -> None:
    found = re.search(r"test accuracy (0\.\d{3}) \((\d+)/300\)\n$", run(tmp_path, "--epochs", "4"))
    assert found
    assert float(found[1]) > 0.85
    assert len(list(tmp_path.glob("*.png"))) == 4
    recording = tmp_path / "8_theo_3.wav"
    recording.write_bytes(data.wav_files(data.data_folder() / data.NAME, "")[recording.name])
    assert re.search(r"8_theo_3\.wav: \d \(\d+\.\d%\), or else \d", run(tmp_path, "--predict", recording.name))


@with_recordings
@pytest.mark.slow
def test_three_seeds_reach_the_accuracy(tmp_path: Path) -> None:
    outputs = [run(tmp_path, "--no-plot", "--seed", str(seed)) for seed in range(3)]
    accuracies = [int(re.findall(r"\((\d+)/300\)\n$", output)[0]) / 300 for output in outputs]
    assert min(accuracies) >= 0.975
    assert np.mean(accuracies) >= 0.985
