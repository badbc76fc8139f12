"""The last part of training: the predicted IoU learns what clicks beside all objects look like.

Automatic masks click everywhere, and keep what the model believes in. Here the masks stay as they
are; the IoU head alone learns on, from clicks on objects, clicks on the background (where no mask
is an object: IoU 0), boxes and corrective clicks.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sam_plugins.modeling.lite import LiteSam
from sam_plugins.training.lite.objective import MOST_LOGIT, Truths
from sam_plugins.training.lite.samples import Batch
from sam_plugins.training.loop import Objective
from sam_plugins.training.losses import mask_iou
from sam_plugins.training.simulation import background_clicks, corrective_clicks, noisy_boxes


class CalibrationObjective(Objective):
    """The IoU head of a model; all else is frozen, in evaluation mode.

    Parameters
    ----------
    model : LiteSam
        Its head alone is trained.
    """

    model: LiteSam

    def __init__(self, model: LiteSam) -> None:
        super().__init__(model)
        model.requires_grad_(False)
        decoder = model.mask_decoder
        for part in (decoder.iou_prediction_head, decoder.iou_from_mask):
            part.requires_grad_(True)

    def train(self, mode: bool = True) -> CalibrationObjective:
        """Stay in evaluation mode: the statistics of the normalisation are those of the masks.

        Parameters
        ----------
        mode : bool
            Not used.

        Returns
        -------
        CalibrationObjective
            Itself.
        """
        super().train(False)
        return self

    def forward(self, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        """Compare predicted with true IoU.

        Parameters
        ----------
        batch : Batch
            Crops with objects.

        Returns
        -------
        loss : Tensor of shape ()
        scores : dict of str to float
            Mean squared errors after clicks (``click``), clicks on the background
            (``background``), boxes (``box``) and corrective clicks (``corrected``).
        """
        loss, errors = iou_error(self.model, batch.to(self.model.device))
        names = ("click", "background", "box", "corrected")
        return loss, dict(zip(names, errors.tolist(), strict=True))


def iou_error(model: LiteSam, batch: Batch) -> tuple[Tensor, Tensor]:
    """Squared error of the predicted IoU on prompts of four kinds.

    Parameters
    ----------
    model : LiteSam
        In evaluation mode.
    batch : Batch
        Crops with objects.

    Returns
    -------
    loss : Tensor
        Scalar.
    errors : Tensor of shape (4,)
        Of clicks, clicks on the background, boxes, corrective clicks.
    """
    device = model.device
    with torch.autocast(device.type, torch.bfloat16):
        with torch.no_grad():
            images = (batch.images.float() - model.pixel_mean) / model.pixel_std
            features = model.encode_level(images)
        room = max(0, model.frame_size - images.shape[-1])
        origin = torch.rand(len(images), 2, device=device) * room
        truths = Truths.under_clicks(batch, model.low_resolution_stride)
        rows = torch.arange(len(truths.target), device=device)

        def ask(**prompts: Tensor) -> tuple[Tensor, Tensor]:
            logits, iou = model.decode_all(features, **prompts, origin=origin)
            return logits.float(), iou.float().sigmoid()

        def error(logits: Tensor, iou: Tensor) -> Tensor:
            true = mask_iou(logits, truths.masks)[rows, :, truths.target]  # (B, 4)
            return (iou - true).square().mean()

        points = batch.clicks.flatten(0, 1)[:, None]  # (B, 1, 2)
        ones = torch.ones(len(points), 1, dtype=torch.long, device=device)
        logits, iou = ask(points=points, labels=ones)
        beside, valid = background_clicks(batch.labels, batch.levels.shape[1])
        _, believed = ask(points=beside, labels=ones)
        nothing = (believed.square().mean(1) * valid).mean()
        boxes = noisy_boxes(batch.boxes.flatten(0, 1))[:, None]
        boxed = error(*ask(boxes=boxes))
        shown = logits[rows, 1 + iou[:, 1:].argmax(1)].detach()  # (B, h, w)
        click, kind = corrective_clicks(shown, truths.sampled(), stride=model.low_resolution_stride)
        corrected = error(
            *ask(
                points=torch.cat([points, click], dim=1),
                labels=torch.cat([ones, kind], dim=1),
                mask_logits=shown.clamp(-MOST_LOGIT, MOST_LOGIT)[:, None],
            )
        )
    errors = torch.stack([error(logits, iou), nothing, boxed, corrected])
    return errors.sum(), errors.detach()
