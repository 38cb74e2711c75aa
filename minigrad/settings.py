"""Global settings under Keras's names: the default float dtype, the fuzz factor, the data format."""

from __future__ import annotations

import math

_FLOATS = ("float16", "float32", "float64")
_FORMATS = ("channels_last", "channels_first")

_floatx = "float32"
_epsilon = 1e-7
_image_data_format = "channels_last"


def floatx() -> str:
    """The dtype of new weights and of Python floats: ``"float32"`` until `set_floatx`.

    >>> floatx()
    'float32'
    """
    return _floatx


def set_floatx(dtype: str) -> None:
    """Set the default float dtype.

    Raises:
        ValueError: not one of float16, float32, float64.
    """
    global _floatx
    if dtype not in _FLOATS:
        raise ValueError(f"set_floatx: dtype must be one of {_FLOATS}. Received: dtype={dtype!r}")
    _floatx = dtype


def epsilon() -> float:
    """The fuzz factor that keeps quotients and logarithms finite: 1e-7 until `set_epsilon`.

    >>> epsilon()
    1e-07
    """
    return _epsilon


def set_epsilon(value: float) -> None:
    """Set the fuzz factor.

    Raises:
        ValueError: not a positive number.
    """
    global _epsilon
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < math.inf:
        raise ValueError(f"set_epsilon: value must be a positive number. Received: value={value!r}")
    _epsilon = float(value)


def image_data_format() -> str:
    """The data format of layers that are given none: ``"channels_last"`` until `set_image_data_format`.

    >>> image_data_format()
    'channels_last'
    """
    return _image_data_format


def set_image_data_format(data_format: str) -> None:
    """Set the default data format, ``"channels_last"`` (N, L, C) or ``"channels_first"`` (N, C, L).

    Raises:
        ValueError: another value.
    """
    global _image_data_format
    _image_data_format = standardize_data_format(data_format)


def standardize_data_format(data_format: object) -> str:
    """``data_format`` in lower case, the global default for None.

    Raises:
        ValueError: neither None nor one of the two formats.
    """
    if data_format is None:
        return _image_data_format
    if not isinstance(data_format, str) or data_format.lower() not in _FORMATS:
        raise ValueError(f"The `data_format` argument must be one of {set(_FORMATS)}. Received: {data_format!r}")
    return data_format.lower()
