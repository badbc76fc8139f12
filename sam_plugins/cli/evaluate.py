"""``sam-plugins evaluate``: how good a model is, measured on images with true masks."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sam_plugins.cli import options
from sam_plugins.cli.evaluate_text import text
from sam_plugins.cli.terminal import progress_bars, say
from sam_plugins.cli.usage import wrong_use

if TYPE_CHECKING:
    from sam_plugins.evaluation.prompts import ObjectScores, Protocol
    from sam_plugins.predictor import Predictor

evaluate = typer.Typer(rich_markup_mode=None)
evaluate.command()(text)


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


@evaluate.command()
def prompts(
    data: Annotated[
        list[Path],
        typer.Option(
            "--data",
            metavar="DIR",
            help="A set: a folder with index.json or volume.npz. May be repeated, and further "
            "folders may follow it.",
        ),
    ],
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="DIR", help="Further sets.", show_default=False)
    ] = None,
    model: options.Model = "lite",
    clicks: Annotated[
        str,
        typer.Option(metavar="N[,N...]", help="After how many clicks masks are measured."),
    ] = "1,3,5",
    boxes: Annotated[
        bool, typer.Option("--boxes/--no-boxes", help="Also measure masks of tight boxes.")
    ] = True,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Also measure what needs no model: flood fill and random walk from the click, "
            "ellipse, box and GrabCut in the box.",
        ),
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write everything there, object by object."),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help="Draw the best, the median and the worst object of each set there.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Objects a set, at most.")] = 60,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the choice of objects.")] = 0,
    device: options.Device = "auto",
) -> None:
    """Measure masks after clicks and boxes: mean IoU, Dice and boundary F-score of each set.

    The first click is in the middle of the object, each further one in the middle of the largest
    error; boxes are tight. Prints Markdown tables.

    \b
    Examples:
      sam-plugins evaluate prompts --data DIR --model lite
      sam-plugins evaluate prompts --data sets/a sets/b --clicks 1,2,5 --json scores.json
      sam-plugins evaluate prompts --data DIR --baselines --picture objects.png
    """
    if picture is not None and picture.suffix.lower() != ".png":
        raise typer.BadParameter(f"{str(picture)!r} must end in .png", param_hint="--picture")
    protocol = _protocol(clicks, boxes=boxes, baselines=baselines)
    sets = _sets([*data, *(more or [])])
    predictor = options.load_predictor(model, device=device, use_disk=False)
    results, rows = {}, []
    for name, folder in sets.items():
        scores = _measured(predictor, name, folder, protocol, limit, seed)
        if not scores:
            say(f"Warning: {folder} has no object that is large enough")
            continue
        results[name] = scores
        if picture is not None:
            rows.append((name, _panels(predictor, folder, scores, protocol, limit, seed)))
    if not results:
        raise typer.BadParameter("no set has an object that is large enough", param_hint="--data")
    from sam_plugins.evaluation.tables import json_of, markdown_of

    typer.echo(markdown_of(results), nl=False)
    if json_file is not None:
        settings = _settings(predictor, sets, protocol, limit=limit, seed=seed)
        _write(json_file, json.dumps(json_of(results, settings=settings), indent=2) + "\n")
    if picture is not None:
        _draw(picture, rows)


def _protocol(clicks: str, *, boxes: bool, baselines: bool) -> Protocol:
    """What is measured; refuses wrong numbers, and baselines without OpenCV."""
    try:
        counts = tuple(int(part) for part in clicks.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"{clicks!r} is not N or N,N,..., for example 1,3,5", param_hint="--clicks"
        ) from None
    from sam_plugins.evaluation.baselines import opencv
    from sam_plugins.evaluation.prompts import Protocol

    with wrong_use("--clicks"):
        protocol = Protocol(counts, boxes=boxes, baselines=baselines)
    if baselines and boxes:
        opencv()
    return protocol


def _sets(folders: Sequence[Path]) -> dict[str, Path]:
    """The sets by name: the folder's own, or its path where two have the same."""
    from sam_plugins.evaluation.sets import read_set

    names = [folder.resolve().name for folder in folders]
    sets = {}
    for name, folder in zip(names, folders, strict=True):
        with wrong_use("--data"):
            # Told before a model is loaded: the folder is not a set.
            next(read_set(folder, limit=1), None)
        sets[name if names.count(name) == 1 else str(folder)] = folder
    return sets


def _measured(
    predictor: Predictor, name: str, folder: Path, protocol: Protocol, limit: int, seed: int
) -> list[ObjectScores]:
    from sam_plugins.evaluation.prompts import measure
    from sam_plugins.evaluation.sets import read_set

    scores = []
    with progress_bars() as bars:
        for each in measure(predictor, read_set(folder, limit=limit, seed=seed), protocol=protocol):
            scores.append(each)
            bars.show(name, len(scores), limit)
    return scores


def _panels(
    predictor: Predictor,
    folder: Path,
    scores: list[ObjectScores],
    protocol: Protocol,
    limit: int,
    seed: int,
) -> list[Any]:
    from sam_plugins.evaluation.pictures import panels_of
    from sam_plugins.evaluation.sets import read_set

    samples = read_set(folder, limit=limit, seed=seed)
    return panels_of(predictor, samples, scores, protocol=protocol)


def _settings(
    predictor: Predictor, sets: dict[str, Path], protocol: Protocol, *, limit: int, seed: int
) -> dict[str, Any]:
    """All that a score depends on but the images, as JSON holds it."""
    from dataclasses import asdict

    from sam_plugins import __version__
    from sam_plugins.evaluation.boundaries import TOLERANCE

    return {
        "version": __version__,
        "model": predictor.model.name,
        "weights": predictor.weights_hash,
        "precision": predictor.precision,
        "device": str(predictor.device),
        "data": {name: str(folder) for name, folder in sets.items()},
        **asdict(protocol),
        "limit": limit,
        "seed": seed,
        "boundary_tolerance": TOLERANCE,
    }


def _write(path: Path, text: str) -> None:
    from sam_plugins.files import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _draw(path: Path, rows: list[tuple[str, list[Any]]]) -> None:
    from sam_plugins.evaluation.pictures import sheet_of
    from sam_plugins.files import atomic_path

    with atomic_path(path) as temporary:
        sheet_of(rows).save(temporary, format="PNG")
