"""Optimizer: the recipe of one update, the same for every rule; a subclass writes the rule alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from minigrad.backend import Array, HostArray, array_module, asarray, capturing, describe, device_of, filled_like, wide
from minigrad.constraints import Constraint
from minigrad.kernels import parallel
from minigrad.kernels.norms import norm, scaled
from minigrad.optimizers.decay import WeightDecay
from minigrad.optimizers.formulas import lerp, shrink
from minigrad.optimizers.in_place import check_changed
from minigrad.optimizers.joint import Group, Joint, joined
from minigrad.optimizers.state import Kept, check_variables, listed
from minigrad.replay import each_time, lifted
from minigrad.tensor import Tensor
from minigrad.variable import Variable

_SMALL, _SMALL_ON_GPU = 1 << 15, 1 << 20  # elements of a variable that takes its step together with others
_LARGE, _PIECE = 1 << 19, 1 << 17  # elements from which on a step is made in pieces, and of a piece: it fits the cache
_MICROSECONDS = 2e-3  # about what a step takes for an element


class Optimizer(WeightDecay):
    """A rule that changes variables by their gradients.

    A subclass writes `update_step`. The parameters that this has after the learning rate are arrays which the
    optimizer keeps for each variable from step to step, zeros at first (see `slot`):

    >>> class Heavy(Optimizer):
    ...     def update_step(self, gradient, variable, learning_rate, momentum):
    ...         momentum *= 0.9
    ...         momentum += gradient
    ...         variable -= learning_rate * momentum
    >>> w = Variable([1.0, 2.0], name="w")
    >>> heavy = Heavy(learning_rate=0.5)
    >>> heavy.apply([Tensor([1.0, 1.0])], [w])
    >>> w.tolist(), [state.name for state in heavy.variables]
    ([0.5, 1.5], ['iteration', 'learning_rate', 'w_momentum'])

    Args:
        learning_rate: a float, a `LearningRateSchedule`, or a function without arguments.
        weight_decay: every variable first loses this share of itself times the learning rate, apart from the
            gradient (Loshchilov and Hutter 2019); see `exclude_from_weight_decay`.
        clipnorm: the greatest norm of each gradient alone.
        clipvalue: the greatest absolute value in a gradient.
        global_clipnorm: the greatest norm of all gradients together. One of the three can be given; a limit that is
            not positive limits nothing.
        use_ema: keep an exponential moving average of every variable.
        ema_momentum: the share of the average that stays at a step.
        ema_overwrite_frequency: every so many steps the variables become their averages; None leaves that to
            `finalize_variable_values`.
        loss_scale_factor: gradients are divided by it; `scale_loss` multiplies.
        gradient_accumulation_steps: update at every n-th call only, by the mean of n gradients.
        name: made from the class name by default.

    Raises:
        ValueError: an unknown argument or a bad value, named.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._groups: list[Group] = []
        self._grouped: Any = None  # for which positions, devices and constraints
        self._can_refuse = False  # whether a step runs code that can raise halfway, not only minigrad's own
        self._suspects = self._rebound  # parameters whose arrays the rule must be seen to change

    def apply(self, grads: Iterable[Any], trainable_variables: Iterable[Variable] | None = None) -> None:
        """Change the variables by their gradients. Nothing is changed if one of them does not fit, or if a rule or a
        constraint raises.

        Args:
            grads: for each variable a Tensor or an array, or None to leave it alone, with a warning.
            trainable_variables: those of the first call by default.

        Raises:
            ValueError: no gradient at all, a wrong shape, a variable that was not there at the first call.
            TypeError: a gradient on another device, or not of numbers.
        """
        self._check_capture()
        gradients, variables = self._checked(listed("apply", "grads", grads), trainable_variables)
        if not gradients:
            return
        learning_rate = self.learning_rate
        groups = self._groups_of(variables)
        guarded = self._can_refuse and capturing.get() is None  # a capture puts back what it tried out
        kept = Kept([*self._trainable_variables, *self._state]) if guarded else None
        try:
            self._apply(gradients, groups, learning_rate)
        except BaseException:
            if kept is not None:
                kept.put_back()
            raise
        each_time(self._count)

    def _apply(self, gradients: list[Array], groups: list[Group], learning_rate: float) -> None:
        """The recipe, in its order."""
        gradients = [group.joined(gradients) for group in groups]
        if self.loss_scale_factor:
            gradients = [g / self.loss_scale_factor for g in gradients]
        if self.gradient_accumulation_steps:
            gradients = self._accumulated(gradients, groups, self.gradient_accumulation_steps)
            if not gradients:
                return
        if self.clipnorm:  # of each variable alone
            parts = [group.weights.parts(g) for group, g in zip(groups, gradients, strict=True)]
            gradients = [joined(self._clip_gradients(part), zeros=True) for part in parts]
        else:
            gradients = self._clip_gradients(gradients)
        self._update(gradients, groups, learning_rate)
        for group in groups:
            group.weights.project(group.weights.variables)
        if self.use_ema:
            self._average()

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Variable]]) -> Variable:
        """`apply` for pairs of a gradient and its variable; returns the count of calls."""
        pairs = listed("apply_gradients", "grads_and_vars", grads_and_vars)
        if not all(isinstance(pair, (list, tuple)) and len(pair) == 2 for pair in pairs):
            raise TypeError(
                f"apply_gradients: pairs (gradient, variable) must be given. Received: grads_and_vars={pairs!r}"
            )
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])
        return self._iterations

    def step(self, variables: Iterable[Variable] | None = None) -> None:
        """After ``loss.backward()``: `apply` what the trainable variables hold in ``.grad``, and clear it.

        Args:
            variables: such as ``model.trainable_weights``; those of the first call by default.

        Raises:
            ValueError, TypeError: no variables at the first call; all that `apply` refuses.

        >>> w = Variable([1.0, 2.0], name="w")
        >>> (w * w).sum().backward()
        >>> Optimizer.get("sgd").step([w])
        >>> w.tolist(), w.grad
        ([0.9800000190734863, 1.9600000381469727], None)
        """
        if variables is None and not self.built:
            raise ValueError(
                "step: at the first call the variables must be given, as in optimizer.step(model.trainable_weights). "
                "Received: step() of an optimizer that has seen none"
            )
        given = self._trainable_variables if variables is None else listed("step", "variables", variables)
        try:
            trained = [v for v in given if v.trainable]
            gradients = [variable.grad for variable in trained]
        except AttributeError:
            check_variables(given)
            raise
        if not trained:
            warnings.warn("step: none of the variables is trainable, so nothing is learned", stacklevel=2)
            return
        self.apply(gradients, trained)
        for variable in trained:
            variable.grad = None

    def scale_loss(self, loss: Any) -> Any:
        """The loss times `loss_scale_factor`: what to take gradients of, if there is such a factor."""
        return loss * self.loss_scale_factor if self.loss_scale_factor else loss

    def finalize_variable_values(self, var_list: Iterable[Variable]) -> None:
        """With `use_ema`, let the variables become their averages, as far as their constraints allow: the last act of
        training.

        Raises:
            ValueError: a variable that the optimizer was not built with.
        """
        if self.use_ema:
            variables = listed("finalize_variable_values", "var_list", var_list)
            check_variables(variables)
            averages = [self._model_variables_moving_average[i] for i in self._positions_of(variables)]
            values = [
                average if variable.constraint is None else variable.constraint(average.value)
                for variable, average in zip(variables, averages, strict=True)
            ]
            fitting = [variable.fitting(value) for variable, value in zip(variables, values, strict=True)]
            for variable, array in zip(variables, fitting, strict=True):
                variable.assign(array)

    # ------------------------------------------------------------------ the parts of the recipe, in its order

    def _check_capture(self) -> None:
        """Some steps of these are other steps than most: a captured step would always be the same."""
        if capturing.get() is None:
            return
        for name in ("gradient_accumulation_steps", "ema_overwrite_frequency"):
            if getattr(self, name):
                raise RuntimeError(
                    f"capture: the optimizer must do the same in every step; with {name} it does more at some than at "
                    f"others. Received: {type(self).__name__}({name}={getattr(self, name)})"
                )

    def _checked(self, grads: list[Any], given: Iterable[Variable] | None) -> tuple[list[Array], list[Variable]]:
        """The gradients that exist, as arrays that fit, and their variables."""
        variables = self._trainable_variables if given is None else listed("apply", "trainable_variables", given)
        if not grads:
            return [], []
        if given is None and not self.built:
            raise ValueError(
                "When passing `grads` without `variables`, the optimizer must already be built on a list of "
                "variables. Call `optimizer.build(trainable_variables)` first."
            )
        if len(grads) != len(variables):
            raise ValueError(
                "apply: there must be one gradient, or None, for each variable. "
                f"Received: {len(grads)} gradients, {len(variables)} variables"
            )
        check_variables(variables)
        pairs = [(_fitted(g, v), v) for g, v in zip(grads, variables, strict=True) if g is not None]
        if not pairs:
            raise ValueError("No gradients provided for any variable.")
        if self.built:
            self._positions_of(variables)
        if missing := [v.path for g, v in zip(grads, variables, strict=True) if g is None]:
            warnings.warn(f"Gradients do not exist for variables {missing} when minimizing the loss.", stacklevel=3)
        self.build(variables)
        self._follow()
        return [g for g, _ in pairs], [v for _, v in pairs]

    def _groups_of(self, variables: list[Variable]) -> list[Group]:
        """The variables as they take the step: small ones together, if the rule is elementwise; the same groups as
        long as the same variables are asked for.
        """
        positions = self._positions_of(variables)
        asked = (positions, self._devices, [variable.constraint for variable in variables])
        if self._grouped == asked:
            return self._groups
        self._can_refuse = not self._ours or any(_can_refuse(variable) for variable in variables)
        if self._grouped is None:
            self._tell_of_nobody()
        members: dict[Any, list[int]] = {}
        for i, variable in enumerate(variables):
            small = variable.size <= (_SMALL if variable.device == "cpu" else _SMALL_ON_GPU)
            small &= variable.dtype.itemsize > 2  # the state of float16 is float32: on a GPU with other gaps
            alone = None if self.elementwise and small else i
            key = (alone, variable.dtype, variable.device, self._decays(variable))
            members.setdefault(key, []).append(i)

        self._groups = []
        for key, here in members.items():
            places = [positions[i] for i in here]
            slots = {name: Joint([self._slots[i][name] for i in places]) for name in self._slots[places[0]]}
            averages, sums = (
                Joint([kept[i] for i in places] if kept else [])
                for kept in (self._model_variables_moving_average, self._accumulated_gradients)
            )
            self._groups.append(Group(here, Joint([variables[i] for i in here]), slots, averages, sums, key[-1]))
        self._grouped = asked
        return self._groups

    def _accumulated(self, gradients: list[Array], groups: list[Group], n: int) -> list[Array]:
        """At every n-th call the means of n gradients; before that none, they are added up."""
        complete = (self._iterations.item() + 1) % n == 0
        totals = [g + group.sums.data() for g, group in zip(gradients, groups, strict=True)]
        for group, total in zip(groups, totals, strict=True):
            group.sums.assign(filled_like(total, 0) if complete else total)
        return [total / n for total in totals] if complete else []

    def _clip_gradients(self, grads: Iterable[Any]) -> list[Array]:
        """The gradients within the limit: of each norm, of the common norm, of each element."""
        gradients = [g.data if isinstance(g, Tensor) else asarray(g) for g in grads]
        if self.clipnorm and self.clipnorm > 0:
            return [scaled(g, shrink(norm([g]), self.clipnorm)) for g in gradients]
        if self.global_clipnorm and self.global_clipnorm > 0:
            xp, length = array_module(*gradients), norm(gradients)
            factor = xp.where(xp.isfinite(length), shrink(length, self.global_clipnorm), float("nan"))
            return [scaled(g, factor) for g in gradients]
        if self.clipvalue and self.clipvalue > 0:
            return [g.clip(-self.clipvalue, self.clipvalue) for g in gradients]
        return gradients

    def _update(self, gradients: list[Array], groups: list[Group], learning_rate: float) -> None:
        """Weight decay and `update_step` for each group, with arrays that may be changed in place."""
        for gradient, group in zip(gradients, groups, strict=True):
            w = group.weights.writable()
            own = wide(w)
            if group.decays:
                self._decay(own, group.weights.variables[0], learning_rate)
            slots = {name: slot.writable() for name, slot in group.slots.items()}
            if self._suspects and capturing.get() is None:
                self._watched_step(gradient, own, learning_rate, slots)
            else:
                self._step_in_pieces(gradient, own, learning_rate, slots)
            if own is not w:
                w[...] = own
            group.weights.assign(w)
            for name, array in slots.items():
                group.slots[name].assign(array)

    def _watched_step(self, gradient: Array, w: Array, learning_rate: float, slots: dict[str, Array]) -> None:
        """The first step of a rule that gives its parameters other values: their arrays must change too."""
        arrays = {self._variable_name: w, **slots}
        before = {name: array.copy() for name, array in arrays.items()}
        self._step_in_pieces(gradient, w, learning_rate, slots)
        if learning_rate and bool((gradient != 0).any()):
            check_changed(f"{type(self).__name__}.update_step", self._suspects, before, arrays)
            self._suspects = set()

    def _step_in_pieces(self, gradient: Array, w: Array, learning_rate: float, slots: dict[str, Array]) -> None:
        """`update_step`; on the CPU piece by piece where it can, so that what the formula makes stays in the cache."""
        absent = dict.fromkeys(self._slot_names)
        if not (
            self.elementwise and w.size >= _LARGE and device_of(w) == "cpu"
            and all(array.flags.c_contiguous for array in (w, *slots.values()))
        ):
            rule: Callable[..., Any] = self.update_step
            if rule(gradient, w, learning_rate, **{**absent, **slots}) is not None:
                raise RuntimeError(
                    f"{type(self).__name__}.update_step: must change its arrays in place and return nothing. "
                    "Received: a value that was returned"
                )
            return
        rows = [array.reshape(-1) for array in (gradient, w, *slots.values())]

        def run(part: slice) -> None:
            for start in range(part.start, part.stop, _PIECE):
                g, piece, *own = (row[start : min(start + _PIECE, part.stop)] for row in rows)
                self.update_step(g, piece, learning_rate, **{**absent, **dict(zip(slots, own, strict=True))})

        parallel.over(run, w.size, w.size * _MICROSECONDS)

    def _average(self) -> None:
        """Move the averages towards the variables, at first all the way; at times the variables onto the averages."""
        weight = _share(self.iterations, self.ema_momentum)
        for group in self._groups_of(self._trainable_variables):
            array = group.averages.writable()
            lerp(array, group.weights.data(), weight)
            group.averages.assign(array)
            del array  # held here, it would be copied
            group.averages.project(group.weights.variables)
        if self.ema_overwrite_frequency and (self.iterations + 1) % self.ema_overwrite_frequency == 0:
            self.finalize_variable_values(self._trainable_variables)


