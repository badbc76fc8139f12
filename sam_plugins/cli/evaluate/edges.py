"""``sam-plugins evaluate edges``: zero-shot edge detection."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sam_plugins.cli import options
from sam_plugins.cli.evaluate import output
from sam_plugins.cli.terminal import progress_bars
from sam_plugins.cli.usage import wrong_use

if TYPE_CHECKING:
    from sam_plugins.evaluation.edges.curves import Counts
    from sam_plugins.predictor import Predictor

_SOURCES = ("model", "canny", "sobel", "people")


def edges(
    data: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="A folder with index.json: images, and people's edges (.npz)."
        ),
    ],
    model: options.Model = "lite",
    of: Annotated[
        str,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="Whose edges: model, canny, sobel, people (each against all others).",
        ),
    ] = ",".join(_SOURCES),
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Images, at most; evenly chosen.")
    ] = None,
    thresholds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Thresholds of edge maps; 33 are faster.")
    ] = 99,
    points_per_side: Annotated[
        int, typer.Option(metavar="N", min=1, help="Of the model's grid of points.")
    ] = 16,
    processes: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="That compare; by default one a core.")
    ] = None,
    json_file: output.JsonFile = None,
    plot: output.PlotFile = None,
    device: options.Device = "auto",
) -> None:
    """Measure edges against people's, as on BSDS500: ODS, OIS, AP and R50.

    Edge pixels are matched one to one within 0.75 % of the image's diagonal.

    \b
    Examples:
      sam-plugins evaluate edges --data bsds500
      sam-plugins evaluate edges --data bsds500 --of canny,sobel --limit 20 --thresholds 33
    """
    output.check_png(plot)
    sources = [part.strip() for part in of.split(",")]
    for source in sources:
        if source not in _SOURCES:
            raise typer.BadParameter(
                f"{source!r} is none of {', '.join(_SOURCES)}", param_hint="--of"
            )
    from sam_plugins.evaluation.edges import edge_table, read_edge_set

    with wrong_use("--data"):
        next(read_edge_set(data, limit=1), None)
    predictor = None
    if "model" in sources:
        predictor = options.load_predictor(model, device=device, use_disk=False)
    counted = _counted(sources, predictor, data, limit, thresholds, points_per_side, processes)
    counted = {model if name == "model" else name: each for name, each in counted.items()}
    settings = output.settings_of(
        predictor, data=str(data), limit=limit, thresholds=thresholds, points=points_per_side
    )
    output.show([edge_table(counted)], json_file=json_file, settings=settings)
    if plot is not None:
        from sam_plugins.evaluation.plots import precision_recall

        output.write_png(plot, precision_recall(counted))


def _counted(
    sources: Sequence[str],
    predictor: Predictor | None,
    data: Path,
    limit: int | None,
    thresholds: int,
    points_per_side: int,
    processes: int | None,
) -> dict[str, list[Counts]]:
    from sam_plugins.evaluation.edges import measure_source

    found: dict[str, list[Counts]] = {}
    for source in sources:
        steps = measure_source(
            source,
            data,
            predictor=predictor,
            limit=limit,
            thresholds=thresholds,
            points_per_side=points_per_side,
            processes=processes or os.cpu_count() or 1,
        )
        found[source] = []
        with progress_bars() as bars:
            for _, counts in steps:
                found[source].append(counts)
                bars.show(f"edges: {source}", len(found[source]), None)
    return found
