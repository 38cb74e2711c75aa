"""Checkpoints: all that the rest of a training depends on, in one file of NumPy's .npz format, without pickle.

The file holds arrays, and ``header``, a JSON text: the kind of file, the names, shapes and dtypes of the weights, the
class of the optimizer, the state of the random streams, and whatever else was given, where {"array": 3} stands for the
array ``state_3``. Its parts carry checksums, so a damaged file is noticed.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from minigrad.backend import Array, Generator, host_generator, is_array, module_for, to_host
from minigrad.layers.holder import Holder, search
from minigrad.random import generator
from minigrad.saving.files import replaced
from minigrad.tensor import Tensor

FORMAT = "minigrad checkpoint 1"


def save_checkpoint(
    path: str | Path, model: Any, optimizer: Any = None, *, random: bool = True, **state: Any
) -> None:
    """Write a training into one file, from which `load_checkpoint` takes it up to the last bit.

    The file is written beside its place and then renamed: a crash leaves the former one or the new one, whole.

    Args:
        model: its weights are written, and the random streams of its layers.
        optimizer: its count, its learning rate and its slots are.
        random: whether the random streams are: that of `set_random_seed`, and those of the layers.
        state: anything else by name, such as the epoch: numbers, strings, arrays, Tensors, NumPy's generators, None,
            and lists, tuples and dicts of these.

    Raises:
        OSError: the path cannot be written, and why. What was there before is still there.
        TypeError: a state that cannot be written.

    >>> import tempfile
    >>> from minigrad import Sequential, layers, optimizers
    >>> model, optimizer = Sequential([layers.InputLayer((3,)), layers.Dense(2)]), optimizers.Adam()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/run.ckpt", model, optimizer, epoch=3)
    ...     load_checkpoint(f"{folder}/run.ckpt", model, optimizer)
    {'epoch': 3}
    """
    arrays: list[Array] = []
    weights = model.weights
    positions = {weight: i for i, weight in enumerate(weights)}
    header: dict[str, Any] = {
        "format": FORMAT,
        "model": type(model).__name__,
        "input_shape": model.get_build_config()["input_shape"] if model.built else None,
        "weights": _described(weights),
        "state": _packed(state, arrays, "state"),
    }
    members = {f"weight_{i}": weight.numpy() for i, weight in enumerate(weights)}
    if optimizer is not None:
        header["optimizer"] = {
            "class": type(optimizer).__name__,
            "of": [positions.get(variable) for variable in optimizer._trainable_variables],
            "variables": _described(optimizer.variables, optimizer),
        }
        members |= {f"optimizer_{i}": variable.numpy() for i, variable in enumerate(optimizer.variables)}
    if random:
        header["random"] = [_packed(stream.bit_generator.state, arrays, "random") for stream in _streams(model)]
    members |= {f"state_{i}": array for i, array in enumerate(arrays)}
    host = module_for("cpu")
    with replaced(path, "save_checkpoint") as file:
        host.savez(file, header=host.array(json.dumps(header)), **members)


def load_checkpoint(
    path: str | Path, model: Any, optimizer: Any = None, *, random: bool = True
) -> dict[str, Any]:
    """Take up a training from what `save_checkpoint` wrote; nothing is changed if it does not fit.

    Args:
        model: built for the same shapes or not built yet; its weights are assigned.
        optimizer: None leaves that of the file alone.
        random: whether the random streams go on as those that were saved, if they were.

    Returns:
        The other things that were saved, by name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no checkpoint, a damaged one, one of another model or another optimizer.
    """
    checkpoint = read_checkpoint(path)
    checkpoint.check(model, optimizer)
    checkpoint.restore(model, optimizer, random)
    return checkpoint.state


class Checkpoint(NamedTuple):
    """What a file holds."""

    path: Path
    header: dict[str, Any]
    weights: list[Array]
    slots: list[Array]
    state: dict[str, Any]

    def check(self, model: Any, optimizer: Any = None) -> None:
        """Build the model and the optimizer if they are not, and compare them with the file.

        Raises:
            ValueError: the file is of another model or another optimizer.
        """
        if not model.built and self.header["input_shape"] is not None:
            model.build(self.header["input_shape"])
        self._compare("model", f"a {type(model).__name__}", self.header["weights"], _described(model.weights))
        kinds = [type(stream.bit_generator).__name__ for stream in _streams(model)]
        if self.header["random"] and [state["bit_generator"] for state in self.header["random"]] != kinds:
            raise ValueError(
                "checkpoint: it must be of a model with as many random streams, such as dropout layers with a seed. "
                f"Received: {self.path}, with {len(self.header['random'])}; the model has {len(kinds)}"
            )
        if optimizer is None:
            return
        saved = self.header.get("optimizer")
        if saved is None or saved["class"] != type(optimizer).__name__:
            raise ValueError(
                f"checkpoint: it must hold the state of the optimizer, {type(optimizer).__name__}. "
                f"Received: {'no optimizer' if saved is None else saved['class']} in {self.path}"
            )
        if not optimizer.built and saved["of"] and None not in saved["of"]:
            optimizer.build([model.weights[i] for i in saved["of"]])
        own = _described(optimizer.variables, optimizer)
        self._compare("optimizer", type(optimizer).__name__, _widened(saved["variables"], own), own)

    def _compare(self, what: str, who: str, saved: list[Any], own: list[Any]) -> None:
        if saved != own:
            differ = [(a, b) for a, b in zip(saved, own, strict=False) if a != b]
            where = f"{differ[0][0]} in the place of {differ[0][1]}" if differ else "the first of them are the same"
            raise ValueError(
                f"checkpoint: it must be of this {what}, {who} with {len(own)} arrays. "
                f"Received: {self.path}, of {len(saved)} arrays; {where}"
            )

    def restore(self, model: Any, optimizer: Any = None, random: bool = True) -> None:
        """Assign the weights, the state of the optimizer and of the random streams."""
        model.set_weights(self.weights)
        if optimizer is not None and optimizer.built:
            optimizer.set_weights(self.slots)
        elif optimizer is not None:
            for variable, array in zip(optimizer.variables, self.slots, strict=True):
                variable.assign(array)
        if random and self.header["random"]:
            for stream, state in zip(_streams(model), self.header["random"], strict=True):
                stream.bit_generator.state = state


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a file whole, and change nothing.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no checkpoint, or a damaged one.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"checkpoint: there must be a file. Received: {path}, which does not exist")
    try:
        with zipfile.ZipFile(path):  # else NumPy takes it for something else
            pass
        with module_for("cpu").load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        if header["format"] != FORMAT:
            raise ValueError(f"format {header['format']!r}")
        packed = [arrays[f"state_{i}"] for i in range(len(arrays)) if f"state_{i}" in arrays]
        header["random"] = _unpacked(header.get("random", []), packed)
        state = _unpacked(header["state"], packed)
        weights = [arrays[f"weight_{i}"] for i in range(len(header["weights"]))]
        count = len(header["optimizer"]["variables"]) if "optimizer" in header else 0
        slots = [arrays[f"optimizer_{i}"] for i in range(count)]
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(
            f"checkpoint: the file must be a whole one written by save_checkpoint. Received: {path} ({error})"
        ) from error
    return Checkpoint(path, header, weights, slots, state)


def _described(variables: Sequence[Any], optimizer: Any = None) -> list[Any]:
    """Name, shape and dtype of each; the name without that of its layer, which may be another in another process."""
    owners = [f"{v.path.replace('/', '_')}_" for v in optimizer._trainable_variables] if optimizer is not None else []
    found = []
    for variable in variables:
        owner = next((owner for owner in owners if variable.name.startswith(owner)), "")
        found.append([variable.name.removeprefix(owner), list(variable.shape), str(variable.dtype)])
    return found


def _widened(saved: list[Any], own: list[Any]) -> list[Any]:
    """What is saved of an optimizer as it would be now: that of float16 weights was once float16 itself."""
    if len(saved) != len(own):
        return saved
    former = [[*here[:2], "float16"] if here[2] == "float32" else None for here in own]
    return [here if there == half else there for there, here, half in zip(saved, own, former, strict=True)]


def _streams(model: Holder) -> list[Generator]:
    """The random streams that a training draws from: the global one, and those of the layers, each once."""
    own = (stream for layer in model._family_tree() for stream in search(vars(layer).values(), Generator))
    return list(dict.fromkeys([generator(), *own]))


# ---------------------------------------------------------------------- Python's values as JSON and arrays


def _packed(value: Any, arrays: list[Array], where: str) -> Any:
    """A value as JSON can hold it; its arrays go to the list."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor) or is_array(value):
        arrays.append(value.numpy() if isinstance(value, Tensor) else to_host(value))
        return {"array": len(arrays) - 1}
    if isinstance(value, Generator):
        return {"generator": _packed(value.bit_generator.state, arrays, where)}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _packed(part, arrays, f"{where}[{key!r}]") for key, part in value.items()}}
    if isinstance(value, (list, tuple)):
        parts = [_packed(part, arrays, f"{where}[{i}]") for i, part in enumerate(value)]
        return parts if isinstance(value, list) else {"tuple": parts}
    raise TypeError(
        "save_checkpoint: state must be numbers, strings, arrays, generators, or lists and dicts of them. "
        f"Received: {where} of type {type(value).__name__}"
    )


def _unpacked(value: Any, arrays: list[Array]) -> Any:
    if isinstance(value, list):
        return [_unpacked(part, arrays) for part in value]
    if not isinstance(value, dict):
        return value
    (kind, content), = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "tuple":
        return tuple(_unpacked(part, arrays) for part in content)
    if kind == "dict":
        return {key: _unpacked(part, arrays) for key, part in content.items()}
    state = _unpacked(content, arrays)
    stream = host_generator()
    if type(stream.bit_generator).__name__ != state["bit_generator"]:
        numpy_random = module_for("cpu").random
        stream = numpy_random.Generator(getattr(numpy_random, state["bit_generator"])())
    stream.bit_generator.state = state
    return stream
