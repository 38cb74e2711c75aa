"""Holder: what a layer holds, found by walking its attributes: weights, sublayers, losses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

from minigrad.backend import asarray, dtype_of
from minigrad.config import Configurable, argument, member_of
from minigrad.regularizers import Regularizer
from minigrad.settings import floatx
from minigrad.tensor import Tensor
from minigrad.variable import Variable, assign_all

_PLAIN = {bool, int, float, str, type(None)}  # what most attributes are, and hold nothing


def _trainable(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"Expected `trainable` to be a boolean. Received: trainable={value!r}")
    return value


def _name(name: str, value: Any) -> str | None:
    if value is not None and (not isinstance(value, str) or "/" in value):
        raise ValueError(
            f"Argument `name` must be a string and cannot contain character `/`. Received: name={value!r}"
        )
    return value


def _dtype(name: str, value: Any) -> str:
    """The name of a float dtype, or "mixed_float16"; configs of Keras 3 hold it one level down."""
    if isinstance(value, dict):
        value = value.get("config", {}).get("name")
    if value == "mixed_float16":
        return "mixed_float16"
    dtype = dtype_of(floatx() if value is None else value)
    if dtype.kind != "f":
        raise ValueError(f"Argument `dtype` must name a floating dtype. Received: dtype={value!r}")
    return str(dtype)


class LayerArguments(Configurable, family="layer", module="keras.layers", keyword_only=True):
    """The arguments that every layer has."""

    name: str = argument(_name, None)
    trainable: bool = argument(_trainable, True)
    dtype: str = argument(_dtype, None)
    activity_regularizer: Any = argument(member_of(Regularizer), None)


class Holder(LayerArguments):
    """The weights, sublayers and losses of a layer. What is assigned as an attribute, also in a list, is found."""

    # What configs of Keras hold besides our arguments, each with the one value that is ours (... for any).
    _foreign: ClassVar[dict[str, Any]] = {}

    # The state of every layer, there before any constructor has run.
    built = False
    device = "cpu"
    _build_shape: Any = None
    _policy = "float32"
    _last_call = 0
    _last_losses: tuple[Tensor, ...] = ()
    _trains = True

    @property
    def dtype(self) -> str:
        """The dtype of the weights; the argument may also be "mixed_float16"."""
        return self.variable_dtype

    @dtype.setter
    def dtype(self, policy: str) -> None:
        self._policy = policy
        self._computes_in = dtype_of(self.compute_dtype)

    @property
    def variable_dtype(self) -> str:
        """The dtype of the weights."""
        return "float32" if self._policy == "mixed_float16" else self._policy

    @property
    def compute_dtype(self) -> str:
        """The dtype that inputs are brought to and outputs have."""
        return "float16" if self._policy == "mixed_float16" else self._policy

    def __getstate__(self) -> dict[str, Any]:
        """What copy and pickle take: all but the losses of the last call, which have a history."""
        return {**vars(self), "_last_losses": ()}

    def _children(self) -> list[Holder]:
        """Sublayers in order of assignment, each once."""
        return self._held()[1]

    def _family_tree(self) -> list[Holder]:
        """The layer itself, its sublayers, theirs, ..., each once."""
        found = dict.fromkeys([self])
        stack = [self]
        while stack:
            new = [child for child in stack.pop()._children() if child not in found]
            found |= dict.fromkeys(new)
            stack += new
        return list(found)

    @contextmanager
    def _unchanged(self, after_success: bool = False) -> Iterator[None]:
        """A context after which the layer and its sublayers are as they were, if it fails (or in any case)."""
        before = [(layer, dict(vars(layer))) for layer in self._family_tree()]
        success = False
        try:
            yield
            success = True
        finally:
            if after_success or not success:
                for layer, attributes in before:
                    vars(layer).clear()
                    vars(layer).update(attributes)

    def _held(self) -> tuple[list[Variable], list[Holder]]:
        """Own weights, trainable ones first, and sublayers, each once: in one walk, for it is made at every step."""
        found = dict.fromkeys(search(vars(self).values(), (Variable, Holder)))
        own = [w for w in found if isinstance(w, Variable)]
        own.sort(key=lambda w: not w.can_train)  # stable
        return own, [child for child in found if isinstance(child, Holder)]

    def _own_weights(self) -> list[Variable]:
        return self._held()[0]

    @property
    def path(self) -> str:
        """The name: what the paths of the weights begin with."""
        return self.name

    @property
    def weights(self) -> list[Variable]:
        """Own weights, trainable ones first, then those of sublayers; a shared weight once."""
        own, children = self._held()
        return list(dict.fromkeys([*own, *(w for child in children for w in child.weights)]))

    def _descend(self, trains: bool = True) -> Iterator[tuple[Holder, list[Variable]]]:
        """The layer and all that are below it, each with those of its own weights that train."""
        own, children = self._held()
        trains = trains and self._trains
        yield self, [w for w in own if trains and w.trainable]
        for child in children:
            yield from child._descend(trains)

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that train: none of a layer that is not `trainable`."""
        return list(dict.fromkeys(w for _, own in self._descend() for w in own))

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """All other weights."""
        trainable = set(self.trainable_weights)
        return [w for w in self.weights if w not in trainable]

    @property
    def variables(self) -> list[Variable]:
        """`weights`, under Keras's other name."""
        return self.weights

    @property
    def trainable_variables(self) -> list[Variable]:
        """`trainable_weights`, under Keras's other name."""
        return self.trainable_weights

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """`non_trainable_weights`, under Keras's other name."""
        return self.non_trainable_weights

    @property
    def trainable(self) -> bool:
        """Whether the weights train; setting it sets all sublayers too."""
        return self._trains

    @trainable.setter
    def trainable(self, trainable: bool) -> None:
        constructed = "_trains" in vars(self)
        self._trains = _trainable("trainable", trainable)
        for weight in self._own_weights():
            weight.trainable = trainable and weight.can_train
        for child in self._children() if constructed else ():  # a constructor leaves the layers it is given alone
            child.trainable = trainable

    @property
    def losses(self) -> list[Tensor]:
        """The losses of the last call (activity), then one of each regularized weight that trains."""
        layers = list(self._descend())  # one walk for both, for it is made at every step
        added = [loss for layer, _ in layers if layer._last_call == self._last_call for loss in layer._last_losses]
        weights = dict.fromkeys(w for _, own in layers for w in own)
        return [*added, *(w.regularizer(w) for w in weights if w.regularizer is not None)]

    def add_loss(self, loss: Any) -> None:
        """Add a scalar Tensor to `losses`, until the next call.

        Raises:
            ValueError: no Tensor.
        """
        losses = loss if isinstance(loss, (list, tuple)) else (loss,)
        if not all(isinstance(part, Tensor) for part in losses):
            raise ValueError(f"add_loss: loss must be a Tensor or a list of Tensors. Received: {loss!r}")
        self._last_losses = (*self._last_losses, *losses)

    def to(self, device: str) -> Self:
        """Move all weights to ``device``; weights not built yet follow the first input.

        Raises:
            ImportError, RuntimeError: the device cannot be used, and why.
        """
        weights = self.weights
        moved = [w.detach().to(device).data for w in weights]  # all or none
        for weight, data in zip(weights, moved, strict=True):
            weight.replace(data)
        for layer in self._family_tree():
            layer.device = device
        return self

    def get_weights(self) -> list[Any]:
        """NumPy copies of the weights."""
        return [w.numpy() for w in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Assign all weights, in the order of `weights`; none when one does not fit.

        Raises:
            ValueError: a wrong count or a wrong shape.
            TypeError: no numbers, or complex ones for a real weight.
        """
        own = self.weights
        if len(weights) != len(own):
            raise ValueError(
                f"You called `set_weights(weights)` on layer '{self.name}' with a weight list of length "
                f"{len(weights)}, but the layer was expecting {len(own)} weights."
            )
        arrays = [w.data if isinstance(w, Tensor) else asarray(w) for w in weights]
        for weight, array in zip(own, arrays, strict=True):
            if weight.shape != array.shape:
                raise ValueError(
                    f"Layer {self.name} weight shape {weight.shape} is not compatible with provided weight shape "
                    f"{array.shape}."
                )
        assign_all(own, arrays)

    def count_params(self) -> int:
        """How many numbers the weights hold.

        Raises:
            ValueError: the layer is not built.
        """
        if not self.built:
            raise ValueError(
                f"You tried to call `count_params` on layer '{self.name}', but the layer isn't built. You can build "
                "it with `build(input_shape)`."
            )
        return sum(math.prod(w.shape) for w in self.weights)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"dtype": self._policy}

    def get_build_config(self) -> dict[str, Any]:
        """The shape that the layer was built for, as `build_from_config` takes it."""
        return {"input_shape": self._build_shape}

    def _state_config(self) -> dict[str, Any]:
        return {"build_config": self.get_build_config()} if self.built else {}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A layer from what `get_config` returned here, or in Keras.

        Raises:
            ValueError: an option that minigrad does not have.
        """
        for name, only in cls._foreign.items():
            if config.get(name, only) != only and only is not ...:
                raise ValueError(f"{cls.__name__}: {name} must be {only!r}. Received: {name}={config[name]!r}")
        return super().from_config({name: value for name, value in config.items() if name not in cls._foreign})

    @classmethod
    def deserialize(cls, config: Mapping[str, Any]) -> Any:
        layer = super().deserialize(config)
        layer.build_from_config(config.get("build_config") or {})
        return layer

    def _config_names(self) -> list[str]:
        names = super()._config_names()
        declared = self._arguments.get("activity_regularizer")
        if declared and declared.keyword_only and self.activity_regularizer is None:
            names.remove("activity_regularizer")  # as in Keras, where only some layers say that they have none
        return sorted(names, key=lambda name: name not in ("name", "trainable", "dtype"))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def search(values: Iterable[Any], kind: type | tuple[type, ...]) -> list[Any]:
    """Objects of ``kind`` among attribute values, looking into lists, tuples and dicts."""
    found = []
    for value in values:
        if type(value) in _PLAIN:
            continue
        if isinstance(value, kind):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += search(value, kind)
        elif isinstance(value, dict):
            found += search(value.values(), kind)
    return found
