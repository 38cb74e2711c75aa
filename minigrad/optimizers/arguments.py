"""The arguments that every optimizer has, their checks, and how an optimizer is found by name."""

from __future__ import annotations

import inspect
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from minigrad.config import Configurable, argument, boolean, number, snake_case
from minigrad.layers.layer import unique_name
from minigrad.optimizers.schedules import LearningRateSchedule


def rate(name: str, value: Any) -> Any:
    """A float, a schedule or its config, or a function."""
    if isinstance(value, Mapping):
        value = LearningRateSchedule.deserialize(value)
    if not isinstance(value, float) and not _gives_rates(value):
        raise ValueError(
            f"Argument `{name}` should be float, or an instance of LearningRateSchedule, or a callable (that takes no "
            f"argument and returns the learning rate). Received instead: {name}={value!r}"
        )
    return checked_rate(name, value) if isinstance(value, float) else value


def _gives_rates(value: Any) -> bool:
    """Whether it is a schedule, or a function that can be called without arguments."""
    if isinstance(value, LearningRateSchedule):
        return True
    if not callable(value) or isinstance(value, type):
        return False
    try:
        inspect.signature(value).bind()
    except TypeError:
        return False
    except ValueError:  # a function that does not tell its arguments
        pass
    return True


def checked_rate(name: str, value: Any) -> float:
    """A learning rate as a Python float.

    Raises:
        ValueError: no number, not finite, or negative.
    """
    single = isinstance(value, (int, float)) or getattr(value, "shape", None) == ()
    if not single or isinstance(value, bool) or not 0 <= float(value) < math.inf:
        raise ValueError(
            f"{name}: a learning rate must be a finite number that is not negative; to climb, negate the loss. "
            f"Received: {name}={value!r}"
        )
    return float(value)


def number_or_none(name: str, value: Any) -> float | None:
    """A number, or None."""
    return None if value is None else number(name, value)


def not_negative(name: str, value: Any) -> float:
    """A number from 0 on."""
    if number(name, value) < 0:
        raise ValueError(f"`{name}` needs to be positive or zero. Received: {name}={value}.")
    return value


def not_negative_or_none(name: str, value: Any) -> float | None:
    """A number from 0 on, or None."""
    return None if value is None else not_negative(name, value)


def not_positive(name: str, value: Any) -> float:
    """A number up to 0."""
    if number(name, value) > 0:
        raise ValueError(f"`{name}` needs to be negative or zero. Received: {name}={value}.")
    return value


def positive_number(name: str, value: Any) -> float:
    """A number above 0."""
    if number(name, value) <= 0:
        raise ValueError(f"`{name}` must be > 0. Received: {name}={value!r}")
    return value


def share(name: str, value: Any) -> float:
    """A number from 0 to 1."""
    if not 0 <= number(name, value) <= 1:
        raise ValueError(f"`{name}` must be in the range [0, 1]. Received: {name}={value!r}")
    return value


def below_one(name: str, value: Any) -> float:
    """A number from 0 to below 1: a share of an average whose bias is corrected."""
    if not 0 <= number(name, value) < 1:
        raise ValueError(f"`{name}` must be in the range [0, 1), 1 excluded. Received: {name}={value!r}")
    return value


def patterns(name: str, value: Any) -> tuple[str, ...]:
    """A list of regular expressions; None is an empty one."""
    if isinstance(value, str):
        raise ValueError(f"{name}: a list of patterns must be given, [{value!r}]. Received: {name}={value!r}")
    if value is not None and not isinstance(value, Iterable):
        raise ValueError(f"{name}: a list of patterns must be given. Received: {name}={value!r}")
    found = tuple(value or ())
    for pattern in found:
        try:
            re.compile(pattern)
        except (TypeError, re.error) as error:
            raise ValueError(
                f"{name}: each pattern must be a regular expression. Received: {pattern!r} ({error})"
            ) from error
    return found


def _integer_from(least: int) -> Callable[[str, Any], int | None]:
    def check(name: str, value: Any) -> int | None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ValueError(f"`{name}` must be an integer >= {least} or None. Received: {name}={value!r}")
        return value

    return check


class OptimizerArguments(Configurable, family="optimizer", module="keras.optimizers"):
    """The arguments that every optimizer has."""

    _unrecognized = "Argument(s) not recognized: {unknown}"
    _made = False  # whether the constructor is done
    _ours = True  # whether the class is one of minigrad's, whose attributes are all known

    learning_rate: Any = argument(rate, 0.001)
    weight_decay: float | None = argument(not_negative_or_none, None)
    clipnorm: float | None = argument(number_or_none, None)
    clipvalue: float | None = argument(number_or_none, None)
    global_clipnorm: float | None = argument(number_or_none, None)
    use_ema: bool = argument(boolean, False)
    ema_momentum: float = argument(share, 0.99)
    ema_overwrite_frequency: int | None = argument(_integer_from(1), None)
    loss_scale_factor: float | None = argument(
        lambda name, value: None if value is None else positive_number(name, value), None
    )
    gradient_accumulation_steps: int | None = argument(_integer_from(2), None)
    name: str | None = argument(default=None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs.pop("decay", None) is not None:
            warnings.warn("Argument `decay` is no longer supported and will be ignored.", stacklevel=2)
        super().__init__(*args, **kwargs)
        self._made = True

    def __setattr__(self, name: str, value: Any) -> None:
        """An argument that is set later is checked as in the constructor, and has its effect or is refused."""
        if name in self._arguments and name != "learning_rate" and self._made:
            check = self._arguments[name].check
            self._change(name, check(name, value) if check else value)
            return
        known = name in self._arguments or name.startswith("_") or not (self._made and self._ours)
        if not known and not hasattr(self, name):
            cure = "; set learning_rate" if name == "lr" else ""
            raise AttributeError(
                f"{type(self).__name__}: an attribute that is set must be one it has{cure}. Received: {name}={value!r}"
            )
        super().__setattr__(name, value)

    def _change(self, name: str, value: Any) -> None:
        """Set an argument, unless it does not go with the others."""
        before = getattr(self, name)
        super().__setattr__(name, value)
        try:
            self._check_together(name)
        except ValueError:
            super().__setattr__(name, before)
            raise

    def __post_init__(self) -> None:
        self._check_together()
        if self.name is None:
            self.name = unique_name(snake_case(type(self).__name__))

    def _check_together(self, changed: str | None = None) -> None:
        """Whether the arguments go together, after all or one of them were set."""
        if sum(limit is not None for limit in (self.clipnorm, self.clipvalue, self.global_clipnorm)) > 1:
            raise ValueError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received: "
                f"clipnorm={self.clipnorm}, clipvalue={self.clipvalue}, global_clipnorm={self.global_clipnorm}"
            )

    @classmethod
    def get(cls, identifier: Any) -> Any:
        """The optimizer that ``identifier`` names, in any case or by a config; an optimizer itself; None is None.

        Raises:
            ValueError: it names no optimizer.
        """
        if identifier is None or isinstance(identifier, OptimizerArguments):
            return identifier
        if isinstance(identifier, str):
            identifier = {"class_name": identifier}
        if not isinstance(identifier, Mapping):
            raise ValueError(f"Could not interpret {cls._family} identifier: {identifier}")
        return cls.deserialize(identifier)

    @classmethod
    def deserialize(cls, config: Mapping[str, Any]) -> Any:
        name = str(config.get("class_name") if isinstance(config, Mapping) else None).lower()
        known = {member.lower(): member for member in cls._members}
        return super().deserialize({**config, "class_name": known[name]} if name in known else config)
