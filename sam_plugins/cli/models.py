"""``sam-plugins models``: which models there are, and downloading them."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from sam_plugins.cli.terminal import megabytes, progress_bars, show_table

models = typer.Typer(rich_markup_mode=None)


@models.callback(invoke_without_command=True)
def list_all(context: typer.Context) -> None:
    """List the models, or download one beforehand.

    \b
    Examples:
      sam-plugins models
      sam-plugins models download vit_b
    """
    if context.invoked_subcommand is not None:
        return
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from sam_plugins.checkpoints import list_models

    table = Table("Name", "Size", "Licence", "Present", "Description", box=SIMPLE_HEAD)
    for entry in list_models():
        size = "?" if entry.size is None else megabytes(entry.size)
        present = "yes" if entry.present else "no"
        table.add_row(entry.name, size, entry.licence, present, entry.description)
    show_table(table)


@models.command()
def download(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of the listed names.")],
) -> None:
    """Download a model and check it, so that it can be used offline.

    The file's path is printed.

    \b
    Example:
      sam-plugins models download vit_b
    """
    from sam_plugins.checkpoints import REGISTRY
    from sam_plugins.checkpoints import download as fetch

    if name not in REGISTRY:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(REGISTRY)}", param_hint="NAME")
    with progress_bars(in_bytes=True) as bars:
        path = fetch(name, progress=partial(bars.show, f"Downloading {name}"))
    typer.echo(path)
