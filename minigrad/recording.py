"""Where a captured step reads and writes variables, and what is put back after it was tried out.

A CUDA graph reads and writes at fixed addresses. So each variable that a step touches, or each row of variables that
take their optimizer steps together, gets a `Home`: an array of its own. Before a replay the variable must be there, and
whoever else holds that array would see other numbers after it, which is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from minigrad.backend import Array, array_types, device_of, is_array, on_gpu
from minigrad.ops.op import Op
from minigrad.optimizers.joint import Joint, joined
from minigrad.replay import HostLog
from minigrad.tape import Leaf, Node
from minigrad.tensor import Tensor
from minigrad.variable import Variable


class Home:
    """Memory in which a graph reads and perhaps changes one variable, or several in one row."""

    def __init__(self, joint: Joint, array: Array, changes: bool) -> None:
        self.joint = joint
        self.kept = [array]
        self.changes = changes
        self._device = joint.variables[0].device

    def check(self) -> None:
        """Whether a replay may write here; nothing changes.

        Raises:
            RuntimeError: it may not.
        """
        if self.joint.holds(self.kept[0]):
            if not self.changes:
                return
        else:
            for variable in self.joint.variables:
                if variable.device != self._device:
                    raise RuntimeError(
                        "captured step: variables must be where they were recorded; capture the step again. "
                        f"Received: {variable.path!r} on {variable.device!r}, recorded on {self._device!r}"
                    )
        if not self.joint.unshared(self.kept):
            raise RuntimeError(
                "captured step: nobody else may hold values that the replay changes in place; copy them, with .numpy() "
                "or Tensor(variable), or let go of them, and call networks for their outputs alone within no_grad(). "
                f"Received: held values of {self._names()}"
            )

    def _names(self) -> str:
        first, *others = (repr(variable.path) for variable in self.joint.variables)
        return f"{first}, or of {len(others)} variables that lie in one row with it" if others else first

    def bring(self) -> None:
        """Bring values that were assigned to where the graph reads."""
        if not self.joint.holds(self.kept[0]):
            self.joint.copy_to(self.kept[0])
            self.settle()

    def settle(self) -> None:
        """Let the variables hold this memory."""
        if len(self.joint.variables) == 1:
            self.joint.variables[0].data = self.kept[0]
        else:
            self.joint.assign(self.kept[0])

    def changed(self) -> None:
        """A replay has changed the values: tapes that used the former ones refuse."""
        if self.changes:
            for variable in self.joint.variables:
                variable.hold(variable.data)


class Recording(HostLog):
    """What a step does to variables, gradients and random streams while it is tried out and recorded."""

    def __init__(self, xp: Any) -> None:
        super().__init__(xp)
        self.homes: list[Home] = []
        self._saved: dict[Variable, Array] = {}  # every variable that was touched, as it was
        self._changed: dict[Variable, None] = {}  # those of them that were changed
        self._gradients: dict[Tensor, Tensor | None] = {}  # of leaves, as they were
        self._rows: dict[Joint, None] = {}
        self._home_of: dict[Variable, Home] = {}
        self._host: list[Variable] = []  # variables of the host that change with the replays: counts
        self._made: set[int] = set()
        self._constants: dict[int, Array] = {}  # what the graph reads beside: it must not be freed

    # ------------------------------------------------------------------ what variables and ops report

    def reads(self, variable: Variable) -> None:
        """The step reads a variable."""
        if not self.records:
            self._saved.setdefault(variable, variable.data)
        elif variable not in self._home_of and on_gpu(variable.data):
            self._refuse_other(variable)

    def changes(self, variable: Variable) -> int:
        """The step is about to change a variable. Returns how often this here holds its array without minding."""
        if not self.records:
            self._saved.setdefault(variable, variable.data)
            self._changed[variable] = None
            return 0
        home = self._home_of.get(variable)
        if home is None and self.acting and not on_gpu(variable.data):
            self._saved.setdefault(variable, variable.data)
            return 0
        if home is None or not home.changes:
            self._refuse_other(variable)
        return int(variable.data is home.kept[0])

    def changes_row(self, row: Joint) -> list[Array]:
        """The same for variables in one row. Returns the list in which the array is held here, or an empty one."""
        for variable in row.variables:
            self.changes(variable)
        if not self.records:
            self._rows.pop(row, None)
            self._rows[row] = None  # the last comes last
            return []
        home = self._home_of[row.variables[0]]
        return home.kept if home.joint is row and row.holds(home.kept[0]) else []

    def moves(self, variable: Variable, data: Array) -> None:
        """A variable is replaced; perhaps on another device, as state follows the weights at the first step there."""
        if device_of(data) == variable.device:
            self.changes(variable)
        elif self.records:
            self._refuse_other(variable)
        elif variable in self._saved:
            self._saved[variable] = data

    def keeps(self, array: Array) -> None:
        """The step reads an array of which it is not known here who made it."""
        if self.records and id(array) not in self._made:
            self._constants[id(array)] = array

    def _refuse_other(self, variable: Variable) -> NoReturn:
        where = "as it did not when it was tried out" if on_gpu(variable.data) else "on the host, as no replay would"
        raise RuntimeError(
            "capture: the step must do the same at every call, and read and change variables on the GPU. "
            f"Received: a step that reads or changes {variable.path!r} {where}"
        )

    def watch(self, op: Op, inputs: tuple[Any, ...], attributes: dict[str, Any]) -> Any:
        """Run an op, and note the variables and gradients it could reach, and what it reads beside."""
        in_a_rule = not any(isinstance(x, Tensor) for x in inputs)  # its arrays are those of the tape
        for x in inputs:
            if not isinstance(x, Tensor):
                if is_array(x) and not in_a_rule:
                    self.keeps(x)
                continue
            if isinstance(x, Variable):
                self.reads(x)
            else:
                self.keeps(x.data)
            if isinstance(x.node, Leaf):
                self._gradients.setdefault(x, x.grad)
        y = op(*inputs, **attributes)
        self._made.add(id(y.data if isinstance(y, Tensor) else y))
        return y

    # ------------------------------------------------------------------ before and after the recording

    def settle(self) -> None:
        """After the step was tried out: put back what it changed, and give homes to what it touched."""
        self._put_back_gradients()
        self.rewind()
        rows = [row for row in reversed(self._rows) if all(v in self._saved and on_gpu(v.data) for v in row.variables)]
        for row in rows:
            if len(row.variables) > 1 and not any(v in self._home_of for v in row.variables):
                whole = joined([self._saved[variable] for variable in row.variables])
                self._add(Home(row, whole, True))
        for variable, array in self._saved.items():
            if not on_gpu(variable.data):
                variable.hold(array)
            elif variable not in self._home_of:
                self._add(Home(Joint([variable]), array.copy(), variable in self._changed))
        self._made = {id(variable.data) for variable in self._home_of}
        self._constants.clear()
        self.begin()

    def _put_back_gradients(self) -> None:
        for leaf, gradient in self._gradients.items():
            if leaf.grad is not gradient:
                leaf.node.gradient = gradient  # type: ignore[union-attr]  # itself, where the setter would copy

    def _add(self, home: Home) -> None:
        home.settle()
        self.homes.append(home)
        self._home_of.update(dict.fromkeys(home.joint.variables, home))

    def close(self, outputs: Any) -> None:
        """At the end of the recorded step: outputs without a history, and variables back home."""
        homes = [id(home.kept[0]) for home in self.homes]
        for output in _tensors(outputs):
            if isinstance(output.node, Node):
                output.node = None
            if not isinstance(output, Variable):
                array = output.data
                if type(array) in array_types and id(array if array.base is None else array.base) in homes:
                    output.data = array.copy()
        for leaf, gradient in self._gradients.items():
            if leaf.grad is not gradient or gradient is not None:
                raise RuntimeError(
                    "capture: the step must find no gradients, and clear those that backward() leaves, as the step() "
                    "of an optimizer does; or ask minigrad.grad(loss, weights). Received: a step with a gradient of "
                    f"{getattr(leaf, 'path', 'an input')!r}"
                )
        for home in self.homes:
            home.joint.copy_to(home.kept[0])

    def finish(self) -> None:
        """After the recording: the host is back where the warm-up began, the variables are at home."""
        self.records = False
        for home in self.homes:
            home.settle()
        for variable, array in self._saved.items():
            if not on_gpu(variable.data):
                variable.hold(array)
                self._host.append(variable)
        self.rewind()
        tables: tuple[Any, ...] = (self._saved, self._changed, self._gradients, self._rows, self._home_of, self.streams)
        for table in (*tables, self._made):
            table.clear()

    def replay(self) -> None:
        before = [variable.data for variable in self._host]
        try:
            super().replay()
        except BaseException:
            for variable, array in zip(self._host, before, strict=True):
                variable.hold(array)
            raise

    def undo(self) -> None:
        """After a failure: all is as it was."""
        self.records = False
        for variable, array in self._saved.items():
            if variable.data is not array:
                variable.hold(array)
        self._put_back_gradients()
        self.rewind()
        self.homes.clear()


def _tensors(outputs: Any) -> Iterator[Tensor]:
    """The Tensors in lists, tuples and dicts."""
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, (list, tuple)):
        for output in outputs:
            yield from _tensors(output)
    elif isinstance(outputs, dict):
        yield from _tensors(list(outputs.values()))