def _can_refuse(variable: Variable) -> bool:
    """Whether the constraint of a variable can raise in one step and not in another, as only that of a user can: one of
    minigrad's own asks for a shape, and is tried here.
    """
    constraint = variable.constraint
    ours = isinstance(constraint, Constraint) and type(constraint).__module__ == Constraint.__module__
    if ours:
        variable.fitting(constraint(variable.value))  # type: ignore[misc]
    return constraint is not None and not ours


@lifted
def _share(count: int, momentum: float) -> float:
    """How far an average moves: at first all the way."""
    return 1 - momentum if count else 1.0


def _fitted(gradient: Any, variable: Variable) -> Array:
    """The array of a gradient, in the dtype of its variable, or float32 for float16."""
    own = variable.data
    dtype = own.dtype
    if type(gradient) is Tensor:
        array = gradient.data
        if array.dtype is dtype and array.shape == own.shape and type(array) is HostArray is type(own):
            return array if dtype.itemsize > 2 else array.astype("float32")
    array = gradient.data if isinstance(gradient, Tensor) else asarray(gradient, like=own)
    if array.shape != own.shape:
        raise ValueError(
            f"apply: the gradient of {variable.path!r} must have the shape of the variable. "
            f"Received: gradient={describe(array)}, variable={describe(own)}"
        )
    if array.dtype.kind not in "fiu":
        raise TypeError(
            f"apply: the gradient of {variable.path!r} must be of real numbers. Received: gradient={describe(array)}"
        )
    on_host = type(array) is HostArray and type(own) is HostArray
    if not on_host and device_of(array) != device_of(own):
        raise TypeError(
            f"apply: the gradient of {variable.path!r} must be on the device of the variable; move one with "
            f".to(device). Received: gradient on {device_of(array)!r}, variable on {variable.device!r}"
        )
    if dtype.itemsize < 4:
        dtype = "float32"
    return array if array.dtype == dtype else array.astype(dtype)
