"""Archives: NumPy's .npz as `save_checkpoint` writes it, read within limits, whoever wrote it.

Nothing in it is compressed, so whatever a file claims, reading it takes no more memory than it has bytes.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Mapping, Sequence
from io import BufferedReader
from typing import IO, Any

from minigrad.backend import Array, module_for

MEMBERS = 1 << 13  # so many arrays at most, with the header; small ones take a second
CHARACTERS = 1 << 22  # of the header: its worst text, of empty lists alone, takes a second and 200 MB
_NPY_HEADER = 1 << 16  # what NumPy writes before the numbers of an array is shorter


def write_archive(file: IO[bytes], header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write a JSON header and arrays by name.

    Raises:
        ValueError: more than `Archive` would read again.
    """
    host, text = module_for("cpu"), json.dumps(header)
    if len(text) > CHARACTERS or len(arrays) >= MEMBERS:
        raise ValueError(
            f"save_checkpoint: a checkpoint must have less than {MEMBERS} arrays, and {CHARACTERS} characters of other "
            "state; make long lists of numbers arrays. "
            f"Received: {len(arrays)} arrays, {len(text)} characters"
        )
    host.savez(file, header=host.array(text), **arrays)


class Archive:
    """The header and the arrays of an open file. Each is read once; what is wrong with the file is some exception."""

    def __init__(self, file: InPieces) -> None:
        self._format = module_for("cpu").lib.format
        self._npy_headers = {(1, 0): self._format.read_array_header_1_0, (2, 0): self._format.read_array_header_2_0}
        self._zip = zipfile.ZipFile(file)
        members = self._zip.infolist()
        self._left = {member.filename: member for member in members}
        if len(self._left) < len(members) or len(members) > MEMBERS:
            raise ValueError(f"{len(members)} members, {len(self._left)} of them with a name of their own")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise ValueError("a member is compressed")
        size = os.fstat(file.fileno()).st_size
        if sum(member.file_size for member in members) > size:
            raise ValueError(f"the members claim more bytes than the {size} of the file")
        header = self.read("header", limit=4 * CHARACTERS + _NPY_HEADER)
        if header.dtype.kind != "U" or header.shape:
            raise ValueError("the header is no text")
        self.header = json.loads(header.item())

    def read(self, name: str, described: Sequence[Any] | None = None, limit: float = math.inf) -> Array:
        """An array, whose shape and dtype are to be those described."""
        member = self._left.pop(f"{name}.npy", None)
        if member is None or member.file_size > limit:
            raise ValueError(f"{name} is {'missing' if member is None else 'too large'}")
        with self._zip.open(member) as file:
            version = self._format.read_magic(file)
            shape, fortran, dtype = self._npy_headers[version](file)
            claimed = math.prod(shape) * dtype.itemsize
            if min(shape, default=0) < 0 or not 0 <= member.file_size - claimed <= _NPY_HEADER or dtype.hasobject:
                raise ValueError(f"{name} of {dtype}{shape} in {member.file_size} bytes")
            if described is not None and [list(shape), str(dtype.newbyteorder("="))] != list(described):
                raise ValueError(f"{name} of {dtype}{shape}, described as {described}")
            array = module_for("cpu").empty(shape, dtype, order="F" if fortran else "C")
            if claimed:
                left = memoryview((array.T if fortran else array).reshape(-1).view("u1"))
                while count := file.readinto(left[: InPieces.most]):  # type: ignore[attr-defined]  # it has
                    left = left[count:]
                if left or file.read(1):
                    raise ValueError(f"{name} is shorter or longer than it claims")
        return array

    def rest(self, name: str) -> list[Array]:
        """The arrays NAME_0, NAME_1, ...: all that are left."""
        return [self.read(f"{name}_{i}") for i in range(len(self._left))]


class InPieces(BufferedReader):
    """A file that gives at most 1 MiB at once: so the directory of an archive, read in one piece, is no longer."""

    most = 1 << 20

    def read(self, size: int | None = -1) -> bytes:
        return super().read(self.most if size is None or size < 0 else min(size, self.most))


def conforms(value: Any, form: Any) -> bool:
    """Whether a value from a file is of a form, which is

    - a type, or None, or ``object`` for anything;
    - a tuple of forms of which one must hold;
    - a list of one form for any number of such, a list of several for one of each;
    - a dict of forms by name, beside which there may be others.

    >>> conforms({"name": "a", "shape": [2, 3], "more": 1}, {"name": str, "shape": [int]})
    True
    >>> conforms([1, True], [int])
    False
    """
    if isinstance(form, tuple):
        return any(conforms(value, part) for part in form)
    if isinstance(form, dict):
        return type(value) is dict and all(name in value and conforms(value[name], form[name]) for name in form)
    if isinstance(form, list):
        if type(value) is not list or len(value) > MEMBERS:
            return False
        return len(form) in (1, len(value)) and all(map(conforms, value, form * len(value) if len(form) == 1 else form))
    return value is None if form is None else form is object or type(value) is form
