"""Drawings of the tape: their text, their limits, and what notebooks are given."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import minigrad as mg
from minigrad import Op, Tensor, draw, layers, op, ops
from minigrad.draw import Drawing
from minigrad.variable import Variable

NASTY = [
    'say "hi"', "<b>bold</b> & co", "`code`", "1. list", "- list", "a;b#35;", "%% comment", 'back\\slash "q\\"',
    "µ é 漢", "two\nlines",
]  # fmt: skip


@pytest.fixture
def small() -> Tensor:
    """A tape of three ops: one shared leaf, one constant argument, one argument used twice."""
    w = Variable([[1.0], [2.0]], path="dense/kernel")
    y = Tensor.ones(3, 2) @ w
    return (y * y).sum()


@pytest.fixture
def no_dot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Put a program called dot, written in Python, on the PATH."""
    path = folder / "bin" / "dot"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\nimport sys\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{path.parent}{os.pathsep}{os.environ['PATH']}")


def test_mermaid_of_a_small_tape(small: Tensor) -> None:
    assert draw(small).mermaid == """\
flowchart TD
    n0(["dense/kernel<br>(2, 1) float32"])
    n1["matmul<br>(3, 1) float32<br>constant: a<br>keeps: a<br>rules: b"]
    n2["multiply<br>(3, 1) float32<br>keeps: a, b<br>rules: a, b"]
    n3["sum<br>() float32<br>rules: x"]
    n0 -->|"b"| n1
    n1 -->|"a, b"| n2
    n2 -->|"x"| n3
    classDef leaf fill:#cfe8d5,stroke:#2e7d4f,color:#111
    classDef output stroke-width:3px
    class n0 leaf
    class n3 output
"""


