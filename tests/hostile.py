"""Checkpoints that somebody has tampered with: none may run code, take much time or memory, or change the model.

    python -m tests.hostile --files 10000 [--seed 0]

Each file is a good one with up to three changes: to its bytes, to the archive, to an array, to the JSON header with
checksums that are right again. It must be refused by a `CheckpointError` with its path that leaves the model, the
optimizer and the random streams as they were; or be read, and then all is assigned that the header says.
"""

from __future__ import annotations

import argparse
import io
import json
import pickle
import random
import struct
import tempfile
import time
import tracemalloc
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import Sequential, callbacks, layers, losses, optimizers, set_random_seed
from minigrad.random import generator
from minigrad.saving import CheckpointError, load_checkpoint, save_checkpoint
from minigrad.saving.archive import CHARACTERS, MEMBERS

Members = list[tuple[str, bytes]]  # a list, for names may come twice
ran: list[str] = []  # what a file made run


class Trap:
    """An object whose pickle calls a function when it is read."""

    def __reduce__(self) -> Any:
        return spring, ("pickle",)


def spring(how: str = "numpy.random", *_: Any, **__: Any) -> None:
    ran.append(how)


# ---------------------------------------------------------------------- what is attacked


def network(built: bool = True) -> Sequential:
    model = Sequential([
        layers.SeparableConv1D(3, 2), layers.Dropout(0.25, seed=9), layers.BatchNormalization(),
        layers.GlobalAveragePooling1D(), layers.Dense(2),
    ])  # fmt: skip
    model.compile(optimizers.Adam(0.01), losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"])
    if built:
        model.build((None, 5, 2))
        model.optimizer.build(model.trainable_weights)
    return model


def data() -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(0).normal(size=(6, 5, 2)).astype("float32"), np.array([0, 1, 0, 1, 1, 0])


def good_files(folder: Path) -> list[bytes]:
    """A checkpoint of a loop by hand, and one of `fit`."""
    set_random_seed(0)
    model, path = network(), folder / "good.ckpt"
    extra = {"list": [1, (2, None)], "array": np.arange(3), "kind": np.random.Generator(np.random.MT19937(1))}
    save_checkpoint(path, model, model.optimizer, epoch=3, philox=np.random.Generator(np.random.Philox(1)), **extra)
    hand = path.read_bytes()
    path.unlink()
    trained(model, path)
    return [hand, path.read_bytes()]


def trained(model: Sequential, path: Path) -> None:
    keep = callbacks.BackupAndRestore(path, delete_checkpoint=False)
    hooks = [callbacks.EarlyStopping("loss"), callbacks.CSVLogger(path.with_suffix(".csv")), keep]
    model.fit(*data(), batch_size=4, epochs=2, verbose=0, callbacks=hooks)


# ---------------------------------------------------------------------- changes to a file


def opened(content: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def closed(members: Members, how: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", how) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name twice
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def npy_claiming(rng: random.Random, content: bytes) -> bytes:
    """Numbers under a header that says something else."""
    shape = rng.choice(["(10**12,)", "(1000000000000,)", "(-1, -2)", "(2, 3)", "()", "5", "(True,)", "(" * 3000])
    descr = rng.choice(["'<f4'", "'|O'", "'>f4'", "'|V0'", "'<U0'", "'|V999999999'", "'M8[s]'", "[('a', '|O')]", "7"])
    text = f"{{'descr': {descr}, 'fortran_order': {rng.choice(['True', 'False', '2'])}, 'shape': {shape}, }}\n".encode()
    version, form = rng.choice([(b"\x01\x00", "<H"), (b"\x02\x00", "<I"), (b"\x03\x00", "<I"), (b"\x09\x00", "<H")])
    return b"\x93NUMPY" + version + struct.pack(form, len(text)) + text + content[128:]


def mutated_bytes(rng: random.Random, content: bytes) -> bytes:
    at, to = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    kind = rng.randrange(6)
    if kind == 0:  # a few bits
        found = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 8, 64])):
            found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
        return bytes(found)
    if kind == 1:
        return content[:at]
    if kind == 2:
        return content[:at] + content[to:]
    if kind == 3:
        return content[:to] + content[at:]
    if kind == 4:
        return content[:at] + rng.randbytes(rng.choice([1, 4, 30, 5000])) + content[at:]
    return rng.randbytes(rng.choice([0, 1, 22, 1000])) + content


