"""A picture of what was measured: of each set the best, the median and the worst object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sam_plugins.evaluation.boundaries import boundary_of
from sam_plugins.evaluation.clicks import box_of
from sam_plugins.evaluation.prompts import ObjectScores, Protocol, clicked, column_of, first_click
from sam_plugins.evaluation.sets import Sample
from sam_plugins.predictor import Predictor
from sam_plugins.prompts import Prompt

# In pixels: a panel's side, the line of text above it, the space between panels.
SIDE, LINE, GAP = 208, 18, 8
# The crop is the object's box and this much of its longer side on each of its sides.
MARGIN = 0.5
LEAST_CROP = 48

_PAPER, _INK = (255, 255, 255), (20, 20, 20)
# Blue for what was predicted, and yellow for the truth, differ for all kinds of colour vision; so
# do a white dot on the object and a black one off it.
_PREDICTED, _TRUTH, _BOX = (30, 110, 255), (255, 214, 0), (255, 255, 255)


@dataclass(frozen=True, eq=False)
class Panel:
    """One object as it is shown.

    Parameters
    ----------
    caption : str
        Stands above the picture; ASCII.
    picture : ndarray of shape (SIDE, SIDE, 3), uint8
        RGB.
    """

    caption: str
    picture: NDArray[np.uint8]


def chosen(scores: Sequence[ObjectScores], column: str) -> dict[str, ObjectScores]:
    """Choose the best, the median and the worst object of a set.

    Parameters
    ----------
    scores : sequence of ObjectScores
        At least one.
    column : str
        The IoU of which mask decides.

    Returns
    -------
    dict of str to ObjectScores
        ``"best"``, ``"median"`` and ``"worst"``; the same object more than once if there are fewer
        than three.
    """
    ranked = sorted(scores, key=lambda each: -each.masks[column].iou)
    return {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}


def panels_of(
    predictor: Predictor,
    samples: Iterable[Sample],
    scores: Sequence[ObjectScores],
    *,
    protocol: Protocol,
) -> list[Panel]:
    """Show the best, the median and the worst object of a set.

    Parameters
    ----------
    predictor : Predictor
        The model that was measured. It is asked again for these objects, because keeping the masks
        of all objects would take much memory.
    samples : iterable of Sample
        The same images and objects that were measured.
    scores : sequence of ObjectScores
        What `measure` gave for them; at least one.
    protocol : Protocol
        The same one.

    Returns
    -------
    list of Panel
        Three for the fewest clicks; if boxes were measured, three more for them.
    """
    columns = [column_of(protocol.clicks[0]), *(["box"] if protocol.boxes else [])]
    places = [
        (rank, column, each) for column in columns for rank, each in chosen(scores, column).items()
    ]
    wanted = {each.image for _, _, each in places}
    kept = {sample.name: sample for sample in samples if sample.name in wanted}
    return [
        Panel(
            f"{column} {rank}: IoU {each.masks[column].iou:.2f}",
            _show(
                predictor,
                kept[each.image],
                each.index,
                0 if column == "box" else protocol.clicks[0],
                protocol,
            ),
        )
        for rank, column, each in places
    ]


def _show(
    predictor: Predictor, sample: Sample, index: int, clicks: int, protocol: Protocol
) -> NDArray[np.uint8]:
    """One object with its mask after some clicks, or after a box if there are none."""
    embedding, truth = predictor.embed(sample.image), sample.masks[index]
    if clicks:
        first = first_click(truth & ~sample.ignore, index, protocol)
        steps = clicked(predictor, embedding, sample, truth, first=first)
        prompt, prediction = next(islice(steps, clicks - 1, None))
    else:
        prompt = Prompt(boxes=np.array([box_of(truth)]))
        prediction = predictor.predict(embedding, prompt, multimask=True)
    return draw(sample.image, truth, prediction.best_mask, prompt)


def draw(
    image: NDArray[np.uint8],
    truth: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    prompt: Prompt,
) -> NDArray[np.uint8]:
    """Draw a crop around an object, with the truth, the mask that was predicted and the prompt.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    truth, predicted : ndarray of shape (H, W), bool
        The first becomes a yellow outline, the second blue.
    prompt : Prompt
        Points become dots, white on the object and black off it; boxes become white lines.

    Returns
    -------
    ndarray of shape (SIDE, SIDE, 3), uint8
        Black where the crop reaches out of the image.
    """
    x0, y0, x1, y1 = box_of(truth)
    side = max((1 + 2 * MARGIN) * max(x1 - x0, y1 - y0), LEAST_CROP)
    left, top = (x0 + x1 - side) / 2, (y0 + y1 - side) / 2
    scale = SIDE / side
    # Output pixel to input pixel.
    matrix = (1 / scale, 0, left, 0, 1 / scale, top)

    def cut(array: NDArray[np.uint8], how: Image.Resampling) -> NDArray[np.uint8]:
        picture = Image.fromarray(array)
        return np.asarray(picture.transform((SIDE, SIDE), Image.Transform.AFFINE, matrix, how))

    def cut_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return cut(mask.astype(np.uint8), Image.Resampling.NEAREST) > 0

    pixels = cut(image, Image.Resampling.BILINEAR).astype(np.float32)
    inside, outline = cut_mask(predicted), boundary_of(cut_mask(truth))
    pixels[inside] = 0.55 * pixels[inside] + 0.45 * np.array(_PREDICTED)
    pixels[outline] = _TRUTH
    picture = Image.fromarray(pixels.astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    offset = np.array([left, top])
    if prompt.boxes is not None:
        for corners in (prompt.boxes.reshape(-1, 2, 2) - offset) * scale:
            pen.rectangle(tuple(corners.ravel().tolist()), outline=_BOX)
    if prompt.points is not None and prompt.labels is not None:
        for (x, y), label in zip((prompt.points - offset) * scale, prompt.labels, strict=True):
            fill, edge = (_PAPER, _INK) if label else (_INK, _PAPER)
            pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill=fill, outline=edge)
    return np.asarray(picture)


def sheet_of(rows: Sequence[tuple[str, Sequence[Panel]]]) -> Image.Image:
    """Put panels on one sheet.

    Parameters
    ----------
    rows : sequence of (str, sequence of Panel)
        A title and its panels, side by side; at least one row.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    most = max(len(panels) for _, panels in rows)
    height = GAP + len(rows) * (2 * LINE + SIDE + GAP)
    sheet = Image.new("RGB", (GAP + most * (SIDE + GAP), height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for row, (title, panels) in enumerate(rows):
        top = GAP + row * (2 * LINE + SIDE + GAP)
        # The font that comes with Pillow knows no other letters.
        pen.text((GAP, top), title.encode("ascii", "replace").decode(), fill=_INK)
        for column, panel in enumerate(panels):
            left = GAP + column * (SIDE + GAP)
            pen.text((left, top + LINE), panel.caption, fill=_INK)
            sheet.paste(Image.fromarray(panel.picture), (left, top + 2 * LINE))
    return sheet
