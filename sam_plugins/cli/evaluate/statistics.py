"""``sam-plugins evaluate statistics``: what the masks of sets are like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sam_plugins.cli.evaluate import output
from sam_plugins.cli.terminal import progress_bars


def statistics(
    data: output.Data,
    more: output.More = None,
    images: Annotated[int, typer.Option(metavar="N", min=1, help="Images a set, at most.")] = 50,
    json_file: output.JsonFile = None,
    plot: output.PlotFile = None,
    centres: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw maps of masks' centres there.")
    ] = None,
) -> None:
    """Show how many masks sets have, how large, where, and how concave they are.

    \b
    Example:
      sam-plugins evaluate statistics --data sets/a sets/b --plot distributions.png
    """
    output.check_png(plot)
    output.check_png(centres, "--centres")
    from sam_plugins.evaluation.statistics import (
        draw_centres,
        draw_distributions,
        statistics_of,
        statistics_table,
    )

    sets = output.sets_of([*data, *(more or [])])
    found = {}
    with progress_bars() as bars:
        for name, folder in sets.items():
            found[name] = statistics_of(folder, images=images)
            bars.show("statistics", len(found), len(sets))
    settings = output.settings_of(None, images=images)
    output.show([statistics_table(found)], json_file=json_file, settings=settings)
    if plot is not None:
        output.write_png(plot, draw_distributions(found))
    if centres is not None:
        output.write_png(centres, draw_centres(found))
