"""``sam-plugins predict``: one prompt about one image, masks as PNG, one JSON object."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sam_plugins.cli import options
from sam_plugins.cli.predict_text import check_text, described, found_by_text, uses_tower
from sam_plugins.cli.usage import parse_box, parse_point, wrong_use

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sam_plugins.prediction import Prediction
    from sam_plugins.prompts import Prompt
    from sam_plugins.text.answers import TextAnswer


def predict(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The image file.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="MASK.png",
            help="Where the mask goes, as an 8-bit PNG of 0 and 255. If there are more, the second "
            "best goes to MASK_2.png and the third best to MASK_3.png.",
        ),
    ],
    point: Annotated[
        list[str] | None,
        typer.Option(
            "--point",
            "-p",
            metavar="X,Y[,LABEL]",
            help="A point on the object, or off it with the label 0. In pixels from the upper "
            "left corner. May be repeated.",
        ),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            "--box",
            "-b",
            metavar="X0,Y0,X1,Y1",
            help="A box around the object: left, top, right, bottom. May be repeated; all boxes "
            "and points describe one object.",
        ),
    ] = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            "--mask",
            metavar="FILE",
            help="A rough mask: an image of the same size whose pixels other than 0 are object.",
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            "--text",
            metavar="PHRASE",
            help="What to look for, such as 'the largest dark cell': all objects that match, the "
            "best first.",
        ),
    ] = None,
    text_encoder: Annotated[
        str,
        typer.Option(
            "--text-encoder",
            metavar="NAME|DIR",
            help="What understands the text: tower (built in, offline, few words), a CLIP or "
            "SigLIP of Hugging Face, or auto: the tower for lite, CLIP for larger models.",
        ),
    ] = "auto",
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            metavar="MODULE:FUNCTION",
            help="For --text: a function of your own that takes an RGB image (H, W, 3) and the "
            "text and gives boxes x0, y0, x1, y1.",
        ),
    ] = None,
    multimask: Annotated[
        bool | None,
        typer.Option(
            "--multimask/--single",
            help="Three candidate masks or one. By default three if the prompt is a single hint, "
            "which may be ambiguous, and one otherwise.",
            show_default=False,
        ),
    ] = None,
    model: options.Model = "lite",
    channels: options.Channels = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    page: Annotated[
        int, typer.Option("--page", metavar="N", min=0, help="Page of a TIFF, from 0.")
    ] = 0,
    no_cache: options.NoCache = False,
) -> None:
    """Segment one object that points, boxes or a rough mask show, or all that a text names.

    Prints one JSON object: the model, the image, and for each mask, best first, its file, the
    model's own estimate of its IoU, its area in pixels and its bounding box as x, y, width, height.
    After --text also how well each mask matches, and the way that was taken; there may be no mask.

    \b
    Examples:
      sam-plugins predict photo.jpg --point 120,80 --out mask.png
      sam-plugins predict photo.jpg --box 10,20,210,180 --point 60,60,0 --out mask.png
      sam-plugins predict cells.png --text "the largest dark cell" --out mask.png
    """
    if out.suffix.lower() != ".png":
        raise typer.BadParameter(f"{str(out)!r} must end in .png", param_hint="--out")
    # What can be told without loading anything is told first.
    prompt = _prompt(point or [], box or [], text)
    if prompt.empty and mask is None:
        raise typer.BadParameter("give at least one --point, --box, --mask or --text")
    tower = uses_tower(text_encoder, model)
    check_text(prompt, tower=tower, detector=detector, mask=mask)
    normalization = options.normalization_of(channels)
    from sam_plugins.errors import InvalidPromptError
    from sam_plugins.images import Planes, read_image

    pixels = Planes.loaded(read_image(image, page=page), normalization=normalization)
    if mask is not None:
        prompt = _with_mask(prompt, read_image(mask))
    with wrong_use():
        prompt.check_inside(pixels.layout.size)
    predictor = options.load_predictor(
        model, device=device, precision=precision, use_disk=not no_cache
    )
    if prompt.text is not None:
        found = found_by_text(
            predictor, pixels, prompt, normalization, encoder=text_encoder, detector=detector
        )
        told = {
            "model": predictor.model.name,
            "image": str(image),
            "text": prompt.text,
            "way": found.way,
            "masks": _write_found(found, out),
        }
        typer.echo(json.dumps(told))
        return
    embedding = predictor.embed(pixels, normalization=normalization)
    try:
        prediction = predictor.predict(embedding, prompt, multimask=multimask)
    except InvalidPromptError as error:
        raise typer.BadParameter(str(error)) from error
    answer = {
        "model": predictor.model.name,
        "image": str(image),
        "masks": _write_masks(prediction, out),
    }
    typer.echo(json.dumps(answer))


def _prompt(points: list[str], boxes: list[str], text: str | None) -> Prompt:
    """What was said, but for the mask. Each kind is tried by itself, to name the wrong option."""
    from sam_plugins.prompts import Prompt

    said: dict[str, Any] = {}
    with wrong_use("--point"):
        parsed = [parse_point(each) for each in points]
        said["points"] = [each[:2] for each in parsed]
        said["labels"] = [each[2] for each in parsed]
        Prompt(**said)
    with wrong_use("--box"):
        said["boxes"] = [parse_box(each) for each in boxes]
        Prompt(**said)
    with wrong_use("--text"):
        return Prompt(**said, text=text)


def _with_mask(prompt: Prompt, pixels: NDArray[Any]) -> Prompt:
    """The prompt and a mask of shape (H, W): where an image is not black, whatever its alpha."""
    from dataclasses import replace

    from sam_plugins.images import Normalization, to_rgb

    with wrong_use("--mask"):
        # Bool is exact: 0 stays 0, and all else becomes 255.
        rgb = to_rgb(pixels != 0, normalization=Normalization())
        return replace(prompt, mask=rgb.max(axis=-1) > 0)


def _write_masks(prediction: Prediction, out: Path) -> list[dict[str, Any]]:
    """Write all masks or, if one cannot be written, none; describe them, best first."""
    from sam_plugins.files import atomic_path

    told = []
    order = prediction.predicted_iou.argsort(kind="stable")[::-1]
    with ExitStack() as files:
        for rank, index in enumerate(order, start=1):
            path = out if rank == 1 else out.with_name(f"{out.stem}_{rank}{out.suffix}")
            mask = prediction.mask(int(index))
            _write_png(files.enter_context(atomic_path(path)), mask)
            told.append(
                {
                    "file": str(path),
                    "predicted_iou": round(float(prediction.predicted_iou[index]), 6),
                    "area": int(mask.sum()),
                    "bbox": _bounding_box(mask),
                }
            )
    return told


def _write_found(answer: TextAnswer, out: Path) -> list[dict[str, Any]]:
    """Write all objects that a text means or, if one cannot be written, none; the best first."""
    from sam_plugins.files import atomic_path

    told = []
    with ExitStack() as files:
        pairs = zip(answer.records, answer.scores, strict=True)
        for rank, (record, score) in enumerate(pairs, start=1):
            path = out if rank == 1 else out.with_name(f"{out.stem}_{rank}{out.suffix}")
            _write_png(files.enter_context(atomic_path(path)), record.mask())
            told.append({"file": str(path), **described(record, score)})
    return told


def _write_png(path: Path, mask: NDArray[np.bool_]) -> None:
    import numpy as np
    from PIL import Image

    Image.fromarray(mask.astype(np.uint8) * 255).save(path, format="PNG")


def _bounding_box(mask: NDArray[np.bool_]) -> list[int]:
    """x, y, width, height in pixels, as in COCO: one pixel has the width 1, none has 0."""
    from sam_plugins.masks.boxes import mask_to_box

    if not mask.any():
        return [0, 0, 0, 0]
    x0, y0, x1, y1 = (int(side) for side in mask_to_box(mask))
    return [x0, y0, x1 - x0 + 1, y1 - y0 + 1]
