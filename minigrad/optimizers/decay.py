"""Weight decay apart from the gradient, and which variables are spared it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import Any

from minigrad.backend import Array
from minigrad.optimizers.arguments import patterns
from minigrad.optimizers.state import OptimizerState, check_variables, listed
from minigrad.variable import Variable


class WeightDecay(OptimizerState):
    """What an optimizer takes from the variables before their gradients change them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._undecayed: frozenset[Variable] = frozenset()
        self._undecayed_names: tuple[str, ...] = ()

    def exclude_from_weight_decay(
        self, var_list: Iterable[Variable] | None = None, var_names: Iterable[str] | None = None
    ) -> None:
        """Spare these variables the weight decay, and those in whose name one of the patterns is found.

        The name of a variable is that within its layer, such as "bias"; all variables of a layer are
        ``var_list=layer.weights``. What is nobody's at the first update is named in a warning. A config does not hold
        all this.

        Raises:
            ValueError: the optimizer is built; a string in the place of a list of patterns.
            TypeError: something in ``var_list`` that is no Variable.
        """
        if self.built:
            raise ValueError("`exclude_from_weight_decay()` can only be configured before the optimizer is built.")
        undecayed = [] if var_list is None else listed("exclude_from_weight_decay", "var_list", var_list)
        check_variables(undecayed)
        self._undecayed_names = patterns("var_names", var_names)
        self._undecayed = frozenset(undecayed)

    def _apply_weight_decay(self, variables: Iterable[Variable], learning_rate: float | None = None) -> None:
        """Take from each variable that is not excluded, the bias too, its share."""
        learning_rate = self.learning_rate if learning_rate is None else learning_rate
        for variable in variables:
            if self._decays(variable):
                w = variable.writable()
                self._decay(w, variable, learning_rate)
                variable.assign(w)

    def _decays(self, variable: Variable) -> bool:
        excluded = any(re.search(name, variable.name) for name in self._undecayed_names)
        return variable not in self._undecayed and not excluded

    def _weight_decay_of(self, variable: Variable) -> float | None:
        return self.weight_decay

    def _decay(self, w: Array, variable: Variable, learning_rate: float) -> None:
        decay = self._weight_decay_of(variable)
        if decay:
            w -= (decay * learning_rate) * w

    def _tell_of_nobody(self) -> None:
        """Warn of exclusions from weight decay that spare no variable."""
        names = [v.name for v in self._trainable_variables]
        nobody: list[Any] = [p for p in self._undecayed_names if not any(re.search(p, name) for name in names)]
        nobody += sorted(v.path for v in self._undecayed if v not in self._positions)
        if nobody:
            warnings.warn(
                "exclude_from_weight_decay: each entry must be of some variable; patterns are searched in names within "
                "a layer, and a whole layer is var_list=layer.weights. "
                f"Received: {nobody}, where the names are {sorted(set(names))}",
                stacklevel=4,
            )
