"""``sam-plugins validate``: is a dataset in SA-1B's layout whole?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sam_plugins.cli.terminal import counted, say


def validate(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="A folder in SA-1B's layout, or a tar file.")
    ],
) -> None:
    """Read every image and every mask of a dataset, and name those that are damaged.

    The exit code is 1 if there is one: a truncated or malformed JSON file, an image that is missing
    or cannot be read, a mask of another size or with another area than it says.

    \b
    Example:
      sam-plugins validate dataset/
    """
    if not data.exists():
        raise typer.BadParameter(f"there is nothing at {data}", param_hint="DATA")
    from sam_plugins.datasets.sa1b_check import check_sa1b

    found = check_sa1b(data)
    for problem in found.problems:
        say(f"Error: {problem}")
    say(
        f"{counted(found.images, 'image')} with {counted(found.masks, 'mask')} whole, "
        f"{len(found.problems)} damaged: {data}"
    )
    if found.problems:
        raise typer.Exit(1)
