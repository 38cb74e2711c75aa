"""The arguments that every optimizer has, their checks, and how an optimizer is found by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from minigrad.config import Configurable, argument, boolean, number, snake_case
from minigrad.layers.layer import unique_name
from minigrad.optimizers.schedules import LearningRateSchedule


def rate(name: str, value: Any) -> Any:
    """A float, a schedule or its config, or a function."""
    if isinstance(value, Mapping):
        value = LearningRateSchedule.deserialize(value)
    if not isinstance(value, float) and not callable(value):
        raise ValueError(
            f"Argument `{name}` should be float, or an instance of LearningRateSchedule, or a callable (that takes no "
            f"argument and returns the learning rate). Received instead: {name}={value!r}"
        )
    return value


def number_or_none(name: str, value: Any) -> float | None:
    """A number, or None."""
    return None if value is None else number(name, value)


def _share(name: str, value: Any) -> float:
    if not 0 <= number(name, value) <= 1:
        raise ValueError(f"`{name}` must be in the range [0, 1]. Received: {name}={value!r}")
    return value


def _integer_from(least: int) -> Callable[[str, Any], int | None]:
    def check(name: str, value: Any) -> int | None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ValueError(f"`{name}` must be an integer >= {least} or None. Received: {name}={value!r}")
        return value

    return check


class OptimizerArguments(Configurable, family="optimizer", module="keras.optimizers"):
    """The arguments that every optimizer has."""

    _unrecognized = "Argument(s) not recognized: {unknown}"

    learning_rate: Any = argument(rate, 0.001)
    weight_decay: float | None = argument(number_or_none, None)
    clipnorm: float | None = argument(number_or_none, None)
    clipvalue: float | None = argument(number_or_none, None)
    global_clipnorm: float | None = argument(number_or_none, None)
    use_ema: bool = argument(boolean, False)
    ema_momentum: float = argument(_share, 0.99)
    ema_overwrite_frequency: int | None = argument(_integer_from(1), None)
    loss_scale_factor: float | None = argument(number_or_none, None)
    gradient_accumulation_steps: int | None = argument(_integer_from(2), None)
    name: str | None = argument(default=None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if kwargs.pop("decay", None) is not None:
            warnings.warn("Argument `decay` is no longer supported and will be ignored.", stacklevel=2)
        super().__init__(*args, **kwargs)

    def __post_init__(self) -> None:
        if sum(limit is not None for limit in (self.clipnorm, self.clipvalue, self.global_clipnorm)) > 1:
            raise ValueError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received: "
                f"clipnorm={self.clipnorm}, clipvalue={self.clipvalue}, global_clipnorm={self.global_clipnorm}"
            )
        if self.name is None:
            self.name = unique_name(snake_case(type(self).__name__))

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
