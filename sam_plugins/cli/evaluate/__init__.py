"""``sam-plugins evaluate``: how good a model is, measured on images with true masks."""

from __future__ import annotations

import typer

from sam_plugins.cli.evaluate.audits import ambiguity, fairness, geography, quality
from sam_plugins.cli.evaluate.edges import edges
from sam_plugins.cli.evaluate.objects import instances, proposals
from sam_plugins.cli.evaluate.prompts import prompts
from sam_plugins.cli.evaluate.report import report
from sam_plugins.cli.evaluate.statistics import statistics
from sam_plugins.cli.evaluate.text import text

COMMANDS = (
    prompts,
    edges,
    proposals,
    instances,
    ambiguity,
    quality,
    fairness,
    geography,
    statistics,
    text,
    report,
)

evaluate = typer.Typer(rich_markup_mode=None)
for command in COMMANDS:
    evaluate.command()(command)


@evaluate.callback(invoke_without_command=True)
def about(context: typer.Context) -> None:
    """Measure a model on images with true masks.

    \b
    Examples:
      sam-plugins evaluate prompts --data DIR --model lite
      sam-plugins evaluate report --data DIR --model lite
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)
