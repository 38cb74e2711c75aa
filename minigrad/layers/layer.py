"""Layer: builds its weights at the first call, then calls. Weights are found by walking its attributes."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, ClassVar, NamedTuple

from minigrad.backend import asarray, dtype_of, is_array, is_inexact
from minigrad.config import Configurable, argument, member_of, snake_case
from minigrad.initializers import Initializer
from minigrad.layers.input_spec import InputSpec
from minigrad.regularizers import Regularizer
from minigrad.settings import floatx
from minigrad.tensor import Tensor
from minigrad.variable import Variable

Shape = tuple[int | None, ...]


class _Call(NamedTuple):
    """The outermost call under way: which one it is, and whether it trains."""

    number: int
    training: bool


_call: ContextVar[_Call | None] = ContextVar("minigrad_call", default=None)
_call_numbers = itertools.count(1)
_name_counts: dict[str, int] = {}


def clear_session() -> None:
    """Start the counters of automatic layer names again."""
    _name_counts.clear()


def unique_name(base: str) -> str:
    """``base``, then ``base_1``, ``base_2``, ... for one asked for again."""
    count = _name_counts.get(base, 0)
    _name_counts[base] = count + 1
    return f"{base}_{count}" if count else base


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


class Layer(LayerArguments):
    """A function with weights.

    A subclass declares its arguments (see `minigrad.config`) or writes an ``__init__`` that passes ``**kwargs`` on,
    creates weights in `build` and computes in `call`:

    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.scale = self.add_weight((input_shape[-1],), "ones", name="scale")
    ...     def call(self, inputs):
    ...         return inputs * self.scale
    >>> Scale(name="scale")(Tensor([[1.0, 2.0]])).shape
    (1, 2)

    Args:
        name: a name without "/"; made from the class name by default.
        trainable: whether the weights train.
        dtype: of the weights and of the computation, `floatx()` by default; "mixed_float16" keeps weights in
            float32 and computes in float16.
        activity_regularizer: a function of the output; its value divided by N is among `losses`.

    Raises:
        ValueError: an unknown argument or a bad value, named.
    """

    input_spec: InputSpec | None = None
    accepts_integers: ClassVar[bool] = False  # other layers compute integer inputs in their float dtype
    _takes_training: ClassVar[bool] = False

    # The state of every layer, there before any constructor has run.
    built = False
    device = "cpu"
    _build_shape: Any = None
    _last_call = 0
    _last_losses: tuple[Tensor, ...] = ()
    _trains = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = _once(vars(cls)["build"])  # type: ignore[method-assign]
        if "call" in vars(cls):
            cls._takes_training = "training" in inspect.signature(vars(cls)["call"]).parameters

    def __post_init__(self) -> None:
        if self.name is None:
            self.name = unique_name(snake_case(type(self).__name__))

    # ------------------------------------------------------------------ what a subclass writes

    def build(self, input_shape: Any) -> None:
        """Create the weights for inputs of this shape, with None for lengths not known yet."""
        self.built = True
        self._build_shape = input_shape

    def call(self, inputs: Any) -> Any:
        """Compute the output."""
        raise NotImplementedError(f"{type(self).__name__}.call: must be written by the subclass. Received: no call()")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape that `call` gives for inputs of this shape, with None for lengths not known."""
        return tuple(input_shape)

    def add_weight(
        self,
        shape: Sequence[int] = (),
        initializer: Any = None,
        dtype: Any = None,
        *,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        name: str = "weight",
    ) -> Variable:
        """Create a weight on the layer's device; keep it as an attribute, and it is found.

        Args:
            shape: all of it known.
            initializer: glorot_uniform when None.
        """
        from_shape = Initializer.get("glorot_uniform" if initializer is None else initializer)
        return Variable(
            from_shape(tuple(shape), dtype or self.variable_dtype),
            dtype or self.variable_dtype,
            self.device,
            trainable=trainable,
            name=name,
            path=f"{self.name}/{name}",
            regularizer=regularizer,
            constraint=constraint,
        )

    def add_loss(self, loss: Any) -> None:
        """Add a scalar Tensor to `losses`, until the next call.

        Raises:
            ValueError: no Tensor.
        """
        losses = loss if isinstance(loss, (list, tuple)) else (loss,)
        if not all(isinstance(part, Tensor) for part in losses):
            raise ValueError(f"add_loss: loss must be a Tensor or a list of Tensors. Received: {loss!r}")
        self._last_losses = (*self._last_losses, *losses)

    # ------------------------------------------------------------------ calling

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        self._require_init()
        inputs = self._converted(inputs)
        self._check_input(inputs)
        if not self.built:
            self.device = _first(inputs).device
            self.build(_shapes(inputs))
            self._check_input(inputs)
        outer = _call.get()
        training = kwargs.pop("training", None)
        if training is None:
            training = outer.training if outer else False
        call = _Call(outer.number if outer else next(_call_numbers), bool(training))
        if self._last_call != call.number:
            self._last_call, self._last_losses = call.number, ()
        if self._takes_training:
            kwargs["training"] = call.training
        token = _call.set(call)
        try:
            outputs = self.call(inputs, *args, **kwargs)
        finally:
            _call.reset(token)
        if self.activity_regularizer is not None:
            self.add_loss(self.activity_regularizer(outputs) / max(outputs.shape[0], 1))
        return outputs

    def _converted(self, inputs: Any) -> Any:
        """Arrays and numbers as Tensors, floats in the dtype that the layer computes in."""
        if isinstance(inputs, (list, tuple)) and any(isinstance(x, Tensor) or is_array(x) for x in inputs):
            return type(inputs)(self._converted(x) for x in inputs)
        if not isinstance(inputs, Tensor):
            inputs = Tensor._output(asarray(inputs), None) if is_array(inputs) else Tensor(inputs)
        if inputs.dtype == self.compute_dtype or (self.accepts_integers and not is_inexact(inputs.dtype)):
            return inputs
        return inputs.astype(self.compute_dtype)

    def _check_input(self, inputs: Any) -> None:
        if self.input_spec is not None:
            self.input_spec.check(inputs.shape, f"Input 0 with name 'None' of layer '{self.name}'")

    def _require_init(self) -> None:
        if "name" not in vars(self):
            raise RuntimeError(
                f"In layer '{type(self).__name__}', you forgot to call `super().__init__()` as the first statement in "
                "the `__init__()` method. Go add it!"
            )

    # ------------------------------------------------------------------ weights and what belongs to them

    @property
    def variable_dtype(self) -> str:
        """The dtype of the weights."""
        return "float32" if self.dtype == "mixed_float16" else self.dtype

    @property
    def compute_dtype(self) -> str:
        """The dtype that inputs are brought to and outputs have."""
        return "float16" if self.dtype == "mixed_float16" else self.dtype

    def _children(self) -> Iterator[Layer]:
        """Sublayers in order of assignment, each once."""
        seen = set()
        for layer in _search(vars(self).values(), Layer):
            if id(layer) not in seen:
                seen.add(id(layer))
                yield layer

    def _own_weights(self) -> list[Variable]:
        own = list(dict.fromkeys(_search(vars(self).values(), Variable)))
        return sorted(own, key=lambda w: not w.can_train)  # stable: trainable ones first

    @property
    def weights(self) -> list[Variable]:
        """Own weights, trainable ones first, then those of sublayers; a shared weight once."""
        own = self._own_weights()
        return list(dict.fromkeys([*own, *(w for child in self._children() for w in child.weights)]))

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that gradients reach."""
        return [w for w in self.weights if w.trainable]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that gradients do not reach."""
        return [w for w in self.weights if not w.trainable]

    variables = weights
    trainable_variables = trainable_weights
    non_trainable_variables = non_trainable_weights

    @property
    def trainable(self) -> bool:
        """Whether the weights train; setting it sets all sublayers too."""
        return self._trains

    @trainable.setter
    def trainable(self, trainable: bool) -> None:
        self._trains = _trainable("trainable", trainable)
        for weight in self._own_weights():
            weight.trainable = trainable and weight.can_train
        for child in self._children():
            child.trainable = trainable

    @property
    def losses(self) -> list[Tensor]:
        """The losses of the last call (activity), then one of each regularized weight that trains."""
        regularized = [w.regularizer(w) for w in self.trainable_weights if w.regularizer is not None]
        return [*self._call_losses(self._last_call), *regularized]

    def _call_losses(self, number: int) -> list[Tensor]:
        """Losses added in the outermost call ``number``, also by sublayers."""
        own = list(self._last_losses) if self._last_call == number else []
        return own + [loss for child in self._children() for loss in child._call_losses(number)]

    def to(self, device: str) -> Layer:
        """Move all weights to ``device``; weights not built yet follow the first input.

        Raises:
            ImportError, RuntimeError: the device cannot be used, and why.
        """
        moved = [Tensor._output(w.data, None).to(device).data for w in self.weights]  # all or none
        for weight, data in zip(self.weights, moved, strict=True):
            weight.replace(data)
        self.device = device
        return self

    def get_weights(self) -> list[Any]:
        """NumPy copies of the weights."""
        return [w.numpy() for w in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Assign all weights, in the order of `weights`; none when one does not fit.

        Raises:
            ValueError: a wrong count or a wrong shape.
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
        for weight, array in zip(own, arrays, strict=True):
            weight.assign(Tensor._output(array, None).to(weight.device))

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

    def _config_names(self) -> list[str]:
        names = super()._config_names()
        if self.activity_regularizer is None and self._arguments["activity_regularizer"].keyword_only:
            names.remove("activity_regularizer")  # as in Keras, where only some layers say that they have none
        return sorted(names, key=lambda name: name not in ("name", "trainable", "dtype"))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def _once(build: Callable[..., None]) -> Callable[..., None]:
    """Wrap `build`: a second call is refused, a failed one leaves the layer as it was."""

    @functools.wraps(build)
    def wrapper(self: Layer, input_shape: Any) -> None:
        if self.built:
            raise ValueError(f"build: layer '{self.name}' must not be built twice. Received: {input_shape!r}")
        shape = checked_shape(input_shape, self.name)
        before = dict(vars(self))
        try:
            build(self, shape)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise
        self.built = True
        self._build_shape = shape
        if not self._trains:
            self.trainable = False

    return wrapper


def checked_shape(shape: Any, who: str) -> Any:
    """A shape as a tuple of ints and None; of several inputs, a list of such.

    Raises:
        ValueError: something else.
    """
    if isinstance(shape, (list, tuple)) and shape and all(isinstance(part, (list, tuple)) for part in shape):
        return [checked_shape(part, who) for part in shape]
    if isinstance(shape, (list, tuple)) and all(n is None or (isinstance(n, int) and n >= 0) for n in shape):
        return tuple(shape)
    raise ValueError(f"{who}: input_shape must be a tuple of integers and None. Received: input_shape={shape!r}")


def _search(values: Any, kind: type) -> Iterator[Any]:
    """Objects of ``kind`` among attribute values, looking into lists, tuples and dicts."""
    for value in values:
        if isinstance(value, kind):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _search(value, kind)
        elif isinstance(value, dict):
            yield from _search(value.values(), kind)


def _first(inputs: Any) -> Tensor:
    return _first(inputs[0]) if isinstance(inputs, (list, tuple)) else inputs


def _shapes(inputs: Any) -> Any:
    return [_shapes(x) for x in inputs] if isinstance(inputs, (list, tuple)) else inputs.shape
