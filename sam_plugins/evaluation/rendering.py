"""Tables of results: one value, written as Markdown, as HTML or as JSON."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """A table with a title.

    Parameters
    ----------
    title : str
        One line.
    columns : tuple of str
        The heads.
    rows : tuple of tuple
        As many cells as columns each: text, whole numbers, fractions (three digits are shown) or
        None for what is unknown.
    note : str
        What to know about it: one paragraph, or nothing.

    Raises
    ------
    ValueError
        If a row has another number of cells than there are columns.

    Examples
    --------
    >>> print(Table("Edges", ("map", "ODS"), (("canny", 0.5), ("sobel", None))).markdown(), end="")
    Edges
    <BLANKLINE>
    | map | ODS |
    |---|---|
    | canny | 0.500 |
    | sobel | - |
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row needs {len(self.columns)} cells, got {row!r}")

    def markdown(self) -> str:
        """The table as Markdown, its last line ended."""
        lines = [self.title, "", _bar(self.columns), "|---" * len(self.columns) + "|"]
        lines += [_bar([shown(cell) for cell in row]) for row in self.rows]
        return "\n".join([*lines, *(["", self.note] if self.note else [])]) + "\n"

    def html(self) -> str:
        """The table as a part of an HTML page."""
        head = "".join(f"<th>{html.escape(each)}</th>" for each in self.columns)
        rows = "\n".join(f"<tr>{''.join(map(_html_cell, row))}</tr>" for row in self.rows)
        note = f"<p class='note'>{html.escape(self.note)}</p>" if self.note else ""
        return (
            f"<h3>{html.escape(self.title)}</h3>\n<div class='wide'><table>\n"
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>\n{note}"
        )

    def as_dict(self) -> dict[str, Any]:
        """The table as JSON holds it, with all digits."""
        rows = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": rows, "note": self.note}


def shown(cell: Cell) -> str:
    """Write one cell.

    Parameters
    ----------
    cell : str, int, float or None
        What stands in it.

    Returns
    -------
    str

    Examples
    --------
    >>> shown(0.12345), shown(7), shown(None), shown("a")
    ('0.123', '7', '-', 'a')
    """
    if cell is None:
        return "-"
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def _bar(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _html_cell(cell: Cell) -> str:
    kind = "" if isinstance(cell, str) else " class='number'"
    return f"<td{kind}>{html.escape(shown(cell))}</td>"
