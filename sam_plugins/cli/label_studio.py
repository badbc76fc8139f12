"""``sam-plugins label-studio``: Label Studio's projects, from the command line."""

from __future__ import annotations

import typer

from sam_plugins.cli.label_studio_doctor import doctor
from sam_plugins.cli.label_studio_preannotate import preannotate
from sam_plugins.cli.label_studio_sample import sample
from sam_plugins.cli.label_studio_serve import serve
from sam_plugins.cli.label_studio_train import train

label_studio = typer.Typer(rich_markup_mode=None)
label_studio.command()(serve)
label_studio.command()(doctor)
label_studio.command()(preannotate)
label_studio.command()(train)
label_studio.command()(sample)


@label_studio.callback(invoke_without_command=True)
def about(context: typer.Context) -> None:
    """Serve Label Studio; find out why clicks give no masks; annotate whole projects.

    \b
    Example:
      sam-plugins label-studio serve --port 9090
      sam-plugins label-studio doctor --url http://localhost:8080 --project 3
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)
