"""Layer: builds its weights at the first call, then calls."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, NamedTuple

from minigrad.backend import dtype_of, is_array
from minigrad.config import as_integer, snake_case
from minigrad.initializers import Initializer
from minigrad.layers.holder import Holder
from minigrad.layers.input_spec import InputSpec
from minigrad.tape import no_grad
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
_weights_left: ContextVar[Counter[tuple[str, Any]] | None] = ContextVar("minigrad_weights_left", default=None)


def clear_session() -> None:
    """Start the counters of automatic layer names again."""
    _name_counts.clear()


def unique_name(base: str) -> str:
    """``base``, then ``base_1``, ``base_2``, ... for one asked for again."""
    count = _name_counts.get(base, 0)
    _name_counts[base] = count + 1
    return f"{base}_{count}" if count else base


def _once(build: Callable[..., None]) -> Callable[..., None]:
    """Wrap `build`: a second call is refused, a failed one leaves the layer as it was."""

    @functools.wraps(build)
    def wrapper(self: Any, input_shape: Any) -> None:
        if self.built:
            raise ValueError(f"build: layer '{self.name}' must not be built twice. Received: {input_shape!r}")
        shape = checked_shape(input_shape, self.name)
        with self._unchanged():
            build(self, shape)
        self.built, self._build_shape = True, shape
        if not self._trains:
            for weight in self._own_weights():
                weight.trainable = False

    return wrapper


class Layer(Holder):
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

    Layers assigned as attributes are found, and build themselves when `call` calls them:

    >>> class Residual(Layer):
    ...     def __init__(self, layer, **kwargs):
    ...         super().__init__(**kwargs)
    ...         self.layer = layer
    ...     def call(self, inputs):
    ...         return inputs + self.layer(inputs)
    >>> block = Residual(Scale())
    >>> block.compute_output_shape((None, 5))
    (None, 5)
    >>> block.build((None, 5)); block.count_params()
    5

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
    supports_masking: ClassVar[bool] = False  # whether a mask of the inputs is one of the outputs too
    autocast: ClassVar[bool] = True  # floating inputs are brought to `compute_dtype`,
    accepts_integers: ClassVar[bool] = False  # and others too, except where they pass through unharmed
    _default_training: ClassVar[bool | None] = None  # of `call`; None when it takes no such argument
    _takes_mask: ClassVar[bool] = False
    _checked: Any = None
    _built_by_call: ClassVar[bool] = True  # sublayers build themselves when `call` calls them; no own `build`

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = _once(vars(cls)["build"])  # type: ignore[method-assign]
            cls._built_by_call = vars(cls).get("_built_by_call", False)
        if "call" in vars(cls):
            parameters = inspect.signature(vars(cls)["call"]).parameters
            cls._default_training = parameters["training"].default is True if "training" in parameters else None
            cls._takes_mask = "mask" in parameters

    def __post_init__(self) -> None:
        if self.name is None:
            self.name = unique_name(snake_case(type(self).__name__))

    # ------------------------------------------------------------------ what a subclass writes

    @_once
    def build(self, input_shape: Any) -> None:
        """Create the weights for inputs of this shape, with None for lengths not known yet.

        Unless a subclass writes it, sublayers build themselves: `call` is tried on zeros.
        """
        if self._children():
            self._tried(input_shape, 0)

    def build_from_config(self, config: Mapping[str, Any]) -> None:
        """Build for the shape in what `get_build_config` returned, unless there is none or the layer is built."""
        if config.get("input_shape") is not None and not self.built:
            self.build(config["input_shape"])

    def call(self, inputs: Any) -> Any:
        """Compute the output."""
        raise NotImplementedError(f"{type(self).__name__}.call: must be written by the subclass. Received: no call()")

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the output, for inputs with a mask (where it holds, they count); None for none.

        A `Sequential` hands masks on from layer to layer; anyone else gives them to `call` with ``mask=``.
        """
        if mask is not None and not self.supports_masking:
            warnings.warn(
                f"Layer '{self.name}' (of type {type(self).__name__}) was passed an input with a mask attached to it. "
                "However, this layer does not support masking and will therefore destroy the mask information. "
                "Downstream layers will not see the mask.",
                stacklevel=2,
            )
        return mask if self.supports_masking else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape that `call` gives for inputs of this shape, with None for lengths not known.

        Unless a subclass writes it, `call` is tried on zeros, twice with different lengths in the place of None: what
        differs in the output is not known either. The layer and its sublayers stay as they were.
        """
        with self._unchanged(after_success=True):
            trials = [self._tried(checked_shape(input_shape, self.name), i) for i in (0, 1)]
        return tuple(n if n == m else None for n, m in zip(*trials, strict=True))

    def _tried(self, input_shape: Any, trial: int) -> Shape:
        """The output's shape for zeros of a shape, whose unknown lengths are two primes (or a batch of 1 or 2)."""
        if isinstance(input_shape, list):
            zeros: Any = [self._zeros(shape, trial) for shape in input_shape]
        else:
            zeros = self._zeros(input_shape, trial)
        with no_grad():
            return self(zeros, training=False).shape

    def _zeros(self, shape: Shape, trial: int) -> Tensor:
        unknown = (83, 89)[trial]
        lengths = [1 + trial if i == 0 else unknown for i in range(len(shape))]
        known = tuple(length if n is None else n for n, length in zip(shape, lengths, strict=True))
        if _weights_left.get() is not None and math.prod(known) > 1 << 22:
            raise ValueError(f"{self.name}: a shape to be tried must be smaller. Received: {known}")
        return Tensor.zeros(known, dtype=self.compute_dtype, device=self.device)

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
            initializer: when None, glorot_uniform for floats and zeros for others.

        Raises:
            ValueError: a name in the place of the shape, a bad initializer.
        """
        if isinstance(shape, str):
            raise ValueError(f"add_weight: shape must be a tuple of integers, and name=... last. Received: {shape!r}")
        if (left := _weights_left.get()) is not None:
            left[name, tuple(shape)] -= 1
            if left[name, tuple(shape)] < 0:
                raise ValueError(f"add_weight: the weight must be one of those expected. Received: {name}, {shape=}")
        dtype = dtype_of(dtype or self.variable_dtype)
        if initializer is None:
            initializer = "glorot_uniform" if dtype.kind == "f" else "zeros"
        return Variable(
            Initializer.get(initializer)(tuple(shape), dtype),
            dtype,
            self.device,
            trainable=trainable,
            name=name,
            path=f"{self.name}/{name}",
            regularizer=regularizer,
            constraint=constraint,
        )

    def declared_weight(self, name: str, shape: Sequence[int], prefix: str = "") -> Variable:
        """Create a weight by the arguments ``<prefix>_initializer``, ``_regularizer``, ``_constraint``.

        The prefix is the weight's own name unless another one is given.
        """
        prefix = prefix or name
        return self.add_weight(
            shape,
            getattr(self, f"{prefix}_initializer"),
            name=name,
            regularizer=getattr(self, f"{prefix}_regularizer"),
            constraint=getattr(self, f"{prefix}_constraint"),
        )

    def known_length(self, shape: Shape, axis: int) -> int:
        """The length of an axis, which decides the shape of a weight.

        Raises:
            ValueError: it is not known.
        """
        length = shape[axis]
        if length is None:
            raise ValueError(f"{self.name}: the length of axis {axis} must be known. Received: input_shape={shape}")
        return length

    def cast(self, weight: Tensor) -> Tensor:
        """A weight as `call` must take it: in `compute_dtype`, which differs from its own under "mixed_float16"."""
        return weight if weight.data.dtype == self._computes_in else weight.astype(self._computes_in)

    # ------------------------------------------------------------------ calling

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if "name" not in self.__dict__:
            raise RuntimeError(
                f"In layer '{type(self).__name__}', you forgot to call `super().__init__()` as the first statement in "
                "the `__init__()` method. Go add it!"
            )
        if type(inputs) is not Tensor or inputs.data.dtype != self._computes_in:
            inputs = self._converted(inputs)
        if self.input_spec is not None:
            self._check_input(inputs)
        if self.built:
            return self._run(inputs, *args, **kwargs)
        with self._unchanged():
            self.device = _first(inputs).device
            if self._built_by_call:
                self.built, self._build_shape = True, _shapes(inputs)
            else:
                self.build(_shapes(inputs))
                self._check_input(inputs)
            return self._run(inputs, *args, **kwargs)

    def _run(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """`call`, as part of the outermost call under way or as a new one, and the activity loss."""
        outer = _call.get()
        training = kwargs.pop("training", None)
        if training is None:
            training = outer.training if outer else self._default_training
        if outer is None:
            call = _Call(next(_call_numbers), bool(training))
        else:
            call = outer if training is outer.training else _Call(outer.number, bool(training))
        if self._last_call != call.number:
            self._last_call, self._last_losses = call.number, ()
        if self._default_training is not None:
            kwargs["training"] = call.training
        if call is outer:
            outputs = self.call(inputs, *args, **kwargs)
        else:
            token = _call.set(call)
            try:
                outputs = self.call(inputs, *args, **kwargs)
            finally:
                _call.reset(token)
        if self.activity_regularizer is not None:
            batch = outputs.shape[0] if outputs.ndim else 1
            self.add_loss(self.activity_regularizer(outputs) / max(batch, 1))
        return outputs

    def _converted(self, inputs: Any) -> Any:
        """Arrays (copies of them) and numbers as Tensors, floats in the dtype that the layer computes in."""
        if isinstance(inputs, (list, tuple)) and any(isinstance(x, Tensor) or is_array(x) for x in inputs):
            return type(inputs)(self._converted(x) for x in inputs)
        given = inputs if isinstance(inputs, Tensor) or is_array(inputs) else Tensor(inputs)
        as_it_is = not self.autocast or (self.accepts_integers and given.dtype.kind != "f")
        dtype = given.dtype if as_it_is else self._computes_in
        if not isinstance(given, Tensor):
            return Tensor(given, dtype)
        return given if given.dtype == dtype else given.astype(dtype)

    def _check_input(self, inputs: Any) -> None:
        if self.input_spec is None:
            return
        checked = self.input_spec, inputs.shape, inputs.dtype
        if checked != self._checked:
            self.input_spec.check(inputs.shape, f"Input 0 with name 'None' of layer '{self.name}'", inputs.dtype)
            self._checked = checked  # a moment's work, but else at every call


@contextmanager
def expecting_weights(described: Iterable[tuple[str, Sequence[int]]]) -> Iterator[None]:
    """A context in which layers make weights of these names and shapes alone, and are tried on small inputs.

    So a file that says for what shape a layer is to be built cannot ask for more memory than for the weights it brings.
    """
    token = _weights_left.set(Counter((name, tuple(shape)) for name, shape in described))
    try:
        yield
    finally:
        _weights_left.reset(token)


class SameShape(Layer):
    """A layer whose output has the shape of its input."""

    supports_masking = True

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)


def checked_shape(shape: Any, who: str) -> Any:
    """A shape as a tuple of ints and None; of several inputs, a list of such.

    Raises:
        ValueError: something else.
    """
    if isinstance(shape, (list, tuple)) and shape and all(isinstance(part, (list, tuple)) for part in shape):
        return [checked_shape(part, who) for part in shape]
    if isinstance(shape, (list, tuple)):
        lengths = [n if n is None else as_integer(n) for n in shape]
        if all(m is None if n is None else m is not None and m >= 0 for n, m in zip(shape, lengths, strict=True)):
            return tuple(lengths)
    raise ValueError(f"{who}: input_shape must be a tuple of integers and None. Received: input_shape={shape!r}")


def _first(inputs: Any) -> Tensor:
    return _first(inputs[0]) if isinstance(inputs, (list, tuple)) else inputs


def _shapes(inputs: Any) -> Any:
    return [_shapes(x) for x in inputs] if isinstance(inputs, (list, tuple)) else inputs.shape
