"""``sam-plugins convert``: annotations from one format into another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sam_plugins.cli.terminal import counted, say
from sam_plugins.cli.usage import wrong_use
from sam_plugins.datasets.formats import Format


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="A COCO, SA-1B or GeoJSON file, a label image, or a folder of SA-1B files, of "
            "GeoJSON files or of label images.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="A file, whose suffix tells the format (.json is COCO), or without a suffix a "
            "folder with a file an image.",
        ),
    ],
    chosen: Annotated[
        Format | None,
        typer.Option(
            "--format",
            "-f",
            metavar="coco|sa1b|geojson|labels",
            help="What is written.  [default: by OUT's suffix; sa1b for a folder]",
            show_default=False,
        ),
    ] = None,
    polygons: Annotated[
        bool,
        typer.Option("--polygons", help="In COCO files, polygons for objects without holes."),
    ] = False,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH",
            help="The image's size in pixels, for GeoJSON from QuPath, which does not tell it.",
        ),
    ] = None,
) -> None:
    """Turn annotations from one format into another, pixel by pixel the same.

    Classes, scores and numbers are kept where the other format has a place for them. In label
    images, where objects cannot overlap, smaller ones are on top.

    \b
    Examples:
      sam-plugins convert cells.labels.tif cells.geojson
      sam-plugins convert masks/ instances.json --polygons
      sam-plugins convert instances.json masks --format labels
    """
    from sam_plugins.datasets.annotations import group_stacks
    from sam_plugins.datasets.formats import format_to_write, read_annotations, write_annotations

    with wrong_use():
        image_size = None if size is None else _parse_size(size)
        chosen = format_to_write(out) if chosen is None else chosen
    if not source.exists():
        raise typer.BadParameter(f"there is nothing at {source}", param_hint="IN")
    images = read_annotations(source, image_size=image_size)
    written = write_annotations(out, images, format=chosen, polygons=polygons)
    objects = counted(sum(len(image.objects) for image in images), "object")
    files = "" if len(written) == 1 else f" in {len(written)} files"
    say(f"{objects} of {counted(len(group_stacks(images)), 'image')}{files}: {out}")


def _parse_size(text: str) -> tuple[int, int]:
    """(H, W) of what was given as WxH.

    Examples
    --------
    >>> _parse_size("640x480")
    (480, 640)
    """
    try:
        width, height = (int(part) for part in text.lower().split("x"))
    except ValueError:
        width = height = 0
    if width < 1 or height < 1:
        raise ValueError(f"{text!r} is not WxH, for example 2048x1536")
    return height, width
