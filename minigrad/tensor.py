"""Tensor: an array with a history, and NumPy's operators and methods, each one line onto an op."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from operator import index
from typing import Any, NoReturn, SupportsIndex

from minigrad import ops, tape
from minigrad.backend import (
    Array,
    asarray,
    capturing,
    describe,
    device_of,
    dtype_of,
    format_array,
    is_array,
    is_inexact,
    module_for,
    move,
    to_host,
    undisguised,
)
from minigrad.ops.axes import axes_within, axis_within
from minigrad.protocols import number, of_function, of_ufunc
from minigrad.random import drawn
from minigrad.settings import floatx


class Tensor(tape.Value):
    """An array of numbers that remembers how it was made.

    ``data`` is the array itself, for reading: see `minigrad.tape.Value`.

    Args:
        data: numbers, nested lists of numbers, an array or a Tensor. It is copied. Python floats become
            `floatx()` (float32), integers int64, booleans bool; arrays keep their dtype.
        dtype: another dtype.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``; the device of ``data`` by default.
        requires_grad: whether gradients reach ``.grad``; only floating tensors can.

    Raises:
        TypeError: data that are no numbers; ``requires_grad`` of a tensor of integers or complex numbers.

    >>> x = Tensor([[1.0, 2.0]], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad.tolist()
    [[2.0, 4.0]]
    """

    __slots__ = ("__weakref__", "_frozen")  # the latter is the leaf of a tensor that requires gradients no more
    __hash__ = object.__hash__

    def __init__(
        self, data: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
    ) -> None:
        if isinstance(data, tape.Value):
            data = data.data
        if is_array(data := undisguised(data)):
            array = asarray(data)
            if (recording := capturing.get()) is not None:
                recording.keeps(array)
            array = array.astype(dtype_of(dtype) if dtype is not None else array.dtype)  # a copy
        else:
            array = _from_numbers(data, dtype)
        if array.dtype.kind not in "biufc":
            raise TypeError(f"Tensor: numbers must be given. Received: data={describe(data)}, dtype={array.dtype}")
        if device is not None:
            array = move(array, device)
        super().__init__(array)
        if requires_grad:
            self.requires_grad = True

    # ------------------------------------------------------------------ what it is

    @property
    def ndim(self) -> int:
        """How many axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """How many elements."""
        return self.data.size

    @property
    def device(self) -> str:
        """Where the array lives: ``"cpu"``, ``"cuda:0"``, ..."""
        return device_of(self.data)

    @property
    def T(self) -> Tensor:  # noqa: N802
        """All axes reversed."""
        return self.transpose()

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to this tensor. It can be set on leaves, those that no op made."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, required: bool) -> None:
        if isinstance(self.node, tape.Node):
            raise RuntimeError(
                "requires_grad: must be set on a leaf, which no op made; detach() gives one. "
                f"Received: a tensor made by {self.node.op.name}"
            )
        if required and self.dtype.kind != "f":
            raise TypeError(f"requires_grad: the dtype must be floating. Received: dtype={self.dtype}")
        if required and self.node is None:
            frozen = getattr(self, "_frozen", None)  # for which tapes recorded before may still have gradients
            self.node = frozen or tape.Leaf(self.shape, self.dtype, getattr(self, "path", ""))
        elif not required and self.node is not None:
            self._frozen, self.node = self.node, None

    @property
    def grad(self) -> Tensor | None:
        """The gradient that `backward` has added up in this leaf; None before, and for other tensors."""
        return self.node.gradient if type(self.node) is tape.Leaf else None

    @grad.setter
    def grad(self, gradient: Tensor | None) -> None:
        if type(self.node) is not tape.Leaf:
            raise RuntimeError("grad: must be set on a leaf that requires gradients. Received: another tensor")
        if gradient is not None:
            if not isinstance(gradient, Tensor) or gradient.shape != self.shape or gradient.device != self.device:
                raise ValueError(
                    f"grad: must be None or a Tensor of shape {self.shape} on {self.device!r}. "
                    f"Received: grad={gradient!r}"
                )
            gradient = Tensor(gradient, self.dtype)  # a copy: nobody else's
        self.node.gradient = gradient

    def _facts(self) -> str:
        made = f", op={self.node.op.name}" if isinstance(self.node, tape.Node) else ""
        leaf = ", requires_grad=True" if isinstance(self.node, tape.Leaf) else ""
        return f"shape={self.shape}, dtype={self.dtype}, device={self.device!r}{leaf}{made}"

    def __repr__(self) -> str:
        kind = type(self).__name__
        return f"{kind}({format_array(self.data, indent=len(kind) + 1)}, {self._facts()})"

    def _repr_html_(self) -> str:
        """What notebooks show: a line of facts over the values."""
        facts = escape(f"{type(self).__name__}: {self._facts()}")
        return f"<div><b>{facts}</b></div><pre>{escape(format_array(self.data))}</pre>"

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len: a tensor must have an axis. Received: a 0-D tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("iteration: a tensor must have an axis; .item() gives the number. Received: a 0-D tensor")
        return (self[i] for i in range(self.shape[0]))

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise TypeError(
            "setitem: a Tensor must stay as it was computed, since a tape may hold it; ops.where(mask, value, x) makes "
            f"a new one, and a Variable can be assigned. Received: a Tensor of shape {self.shape}"
        )

    def __bool__(self) -> bool:
        return bool(number("bool", self.data))

    def __float__(self) -> float:
        return float(number("float", self.data))

    def __int__(self) -> int:
        return int(number("int", self.data))

    def __complex__(self) -> complex:
        return complex(number("complex", self.data))

    def __index__(self) -> int:
        return int(number("index", self.data))

    def __round__(self, digits: int | None = None) -> Any:
        return round(number("round", self.data), digits)

    def __format__(self, specification: str) -> str:
        return format(number("format", self.data), specification) if specification else str(self)

    # ------------------------------------------------------------------ in and out

    def numpy(self) -> Any:
        """A NumPy copy of the values: the one way to the host.

        >>> Tensor([1.0, 2.0]).numpy()
        array([1., 2.], dtype=float32)
        """
        return to_host(self.data)

    def item(self) -> Any:
        """The one element as a Python number.

        Raises:
            ValueError: not exactly one element.
        """
        if self.size != 1:
            raise ValueError(f"item: a tensor must have one element. Received: shape={self.shape}")
        return self.data.item()

    def tolist(self) -> Any:
        """The values as nested lists of Python numbers."""
        return self.data.tolist()

    def to(self, device: str) -> Tensor:
        """The tensor on ``device``; itself when it is there. The history stays behind: move before computing.

        Raises:
            ImportError, RuntimeError: CuPy, the GPU or NVRTC is missing, and which.
        """
        array = move(self.data, device)
        if array is self.data:
            return self
        if isinstance(self.node, tape.Node):
            raise RuntimeError(
                f"to: a leaf must be moved, before it is computed with. Received: a tensor made by {self.node.op.name}"
            )
        moved = Tensor._output(array, None)
        moved.requires_grad = self.requires_grad
        return moved

    def detach(self) -> Tensor:
        """The same values without a history."""
        return Tensor._output(self.data, None)

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError(
            "numpy: a Tensor must be copied to the host explicitly, with .numpy(), which leaves its history behind. "
            f"Received: a Tensor of shape {self.shape}"
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return of_ufunc(self, ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return of_function(self, function, args, kwargs)

    def __dlpack__(self, **kwargs: Any) -> Any:
        """A copy for other libraries, read-only where they know what that is; ``.data`` is the array itself."""
        copy = kwargs.pop("copy", None)
        if copy is False or self.requires_grad:
            raise BufferError(
                "dlpack: a tensor must require no gradients, and may be copied, to be exported; .detach() gives its "
                f"values. Received: {self._facts()}"
            )
        array = self.data.copy()
        if not copy and hasattr(array.flags, "writeable") and (kwargs.get("max_version") or (0,)) >= (1, 0):
            array.flags.writeable = False
        return array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self.data.__dlpack_device__()

    def backward(self, gradient: Any = None) -> None:
        """Add the gradient of this tensor into ``.grad`` of every leaf behind it, and let go of the tape.

        Args:
            gradient: of the shape of this tensor; it may be left out for a scalar.

        Raises:
            RuntimeError: no tape, a second call, a weight assigned since, no scalar and no gradient.
            ValueError, TypeError: a gradient of another shape or dtype.
        """
        tape.backward(self, gradient)

    # ------------------------------------------------------------------ creation

    @staticmethod
    def zeros(*shape: Any, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
        """Zeros. Here as below the shape is given as ints or as one tuple, and the dtype is `floatx()` by default."""
        return Tensor.full(_shape(shape, "zeros"), 0, dtype or floatx(), device, requires_grad)

    @staticmethod
    def ones(*shape: Any, dtype: Any = None, device: str = "cpu", requires_grad: bool = False) -> Tensor:
        """Ones."""
        return Tensor.full(_shape(shape, "ones"), 1, dtype or floatx(), device, requires_grad)

    @staticmethod
    def full(
        shape: Any, value: Any, dtype: Any = None, device: str = "cpu", requires_grad: bool = False
    ) -> Tensor:
        """One value everywhere.

        >>> Tensor.full((2,), 7.0).tolist()
        [7.0, 7.0]
        """
        dtype = dtype_of(dtype or _from_numbers(value, None).dtype)
        array = module_for(device).full(_shape((shape,), "full"), value, dtype)
        return _created(array, device, requires_grad)

    @staticmethod
    def arange(
        start: float, stop: float | None = None, step: float = 1, dtype: Any = None, device: str = "cpu",
        requires_grad: bool = False,
    ) -> Tensor:
        """Evenly spaced numbers from ``start`` (0 when only one is given) up to, without, ``stop``."""
        start, stop = (0, start) if stop is None else (start, stop)
        if dtype is None:
            whole = all(isinstance(n, SupportsIndex) for n in (start, stop, step))
            dtype = "int64" if whole else floatx()
        return _created(module_for(device).arange(start, stop, step, dtype=dtype), device, requires_grad)

    @staticmethod
    def eye(
        rows: int, columns: int | None = None, dtype: Any = None, device: str = "cpu", requires_grad: bool = False
    ) -> Tensor:
        """Ones on the diagonal."""
        return _created(module_for(device).eye(rows, columns, dtype=dtype or floatx()), device, requires_grad)

    @staticmethod
    def randn(
        *shape: Any, seed: Any = None, dtype: Any = None, device: str = "cpu", requires_grad: bool = False
    ) -> Tensor:
        """Standard normal numbers, drawn on the host from ``seed`` or from the stream of `set_random_seed`."""
        lengths = _shape(shape, "randn")
        return _drawn(lambda stream: stream.standard_normal(lengths), seed, dtype, device, requires_grad)

    @staticmethod
    def uniform(
        *shape: Any, low: float = 0.0, high: float = 1.0, seed: Any = None, dtype: Any = None, device: str = "cpu",
        requires_grad: bool = False,
    ) -> Tensor:
        """Numbers drawn evenly from [low, high), on the host, as in `randn`."""
        lengths = _shape(shape, "uniform")
        return _drawn(lambda stream: stream.uniform(low, high, lengths), seed, dtype, device, requires_grad)

    # ------------------------------------------------------------------ operators

    def __add__(self, other: Any) -> Tensor:
        return ops.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return ops.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return ops.subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return ops.subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return ops.multiply(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return ops.multiply(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return ops.divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return ops.divide(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return ops.power(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return ops.power(other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return ops.matmul(other, self)

    def __neg__(self) -> Tensor:
        return ops.negative(self)

    def __abs__(self) -> Tensor:
        return self.abs()

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return ops.equal(self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return ops.not_equal(self, other)

    def __lt__(self, other: Any) -> Tensor:
        return ops.less(self, other)

    def __le__(self, other: Any) -> Tensor:
        return ops.less_equal(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return ops.greater(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return ops.greater_equal(self, other)

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, index=index)

    # ------------------------------------------------------------------ methods

    def exp(self) -> Tensor:
        """`ops.exp`: e to the power of each element."""
        return ops.exp(self)

    def log(self) -> Tensor:
        """`ops.log`: natural logarithm."""
        return ops.log(self)

    def sqrt(self) -> Tensor:
        """`ops.sqrt`: square root."""
        return ops.sqrt(self)

    def abs(self) -> Tensor:
        """`ops.abs`: absolute value."""
        return ops.abs(self)

    def tanh(self) -> Tensor:
        """`ops.tanh`: hyperbolic tangent."""
        return ops.tanh(self)

    def sigmoid(self) -> Tensor:
        """`ops.sigmoid`: logistic function."""
        return ops.sigmoid(self)

    def relu(self) -> Tensor:
        """`ops.relu`: max(x, 0)."""
        return ops.relu(self)

    def clip(self, minimum: Any = None, maximum: Any = None) -> Tensor:
        """`ops.clip`: held within [minimum, maximum], numbers or arrays; None is no limit."""
        return ops.clip(self, minimum=minimum, maximum=maximum)

    def astype(self, dtype: Any) -> Tensor:
        """`ops.astype`: another dtype."""
        return ops.astype(self, dtype=dtype_of(dtype))

    def matmul(self, other: Any) -> Tensor:
        """`ops.matmul`: matrix product."""
        return self @ other

    def reshape(self, *shape: Any) -> Tensor:
        """`ops.reshape`: the same elements in another shape, given as ints or as one tuple."""
        return ops.reshape(self, shape=_shape(shape, "reshape"))

    def transpose(self, *axes: Any) -> Tensor:
        """`ops.transpose`: axes permuted, or all reversed when none are given, or None."""
        return ops.transpose(self, axes=None if axes == (None,) else _shape(axes, "transpose", "axes") or None)

    def swapaxes(self, first: int, second: int) -> Tensor:
        """Two axes exchanged.

        >>> Tensor.zeros(2, 3, 4).swapaxes(-1, -2).shape
        (2, 4, 3)
        """
        axes = list(range(self.ndim))
        first, second = (axis_within("swapaxes", axis, self.ndim) for axis in (first, second))
        axes[first], axes[second] = second, first
        return self.transpose(axes)

    def expand_dims(self, axis: int | tuple[int, ...]) -> Tensor:
        """A new axis of length 1 at ``axis`` of the result, or several.

        >>> Tensor.zeros(2, 3).expand_dims(-1).shape
        (2, 3, 1)
        """
        ndim = self.ndim + (len(axis) if isinstance(axis, (tuple, list)) else 1)
        new = axes_within("expand_dims", axis, ndim)
        lengths = iter(self.shape)
        return self.reshape(tuple(1 if i in new else next(lengths) for i in range(ndim)))

    def squeeze(self, axis: int | tuple[int, ...] | None = None) -> Tensor:
        """Without axes of length 1: those named, or all.

        >>> Tensor.zeros(1, 3, 1).squeeze(0).shape
        (3, 1)
        """
        gone = range(self.ndim) if axis is None else axes_within("squeeze", axis, self.ndim)
        if axis is not None and any(self.shape[a] != 1 for a in gone):
            raise ValueError(f"squeeze: the axis must have length 1. Received: axis={axis}, shape={self.shape}")
        return self.reshape(tuple(n for i, n in enumerate(self.shape) if i not in gone or n != 1))

    def flatten(self) -> Tensor:
        """All elements along one axis."""
        return self.reshape(-1)

    def broadcast_to(self, *shape: Any) -> Tensor:
        """`ops.broadcast_to`: repeated to a shape."""
        return ops.broadcast_to(self, shape=_shape(shape, "broadcast_to"))

    def pad(self, widths: Any, value: float = 0.0) -> Tensor:
        """`ops.pad`: (before, after) elements of ``value`` added to each axis; one width or one pair is for all."""
        return ops.pad(self, widths=widths, value=value)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`ops.sum`: sum over axes."""
        return ops.sum(self, axis=_axis(axis), keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`ops.mean`: mean over axes."""
        return ops.mean(self, axis=_axis(axis), keepdims=keepdims)

    def var(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Variance over axes, mean(abs(x - mean(x))^2): the biased one, as in NumPy.

        >>> Tensor([1.0, 3.0]).var().item()
        1.0
        """
        wide = self.astype("float32") if self.dtype == "float16" else self  # squares leave its range early
        centered = wide - wide.mean(axis, keepdims=True)
        if self.dtype.kind == "c" and not self.requires_grad:  # a complex step of the checker needs what is analytic
            centered = centered.abs()
        variance = (centered * centered).mean(axis, keepdims)
        return variance if wide is self else variance.astype("float16")

    def max(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`ops.max`: largest element over axes."""
        return ops.max(self, axis=_axis(axis), keepdims=keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`ops.min`: smallest element over axes."""
        return ops.min(self, axis=_axis(axis), keepdims=keepdims)

    def argmax(self, axis: int | None = None) -> Tensor:
        """`ops.argmax`: index of the largest element."""
        return ops.argmax(self, axis=axis)

    def argmin(self, axis: int | None = None) -> Tensor:
        """`ops.argmin`: index of the smallest element."""
        return ops.argmin(self, axis=axis)

    def softmax(self, axis: int = -1) -> Tensor:
        """`ops.softmax`: exp(x) / sum(exp(x)) along an axis."""
        return ops.softmax(self, axis=axis)

    def log_softmax(self, axis: int = -1) -> Tensor:
        """`ops.log_softmax`: log(softmax(x)) along an axis."""
        return ops.log_softmax(self, axis=axis)

    def logsumexp(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """`ops.logsumexp`: log(sum(exp(x))) over axes."""
        return ops.logsumexp(self, axis=_axis(axis), keepdims=keepdims)


def _from_numbers(data: Any, dtype: Any) -> Array:
    """Python numbers as an array: floats are `floatx()` unless a dtype is given."""
    if isinstance(data, (list, tuple)) and any(isinstance(part, tape.Value) for part in data):
        raise TypeError(
            "Tensor: numbers must be given; ops.stack joins Tensors with their history. Received: a list of Tensors"
        )
    array = asarray(data, None if dtype is None else dtype_of(dtype))
    if dtype is None and array.dtype.kind == "f" and not _holds_array(data):
        return array.astype(floatx())
    return array if array.base is None else array.copy()  # of a buffer


def _holds_array(data: Any) -> bool:
    """Whether a nested list holds arrays, whose dtype is then kept."""
    if isinstance(data, (list, tuple)):
        return any(_holds_array(part) for part in data[:1])
    return is_array(data)


def _created(array: Array, device: str, requires_grad: bool) -> Tensor:
    tensor = Tensor._output(move(array, device), None)
    tensor.requires_grad = requires_grad
    return tensor


def _drawn(draw: Callable[[Any], Array], seed: Any, dtype: Any, device: str, requires_grad: bool) -> Tensor:
    kind = dtype_of(dtype or floatx())
    if not is_inexact(kind):
        raise TypeError(f"dtype: numbers that are drawn must be floating. Received: dtype={dtype!r}")
    array = drawn(lambda stream: asarray(draw(stream), kind), seed, device)
    return _created(array, device, requires_grad)


def _shape(shape: tuple[Any, ...], who: str, name: str = "shape") -> tuple[int, ...]:
    """A shape or axes, given as ints or as one sequence of ints, an array among them."""
    if len(shape) == 1 and (isinstance(shape[0], (tuple, list)) or getattr(shape[0], "ndim", 0) == 1):
        shape = tuple(shape[0])
    try:
        return tuple([index(n) for n in shape])
    except TypeError as error:
        raise TypeError(f"{who}: {name} must be integers. Received: {name}={shape!r}") from error


def _axis(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis
