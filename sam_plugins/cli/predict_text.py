"""``sam-plugins predict --text``: all objects that a phrase means."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sam_plugins.cli.terminal import say

if TYPE_CHECKING:
    from sam_plugins.images import Normalization
    from sam_plugins.masks.records import MaskRecord
    from sam_plugins.predictor import Predictor
    from sam_plugins.prompts import Prompt
    from sam_plugins.text.answers import TextAnswer
    from sam_plugins.text.finding import Detector


def found_by_text(
    predictor: Predictor,
    pixels: Any,
    prompt: Prompt,
    normalization: Normalization,
    *,
    encoder: str = "auto",
    detector: str | None = None,
) -> TextAnswer:
    """Find what a text means; what was said wrongly is an error of use.

    Parameters
    ----------
    predictor : Predictor
        Whose masks are chosen from.
    pixels : Planes
        The image.
    prompt : Prompt
        With a text.
    normalization : Normalization
        Of the image.
    encoder : str
        ``"auto"``, ``"tower"``, or the name or folder of a CLIP; see `uses_tower`.
    detector : str, optional
        ``MODULE:FUNCTION``; see `detector_of`.

    Returns
    -------
    TextAnswer

    Raises
    ------
    typer.BadParameter
        If the text is not understood.
    """
    from sam_plugins.errors import InvalidPromptError
    from sam_plugins.text.finding import TextFinder

    clip = None
    if detector is None and not uses_tower(encoder, predictor.model.name):
        from sam_plugins.text.clip import DEFAULT_CLIP, ClipEncoder

        name = DEFAULT_CLIP if encoder == "auto" else encoder
        clip = ClipEncoder.load(name, device=str(predictor.device))
    finder = TextFinder(predictor, clip=clip, detector=detector_of(detector))
    try:
        answer = finder.find(pixels, prompt, normalization=normalization)
    except InvalidPromptError as error:
        raise typer.BadParameter(str(error), param_hint="--text") from error
    say(f"Found {answer.told}.")
    return answer


def uses_tower(encoder: str, model: str) -> bool:
    """Whether the tower that ships answers, and not a CLIP.

    Parameters
    ----------
    encoder : str
        As given: ``"auto"`` is the tower for ``lite``, and CLIP for larger models.
    model : str
        The model's name, or a path.

    Returns
    -------
    bool
    """
    return encoder == "tower" or (encoder == "auto" and model == "lite")


def check_text(prompt: Prompt, *, tower: bool, detector: str | None, mask: Path | None) -> None:
    """Refuse, before anything is loaded, what cannot be answered.

    Parameters
    ----------
    prompt : Prompt
        With or without a text.
    tower : bool
        Whether the tower answers, whose vocabulary is closed.
    detector : str or None
        As given.
    mask : Path or None
        As given.

    Raises
    ------
    typer.BadParameter
        If the text stands beside other hints or is not understood, or if a detector is given
        without a text.
    """
    from sam_plugins.cli.usage import wrong_use
    from sam_plugins.phrases import parse
    from sam_plugins.text.finding import text_of

    if prompt.text is None:
        if detector is not None:
            raise typer.BadParameter("a detector needs a --text", param_hint="--detector")
        return
    with wrong_use("--text"):
        text = text_of(prompt)
        if mask is not None:
            raise ValueError("a text finds whole objects by itself: leave --mask out")
        if tower and detector is None:
            parse(text)
    if detector is not None:
        detector_of(detector)


def detector_of(name: str | None) -> Detector | None:
    """Import a detector.

    Parameters
    ----------
    name : str or None
        ``MODULE:FUNCTION``: a function that takes an RGB image (H, W, 3), uint8, and a text, and
        gives boxes (M, 4), xyxy, in pixels, or boxes and scores.

    Returns
    -------
    callable or None

    Raises
    ------
    typer.BadParameter
        If there is no such module or function.
    """
    if name is None:
        return None
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, ValueError, AttributeError) as error:
        raise typer.BadParameter(
            f"{name!r} is not MODULE:FUNCTION that can be imported: {error}",
            param_hint="--detector",
        ) from error
    if not callable(found):
        raise typer.BadParameter(f"{name!r} is not a function", param_hint="--detector")
    return found


def described(record: MaskRecord, score: float) -> dict[str, Any]:
    """One found object as JSON holds it, without its file.

    Parameters
    ----------
    record : MaskRecord
        The object.
    score : float
        How well it matches.

    Returns
    -------
    dict
        ``score``, ``predicted_iou``, ``area`` in pixels, ``bbox`` as COCO's x, y, width, height.
    """
    x, y, width, height = record.bbox
    return {
        "score": round(score, 6),
        "predicted_iou": round(record.predicted_iou, 6),
        "area": record.area,
        "bbox": [x, y, width + 1, height + 1],
    }
