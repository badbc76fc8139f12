"""What a person sees: results on standard output, progress and messages on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.table import Table

# Tables that go into a file or a pipe are not folded at the 80 columns that rich assumes there.
COLUMNS_WITHOUT_TERMINAL = 200


def say(message: str) -> None:
    """Write one line to standard error; above the progress bars if there are any."""
    # A file's name may hold a line break.
    typer.echo(" ".join(message.splitlines()), err=True)


def one_line(error: BaseException) -> str:
    """An error's message on one line, or its kind if it has no message.

    Examples
    --------
    >>> one_line(ValueError("first\\nsecond"))
    'first second'
    >>> one_line(MemoryError())
    'MemoryError'
    """
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return " ".join(str(error).split()) or type(error).__name__


def megabytes(count: int) -> str:
    """A number of bytes for people, in the units in which disks are sold.

    Examples
    --------
    >>> megabytes(375_042_383), megabytes(512)
    ('375.0 MB', '0.0 MB')
    """
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.2f} GB"


def folder_size(folder: Path) -> int:
    """Bytes of all files in a folder; 0 if it does not exist."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def counted(count: int, noun: str) -> str:
    """A number of things for people.

    Examples
    --------
    >>> counted(1, "image"), counted(2, "mask")
    ('1 image', '2 masks')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def show_table(table: Table) -> None:
    """Write a table to standard output."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() else COLUMNS_WITHOUT_TERMINAL
    # Without markup: names and commands with brackets, as in "sam-plugins[napari]", stay whole.
    Console(file=sys.stdout, width=wide, markup=False, emoji=False).print(table)


class Bars:
    """Progress bars on standard error; none are drawn where that is not a terminal.

    Parameters
    ----------
    progress : rich.progress.Progress
        Where the bars are drawn.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def show(self, title: str, done: int, total: int | None) -> None:
        """Draw how much of something is done, on a bar of its own from the first call on.

        Parameters
        ----------
        title : str
            What is counted; calls with one title draw one bar.
        done, total : int
            How many there are; None where the total is unknown.
        """
        from rich.markup import escape

        if title not in self._tasks:
            self._tasks[title] = self._progress.add_task(escape(title), total=None)
        self._progress.update(self._tasks[title], completed=done, total=total or None)

    def hide(self, title: str) -> None:
        """Remove the bar of that title, if there is one."""
        if title in self._tasks:
            self._progress.remove_task(self._tasks.pop(title))


@contextmanager
def progress_bars(*, in_bytes: bool = False) -> Iterator[Bars]:
    """Draw progress bars on standard error while the block runs.

    Parameters
    ----------
    in_bytes : bool
        Count bytes, as for a download, and not things.

    Yields
    ------
    Bars
    """
    from rich import progress as parts
    from rich.console import Console

    console = Console(file=sys.stderr)
    count = parts.DownloadColumn() if in_bytes else parts.MofNCompleteColumn()
    with parts.Progress(
        parts.TextColumn("{task.description}"),
        parts.BarColumn(),
        count,
        parts.TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as drawn:
        yield Bars(drawn)
