"""What an optimizer keeps from step to step: its count, its learning rate, and arrays for each variable."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from minigrad.backend import Array, asarray, filled_like, move
from minigrad.config import plain
from minigrad.optimizers.arguments import OptimizerArguments
from minigrad.optimizers.schedules import LearningRateSchedule
from minigrad.replay import host_number
from minigrad.tensor import Tensor
from minigrad.variable import Variable, assign_all


class OptimizerState(OptimizerArguments):
    """The state of an optimizer: Variables in one list, `variables`, that can be looked at, saved and assigned."""

    _slot_names: ClassVar[dict[str, bool]] = {}  # the slots that update_step asks for, and which have a default
    _learning_rate: Any = None
    elementwise: ClassVar[bool] = False  # whether `update_step` treats each number by itself, whatever the shape

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if ("update_step" in vars(cls) or "slot" in vars(cls)) and "elementwise" not in vars(cls):
            cls.elementwise = False  # what a superclass says holds for its own rule
        _self, _gradient, _variable, _rate, *parameters = inspect.signature(cls.update_step).parameters.values()
        cls._slot_names = {
            p.name: p.default is not p.empty for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        }

    def __post_init__(self) -> None:
        super().__post_init__()
        self.built = False
        self._iterations = Variable(0, "int64", trainable=False, name="iteration")
        self._state: list[Variable] = []
        self._trainable_variables: list[Variable] = []
        self._positions: dict[Variable, int] = {}
        self._slots: list[dict[str, Variable]] = []
        self._model_variables_moving_average: list[Variable] = []
        self._accumulated_gradients: list[Variable] = []
        self._devices: list[str] = []

    # ------------------------------------------------------------------ what a subclass writes

    def update_step(self, gradient: Array, variable: Array, learning_rate: float, *slots: Any, **named: Any) -> None:
        """Change ``variable`` and its slots in place by the formula of the rule: arrays of one shape and dtype.

        The gradient must stay as it is. ``self.iterations + 1`` counts the updates from 1. A rule that treats each
        number by itself may say ``elementwise = True`` beside: then it is given many small variables in one row, and
        large ones piece by piece. In a step that `minigrad.cuda.capture` records, the learning rate and the count are
        numbers for arithmetic alone, not in place (``w[...] = w * learning_rate``); other functions of them
        are to be `minigrad.cuda.lifted`.
        """
        raise NotImplementedError(
            f"{type(self).__name__}.update_step: must be written by the subclass. Received: no update_step()"
        )

    def slot(self, name: str, variable: Variable) -> Array | None:
        """The first value of the slot ``name`` of ``variable``; None to keep none, and `update_step` is given None."""
        return filled_like(variable.data, 0)

    # ------------------------------------------------------------------ the count and the learning rate

    @property
    def iterations(self) -> int:
        """How many updates were made."""
        return host_number(self._present_iterations)

    def _present_iterations(self) -> int:
        return self._iterations.item() // (self.gradient_accumulation_steps or 1)

    def _count(self) -> None:
        self._iterations.assign(self._iterations.item() + 1)

    @property
    def learning_rate(self) -> float:
        """The present learning rate. A schedule is asked for it with the count of calls, a function without argument.

        Raises:
            TypeError: set to a number where a schedule decides.
        """
        return host_number(self._present_rate)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if callable(value):
            self._learning_rate = value
        elif isinstance(self._learning_rate, LearningRateSchedule):
            raise TypeError(
                "This optimizer was created with a `LearningRateSchedule` object as its `learning_rate` constructor "
                "argument, hence its learning rate is not settable. If you need the learning rate to be settable, you "
                "should instantiate the optimizer with a float `learning_rate` argument."
            )
        elif isinstance(self._learning_rate, Variable):
            self._learning_rate.assign(float(value))
        else:
            self._learning_rate = Variable(float(value), "float64", trainable=False, name="learning_rate")

    def _present_rate(self) -> float:
        if isinstance(self._learning_rate, LearningRateSchedule):
            return float(self._learning_rate(self._iterations.item()))
        return float(self._learning_rate() if callable(self._learning_rate) else self._learning_rate)

    def get_config(self) -> dict[str, Any]:
        rate = self._learning_rate
        return {"learning_rate": plain(rate) if callable(rate) else rate.item(), **super().get_config()}

    def _config_names(self) -> list[str]:
        return [name for name in super()._config_names() if name != "learning_rate"]

    # ------------------------------------------------------------------ what is kept for each variable

    def build(self, variables: Iterable[Variable]) -> None:
        """Create the state for these variables; the first `apply` does it, if nobody did.

        Raises:
            TypeError: something that is no Variable of floats.
            ValueError: a variable given twice.
        """
        if self.built:
            return
        variables = list(variables)
        check_variables(variables)
        state: list[Variable] = []

        def kept(variable: Variable, name: str, first: Array) -> Variable:
            state.append(Variable(first, trainable=False, name=f"{variable.path.replace('/', '_')}_{name}"))
            return state[-1]

        def zeros(name: str, wanted: Any) -> list[Variable]:
            return [kept(variable, name, filled_like(variable.data, 0)) for variable in variables if wanted]

        averages = zeros("average", self.use_ema)
        sums = zeros("gradient_accumulator", self.gradient_accumulation_steps)
        slots: list[dict[str, Variable]] = [{} for _ in variables]
        always = [name for name, optional in self._slot_names.items() if not optional]
        at_times = [[name] for name, optional in self._slot_names.items() if optional]
        for names in (always, *at_times):  # Keras's order: of each variable, then those of some configurations
            for variable, own in zip(variables, slots, strict=True):
                firsts = {name: self.slot(name, variable) for name in names}
                own |= {name: kept(variable, name, first) for name, first in firsts.items() if first is not None}
        self._state = state
        self._model_variables_moving_average, self._accumulated_gradients, self._slots = averages, sums, slots
        self._trainable_variables = variables
        self._positions = {variable: i for i, variable in enumerate(variables)}
        self.built = True

    @property
    def variables(self) -> list[Variable]:
        """The state: the count of calls, the learning rate if it is a number, then what is kept for each variable."""
        rates = [self._learning_rate] if isinstance(self._learning_rate, Variable) else []
        return [self._iterations, *rates, *self._state]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Assign `variables`, in their order; none when one does not fit.

        Raises:
            ValueError: the optimizer is not built; a wrong count or shape; a negative count of calls.
            TypeError: no numbers, or complex ones for a real variable.
        """
        if not self.built:
            raise ValueError(
                "You are calling `set_weights()` on an optimizer that has not yet been built. Please call "
                "`optimizer.build(trainable_variables)` to create the optimizer weights before calling `set_weights()`."
            )
        own = self.variables
        arrays = [weight.data if isinstance(weight, Tensor) else asarray(weight) for weight in weights]
        if [array.shape for array in arrays] != [variable.shape for variable in own]:
            raise ValueError(
                "set_weights: the weights must have the shapes of `variables`. "
                f"Received: shapes={[array.shape for array in arrays]}, own shapes={[v.shape for v in own]}"
            )
        if arrays[0].dtype.kind in "if" and arrays[0] < 0:
            raise ValueError(f"set_weights: the count of calls must not be negative. Received: {arrays[0].item()}")
        assign_all(own, arrays)

    def _positions_of(self, variables: Iterable[Variable]) -> list[int]:
        """Where the variables stand among those that the optimizer was built with."""
        for variable in variables:
            if variable not in self._positions:
                raise ValueError(
                    f"Unknown variable: {variable.path}. This optimizer can only be called for the variables it was "
                    "originally built with. When working with a new set of variables, you should recreate a new "
                    "optimizer instance."
                )
        return [self._positions[variable] for variable in variables]

    def _follow(self) -> None:
        """The state moves to where its variable has moved."""
        devices = [variable.device for variable in self._trainable_variables]
        if devices == self._devices:
            return
        averages, sums = self._model_variables_moving_average, self._accumulated_gradients
        for i, variable in enumerate(self._trainable_variables):
            for state in (*self._slots[i].values(), *averages[i : i + 1], *sums[i : i + 1]):
                if state.device != variable.device:
                    state.replace(move(state.data, variable.device))
        self._devices = devices


def check_variables(variables: Sequence[Any]) -> None:
    """Whether they are Variables of floats, each given once."""
    for variable in variables:
        if not isinstance(variable, Variable) or variable.dtype.kind != "f":
            raise TypeError(f"optimizer: variables must be Variables of floats. Received: {variable!r}")
    if len(set(variables)) < len(variables):
        raise ValueError(
            f"optimizer: a variable must be given once. Received: variables={[v.path for v in variables]}"
        )
