"""Prompts as arguments of the mask decoder: in the frame's coordinates, one form to a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.errors import InvalidPromptError
from sam_plugins.frames import Frame
from sam_plugins.prompts import Prompt

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def form_of(prompt: Prompt) -> tuple[int, int, bool]:
    """Tell what must agree for two prompts to share a batch.

    Parameters
    ----------
    prompt : Prompt
        Any prompt.

    Returns
    -------
    points : int
        Number of points.
    boxes : int
        Number of boxes.
    mask : bool
        Whether there is a mask.
    """
    points = 0 if prompt.points is None else len(prompt.points)
    boxes = 0 if prompt.boxes is None else len(prompt.boxes)
    return points, boxes, prompt.mask is not None


def prompt_tensors(
    prompts: Sequence[Prompt], frames: Sequence[Frame], device: torch.device
) -> dict[str, Tensor | None]:
    """Stack prompts of one form, as keyword arguments of `Sam.decode`.

    Parameters
    ----------
    prompts : sequence of Prompt
        B prompts with the same `form_of`; coordinates in pixels of the image.
    frames : sequence of Frame
        How the image of each prompt lies in the model's frame.
    device : torch.device
        Where the tensors go.

    Returns
    -------
    dict
        ``points`` (B, N, 2), x then y, and ``boxes`` (B, M, 4), x0, y0, x1, y1, both in pixels of
        the frame; ``labels`` (B, N); ``mask_logits`` (B, 1, h, w). None for what is not given.

    Raises
    ------
    InvalidPromptError
        If a mask of logits is not of the low-resolution size.
    """
    import torch

    def stack(values: list[NDArray[Any]]) -> Tensor:
        return torch.from_numpy(np.stack(values)).to(device)

    first = prompts[0]
    pairs = list(zip(frames, prompts, strict=True))
    points = labels = boxes = mask_logits = None
    if first.points is not None:
        points = stack([f.points_to_frame(p.points) for f, p in pairs])  # type: ignore[arg-type]
        labels = stack([p.labels for p in prompts])  # type: ignore[misc]
    if first.boxes is not None:
        boxes = stack([f.boxes_to_frame(p.boxes) for f, p in pairs])  # type: ignore[arg-type]
    if first.mask is not None:
        mask_logits = stack([_mask_logits(f, p) for f, p in pairs])[:, None]  # (B, 1, h, w)
    return {"points": points, "labels": labels, "boxes": boxes, "mask_logits": mask_logits}


def _mask_logits(frame: Frame, prompt: Prompt) -> NDArray[np.float32]:
    mask = prompt.mask
    assert mask is not None, "prompts in one batch are of one form"
    if mask.dtype == bool:
        return frame.mask_to_logits(mask)
    if mask.shape != frame.low_resolution_size:
        raise InvalidPromptError(
            f"a mask of logits must be {frame.low_resolution_size} like the model's low-resolution "
            f"logits, got {mask.shape}; give a boolean mask of the image's size instead"
        )
    return np.asarray(mask, dtype=np.float32)
