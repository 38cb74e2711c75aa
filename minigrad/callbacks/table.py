"""The text of a table of logs: its columns, and how it becomes wider."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

MISSING = "NA"


def row(cells: Iterable[Any], separator: str) -> str:
    """One line of the table.

    >>> row(["epoch", 0.5, "a,b"], ",")
    'epoch,0.5,"a,b"\\r\\n'
    """
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator).writerow(cells)
    return text.getvalue()


def columns(text: str, separator: str) -> list[str] | None:
    """The columns behind "epoch"; None of an empty text.

    Raises:
        ValueError: the first line is no header.

    >>> columns("epoch,loss,accuracy\\n0,0.5,0.25\\n", ",")
    ['loss', 'accuracy']
    """
    header = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), None)
    if header is None:
        return None
    if header[:1] != ["epoch"]:
        raise ValueError(
            f"CSVLogger: a file to append to must begin with a header, epoch{separator}..., as it writes. "
            f"Received: a file that begins with {text.splitlines()[0]!r}"
        )
    return header[1:]


def with_columns(text: str, separator: str, names: Sequence[str]) -> str:
    """The table with these columns: of those it has, in the same order, some at the end may go, and others come.

    >>> with_columns("epoch,a\\r\\n0,1\\r\\n", ",", ["a", "b"])
    'epoch,a,b\\r\\n0,1,NA\\r\\n'
    """
    wanted = 1 + len(names)
    _header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    wide = [["epoch", *names], *([*cells, *[MISSING] * (wanted - len(cells))][:wanted] for cells in rows)]
    return "".join(row(cells, separator) for cells in wide)
