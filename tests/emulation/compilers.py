"""The compilers of CUDA, where they are: nvcc as a program, NVRTC as a library. Neither needs a GPU or a driver."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from minigrad.kernels.cuda import SOURCE

OPTIONS = ("-std=c++17", "-DMINIGRAD_HALF")


def nvcc() -> str | None:
    """The program, of the path or of CUDA's folder."""
    return shutil.which("nvcc") or shutil.which("nvcc", path=f"{os.environ.get('CUDA_PATH', '/usr/local/cuda')}/bin")


def compiled_by_nvcc(names: list[str], arch: str, folder: Path, source: Path = SOURCE) -> str:
    """Compile these kernels of a source to machine code, and return what ptxas reports of each."""
    program = folder / f"{arch}.cu"
    table = "".join(f"    (void*)({name}),\n" for name in names)
    program.write_text(f'#include "{source}"\nvoid* kernels[] = {{\n{table}}};\n')
    command = [nvcc() or "nvcc", *OPTIONS, f"-arch={arch}", "-Xptxas", "-v", "-cubin", str(program)]
    done = subprocess.run([*command, "-o", str(folder / f"{arch}.cubin")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def spilled(report: str) -> int:
    """Bytes that the kernels of a report keep in memory for want of registers."""
    return sum(int(count) for count in re.findall(r"(\d+) bytes spill", report))


def registers(report: str) -> list[int]:
    """The registers of each kernel of a report."""
    return [int(count) for count in re.findall(r"Used (\d+) registers", report)]


def _folders() -> Iterator[Path]:
    """Where CUDA's libraries and headers may be: NVIDIA's packages, then the toolkit."""
    spec = importlib.util.find_spec("nvidia")
    for root in spec.submodule_search_locations if spec and spec.submodule_search_locations else []:
        yield from (folder for folder in Path(root).iterdir() if folder.is_dir())
    yield Path(os.environ.get("CUDA_PATH", "/usr/local/cuda"))


def nvrtc() -> ctypes.CDLL | None:
    """The library, after the one that it asks for by name alone."""
    for folder in _folders():
        for path in sorted([*folder.glob("lib*/libnvrtc.so*"), *folder.glob("targets/*/lib/libnvrtc.so*")]):
            for needed in path.parent.glob("libnvrtc-builtins.so*"):
                ctypes.CDLL(str(needed))
            return ctypes.CDLL(str(path))
    return None


def compiled_by_nvrtc(name: str, arch: str, source: Path = SOURCE) -> bytes:
    """Compile one kernel to machine code as CuPy does: by its name expression, in no file."""
    library = nvrtc()
    assert library is not None
    headers = [folder / "include" for folder in _folders() if (folder / "include" / "cuda_fp16.h").exists()]
    options = [f"-arch={arch}", *OPTIONS, *(f"-I{path}" for path in headers)]

    def call(function: str, *arguments: object) -> None:
        if code := getattr(library, function)(*arguments):
            size = ctypes.c_size_t()
            library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            library.nvrtcGetProgramLog(program, log)
            raise AssertionError(f"{function}: error {code}\n{log.value.decode()}")

    program = ctypes.c_void_p()
    call("nvrtcCreateProgram", ctypes.byref(program), source.read_bytes(), source.name.encode(), 0, None, None)
    call("nvrtcAddNameExpression", program, name.encode())
    given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
    call("nvrtcCompileProgram", program, len(options), given)
    lowered = ctypes.c_char_p()
    call("nvrtcGetLoweredName", program, name.encode(), ctypes.byref(lowered))
    mangled = lowered.value or b"nothing"  # copied: the program owns it
    size = ctypes.c_size_t()
    call("nvrtcGetCUBINSize", program, ctypes.byref(size))
    cubin = ctypes.create_string_buffer(size.value)
    call("nvrtcGetCUBIN", program, cubin)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    assert mangled in cubin.raw
    return cubin.raw
