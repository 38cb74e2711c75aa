"""Checkpoints: all that the rest of a training depends on, in one file of NumPy's .npz format, without pickle.

The file holds arrays, and ``header``, a JSON text: the kind of file, the names, shapes and dtypes of the weights, the
class of the optimizer, the state of the random streams, and whatever else was given, where {"array": 3} stands for the
array ``state_3``. Its parts carry checksums, so a damaged file is noticed; and a file may come from anywhere: it is
compared with its header, and with the model, before anything changes, and nothing that it names is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from minigrad.backend import Array, Generator
from minigrad.files import checked_path, opened, replaced
from minigrad.layers.holder import Holder, search
from minigrad.layers.layer import expecting_weights
from minigrad.optimizers.state import OptimizerState
from minigrad.random import generator
from minigrad.saving.archive import Archive, InPieces, conforms, write_archive
from minigrad.saving.values import in_state, packed, unpacked
from minigrad.variable import assign_all

FORMAT = "minigrad checkpoint 1"
_VARIABLES = [[str, [int], str]]  # name, shape, dtype of each
_HEADER = {"format": str, "input_shape": object, "weights": _VARIABLES, "state": dict}
_OPTIMIZER = {"class": str, "of": [(int, None)], "variables": _VARIABLES}


class CheckpointError(ValueError):
    """A file that is no checkpoint, is damaged, or is of another training; nothing has changed."""


def save_checkpoint(
    path: str | Path, model: Any, optimizer: Any = None, *, random: bool = True, **state: Any
) -> None:
    """Write a training into one file, from which `load_checkpoint` takes it up to the last bit.

    The file is written beside its place and then renamed: a crash leaves the former one or the new one, whole. A link
    stays, and what it points to is written.

    Args:
        model: its weights are written, and the random streams of its layers.
        optimizer: its count, its learning rate and its slots are.
        random: whether the random streams are: that of `set_random_seed`, and those of the layers.
        state: anything else by name, such as the epoch: numbers, strings, arrays, Tensors, NumPy's generators, None,
            and lists, tuples and dicts of these.

    Raises:
        OSError: the path cannot be written, and why. What was there before is still there.
        TypeError: a state that cannot be written; no model, no optimizer, no path.
        ValueError: 8,192 arrays or more, or a state of more than 4 million characters besides them.

    >>> import tempfile
    >>> from minigrad import Sequential, layers, optimizers
    >>> model, optimizer = Sequential([layers.InputLayer((3,)), layers.Dense(2)]), optimizers.Adam()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_checkpoint(f"{folder}/run.ckpt", model, optimizer, epoch=3)
    ...     load_checkpoint(f"{folder}/run.ckpt", model, optimizer)
    {'epoch': 3}
    """
    _require(model, optimizer, "save_checkpoint")
    arrays: list[Array] = []
    weights = model.weights
    positions = {weight: i for i, weight in enumerate(weights)}
    header: dict[str, Any] = {
        "format": FORMAT,
        "model": type(model).__name__,
        "input_shape": model.get_build_config()["input_shape"] if model.built else None,
        "weights": _described(weights),
        "state": packed(state, arrays, "state"),
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
        header["random"] = [packed(stream.bit_generator.state, arrays, "random") for stream in _streams(model)]
    members |= {f"state_{i}": array for i, array in enumerate(arrays)}
    with replaced(path, "save_checkpoint: the path") as file:
        write_archive(file, header, members)


def load_checkpoint(
    path: str | Path, model: Any, optimizer: Any = None, *, random: bool = True
) -> dict[str, Any]:
    """Take up a training from what `save_checkpoint` wrote; nothing is changed if it does not fit.

    The file may come from anywhere: it can give wrong numbers, but no code that runs, and reading it takes about as
    much memory as it has bytes.

    Args:
        model: built for the same shapes or not built yet; its weights are assigned.
        optimizer: None leaves that of the file alone.
        random: whether the random streams go on as those that were saved, if they were.

    Returns:
        The other things that were saved, by name.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: no checkpoint, a damaged one, one of another model or another optimizer: a ValueError.
        TypeError: no model, no optimizer, no path.
    """
    _require(model, optimizer, "load_checkpoint")
    checkpoint = read_checkpoint(path)
    with checkpoint.checked(model, optimizer):
        checkpoint.restore(model, optimizer, random)
    return checkpoint.state


def _require(model: Any, optimizer: Any, who: str) -> None:
    if not isinstance(model, Holder):
        raise TypeError(f"{who}: model must be a model or a layer. Received: model={model!r}")
    if optimizer is not None and not isinstance(optimizer, OptimizerState):
        raise TypeError(f"{who}: optimizer must be an optimizer or None. Received: optimizer={optimizer!r}")


class Checkpoint(NamedTuple):
    """What a file holds."""

    path: Path
    header: dict[str, Any]
    weights: list[Array]
    slots: list[Array]
    state: dict[str, Any]

    @contextmanager
    def checked(self, model: Any, optimizer: Any = None) -> Iterator[None]:
        """A context for `restore`: build the model and the optimizer if they are not, and compare them with the file.

        If it fails, they and the random streams are as they were.

        Raises:
            CheckpointError: the file is of another model or another optimizer.
        """
        streams = [(stream.bit_generator, stream.bit_generator.state) for stream in _streams(model)]
        attributes = dict(vars(optimizer)) if optimizer is not None else {}
        try:
            with model._unchanged():
                self._check(model, optimizer)
                yield
        except BaseException:
            if optimizer is not None:
                vars(optimizer).clear()
                vars(optimizer).update(attributes)
            for stream, state in streams:
                stream.state = state
            raise

    def _check(self, model: Any, optimizer: Any) -> None:
        if not model.built and self.header["input_shape"] is not None:
            self._build("model", lambda: model.build(self.header["input_shape"]))
        own = _described(model.weights)
        self._compare("model", f"a {type(model).__name__}", _widened(self.header["weights"], own, "moving_"), own)
        if self.header["random"]:
            self._check_random(_streams(model))
        if optimizer is None:
            return
        saved = self.header.get("optimizer")
        if saved is None or saved["class"] != type(optimizer).__name__:
            raise CheckpointError(
                f"checkpoint: it must hold the state of the optimizer, {type(optimizer).__name__}. "
                f"Received: {'no optimizer' if saved is None else saved['class']} in {self.path}"
            )
        if not optimizer.built and saved["of"] and None not in saved["of"]:
            self._build("optimizer", lambda: optimizer.build([model.weights[i] for i in saved["of"]]))
        own = _described(optimizer.variables, optimizer)
        self._compare("optimizer", type(optimizer).__name__, _widened(saved["variables"], own), own)
        if self.slots[0] < 0:
            raise CheckpointError(
                "checkpoint: the optimizer's count of calls must not be negative. "
                f"Received: {self.slots[0]} in {self.path}"
            )

    def _build(self, what: str, build: Callable[[], None]) -> None:
        try:
            with expecting_weights((name, shape) for name, shape, _ in self.header["weights"]):
                build()
        except Exception as error:  # whatever layers, also a user's, make of a shape that is not for them
            raise CheckpointError(
                f"checkpoint: the {what} must be one that can be built as the file says; or build it before. "
                f"Received: {self.path} ({str(error)[:1000]})"
            ) from error

    def _check_random(self, streams: list[Generator]) -> None:
        kinds = [type(stream.bit_generator).__name__ for stream in streams]
        if [state["bit_generator"] for state in self.header["random"]] != kinds:
            raise CheckpointError(
                "checkpoint: it must be of a model with as many random streams, such as dropout layers with a seed. "
                f"Received: {self.path}, with {len(self.header['random'])}; the model has {len(kinds)}"
            )
        for stream, state in zip(streams, self.header["random"], strict=True):
            try:
                in_state(type(stream.bit_generator), state)
            except Exception as error:
                raise _refused(self.path, error) from error

    def _compare(self, what: str, who: str, saved: list[Any], own: list[Any]) -> None:
        if saved != own:
            differ = [(a, b) for a, b in zip(saved, own, strict=False) if a != b]
            where = f"{differ[0][0]} in the place of {differ[0][1]}" if differ else "the first of them are the same"
            raise CheckpointError(
                f"checkpoint: it must be of this {what}, {who} with {len(own)} arrays. "
                f"Received: {self.path}, of {len(saved)} arrays; {where[:1000]}"
            )

    def restore(self, model: Any, optimizer: Any = None, random: bool = True) -> None:
        """Assign the weights, the state of the optimizer and of the random streams: all of them, or none."""
        slots = [] if optimizer is None else optimizer.variables
        assign_all([*model.weights, *slots], [*self.weights, *(self.slots if slots else [])])
        if random and self.header["random"]:
            for stream, state in zip(_streams(model), self.header["random"], strict=True):
                stream.bit_generator.state = state


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a file whole, and change nothing.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: no checkpoint, or a damaged one.
    """
    path = checked_path(path, "checkpoint: the path")
    try:
        with opened(path) as file, InPieces(file) as pieces:
            return _taken(path, Archive(pieces))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"checkpoint: there must be a file. Received: {path}, which does not exist") from error
    except Exception as error:  # of the many kinds that libraries raise for bytes that they do not expect
        raise _refused(path, error) from error


