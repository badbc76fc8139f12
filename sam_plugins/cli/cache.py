"""``sam-plugins cache``: the image embeddings on the disk."""

from __future__ import annotations

import typer

from sam_plugins.cli.terminal import megabytes, say

cache = typer.Typer(
    rich_markup_mode=None,
)


@cache.callback(invoke_without_command=True)
def about(context: typer.Context) -> None:
    """Remove cached image embeddings.

    How much room they take is shown by sam-plugins info.

    \b
    Example:
      sam-plugins cache clear
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


@cache.command()
def clear() -> None:
    """Remove all image embeddings from the disk; models stay.

    \b
    Example:
      sam-plugins cache clear
    """
    from sam_plugins.cache import EmbeddingCache

    embeddings = EmbeddingCache()
    before = embeddings.disk_usage()
    embeddings.clear()
    say(f"Removed {megabytes(before)} of embeddings.")
