"""draw: a picture of the tape behind a tensor, as text that Mermaid or Graphviz turns into one."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from minigrad.backend import is_array
from minigrad.files import replaced
from minigrad.tape import Leaf, Node, Value

NAMES_SHOWN = 4  # of the arguments along one arrow


class Box(NamedTuple):
    """What stands in a box: lines of text. The kind is "op", "leaf", "output" or "older"."""

    kind: str
    lines: tuple[str, ...]


class Arrow(NamedTuple):
    """From the box of an input to that of an op, for these arguments; ``active`` when their rules run."""

    source: int
    target: int
    arguments: str
    active: bool


@dataclass(frozen=True)
class Drawing:
    """The tape behind a tensor. Notebooks show it; ``print`` it for Mermaid text, or `save` it.

    ``boxes`` stand in the order in which the values were made, the output last.
    """

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]

    @property
    def mermaid(self) -> str:
        """A Mermaid flowchart. Code hosts draw it in a ```` ```mermaid ```` block."""
        shapes = {"op": '["{}"]', "leaf": '(["{}"])', "output": '["{}"]', "older": '[/"{}"/]'}
        text = ["flowchart TD"]
        for i, (kind, lines) in enumerate(self.boxes):
            text.append(f"    n{i}" + shapes[kind].format("<br>".join(map(_mermaid_escaped, lines))))
        for source, target, arguments, active in self.arrows:
            text.append(f'    n{source} {"-->" if active else "-.->"}|"{_mermaid_escaped(arguments)}"| n{target}')
        text += ["    classDef leaf fill:#cfe8d5,stroke:#2e7d4f,color:#111", "    classDef output stroke-width:3px"]
        for kind in ("leaf", "output"):
            if found := [f"n{i}" for i, box in enumerate(self.boxes) if box.kind == kind]:
                text.append(f"    class {','.join(found)} {kind}")
        return "\n".join(text) + "\n"

    @property
    def dot(self) -> str:
        """A Graphviz graph."""
        styles = {
            "op": "",
            "leaf": ', style="filled,rounded", fillcolor="#cfe8d5", color="#2e7d4f"',
            "output": ", penwidth=3",
            "older": ', shape=parallelogram, style="filled,dashed"',
        }
        text = [  # filled boxes with black text, and gray arrows: for light pages and for dark ones
            "digraph tape {",
            '    bgcolor="transparent";',
            '    node [shape=box, style=filled, fillcolor="#f1f1f6", color="#757575", fontname="sans-serif"];',
            '    edge [color="#757575", fontcolor="#757575", fontname="sans-serif"];',
        ]
        for i, (kind, lines) in enumerate(self.boxes):
            label = r"\n".join(map(_dot_escaped, lines))
            text.append(f'    n{i} [label="{label}"{styles[kind]}];')
        for source, target, arguments, active in self.arrows:
            style = "" if active else ", style=dashed"
            text.append(f'    n{source} -> n{target} [label="{_dot_escaped(arguments)}"{style}];')
        return "\n".join([*text, "}"]) + "\n"

    @property
    def svg(self) -> str:
        """The picture itself, made by Graphviz's program ``dot``.

        Raises:
            RuntimeError: it is not installed, or fails.
        """
        try:
            made = subprocess.run(["dot", "-Tsvg"], input=self.dot.encode(), capture_output=True, check=True)
        except FileNotFoundError as error:
            raise RuntimeError(
                "draw: Graphviz must be installed for SVG, with its program 'dot' on the PATH (for example apt install "
                "graphviz, brew install graphviz); .mermaid and .dot need nothing. Received: no such program"
            ) from error
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"draw: Graphviz must not fail. Received: {error.stderr.decode().strip()}") from error
        return made.stdout.decode()

    def save(self, path: str | Path) -> None:
        """Write the drawing to a file that ends in .mmd (Mermaid), .dot or .svg.

        Raises:
            ValueError: another ending.
            RuntimeError: .svg without Graphviz; no file is written then.
            OSError: the path cannot be written, and why.
        """
        formats = {".mmd": "mermaid", ".dot": "dot", ".svg": "svg"}
        suffix = Path(path).suffix
        if suffix not in formats:
            raise ValueError(f"draw: the file must end in {', '.join(formats)}. Received: path={str(path)!r}")
        text: str = getattr(self, formats[suffix])
        with replaced(path, "draw: the path") as file:
            file.write(text.encode())

    def __str__(self) -> str:
        return self.mermaid

    def __repr__(self) -> str:
        leaves, ops = (sum(box.kind in kinds for box in self.boxes) for kinds in (("leaf",), ("op", "output")))
        return f"<Drawing of {ops} ops and {leaves} leaves; print it for Mermaid text, or save it>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """For notebooks: SVG where there is Graphviz; Mermaid, which some draw themselves; text for the others."""
        bundle = {"text/plain": self.mermaid, "text/vnd.mermaid": self.mermaid}
        try:
            return bundle | {"image/svg+xml": self.svg}
        except RuntimeError:
            return bundle


def draw(tensor: Value, names: Mapping[str, Value] | None = None, max_nodes: int = 200) -> Drawing:
    """Draw the tape behind ``tensor``: each op with the shape and dtype of what it made, what the tape keeps for its
    backward rules, and which of them will run.

    An arrow is an argument that the gradient flows back to; it is dashed where the gradient does not, or does not get
    as far. Arguments that need no gradient are not on the tape, and are named in the box as constants.

    Args:
        tensor: a Tensor that was computed from others with ``requires_grad=True``.
        names: what to call tensors; variables show their own paths.
        max_nodes: how many boxes to draw. On a longer tape the youngest ops are drawn, with one box for all the rest.

    Raises:
        TypeError: no Tensor.
        ValueError: ``max_nodes`` below 1.
        RuntimeError: a tensor without a tape, or whose tape backward() has let go.

    >>> from minigrad import Tensor
    >>> w = Tensor([[1.0], [2.0]], requires_grad=True)
    >>> print(draw((Tensor.ones(3, 2) @ w).tanh().sum(), names={"w": w}))  # doctest: +ELLIPSIS
    flowchart TD
        n0(["w<br>(2, 1) float32"])
        n1["matmul<br>(3, 1) float32<br>constant: a<br>keeps: a<br>rules: b"]
        n2["tanh<br>(3, 1) float32<br>keeps: y<br>rules: x"]
        n3["sum<br>() float32<br>rules: x"]
        n0 -->|"b"| n1
        n1 -->|"x"| n2
        n2 -->|"x"| n3
    ...
    """
    called = {"tensor": tensor, **{f"names[{name!r}]": value for name, value in (names or {}).items()}}
    for who, value in called.items():
        if not isinstance(value, Value):
            raise TypeError(f"draw: {who} must be a Tensor. Received: {type(value).__name__}")
    if max_nodes < 1:
        raise ValueError(f"draw: max_nodes must be positive. Received: max_nodes={max_nodes}")
    output: Any = tensor.node
    if output is None:
        raise RuntimeError(
            "draw: the tensor must depend on one with requires_grad=True, recorded outside no_grad(). "
            f"Received: a tensor of shape {tensor.shape} without a tape"
        )
    if isinstance(output, Node) and output.saved is None:
        raise RuntimeError(
            "draw: the tape must not have been let go by backward(); draw before it. "
            f"Received: a value made by {output.op.name}"
        )
    given = {value.node: name for name, value in (names or {}).items() if value.node is not None}
    ops, leaves = _behind(output)
    shown = _youngest(ops, max_nodes) if ops else {output}
    reached = _reached(output, ops)
    hidden = len(ops) + leaves - len(shown)
    boxes: list[Box] = []
    number: dict[Any, int] = {}  # of the box of each node
    if hidden:
        boxes.append(Box("older", (f"{hidden:,} older nodes", f"not drawn: max_nodes={max_nodes}")))
    arrows: list[Arrow] = []
    for node in [node for node in reversed(ops) if node in shown] or [output]:
        arguments: dict[tuple[int, bool], list[str]] = {}
        active = {position for position, _, _ in node.plan.rules} if node in reached and node.parents else set()
        for i, parent in enumerate(node.parents):
            if parent is None:
                continue
            if parent in shown and parent not in number:  # a leaf; ops were drawn before
                number[parent] = len(boxes)
                boxes.append(_leaf_box(parent, given))
            arguments.setdefault((number.get(parent, 0), i in active), []).append(_argument(node, i))
        number[node] = len(boxes)
        boxes.append(_op_box(node, given, active, node is output) if isinstance(node, Node) else _leaf_box(node, given))
        arrows += [Arrow(source, number[node], _listed(a), on) for (source, on), a in arguments.items()]
    return Drawing(tuple(boxes), tuple(arrows))


def _behind(output: Node | Leaf) -> tuple[list[Node], int]:
    """All ops behind ``output``, youngest first, and the number of leaves."""
    seen: set[Any] = {output}
    stack: list[Any] = [output]
    while stack:
        for parent in stack.pop().parents:
            if parent is not None and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    ops = [node for node in seen if isinstance(node, Node)]
    return sorted(ops, key=attrgetter("birth"), reverse=True), len(seen) - len(ops)


def _youngest(ops: list[Node], count: int) -> set[Any]:
    """At most ``count`` nodes: the youngest ops, each with its leaves as long as there is room."""
    shown: set[Any] = set()
    for node in ops:
        for one in (node, *(parent for parent in node.parents if isinstance(parent, Leaf))):
            if len(shown) < count:
                shown.add(one)
    return shown


def _reached(output: Node | Leaf, ops: list[Node]) -> set[Any]:
    """The nodes that the gradient reaches: not all, where an op declares an argument not differentiable."""
    reached: set[Any] = {output}
    for node in ops:
        if node in reached and node.parents:
            reached |= {node.parents[position] for position, _, _ in node.plan.rules}
    return reached


def _op_box(node: Node, names: dict[Any, str], active: set[int], last: bool) -> Box:
    lines = [f"{names[node]} = {node.op.name}" if node in names else node.op.name, f"{node.shape} {node.dtype}"]
    if node.saved is None:
        return Box("op", (*lines, "let go by backward()"))
    arguments = [_argument(node, i) for i in range(len(node.parents))]
    saved = sorted(zip(node.plan.keep, map(is_array, node.saved), strict=False))  # attributes stand behind the arrays
    groups = {
        "constant": [arguments[i] for i, parent in enumerate(node.parents) if parent is None],
        "keeps": [[*arguments, "y"][i] for i, array in saved if array],
        "rules": [arguments[i] for i in sorted(active)],
    }
    lines += [f"{title}: {_listed(group)}" for title, group in groups.items() if group]
    return Box("output" if last else "op", tuple(lines if active else [*lines, "no gradient arrives"]))


def _leaf_box(leaf: Leaf, names: dict[Any, str]) -> Box:
    return Box("leaf", (names.get(leaf) or leaf.name or "leaf", f"{leaf.shape} {leaf.dtype}"))


def _argument(node: Node, position: int) -> str:
    """The name of the argument at ``position``, such as x or arrays[2]."""
    arguments = node.op.arguments
    last = len(arguments) - 1
    return f"{arguments[last]}[{position}]" if node.op.variadic and position >= last else arguments[position]


def _listed(names: list[str]) -> str:
    more = len(names) - NAMES_SHOWN
    return ", ".join(names if more < 2 else [*names[:NAMES_SHOWN], f"{more:,} more"])


def _mermaid_escaped(text: str) -> str:
    """Text as Mermaid shows it literally: quotes end a label, and Markdown and HTML have a meaning within."""
    return re.sub(r"[^\w ,:=/()]", lambda match: f"#{ord(match[0])};", " ".join(text.split()))


def _dot_escaped(text: str) -> str:
    """Text as Graphviz shows it literally."""
    return escape(" ".join(text.split()), quote=False).replace("\\", "\\\\").replace('"', '\\"')
