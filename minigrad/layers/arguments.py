"""Arguments that many layers declare: activations, initializers, regularizers, constraints, the data format."""

from __future__ import annotations

from typing import Any

from minigrad import activations
from minigrad.config import argument, member_of
from minigrad.constraints import Constraint
from minigrad.initializers import Initializer
from minigrad.regularizers import Regularizer
from minigrad.settings import standardize_data_format


def layout_of(data_format: str) -> str:
    """The layout letters of Keras's word: "NLC" for channels_last, "NCL" for channels_first."""
    return "NLC" if data_format == "channels_last" else "NCL"


def data_format() -> Any:
    """Declare the data format; None stands for the global default."""
    return argument(lambda name, value: standardize_data_format(value), None)


def activation() -> Any:
    """Declare an activation; None stands for the linear one."""
    return argument(lambda name, value: activations.get(value), None)


def initializer(default: str) -> Any:
    """Declare an initializer; None stands for the default."""
    return argument(lambda name, value: Initializer.get(default if value is None else value), default)


def regularizer() -> Any:
    """Declare a regularizer."""
    return argument(member_of(Regularizer), None)


def constraint() -> Any:
    """Declare a constraint."""
    return argument(member_of(Constraint), None)
