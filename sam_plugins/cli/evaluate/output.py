"""What the commands of ``sam-plugins evaluate`` have in common: their options and their output."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sam_plugins.cli.usage import wrong_use

if TYPE_CHECKING:
    from sam_plugins.evaluation.rendering import Table
    from sam_plugins.predictor import Predictor

Data = Annotated[
    list[Path],
    typer.Option(
        "--data",
        metavar="DIR",
        help="A set: a folder with index.json or volume.npz. May be repeated, and further "
        "folders may follow it.",
    ),
]
More = Annotated[
    list[Path] | None, typer.Argument(metavar="DIR", help="Further sets.", show_default=False)
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write everything there as JSON.")
]
PlotFile = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw a plot there.")
]


def write_text(path: Path, text: str) -> None:
    """Write a file of text, whole or not at all."""
    from sam_plugins.files import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_png(path: Path, png: bytes) -> None:
    """Write the bytes of a picture, whole or not at all."""
    from sam_plugins.files import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_bytes(png)


def check_png(path: Path | None, hint: str = "--plot") -> None:
    """Refuse a name of a picture that does not end in .png.

    Raises
    ------
    typer.BadParameter
        Names the option.
    """
    if path is not None and path.suffix.lower() != ".png":
        raise typer.BadParameter(f"{str(path)!r} must end in .png", param_hint=hint)


def show(
    tables: Sequence[Table],
    *,
    json_file: Path | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Print tables as Markdown, and write them as JSON if a file is given.

    Parameters
    ----------
    tables : sequence of Table
        In order.
    json_file : path, optional
        Where.
    settings : mapping, optional
        With what was measured.
    """
    typer.echo("\n".join(table.markdown() for table in tables), nl=False)
    if json_file is not None:
        content = {
            "settings": dict(settings or {}),
            "tables": [table.as_dict() for table in tables],
        }
        write_text(json_file, json.dumps(content, indent=2) + "\n")


def settings_of(predictor: Predictor | None, **further: Any) -> dict[str, Any]:
    """What figures depend on: the version, the weights, and what else is given."""
    from sam_plugins import __version__

    known: dict[str, Any] = {"version": __version__}
    if predictor is not None:
        known |= {
            "model": predictor.model.name,
            "weights": predictor.weights_hash,
            "precision": predictor.precision,
            "device": str(predictor.device),
        }
    return known | further


def sets_of(folders: Sequence[Path]) -> dict[str, Path]:
    """The sets by name: the folder's own, or its path where two have the same.

    Raises
    ------
    typer.BadParameter
        If a folder is not a set; told before a model is loaded.
    """
    from sam_plugins.evaluation.sets import read_set

    names = [folder.resolve().name for folder in folders]
    sets = {}
    for name, folder in zip(names, folders, strict=True):
        with wrong_use("--data"):
            next(read_set(folder, limit=1), None)
        sets[name if names.count(name) == 1 else str(folder)] = folder
    return sets