def _refused(path: Path, error: Exception) -> CheckpointError:
    reason = str(error)[:1000] or type(error).__name__
    return CheckpointError(
        f"checkpoint: the file must be a whole one written by save_checkpoint. Received: {path} ({reason})"
    )


def _taken(path: Path, archive: Archive) -> Checkpoint:
    """All that an archive holds, if its header describes it."""
    header = archive.header
    if not conforms(header, _HEADER) or header["format"] != FORMAT:
        raise ValueError("the header is not that of a checkpoint")
    optimizer = header.get("optimizer", {"class": "", "of": [], "variables": []})
    places = {None, *range(len(header["weights"]))}
    if not conforms(optimizer, _OPTIMIZER) or not places.issuperset(optimizer["of"]):
        raise ValueError("the header does not describe an optimizer")
    weights = [archive.read(f"weight_{i}", facts) for i, (_, *facts) in enumerate(header["weights"])]
    slots = [archive.read(f"optimizer_{i}", facts) for i, (_, *facts) in enumerate(optimizer["variables"])]
    arrays = archive.rest("state")
    header["random"] = [unpacked(state, arrays) for state in header.get("random", [])]
    state = unpacked(header["state"], arrays)
    if not conforms(header["random"], [{"bit_generator": str}]) or not isinstance(state, dict):
        raise ValueError("the header does not describe random streams and a state")
    return Checkpoint(path, header, weights, slots, state)


