"""The CUDA kernels on the CPU: their source, built by g++ with sanitizers, behind what CuPy would give.

`Emulator.kernel` stands for `minigrad.backend.raw_kernel`: called with a grid, a block and arrays of NumPy it has the
program of ``driver.cpp`` run the kernel, and puts what the kernel wrote into the arrays that have no gaps.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from minigrad.kernels.cuda import SOURCE

HERE = Path(__file__).parent
FLAGS = (
    "-std=c++17", "-O0", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-Wall",
    "-Wno-unknown-pragmas",
)


def compiler() -> str | None:
    """The g++ of this machine, if it has one that knows half precision."""
    found = shutil.which("g++")
    if not found:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "half.cpp"
        source.write_text("_Float16 half(float x) { return x; }\n")
        knows = subprocess.run([found, "-c", str(source), "-o", os.devnull], capture_output=True, check=False)
    return found if knows.returncode == 0 else None


class Emulator:
    """A program with these kernels of a source, built in ``folder`` unless the same is there already, and running."""

    def __init__(
        self, names: Iterable[str], folder: Path, flags: Iterable[str] = (), source: Path | None = None
    ) -> None:
        source = source or SOURCE
        entries = "".join(f"ENTRY({name})\n" for name in sorted(set(names)))
        flags = [*FLAGS, *flags, "-DMINIGRAD_HALF"] if "__half" in entries else [*FLAGS, *flags]
        sources = [source, HERE / "emulate.h", HERE / "driver.cpp"]
        text = "\n".join([entries, *flags, *(path.read_text() for path in sources)])
        here = folder / hashlib.sha256(text.encode()).hexdigest()[:16]
        here.mkdir(parents=True, exist_ok=True)
        (here / "entries.inc").write_text(entries)
        (here / "cuda_fp16.h").write_text("")  # emulate.h knows __half
        self.program = here / "driver"
        self.command = [
            compiler() or "g++", *flags, f'-DKERNELS="{source}"', f"-I{here}", str(HERE / "driver.cpp"),
            "-o", str(self.program),
        ]
        self.build: subprocess.Popen[str] | None = None
        if not self.program.exists():
            self.build = subprocess.Popen(self.command, stderr=subprocess.PIPE, text=True)
        self.process: subprocess.Popen[bytes] | None = None
        self.launched: list[str] = []

    def started(self) -> subprocess.Popen[bytes]:
        """The running program."""
        if self.build is not None:
            _, said = self.build.communicate()
            assert self.build.returncode == 0, said[:3000]
            self.build = None
        if self.process is None:
            self.process = subprocess.Popen(
                [str(self.program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        return self.process

    def kernel(self, source: str, name: str, options: tuple[str, ...]) -> Any:
        """What stands for a compiled kernel."""
        return functools.partial(self.launch, name)

    def launch(
        self, name: str, grid: tuple[int, int], block: tuple[int, int], arguments: tuple[Any, ...], *, shared_mem: int
    ) -> None:
        """Run one kernel; arrays are changed in place."""
        self.launched.append(name)
        numbers = [len(name), *grid, *block, shared_mem, len(arguments)]
        parts = [_bytes(numbers[0]), name.encode(), *map(_bytes, numbers[1:])]
        arrays = [argument for argument in arguments if isinstance(argument, np.ndarray)]
        for argument in arguments:
            if isinstance(argument, np.ndarray):
                memory, first = _memory(argument)
                skipped = (argument.ctypes.data - first) % 16 if argument.size else 0
                parts += [_bytes(memory.nbytes), _bytes(skipped), _bytes(first), memory.tobytes()]
            else:
                parts += [_bytes(-1), _bytes(argument)]
        program = self.started()
        assert program.stdin
        assert program.stdout
        try:
            program.stdin.write(b"".join(parts))
            program.stdin.flush()
            for array in arrays:
                found = np.frombuffer(_exactly(program.stdout, _memory(array)[0].nbytes), array.dtype)
                if array.flags.c_contiguous and array.flags.writeable:  # kernels write to no others
                    array[...] = found.reshape(array.shape)
        except (BrokenPipeError, EOFError):
            said = self.close()
            shown = [a.shape if isinstance(a, np.ndarray) else a for a in arguments]
            raise AssertionError(f"{name}, grid {grid}, block {block}, {shown}:\n{said[:3000]}") from None

    def close(self) -> str:
        """End the program, and return what it said about errors."""
        if self.build is not None:
            self.build.communicate()
        program, self.process = self.process, None
        if program is None:
            return ""
        assert program.stdin
        assert program.stdout
        assert program.stderr
        with suppress(BrokenPipeError):
            program.stdin.close()
        with program.stdout, program.stderr:
            said = program.stderr.read().decode()
        program.wait()
        return said


def _memory(array: np.ndarray) -> tuple[np.ndarray, int]:
    """All that lies between the first and the last element in memory, with NaN in the gaps, and at which of its bytes
    the element of index 0 lies.
    """
    if array.flags.c_contiguous or not array.size:
        return array.reshape(-1), 0
    reaches = [(n - 1) * step for n, step in zip(array.shape, array.strides, strict=True)]
    first = -sum(min(reach, 0) for reach in reaches)
    memory = np.full((sum(map(abs, reaches)) + array.itemsize) // array.itemsize, np.nan, array.dtype)
    as_strided(memory[first // array.itemsize :], array.shape, array.strides)[...] = array
    return memory, first


def _bytes(number: int) -> bytes:
    return int(number).to_bytes(8, "little", signed=True)


def _exactly(stream: IO[bytes], count: int) -> bytes:
    found = stream.read(count) if count else b""
    if len(found) < count:
        raise EOFError
    return found