def mutated_directory(rng: random.Random, content: bytes) -> bytes:
    """Numbers in the directory of the archive, or before a member: methods, flags, sizes, offsets, lengths."""
    found = bytearray(content)
    magic, length = rng.choice([(b"PK\1\2", 46), (b"PK\3\4", 30), (b"PK\5\6", 22)])
    places = [i for i in range(len(found) - length) if found.startswith(magic, i)] or [0]
    if magic == b"PK\5\6":
        places = [len(found) - 22]
    for place in rng.sample(places, rng.choice([1, len(places)])):
        at = place + rng.randrange(4, length - 3)
        number = rng.choice([0, 1, 8, 99, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, len(found), rng.randrange(2**32)])
        if rng.random() < 0.5:
            found[at : at + 4] = struct.pack("<I", number)
        else:
            found[at : at + 2] = struct.pack("<H", number & 0xFFFF)
    return bytes(found)


def mutated_archive(rng: random.Random, content: bytes) -> bytes:
    members = opened(content)
    i, j = rng.randrange(len(members)), rng.randrange(len(members))
    kind = rng.randrange(6)
    if kind == 0:
        del members[i]
    elif kind == 1:
        members.insert(i, members[j])
    elif kind == 2:
        members[i] = members[i][0], members[j][1]
    elif kind == 3:
        members[i] = rng.choice(["../x", "state_99.npy", "x", "header.npy", "", "a" * 60_000, "é\0.npy"]), members[i][1]
    elif kind == 4:
        members += [(f"state_{k}.npy", npy(np.zeros(1))) for k in range(rng.choice([3, 300]))]
    else:
        return closed(members, rng.choice([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    return closed(members)


@cache
def bomb(content: bytes) -> bytes:
    """Some MB that become 600 when they are unpacked."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, member in opened(content):
            archive.writestr(name, member)
        with archive.open("state_99.npy", "w") as member:
            member.write(npy(np.zeros(600 << 20, "u1"))[:128])
            for _ in range(600):
                member.write(bytes(1 << 20))
    return file.getvalue()


@cache
def long_header(content: bytes, part: str, more: int) -> bytes:
    """A header of as many characters as one may have, and some more, full of small parts."""
    members = opened(content)
    at, header = header_of(members)
    header["state"]["dict"]["x"] = "here"
    text = json.dumps(header)
    many = (CHARACTERS + more - len(text)) // (len(part) + 1)
    members[at] = "header.npy", npy(np.array(text.replace('"here"', f"[{','.join([part] * many)}]")))
    return closed(members)


@cache
def many_members(content: bytes, more: int) -> bytes:
    """As many members as an archive may have, and some more: arrays of one number."""
    members = opened(content)
    states = sum(name.startswith("state_") for name, _ in members)
    one = npy(np.zeros(1))
    return closed(members + [(f"state_{states + i}.npy", one) for i in range(MEMBERS - len(members) + more)])


PARTS = ["[]", '{"tuple":[]}', '"ab"', "1e1", "12345", '{"dict":{"a":1}}', '{"array":0}']


def mutated_size(rng: random.Random, content: bytes) -> bytes:
    """As much as the limits let through, and a little more."""
    kind = rng.randrange(3)
    if kind == 0:
        return bomb(content)
    return many_members(content, rng.choice([0, 1, 5_000])) if kind == 1 else long_header(
        content, rng.choice(PARTS), rng.choice([-100, 100]))


def header_of(members: Members) -> tuple[int, Any]:
    """Where the header is, and what it says."""
    at = next(i for i, (name, _) in enumerate(members) if name == "header.npy")
    return at, json.loads(np.load(io.BytesIO(members[at][1])).item())


def mutated_array(rng: random.Random, content: bytes) -> bytes:
    members = opened(content)
    i = rng.randrange(len(members))
    name, member = members[i]
    kind = rng.randrange(7)
    if kind == 0:
        member = npy_claiming(rng, member)
    elif kind == 1:
        member = npy(np.array([Trap(), None], object))
    elif kind == 2:
        member = mutated_bytes(rng, member)
    elif kind == 3:
        member = pickle.dumps(Trap())
    elif name != "header.npy":
        array = np.load(io.BytesIO(member))
        other = rng.choice(["f2", "f4", "f8", ">f4", "i8", "c16", "U3", "M8[s]", "?", "V4"])
        array = array.astype(other) if kind == 4 else array.T if kind == 5 else np.resize(array, rng.randrange(99))
        member = npy(array)
    else:
        member = npy(np.load(io.BytesIO(member)).item().encode())
    members[i] = name, member
    return closed(members)


HOSTILE: list[Callable[[random.Random], Any]] = [
    lambda rng: rng.choice([None, True, -1, 0, 1, 7, 10**9, 2**63, -(10**30), 0.5, float("nan"), float("inf")]),
    lambda rng: rng.choice(["", "seed", "test", "float32", "object", "kernel", "é" * 50, "\ud800", "../../x"]),
    lambda rng: rng.choice([[], {}, [[]], {"": None}, {"array": 10**6}, {"array": -1}, {"array": True}, {"tuple": 3}]),
    lambda rng: {"generator": {"dict": {"bit_generator": rng.choice(["seed", "test", "PCG64", "BitGenerator", "x"])}}},
    lambda rng: {"dict": {"bit_generator": "MT19937", "state": {"dict": {"pos": 10**6, "key": {"array": 0}}}}},
    lambda rng: json.loads("[" * 900 + "]" * 900),
    lambda rng: [None, rng.choice([5, 10**9, 10**18]), rng.choice([2, 10**9])],
    lambda rng: [{"tuple": []}] * rng.choice([10, 20_000]),
    lambda rng: ["kernel", [10**9, 10**9], "float32"],
]


def mutated_header(rng: random.Random, content: bytes) -> bytes:
    members = opened(content)
    at, header = header_of(members)
    if rng.random() < 0.1:
        text = rng.choice(["[" * 100_000, "", "null", "[]", json.dumps(header)[: rng.randrange(200)], "9" * 9999])
    else:
        spots = list(walked(header))
        for _ in range(rng.choice([1, 1, 1, 2, 4])):
            holder, key = rng.choice(spots)
            try:
                change_header(rng, holder, key)
            except (KeyError, IndexError, AttributeError):  # what stood there is gone
                continue
        text = json.dumps(header)
    members[at] = "header.npy", npy(np.array(text))
    return closed(members)


def change_header(rng: random.Random, holder: Any, key: Any) -> None:
    kind = rng.randrange(5)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[rng.choice(["array", "dict", "tuple", "state", "pos", "x"])] = holder.pop(key)
    elif kind == 2 and isinstance(holder, list):
        holder.insert(key, holder[rng.randrange(len(holder))])
    elif kind == 3 and type(holder[key]) is int:
        holder[key] += rng.choice([-1, 1, 2**31, 2**200, -(2**64), 625])
    else:
        holder[key] = rng.choice(HOSTILE)(rng)


def walked(value: Any) -> Any:
    """Every place in a JSON value, as what holds it and the key."""
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from walked(value[key])


CHANGES = [mutated_bytes, mutated_directory, mutated_archive, mutated_array, mutated_header, mutated_size]


def mutated(rng: random.Random, content: bytes) -> tuple[bytes, str]:
    """The content changed up to three times, and how."""
    names = []
    for first in (True, *[False] * rng.choice([0, 0, 0, 1, 2])):
        (change,) = rng.choices(CHANGES, [20, 20, 20, 20, 40, first])
        try:
            content = change(rng, content)
        except Exception:  # a file that is broken already cannot be taken apart
            content, change = mutated_bytes(rng, content), mutated_bytes
        names.append(change.__name__.removeprefix("mutated_"))
        if len(content) > 1 << 20:
            break
    return content, "+".join(names)


# ---------------------------------------------------------------------- what must hold


def condition(model: Sequential, fit: bool) -> list[Any]:
    """All that a load may change; the global stream has given `fit` a seed before."""
    optimizer, metrics = model.optimizer, model.metrics
    sums = [variable for metric in metrics for variable in metric.variables] if not fit else []
    streams = [s for s in vars(model.layers[1]).values() if isinstance(s, np.random.Generator)]
    return [
        [variable.numpy().tobytes() for variable in [*model.weights, *optimizer.variables, *sums]],
        [repr(stream.bit_generator.state) for stream in [*streams, *([] if fit else [generator()])]],
        [layer.built for layer in [model, *model.layers]], optimizer.built, np.random.get_state()[1].tobytes(),
    ]  # fmt: skip


def tried(path: Path, model: Sequential, how: str) -> str:
    """Load a file: "read" or "refused", when all is as it must be."""
    fit, error = how == "fit", None
    before = condition(model, fit)
    try:
        if fit:
            trained(model, path)
        else:
            load_checkpoint(path, model, model.optimizer if how != "weights" else None)
    except CheckpointError as caught:
        error = caught
    assert not ran, ran
    if error is not None:
        assert str(path) in str(error)
        assert not isinstance(error.__cause__, MemoryError)
        assert condition(model, fit) == before
        return "refused"
    assert [(w.shape, w.dtype) for w in model.weights] == [(w.shape, w.dtype) for w in network().weights]
    generator().random(3)  # no stream reads memory that is not its own
    assert np.random.get_state()[1].tobytes() == before[-1]
    return "read"


def campaign(files: int, seed: int, folder: Path) -> str:
    """Try so many files; returns how many of each kind were refused, the longest time and the growth of memory."""
    rng, path, counts = random.Random(seed), folder / "hostile.ckpt", Counter[str]()
    slowest, largest, kinds = (0.0, 0, ""), (0.0, 0, ""), Counter[str]()
    originals = good_files(folder)
    for name in ("seed", "test"):
        setattr(np.random, name, spring)
    try:
        for original in originals:  # these are read, and what is made once is made
            path.write_bytes(original)
            assert tried(path, network(), "whole") == "read"
        for number in range(files):
            which = rng.randrange(2)
            content, kind = mutated(rng, originals[which])
            path.write_bytes(content)
            how = rng.choice(["whole", "whole", "weights", "unbuilt", "fit"] if which else ["whole", "unbuilt"])
            model = network(built=how != "unbuilt")
            if len(content) > 200_000 or number % 10 == 0:  # it makes all slower
                tracemalloc.start()
            start = time.process_time()
            try:
                verdict = tried(path, model, how)
            except BaseException as error:
                error.add_note(f"file {number} of seed {seed}: {kind}, {how}")
                raise
            slowest = max(slowest, (time.process_time() - start, number, kind))
            largest = max(largest, (tracemalloc.get_traced_memory()[1] / 2**20, number, kind))
            tracemalloc.stop()
            counts[verdict] += 1
            kinds[kind.split("+")[0]] += 1
            assert not list(folder.glob(".*.tmp"))
    finally:
        np.random.seed, np.random.test = _SEED, _TEST
        tracemalloc.stop()
    assert largest[0] < 500, largest
    return (
        f"{files} files, {counts['refused']} refused, {counts['read']} read; "
        f"at most {slowest[0]:.2f} s (file {slowest[1]}, {slowest[2]}), "
        f"{largest[0]:.0f} MB (file {largest[1]}, {largest[2]}); first changes: {dict(kinds)}"
    )


_SEED, _TEST = np.random.seed, np.random.test


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(campaign(options.files, options.seed, Path(folder)))


if __name__ == "__main__":
    main()
