"""After training: teach the predicted IoU what clicks beside all objects look like.

In training every click lies in an object, so that the model believes in whatever it finds under a
click on the background. Automatic masks click everywhere, and keep what the model believes in. Here
the masks stay as they are; the IoU head alone learns on, from clicks on objects, clicks on the
background (where no mask is an object: IoU 0), boxes and corrective clicks:
``python -m sam_plugins.training.calibration RUN --data DIR --minutes 6 --out lite.safetensors``.
"""

from __future__ import annotations

import argparse
import logging
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from sam_plugins.checkpoints import save_model
from sam_plugins.modeling.lite import LiteSam
from sam_plugins.training.__main__ import batches
from sam_plugins.training.export import read_averaged
from sam_plugins.training.fit import MOST_LOGIT, Truths
from sam_plugins.training.losses import mask_iou
from sam_plugins.training.recipe import read_recipe
from sam_plugins.training.samples import Batch
from sam_plugins.training.simulation import corrective_clicks, noisy_boxes

logger = logging.getLogger("sam_plugins.training")

LEARNING_RATE = 1e-3
WARM_UP = 20
STEPS_BETWEEN_REPORTS = 20

# A click beside all objects is at least this far from each, in pixels: nearer ones could be meant
# for the object.
MARGIN = 3


def background_clicks(labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Sample pixels that lie in no object.

    Parameters
    ----------
    labels : Tensor of shape (I, L, S, S), integer
        Levels of masks; 0 is none.
    count : int
        Pixels an image, K.

    Returns
    -------
    points : Tensor of shape (I * K, 1, 2)
        x then y, in pixels.
    valid : Tensor of shape (I * K,), bool
        False in images that have no background.
    """
    objects = (labels > 0).any(dim=1, keepdim=True).float()  # (I, 1, S, S)
    near = functional.max_pool2d(objects, 2 * MARGIN + 1, 1, MARGIN)
    free = (near == 0).flatten(1).float()  # (I, S * S)
    index = torch.multinomial(free + 1e-9, count, replacement=True).flatten()  # (I * K,)
    width = labels.shape[-1]
    points = torch.stack([index % width, index // width], dim=-1).float()[:, None]
    return points, free.any(dim=1).repeat_interleave(count)


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


def calibrate(
    model: LiteSam, stream: Iterator[Batch], *, minutes: float = math.inf, most_steps: int = 100_000
) -> None:
    """Train the IoU head of a model for some minutes or steps, all else frozen.

    Parameters
    ----------
    model : LiteSam
        Its head is changed in place.
    stream : iterator of Batch
        Crops with objects.
    minutes, most_steps : float, int
        Whichever ends first.

    Raises
    ------
    FloatingPointError
        If the error is not finite.
    """
    decoder = model.mask_decoder
    model.eval().requires_grad_(False)
    head = [*decoder.iou_prediction_head.parameters(), *decoder.iou_from_mask.parameters()]
    for parameter in head:
        parameter.requires_grad_(True)
    optimizer = torch.optim.AdamW(head, weight_decay=0.0)
    start, steps, recent = time.monotonic(), 0, list[Tensor]()
    while True:
        progress = max((time.monotonic() - start) / (60 * minutes), steps / most_steps)
        if progress >= 1:
            break
        rise, fall = min(1, (steps + 1) / WARM_UP), 0.5 * (1 + math.cos(math.pi * progress))
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * rise * fall
        loss, errors = iou_error(model, next(stream).to(model.device))
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the error is {loss.item()} at step {steps}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
        recent.append(errors)
        if steps % STEPS_BETWEEN_REPORTS == 0:
            means = torch.stack(recent).mean(0).tolist()
            logger.info(f"steps {steps} errors {' '.join(f'{each:.4f}' for each in means)}")
            recent = []
    model.requires_grad_(True)


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, train the head, write the model.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).parent / "recipes" / "lite.toml"
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("--recipe", type=Path, default=default)
    parser.add_argument("--data", type=Path, help="folder with one folder a real data set")
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--out", type=Path, default=Path("lite.safetensors"))
    parser.add_argument("--threads", type=int, help="processor threads; never more than are free")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    recipe = read_recipe(arguments.recipe)
    torch.manual_seed(recipe.seed)
    model = read_averaged(arguments.run / "checkpoint.pt")
    # A stream of its own: training counts its streams by steps, which never get that far.
    stage, step = len(recipe.stages) - 1, 2**31
    stream = iter(batches(recipe, arguments.data, arguments.run, stage, step))
    calibrate(model, stream, minutes=arguments.minutes)
    save_model(model, arguments.out, dtype=torch.float16)


if __name__ == "__main__":
    main()
