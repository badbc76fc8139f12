"""``sam-plugins evaluate prompts``: masks after clicks and boxes."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sam_plugins.cli import options
from sam_plugins.cli.evaluate import output
from sam_plugins.cli.terminal import progress_bars, say
from sam_plugins.cli.usage import wrong_use

if TYPE_CHECKING:
    from sam_plugins.evaluation.prompts import ObjectScores, Protocol
    from sam_plugins.evaluation.sets import Sample
    from sam_plugins.predictor import Predictor


def prompts(
    data: output.Data,
    more: output.More = None,
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
    random: Annotated[
        bool,
        typer.Option("--random", help="Click first anywhere on the object, not in its middle."),
    ] = False,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Scores of another model: a file of --json, or {set: {column: mean IoU}}. "
            "Prints how much each set gains.",
        ),
    ] = None,
    paper: Annotated[
        bool,
        typer.Option("--all", help="All objects of a set, or 10 000 if it has more than 15 000."),
    ] = False,
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
    output.check_png(picture, "--picture")
    protocol = _protocol(clicks, boxes=boxes, baselines=baselines)
    protocol = replace(protocol, random=random, seed=seed)
    other = None
    if compare is not None:
        from sam_plugins.evaluation.comparison import read_scores

        with wrong_use("--compare"):
            other = read_scores(compare)
    sets = output.sets_of([*data, *(more or [])])
    predictor = options.load_predictor(model, device=device, use_disk=False)
    from sam_plugins.evaluation.sets import paper_limits, read_set

    results, rows = {}, []
    for name, folder in sets.items():
        most, each = paper_limits(folder) if paper else (limit, None)
        samples = partial(read_set, folder, limit=most, each=each, seed=seed)
        scores = _measured(predictor, name, samples(), protocol, most)
        if not scores:
            say(f"Warning: {folder} has no object that is large enough")
            continue
        results[name] = scores
        if picture is not None:
            from sam_plugins.evaluation.pictures import panels_of

            rows.append((name, panels_of(predictor, samples(), scores, protocol=protocol)))
    if not results:
        raise typer.BadParameter("no set has an object that is large enough", param_hint="--data")
    from sam_plugins.evaluation.tables import json_of, markdown_of

    typer.echo(markdown_of(results), nl=False)
    if other is not None:
        from sam_plugins.evaluation.comparison import gain_table

        typer.echo("\n" + gain_table(results, other).markdown(), nl=False)
    if json_file is not None:
        settings = _settings(predictor, sets, protocol, limit=None if paper else limit)
        output.write_text(
            json_file, json.dumps(json_of(results, settings=settings), indent=2) + "\n"
        )
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


def _measured(
    predictor: Predictor, name: str, samples: Iterable[Sample], protocol: Protocol, limit: int
) -> list[ObjectScores]:
    from sam_plugins.evaluation.prompts import measure

    scores = []
    with progress_bars() as bars:
        for each in measure(predictor, samples, protocol=protocol):
            scores.append(each)
            bars.show(name, len(scores), limit)
    return scores


def _settings(
    predictor: Predictor, sets: dict[str, Path], protocol: Protocol, *, limit: int | None
) -> dict[str, Any]:
    """All that a score depends on but the images, as JSON holds it."""
    from dataclasses import asdict

    from sam_plugins.evaluation.boundaries import TOLERANCE

    return output.settings_of(
        predictor,
        data={name: str(folder) for name, folder in sets.items()},
        **asdict(protocol),
        limit=limit,
        boundary_tolerance=TOLERANCE,
    )


def _draw(path: Path, rows: list[tuple[str, list[Any]]]) -> None:
    from sam_plugins.evaluation.pictures import sheet_of
    from sam_plugins.files import atomic_path

    with atomic_path(path) as temporary:
        sheet_of(rows).save(temporary, format="PNG")
