"""``sam-plugins segment``: all masks of many images."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sam_plugins.cli import options
from sam_plugins.cli.batch import Batch
from sam_plugins.cli.inputs import find_images, no_images
from sam_plugins.cli.results import Format, ResultFolder
from sam_plugins.cli.terminal import say
from sam_plugins.cli.usage import wrong_use

if TYPE_CHECKING:
    from sam_plugins.automatic import AutomaticSettings
    from sam_plugins.images import Normalization
    from sam_plugins.predictor import Predictor

_DEFAULT_FORMATS = (Format.COCO, Format.OVERLAY)


def segment(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH", help="Image files, and folders, which are searched recursively."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="The folder for the results.")
    ],
    model: options.Model = "lite",
    formats: Annotated[
        list[Format] | None,
        typer.Option(
            "--format",
            "-f",
            metavar="coco|sa1b|labels|overlay",
            help="May be repeated. coco: one instances.json for all images. "
            "sa1b: a JSON file an image. labels: a label image each. "
            "overlay: a picture each.  [default: coco and overlay]",
            show_default=False,
        ),
    ] = None,
    points_per_side: Annotated[
        int | None,
        typer.Option(metavar="N", help="The image is prompted at N x N points.  [default: 32]"),
    ] = None,
    pred_iou_thresh: Annotated[
        float | None,
        typer.Option(
            metavar="F",
            help="Keep masks whose IoU the model estimates above F.  [default: the model's own]",
        ),
    ] = None,
    stability_score_thresh: Annotated[
        float | None,
        typer.Option(
            metavar="F",
            help="Keep masks at least this insensitive to the threshold, 0 to 1.  "
            "[default: the model's own]",
        ),
    ] = None,
    crop_layers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Look closer as well: layer i cuts the image into 2^i x 2^i crops.  [default: 0]",
        ),
    ] = None,
    channels: options.Channels = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Skip images that an earlier run has completed."),
    ] = False,
    no_cache: options.NoCache = False,
) -> None:
    """Find all masks of many images.

    Results are named after the image's path below the folder that all given paths have in common:
    photos/x/a.png gives DIR/x/a.png.overlay.png, and page 3 (from 0) of b.tif gives
    DIR/b.tif.p0003.labels.tif. A file that cannot be read is reported and skipped; the rest is
    done, and the exit code is 1.

    \b
    Examples:
      sam-plugins segment photo.jpg stack.tif --out masks
      sam-plugins segment photos/ --out masks --format coco --format labels
      sam-plugins segment photos/ --out masks --resume
    """
    changes = {
        "points_per_side": points_per_side,
        "pred_iou_thresh": pred_iou_thresh,
        "stability_score_thresh": stability_score_thresh,
        "crop_n_layers": crop_layers,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    _check(given)
    normalization = options.normalization_of(channels)
    images = find_images(paths)
    if not images:
        raise no_images(paths)
    predictor = options.load_predictor(
        model, device=device, precision=precision, use_disk=not no_cache
    )
    settings = _settings(predictor, given)
    folder = ResultFolder(
        folder=out,
        formats=tuple(dict.fromkeys(formats or _DEFAULT_FORMATS)),
        made_with=_made_with(predictor, settings, normalization),
    )
    batch = Batch(
        predictor=predictor,
        settings=settings,
        normalization=normalization,
        folder=folder,
        resume=resume,
    )
    began = time.perf_counter()
    try:
        tally = batch.run(images)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "Interrupted: complete images are kept, the same command with --resume goes on."
        ) from None
    say(f"{tally} in {time.perf_counter() - began:.1f} s: {out}")
    if tally.failed:
        raise typer.Exit(1)


def _check(changes: Mapping[str, Any]) -> None:
    """Refuse wrong settings before anything is loaded."""
    from sam_plugins.automatic import AutomaticSettings

    with wrong_use():
        for name, value in changes.items():
            if not math.isfinite(value):
                raise ValueError(f"{name} must be a finite number, got {value}")
        AutomaticSettings(**changes)


def _settings(predictor: Predictor, changes: Mapping[str, Any]) -> AutomaticSettings:
    from sam_plugins.automatic import AutomaticSettings

    return replace(AutomaticSettings.for_model(predictor.model), **changes)


def _made_with(
    predictor: Predictor, settings: AutomaticSettings, normalization: Normalization
) -> dict[str, Any]:
    """All that a mask depends on but the image, as JSON holds it."""
    from sam_plugins import __version__

    return {
        "version": __version__,
        "model": predictor.model.name,
        "weights": predictor.weights_hash,
        "precision": predictor.precision,
        "normalization": normalization.key(),
        "settings": asdict(settings),
    }
