"""``sam-plugins evaluate``: how good a model is, measured on images with true masks."""

from __future__ import annotations

import typer

from sam_plugins.cli.evaluate.edges import edges
from sam_plugins.cli.evaluate.prompts import prompts

evaluate = typer.Typer(rich_markup_mode=None)
for command in (prompts, edges):
    evaluate.command()(command)


@evaluate.callback(invoke_without_command=True)
def about(context: typer.Context) -> None:
    """Measure a model on images with true masks.

    \b
    Example:
      sam-plugins evaluate prompts --data DIR --model lite
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)
