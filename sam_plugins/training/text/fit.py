"""Fitting the projection of CLIP vectors, and the prompt encoder (paper, §D.5).

No text is needed: a mask's crop is encoded by CLIP's image side, and its vector is the prompt for
that mask. At inference the vector of a text, which lies near those of fitting images, takes its
place unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sam_plugins.datasets.labelled import LabelledImage
from sam_plugins.text.clip import mask_crop
from sam_plugins.text.trained import TextTrained
from sam_plugins.training.finetuning.examples import ExampleStream
from sam_plugins.training.interactive import Example
from sam_plugins.training.losses import mask_iou, mask_loss
from sam_plugins.training.simulation import error_clicks

# Of the frame's area: the paper trains on masks above 100 x 100 pixels of a frame of 1024.
LEAST_AREA = (100 / 1024) ** 2


@dataclass(frozen=True)
class TextFitSettings:
    """How text prompts are fitted.

    Parameters
    ----------
    steps : int
        Images that are trained on.
    masks : int
        Masks of an image, at most.
    points : int
        Rounds with one more corrective point each, after the round with the vector alone.
    least_area : float
        Smaller masks are left out: share of the frame.
    learning_rate, weight_decay : float
        Of AdamW; the rate falls to zero as a cosine.
    tune : str
        ``"prompts"``: the projection and the prompt encoder; ``"projection"``: it alone;
        ``"decoder"``: the mask decoder as well.
    seed : int
        Of everything.

    Raises
    ------
    ValueError
        If one of them makes no sense.
    """

    steps: int = 1000
    masks: int = 8
    points: int = 1
    least_area: float = LEAST_AREA
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    tune: str = "prompts"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.tune not in ("projection", "prompts", "decoder"):
            raise ValueError(
                f"tune must be 'projection', 'prompts' or 'decoder', got {self.tune!r}"
            )
        if self.steps < 1 or self.masks < 1 or self.points < 0:
            raise ValueError(
                "steps and masks must be 1 or more and points 0 or more, got "
                f"{self.steps}, {self.masks} and {self.points}"
            )
        if not 0 <= self.least_area < 1:
            raise ValueError(f"least_area must lie in 0 .. 1, got {self.least_area}")


def fit_text(
    trained: TextTrained,
    images: Sequence[LabelledImage],
    settings: TextFitSettings | None = None,
    *,
    progress: Callable[[int, float], object] | None = None,
) -> list[float]:
    """Fit text prompts on labelled images.

    Parameters
    ----------
    trained : TextTrained
        Changed in place.
    images : sequence of LabelledImage
        At least one.
    settings : TextFitSettings, optional
        How.
    progress : callable, optional
        Called with (step, loss).

    Returns
    -------
    list of float
        The loss of each step that had a mask of sufficient size.

    Raises
    ------
    ValueError
        If no image has one.
    """
    chosen = settings or TextFitSettings()
    parameters = _prepare(trained, chosen.tune)
    optimizer = torch.optim.AdamW(
        parameters, chosen.learning_rate, weight_decay=chosen.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, chosen.steps)
    stream = ExampleStream(images, trained.model, seed=chosen.seed, keep_embeddings=True)
    torch.manual_seed(chosen.seed)
    losses = []
    for step, (each,) in zip(range(chosen.steps), stream.batches(0), strict=False):
        masks = _masks_of(each, trained, chosen)
        if len(masks):
            loss = text_loss(trained, each, masks, points=chosen.points)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            losses.append(float(loss.detach()))
            if progress is not None:
                progress(step + 1, losses[-1])
        schedule.step()
    for part in (trained.projection, trained.model):
        part.requires_grad_(False)
    if not losses:
        raise ValueError(
            f"no mask is as large as {chosen.least_area:.4f} of the frame: lower least_area"
        )
    return losses


def _prepare(trained: TextTrained, tune: str) -> list[torch.nn.Parameter]:
    """Choose which weights learn."""
    trained.model.eval()
    trained.model.requires_grad_(False)
    parts: list[torch.nn.Module] = [trained.projection]
    if tune != "projection":
        parts.append(trained.model.prompt_encoder)
    if tune == "decoder":
        parts.append(trained.model.mask_decoder)
    for part in parts:
        part.requires_grad_(True)
    return [parameter for part in parts for parameter in part.parameters()]


def _masks_of(each: Example, trained: TextTrained, settings: TextFitSettings) -> Tensor:
    """Some masks (N, h, w) of an example that are large enough."""
    large = each.masks.flatten(1).sum(1) > settings.least_area * trained.model.frame_size**2
    masks = each.masks[large]
    rng = np.random.default_rng(each.seed)
    return masks[torch.from_numpy(rng.permutation(len(masks))[: settings.masks])]


def text_loss(trained: TextTrained, each: Example, masks: Tensor, *, points: int) -> Tensor:
    """Prompt by the vectors of crops, then by corrective points beside them.

    Parameters
    ----------
    trained : TextTrained
        In evaluation mode.
    each : Example
        An image, in the frame's size, with its features.
    masks : Tensor of shape (N, h, w), bool
        What is to be found.
    points : int
        Rounds with one more point each.

    Returns
    -------
    Tensor of shape ()
        Mean over the rounds of focal and dice loss (paper, §A) and of the IoU head's error.
    """
    model = trained.model
    assert each.features is not None, "the stream keeps embeddings"
    truth = _low_resolution(masks, model.frame_size, model.low_resolution_stride).to(model.device)
    tokens = trained.tokens(trained.encoder.images(_crops(each, masks)))
    clicks: Tensor | None = None
    labels: Tensor | None = None
    shown: Tensor | None = None
    total = tokens.new_zeros(())
    for _ in range(1 + points):
        logits, iou = model.decode(
            each.features, points=clicks, labels=labels, mask_logits=shown,
            text_tokens=tokens, multimask=False,
        )  # fmt: skip
        losses = mask_loss(logits / model.logit_scale, truth[:, None])[:, 0, 0]
        true = mask_iou(logits, truth[:, None])[:, 0, 0]
        total = total + (losses + (iou[:, 0] - true).square()).mean()
        shown = logits.detach()
        click, kind = error_clicks(shown[:, 0], truth, stride=model.low_resolution_stride)
        clicks = click if clicks is None else torch.cat([clicks, click], dim=1)
        labels = kind if labels is None else torch.cat([labels, kind], dim=1)
    return total / (1 + points)


def _crops(each: Example, masks: Tensor) -> list[np.ndarray]:
    """Crops of a box scaled by 1 to 2, half of them with all but the mask black (paper, §D.5)."""
    rng = np.random.default_rng([each.seed, 2])
    rgb = each.image.permute(1, 2, 0).numpy()
    return [
        mask_crop(rgb, mask.numpy(), scale=rng.uniform(1, 2), alone=bool(rng.random() < 0.5))
        for mask in masks
    ]


def _low_resolution(masks: Tensor, frame: int, stride: int) -> Tensor:
    """Masks (N, h, w) in the frame, at the stride of the logits: (N, F / s, F / s), 0 .. 1."""
    height, width = masks.shape[-2:]
    padded = functional.pad(masks.float(), (0, frame - width, 0, frame - height))
    return functional.avg_pool2d(padded[:, None], stride)[:, 0]