def test_the_page_shows_what_is_drawn() -> None:
    """The Mermaid block of docs/pictures.md is what its code prints."""
    page = (Path(__file__).parent.parent / "docs" / "pictures.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```mermaid\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    x = Tensor.ones(4, 3)
    w, b = Tensor.ones(3, 2, requires_grad=True), Tensor.ones(2, requires_grad=True)
    y = (x @ w + b).tanh()
    assert draw((y * y).sum(), names={"w": w, "b": b, "y": y}).mermaid == block


def test_dot_of_a_small_tape(small: Tensor) -> None:
    text = draw(small).dot
    assert text.startswith("digraph tape {\n")
    assert text.endswith("}\n")
    assert r'n1 [label="matmul\n(3, 1) float32\nconstant: a\nkeeps: a\nrules: b"];' in text
    assert 'n1 -> n2 [label="a, b"];' in text
    assert text.count("->") == 3


def test_the_same_tape_gives_the_same_text() -> None:
    """Also after a step, when the weights have been born again."""
    mg.set_random_seed(0)
    network = mg.Sequential([layers.SeparableConv1D(4, 3, activation="relu"), layers.Dense(2)])
    x = Tensor.ones(2, 8, 3)
    texts = set()
    for _ in range(3):
        loss = network(x).sum()
        texts.add(draw(loss).mermaid)
        loss.backward()
        mg.optimizers.SGD(0.1).step(network.trainable_weights)
    assert len(texts) == 1
    (text,) = texts
    for weight in network.weights:
        assert f'(["{weight.path}<br>{weight.shape} float32"])' in text


def test_a_frozen_variable_is_a_constant_and_a_thawed_one_has_its_name() -> None:
    w = Variable([1.0], path="layer/w", trainable=False)
    x = Tensor([2.0], requires_grad=True)
    assert "layer/w" not in draw(x * w).mermaid
    assert "constant: b" in draw(x * w).mermaid
    w.trainable = True
    assert "layer/w" in draw(x * w).mermaid
    assert "leaf<br>(1,) float32" in draw(x * w).mermaid  # x has no name,


def test_names_are_given_to_any_tensor() -> None:
    x = Tensor([2.0], requires_grad=True)
    h = x.tanh()
    text = draw(h.sum(), names={"x": x, "h": h, "other": Tensor([1.0])}).mermaid
    assert 'n0(["x<br>(1,) float32"])' in text
    assert 'n1["h = tanh<br>' in text


def test_a_leaf_alone() -> None:
    drawing = draw(Tensor([1.0, 2.0], requires_grad=True))
    assert [box.lines for box in drawing.boxes] == [("leaf", "(2,) float32")]
    assert not drawing.arrows


def test_arguments_without_a_rule_or_a_gradient_are_dashed() -> None:
    @op
    def first_of(x, y):
        return x + 0 * y

    first_of.backward(x=lambda g: g, y=None)
    try:
        a, b = (Variable([1.0], path=name) for name in "ab")
        drawing = draw(first_of(a, b.exp()))
        assert [arrow[2:] for arrow in drawing.arrows] == [("x", False), ("x", True), ("y", False)]
        assert "no gradient arrives" in drawing.boxes[1].lines
        assert 'n1 -.->|"y"|' in drawing.mermaid
        assert 'label="y", style=dashed' in drawing.dot
    finally:
        del Op.registry["first_of"]


def test_ops_of_many_arguments() -> None:
    parts = [Tensor([float(i)], requires_grad=True) for i in range(9)]
    drawing = draw(ops.concatenate(*parts[:2], [7.0]))
    assert [arrow.arguments for arrow in drawing.arrows] == ["arrays[0]", "arrays[1]"]
    assert "constant: arrays[2]" in drawing.boxes[2].lines
    lines = draw(ops.concatenate(*parts)).boxes[-1].lines
    assert lines[-1] == "rules: arrays[0], arrays[1], arrays[2], arrays[3], 5 more"


def test_derivatives_have_drawings_too() -> None:
    x = Tensor(3.0, requires_grad=True)
    slope = mg.grad(x**3, x, create_graph=True)
    assert len(draw(slope).boxes) > len(draw(x**3).boxes)


def test_a_tape_partly_let_go_says_so() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    shared = x.exp()
    shared.sum().backward()
    drawing = draw(shared * x)
    assert ("exp", "(2,) float32", "let go by backward()") in [box.lines for box in drawing.boxes]


@pytest.mark.parametrize("name", NASTY)
def test_names_cannot_break_the_text(name: str) -> None:
    drawing = draw(Variable([1.0], path=name) * 2)
    label = re.search(r'n0\(\["(.*)"\]\)', drawing.mermaid)
    assert label
    shown = label[1].split("<br>")
    assert len(shown) == 2  # the label's own line break alone
    assert not set(shown[0].replace("#", "").replace(";", "")) & set('"<>&`.%\\-[]{}|')
    decoded = re.sub(r"#(\d+);", lambda match: chr(int(match[1])), shown[0])
    assert decoded == " ".join(name.split())
    quoted = re.search(r'n0 \[label="((?:[^"\\]|\\.)*)", style', drawing.dot)
    assert quoted


def test_long_tapes_are_drawn_in_part() -> None:
    y = x = Tensor([1.0], requires_grad=True)
    for _ in range(10_000):
        y = y.tanh() + x
    drawing = draw(y, max_nodes=7)
    assert drawing.boxes[0].kind == "older"
    assert drawing.boxes[0].lines == ("19,994 older nodes", "not drawn: max_nodes=7")
    assert len(drawing.boxes) == 8
    assert drawing.arrows[0].source == 0
    assert drawing.boxes[-1].kind == "output"
    assert repr(drawing) == "<Drawing of 6 ops and 1 leaves; print it for Mermaid text, or save it>"
    assert len(draw(y).boxes) == 201
    assert len(draw(y, max_nodes=10**6).boxes) == 20_001
    one = draw(y, max_nodes=1)
    assert [box.kind for box in one.boxes] == ["older", "output"]
    assert [arrow.arguments for arrow in one.arrows] == ["a, b"]


def test_errors(small: Tensor) -> None:
    with pytest.raises(TypeError, match=r"^draw: tensor must be a Tensor\. Received: float$"):
        draw(1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^draw: names\['x'\] must be a Tensor\. Received: int$"):
        draw(small, names={"x": 3})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match=r"^draw: max_nodes must be positive\. Received: max_nodes=0$"):
        draw(small, max_nodes=0)
    with pytest.raises(RuntimeError, match=r"^draw: the tensor must depend on .* shape \(2,\) without a tape$"):
        draw(Tensor([1.0, 2.0]))
    small.backward()
    with pytest.raises(RuntimeError, match=r"^draw: the tape must not have been let go .* a value made by sum$"):
        draw(small)


def test_drawing_changes_nothing(small: Tensor) -> None:
    draw(small)
    small.backward()


@pytest.mark.parametrize(("suffix", "text"), [(".mmd", "mermaid"), (".dot", "dot")])
def test_save(small: Tensor, tmp_path: Path, suffix: str, text: str) -> None:
    drawing = draw(small)
    drawing.save(tmp_path / f"tape{suffix}")
    assert (tmp_path / f"tape{suffix}").read_text(encoding="utf-8") == getattr(drawing, text)


@pytest.mark.usefixtures("no_dot")
def test_save_refuses_and_leaves_no_file(small: Tensor, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^draw: the file must end in \.mmd, \.dot, \.svg\. Received: path='a\.png'$"):
        draw(small).save("a.png")
    with pytest.raises(RuntimeError, match=r"^draw: Graphviz must be installed for SVG"):
        draw(small).save(tmp_path / "a.svg")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_dot")
def test_notebooks_without_graphviz(small: Tensor) -> None:
    drawing = draw(small)
    assert drawing._repr_mimebundle_() == {"text/plain": drawing.mermaid, "text/vnd.mermaid": drawing.mermaid}
    assert str(drawing) == drawing.mermaid


def test_notebooks_with_graphviz(small: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, "print(' '.join(sys.argv[1:]), sys.stdin.read(), end='')")
    drawing = draw(small)
    assert drawing.svg == f"-Tsvg {drawing.dot}"
    assert drawing._repr_mimebundle_()["image/svg+xml"] == drawing.svg


def test_a_failing_graphviz_is_quoted(small: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, "sys.exit('no such format')")
    with pytest.raises(RuntimeError, match=r"^draw: Graphviz must not fail\. Received: no such format$"):
        draw(small).save(tmp_path / "a.svg")
    assert not (tmp_path / "a.svg").exists()


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
@pytest.mark.parametrize("name", ["dense/kernel", *NASTY])
def test_svg_by_graphviz(name: str) -> None:
    svg = draw(Variable([1.0], path=name) * 2).svg
    texts = [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert " ".join(name.split()) in texts


def test_drawings_are_values(small: Tensor) -> None:
    assert draw(small) == draw(small)
    assert isinstance(draw(small), Drawing)


def test_html_of_a_tensor() -> None:
    x = Tensor([[1.0, 2.0]], requires_grad=True)
    html = x._repr_html_()
    assert "Tensor: shape=(1, 2), dtype=float32, device=&#x27;cpu&#x27;, requires_grad=True" in html
    assert "<pre>[[1., 2.]]</pre>" in html
    assert "op=tanh" in x.tanh()._repr_html_()
    assert len(Tensor.zeros(1000, 1000)._repr_html_()) < 1000
    assert "path=&#x27;&lt;w&gt;&#x27;" in Variable([1.0], path="<w>")._repr_html_()
    ElementTree.fromstring(f"<p>{html}</p>")


def test_repr_of_a_variable_names_it() -> None:
    assert repr(Variable([1.0], path="dense/bias")).startswith("Variable([1.], path='dense/bias', shape=(1,)")
