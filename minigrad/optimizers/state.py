"""What an optimizer keeps from step to step: its count, its learning rate, and arrays for each variable."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from minigrad.backend import Array, array_module, asarray, filled_like, move, wide
from minigrad.config import plain
from minigrad.optimizers.arguments import OptimizerArguments, checked_rate, rate
from minigrad.optimizers.in_place import rebound
from minigrad.optimizers.schedules import LearningRateSchedule
from minigrad.replay import host_number
from minigrad.tape import Leaf
from minigrad.tensor import Tensor
from minigrad.variable import Variable, assign_all


class Kept:
    """Variables as they are. While this holds their arrays, an update in place makes copies (`Variable.writable`)."""

    def __init__(self, variables: Iterable[Variable]) -> None:
        self._before = [(v, v.data, getattr(v.node, "birth", None)) for v in variables]

    def put_back(self) -> None:
        """Let them be as they were, for tapes too."""
        for variable, data, birth in self._before:
            if variable.data is not data:
                variable.data = data
                if isinstance(variable.node, Leaf) and birth is not None:
                    variable.node.birth = birth


class OptimizerState(OptimizerArguments):
    """The state of an optimizer: Variables in one list, `variables`, that can be looked at, saved and assigned."""

    _slot_names: ClassVar[dict[str, bool]] = {}  # the slots that update_step asks for, and which have a default
    _rebound: ClassVar[set[str]] = set()  # the parameters of update_step that it gives other values
    _variable_name: ClassVar[str] = "variable"  # what update_step calls it
    _learning_rate: Any = None
    elementwise: ClassVar[bool] = False  # whether `update_step` treats each number by itself, whatever the shape

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._ours = cls.__module__.startswith("minigrad.")
        if ("update_step" in vars(cls) or "slot" in vars(cls)) and "elementwise" not in vars(cls):
            cls.elementwise = False  # what a superclass says holds for its own rule
        _self, _gradient, _variable, _rate, *parameters = inspect.signature(cls.update_step).parameters.values()
        cls._rebound = set() if cls._ours else rebound(cls.update_step)
        cls._variable_name = _variable.name
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
        """Change ``variable`` and its slots in place by the formula of the rule: arrays of one shape and dtype, for
        weights of float16 of float32.

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
        """How many updates were made.

        Raises:
            AttributeError: set.
        """
        return host_number(self._present_iterations)

    @iterations.setter
    def iterations(self, value: Any) -> None:
        raise AttributeError(
            "iterations: is counted by the optimizer; the count of calls is the first of `variables`, and can be "
            f"assigned. Received: iterations={value!r}"
        )

    def _present_iterations(self) -> int:
        return self._iterations.item() // (self.gradient_accumulation_steps or 1)

    def _count(self) -> None:
        self._iterations.hold(asarray(self._iterations.data + 1))

    @property
    def learning_rate(self) -> float:
        """The present learning rate. A schedule is asked for it with the count of calls, a function without argument.

        Raises:
            TypeError: set to a number where a schedule decides.
            ValueError: set to what is no learning rate; a schedule or a function that gave none.
        """
        return host_number(self._present_rate)

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        if callable(value):
            self._learning_rate = rate("learning_rate", value)
        elif isinstance(self._learning_rate, LearningRateSchedule):
            raise TypeError(
                "This optimizer was created with a `LearningRateSchedule` object as its `learning_rate` constructor "
                "argument, hence its learning rate is not settable. If you need the learning rate to be settable, you "
                "should instantiate the optimizer with a float `learning_rate` argument."
            )
        elif isinstance(self._learning_rate, Variable):
            self._learning_rate.assign(checked_rate("learning_rate", value))
        else:
            value = checked_rate("learning_rate", value)
            self._learning_rate = Variable(value, "float64", trainable=False, name="learning_rate")

    def _present_rate(self) -> float:
        source = self._learning_rate
        if isinstance(source, Variable):
            found = source.item()
        else:
            found = source(self._iterations.item()) if isinstance(source, LearningRateSchedule) else source()
        if type(found) is float and 0 <= found < math.inf:
            return found
        return checked_rate("learning_rate", found)

    def get_config(self) -> dict[str, Any]:
        source = self._learning_rate
        return {"learning_rate": plain(source) if callable(source) else source.item(), **super().get_config()}

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
        variables = listed("build", "variables", variables)
        check_variables(variables)
        state: list[Variable] = []

        def kept(variable: Variable, name: str, first: Array) -> Variable:
            state.append(Variable(wide(first), trainable=False, name=f"{variable.path.replace('/', '_')}_{name}"))
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
                firsts = self._first_slots(variable, names)
                own |= {name: kept(variable, name, first) for name, first in firsts.items()}
        self._state = state
        self._model_variables_moving_average, self._accumulated_gradients, self._slots = averages, sums, slots
        self._trainable_variables = variables
        self._positions = {variable: i for i, variable in enumerate(variables)}
        self.built = True

    def _first_slots(self, variable: Variable, names: Iterable[str]) -> dict[str, Array]:
        """The slots of a variable with which the arguments let it begin."""
        firsts = {name: self.slot(name, variable) for name in names}
        return {name: first for name, first in firsts.items() if first is not None}

    def _change(self, name: str, value: Any) -> None:
        """Set an argument, but none by which the optimizer has begun already.

        Raises:
            ValueError: it does not go with the others, or came too late.
        """
        if not self.built or value == getattr(self, name):
            super()._change(name, value)
            return
        before, variables = getattr(self, name), self._trainable_variables
        firsts = [self._first_slots(variable, self._slot_names) for variable in variables]
        super()._change(name, value)
        if name in ("use_ema", "gradient_accumulation_steps") or not all(
            _same(first, self._first_slots(variable, self._slot_names))
            for first, variable in zip(firsts, variables, strict=True)
        ):
            object.__setattr__(self, name, before)
            raise ValueError(
                f"{name}: cannot be set any more, for the optimizer keeps state by it since it was built; make a new "
                f"optimizer. Received: {name}={value!r}, built with {name}={before!r}"
            )

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
        weights = listed("set_weights", "weights", weights)
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
        try:
            return [self._positions[variable] for variable in variables]
        except KeyError as error:
            raise ValueError(
                f"Unknown variable: {error.args[0].path}. This optimizer can only be called for the variables it was "
                "originally built with. When working with a new set of variables, you should recreate a new "
                "optimizer instance."
            ) from None

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


def _same(first: dict[str, Array], second: dict[str, Array]) -> bool:
    """Whether they hold the same arrays under the same names."""
    return first.keys() == second.keys() and all(
        bool(array_module(array).array_equal(array, second[name])) for name, array in first.items()
    )


def listed(who: str, name: str, value: Any) -> list[Any]:
    """A list of what must be a list, or another iterable; a Variable alone is none."""
    if type(value) is list:  # as it is most often
        return value[:]
    if isinstance(value, (Tensor, str)) or not isinstance(value, Iterable):
        raise TypeError(f"{who}: {name} must be a list, if need be of one. Received: {name}={value!r}")
    return list(value)


def check_variables(variables: Sequence[Any]) -> None:
    """Whether they are Variables of floats, each given once."""
    for variable in variables:
        if not isinstance(variable, Variable) or variable.dtype.kind != "f":
            raise TypeError(f"optimizer: variables must be Variables of floats. Received: {variable!r}")
    if len(set(variables)) < len(variables):
        raise ValueError(
            f"optimizer: a variable must be given once. Received: variables={[v.path for v in variables]}"
        )
