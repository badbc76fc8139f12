"""``sam-plugins evaluate report``: everything that some sets allow, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sam_plugins.cli import options
from sam_plugins.cli.evaluate import output
from sam_plugins.cli.terminal import progress_bars, say
from sam_plugins.cli.usage import wrong_use


def report(
    data: Annotated[Path, typer.Option(metavar="DIR", help="A folder of sets.")],
    model: options.Model = "lite",
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE.html", help="The page to write.")
    ] = Path("evaluation.html"),
    objects: Annotated[
        int, typer.Option(metavar="N", min=1, help="Objects a set, for clicks and boxes.")
    ] = 20,
    edge_images: Annotated[int, typer.Option(metavar="N", min=1, help="Images, for edges.")] = 20,
    proposal_images: Annotated[
        int, typer.Option(metavar="N", min=1, help="Images a set, for proposals.")
    ] = 4,
    points_per_side: Annotated[
        int, typer.Option(metavar="N", min=1, help="Of the grid, for proposals; the paper has 64.")
    ] = 32,
    device: options.Device = "auto",
) -> None:
    """Measure everything that the data allow, and write one HTML page with the paper's figures.

    \b
    Example:
      sam-plugins evaluate report --data sets --model lite --out report.html
    """
    from sam_plugins.evaluation.plots import new_figure
    from sam_plugins.evaluation.report import Amount, find_sets, page_of, sections_of

    new_figure()  # before minutes are spent: tells if what draws is not installed
    with wrong_use("--data"):
        find_sets(data)
    amount = Amount(
        objects=objects,
        edge_images=edge_images,
        proposal_images=proposal_images,
        proposal_points=points_per_side,
    )
    predictor = options.load_predictor(model, device=device, use_disk=False)
    settings = output.settings_of(predictor, **vars(amount))
    sections = []
    with progress_bars() as bars:
        for section in sections_of(predictor, data, amount=amount, progress=bars.show):
            sections.append(section)
            # A run that is stopped leaves what was measured until then.
            output.write_text(out, page_of(sections, settings=settings))
            say(f"{section.title}: {'not measured' if section.missing else 'done'}")
    say(f"Wrote {out}")
