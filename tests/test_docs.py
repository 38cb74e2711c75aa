"""Every Python block of README.md and docs/ runs, in order, each page in a namespace of its own.

Blocks of a session (pycon) run as doctests: what they print, and what they raise, is what the page shows.
"""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(python|pycon)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page.read_text()
    assert text.count("```") % 2 == 0, "a code block is not closed"
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for match in BLOCK.finditer(text):
        line = text[: match.start()].count("\n") + 1
        if match.group(1) == "python":
            exec(compile("\n" * line + match.group(2), str(page), "exec"), namespace)
        else:
            session = doctest.DocTestParser().get_doctest(match.group(2), namespace, page.name, str(page), line)
            namespace = session.globs  # a copy, which the blocks below go on with
            assert doctest.DocTestRunner().run(session, clear_globs=False).failed == 0


def test_readme_has_python_blocks() -> None:
    assert len(BLOCK.findall((ROOT / "README.md").read_text())) >= 2
