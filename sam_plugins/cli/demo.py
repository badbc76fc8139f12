"""``sam-plugins demo``: real photographs and micrographs, segmented offline."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sam_plugins.cli import options
from sam_plugins.cli.contact_sheet import Picture, Row, contact_sheet
from sam_plugins.cli.examples import EXAMPLES, Example, draw_prompt, image_folder
from sam_plugins.cli.terminal import progress_bars, say, show_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sam_plugins.masks.records import MaskRecord
    from sam_plugins.predictor import Predictor

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Shown:
    """What one example gave.

    Parameters
    ----------
    example : Example
        The example.
    image_size : tuple of int
        (H, W), in pixels.
    records : list of MaskRecord
        The automatic masks.
    prompted_iou : float
        The model's own estimate of the prompted mask's IoU.
    embed_seconds, automatic_seconds, prompt_seconds : float
        Times for encoding, for all automatic masks once it is encoded, and for the prompt.
    """

    example: Example
    image_size: tuple[int, int]
    records: list[MaskRecord]
    prompted_iou: float
    embed_seconds: float
    automatic_seconds: float
    prompt_seconds: float


def demo(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="The folder for the results.")
    ] = Path("sam-plugins-demo"),
    model: options.Model = "lite",
    points_per_side: Annotated[
        int, typer.Option(metavar="N", min=1, help="Each image is prompted at N x N points.")
    ] = 16,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
) -> None:
    """Segment real photographs and micrographs, offline.

    The images ship inside scikit-image. For each, all masks are found automatically and one object
    is prompted. DIR/index.html shows everything; DIR/instances.json holds the masks in COCO's form.

    \b
    Examples:
      sam-plugins demo
      sam-plugins demo --out results --model vit_b
    """
    predictor = options.load_predictor(model, device=device, precision=precision, use_disk=False)
    say(f"{len(EXAMPLES)} images with {predictor.model.name} on {predictor.device}")
    began = time.perf_counter()
    _warm_up(predictor)
    shown = []
    with progress_bars() as bars:
        for count, example in enumerate(EXAMPLES):
            bars.show("Images", count, len(EXAMPLES))
            progress = partial(bars.show, f"Points of {example.name}")
            shown.append(_show(predictor, example, out, points_per_side, progress))
            bars.hide(f"Points of {example.name}")
    seconds = time.perf_counter() - began
    masks = sum(len(each.records) for each in shown)
    _write_coco(shown, out / "instances.json")
    _write_sheet(
        shown,
        out / "index.html",
        f"Model {predictor.model.name} on {predictor.device}, {predictor.precision}: {masks} masks "
        f"in {len(shown)} images, {points_per_side} x {points_per_side} points each, in "
        f"{seconds:.0f} s.",
    )
    _print_table(shown)
    say(f"{masks} masks in {len(shown)} images in {seconds:.1f} s: open {out / 'index.html'}")


def _show(
    predictor: Predictor, example: Example, out: Path, points_per_side: int, progress: Progress
) -> Shown:
    """Segment one example and write its pictures."""
    from sam_plugins.automatic import AutomaticSettings, generate
    from sam_plugins.images import read_image, to_rgb
    from sam_plugins.masks.overlay import overlay, write_overlay

    pixels = to_rgb(read_image(image_folder() / example.file))
    settings = AutomaticSettings.for_model(predictor.model)
    settings = replace(settings, points_per_side=points_per_side)
    prompt = example.prompt()
    began = time.perf_counter()
    embedding = predictor.embed(pixels)
    embedded = time.perf_counter()
    records = generate(predictor, embedding, settings=settings, progress=progress)
    generated = time.perf_counter()
    prediction = predictor.predict(embedding, prompt)
    mask = prediction.best_mask
    prompted = time.perf_counter()

    folder = out / example.name
    _save(folder / "image.png", pixels)
    write_overlay(folder / "automatic.png", pixels, records)
    _save(folder / "prompted.png", draw_prompt(overlay(pixels, [mask]), prompt))
    return Shown(
        example=example,
        image_size=embedding.frame.image_size,
        records=records,
        prompted_iou=float(prediction.predicted_iou[prediction.best]),
        embed_seconds=embedded - began,
        automatic_seconds=generated - embedded,
        prompt_seconds=prompted - generated,
    )


def _save(path: Path, picture: NDArray[Any]) -> None:
    from PIL import Image

    from sam_plugins.files import atomic_path

    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary)


def _warm_up(predictor: Predictor) -> None:
    """Compile the kernels and touch the weights, so that the first image's times are its own."""
    import numpy as np

    from sam_plugins.automatic import AutomaticSettings, generate
    from sam_plugins.masks.streaming import prepare

    prepare()
    settings = AutomaticSettings(points_per_side=1, pred_iou_thresh=0, stability_score_thresh=0)
    generate(predictor, np.zeros((16, 16, 3), dtype=np.uint8), settings=settings)


def _write_coco(shown: Sequence[Shown], path: Path) -> None:
    from sam_plugins.datasets.annotations import AnnotatedImage
    from sam_plugins.datasets.coco import write_coco

    write_coco(
        path,
        [
            AnnotatedImage.from_records(
                f"{each.example.name}/image.png", each.image_size, each.records
            )
            for each in shown
        ],
    )


def _write_sheet(shown: Sequence[Shown], path: Path, text: str) -> None:
    from sam_plugins.files import atomic_path

    rows = [
        Row(
            title=each.example.subject,
            text=f"{each.image_size[1]} x {each.image_size[0]} pixels, encoded in "
            f"{each.embed_seconds:.2f} s",
            pictures=(
                Picture(f"{each.example.name}/image.png", each.example.file),
                Picture(
                    f"{each.example.name}/automatic.png",
                    f"{len(each.records)} masks found automatically in "
                    f"{each.automatic_seconds:.1f} s",
                ),
                Picture(
                    f"{each.example.name}/prompted.png",
                    f"{each.example.target}, prompted by {each.example.hint} in "
                    f"{1000 * each.prompt_seconds:.0f} ms; estimated IoU {each.prompted_iou:.2f}",
                ),
            ),
        )
        for each in shown
    ]
    with atomic_path(path) as temporary:
        temporary.write_text(contact_sheet("sam-plugins demo", text, rows), encoding="utf-8")


def _print_table(shown: Sequence[Shown]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD)
    table.add_column("Image")
    for heading in ("Width", "Height", "Encode, s", "Masks", "in s", "One prompt, ms"):
        table.add_column(heading, justify="right")
    table.add_column("Prompted")
    for each in shown:
        table.add_row(
            each.example.name,
            str(each.image_size[1]),
            str(each.image_size[0]),
            f"{each.embed_seconds:.2f}",
            str(len(each.records)),
            f"{each.automatic_seconds:.1f}",
            f"{1000 * each.prompt_seconds:.0f}",
            f"{each.example.target}, by {each.example.hint}",
        )
    show_table(table)
