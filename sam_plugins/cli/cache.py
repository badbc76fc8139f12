"""``sam-plugins cache``: image embeddings and translated models on the disk."""

from __future__ import annotations

import typer

from sam_plugins.cli.terminal import folder_size, megabytes, say

cache = typer.Typer(
    rich_markup_mode=None,
)


@cache.callback(invoke_without_command=True)
def about(context: typer.Context) -> None:
    """Remove cached image embeddings and translated models.

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
    """Remove all image embeddings from the disk, and models translated for OpenVINO.

    Downloaded models stay.

    \b
    Example:
      sam-plugins cache clear
    """
    import shutil

    from sam_plugins.cache import EmbeddingCache
    from sam_plugins.checkpoints import translations_directory

    embeddings, translations = EmbeddingCache(), translations_directory()
    before, translated = embeddings.disk_usage(), folder_size(translations)
    embeddings.clear()
    if translations.exists():
        shutil.rmtree(translations)
    say(f"Removed {megabytes(before)} of embeddings, {megabytes(translated)} of translated models.")