def _described(variables: Sequence[Any], optimizer: Any = None) -> list[Any]:
    """Name, shape and dtype of each; the name without that of its layer, which may be another in another process."""
    owners = [f"{v.path.replace('/', '_')}_" for v in optimizer._trainable_variables] if optimizer is not None else []
    found = []
    for variable in variables:
        owner = next((owner for owner in owners if variable.name.startswith(owner)), "")
        found.append([variable.name.removeprefix(owner), list(variable.shape), str(variable.dtype)])
    return found


def _widened(saved: list[Any], own: list[Any], names: str = "") -> list[Any]:
    """What is saved as it would be now: the state of an optimizer of float16 weights was once float16 itself, and so
    were the moving weights of a float16 layer, known by how their ``names`` begin.
    """
    if len(saved) != len(own):
        return saved
    former = [[*here[:2], "float16"] if here[2] == "float32" and here[0].startswith(names) else None for here in own]
    return [here if there == half else there for there, here, half in zip(saved, own, former, strict=True)]


def _streams(model: Holder) -> list[Generator]:
    """The random streams that a training draws from: the global one, and those of the layers, each once."""
    own = (stream for layer in model._family_tree() for stream in search(vars(layer).values(), Generator))
    return list(dict.fromkeys([generator(), *own]))
