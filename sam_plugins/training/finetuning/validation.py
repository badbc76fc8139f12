"""Measuring on images held out while a model is fine-tuned, and keeping what was best."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from sam_plugins.datasets.labelled import LabelledImage
from sam_plugins.errors import InvalidPromptError
from sam_plugins.evaluation.prompts import Protocol, measure
from sam_plugins.evaluation.sets import Sample
from sam_plugins.modeling.sam import Sam
from sam_plugins.predictor import Predictor
from sam_plugins.training.finetuning.adapters import merge_adapters
from sam_plugins.training.loop import Run

# Validations take at most this share of the time, and are at least this far apart, in seconds.
VALIDATION_SHARE = 0.2
LEAST_PAUSE = 10.0


@dataclass(frozen=True)
class Validation:
    """Scores on the images held out.

    Parameters
    ----------
    step : int
        After how many training images; 0 is before training.
    seconds : float
        After how much time.
    click, clicks3, box : float
        Mean IoU after one and three clicks and after a box.
    """

    step: int
    seconds: float
    click: float
    clicks3: float
    box: float

    @property
    def score(self) -> float:
        """What the best weights are chosen by."""
        return (self.click + self.clicks3 + self.box) / 3

    def __str__(self) -> str:
        """One line for people."""
        return f"IoU 1 click {self.click:.3f}, 3 clicks {self.clicks3:.3f}, box {self.box:.3f}"


def validate(
    model: Sam, images: Sequence[LabelledImage], *, most: int, step: int = 0, seconds: float = 0.0
) -> Validation:
    """Measure a model on labelled images.

    Parameters
    ----------
    model : Sam
        Left as it is.
    images : sequence of LabelledImage
        What to measure on.
    most : int
        Objects to measure, at most, spread over the images.
    step, seconds
        Kept in the result.

    Returns
    -------
    Validation
    """
    each = max(1, most // len(images))
    samples = []
    for image in images:
        spread = np.linspace(0, len(image.objects) - 1, min(each, len(image.objects)))
        masks = image.masks()[np.unique(spread.astype(int))]
        nothing = np.zeros(masks.shape[1:], dtype=bool)
        samples.append(Sample(image.name, image.image, list(masks), nothing))
    training = model.training
    # The weights have changed since the last time: their identity must not be taken from the file.
    known, model.weights_hash = model.weights_hash, None
    predictor = Predictor(model, device=str(model.device))
    scores = list(measure(predictor, samples, protocol=Protocol(clicks=(1, 3), boxes=True)))
    model.weights_hash = known
    model.train(training)
    means = {
        name: float(np.mean([score.masks[name].iou for score in scores]))
        for name in ("click", "clicks3", "box")
    }
    return Validation(step=step, seconds=seconds, **means)


class Keeper:
    """Validates now and then, keeps the best weights, says when to stop.

    Parameters
    ----------
    model : Sam
        What is trained, before anything was changed about it.
    held_out : sequence of LabelledImage
        What to measure on.
    minutes : float
        Time to train.
    steps : int
        Steps after which training ends.
    patience : int
        Validations without a better result after which it ends.
    most : int
        Objects to measure, at most.
    tell : callable
        Called with one line for each validation.

    Attributes
    ----------
    before, best : Validation
        Of the weights at the beginning, and of the best ones.
    seen : list of Validation
        All since.
    """

    def __init__(
        self,
        model: Sam,
        held_out: Sequence[LabelledImage],
        *,
        minutes: float,
        steps: int,
        patience: int,
        most: int,
        tell: Callable[[str], object],
    ) -> None:
        self.model, self.held_out, self.tell = model, held_out, tell
        self.minutes, self.steps, self.patience, self.most = minutes, steps, patience, most
        self.before = self.best = validate(model, held_out, most=most)
        self.seen: list[Validation] = []
        self.start = self.validated = time.monotonic()
        self.cost = 0.0
        self._weights = _copy_of(model)

    def stop(self, run: Run) -> bool:
        """Validate if it is time for it.

        Parameters
        ----------
        run : Run
            The training.

        Returns
        -------
        bool
            Whether it ends.
        """
        now = time.monotonic()
        over = now - self.start > 60 * self.minutes or run.step >= self.steps
        due = now - self.validated > max(LEAST_PAUSE, self.cost / VALIDATION_SHARE)
        if not (over or due):
            return False
        try:
            found = validate(
                cast(Sam, run.model), self.held_out, most=self.most, step=run.step,
                seconds=now - self.start,
            )  # fmt: skip
        except InvalidPromptError:
            # Logits that are no numbers are no prompt. The next loss will tell, with its batch.
            return over
        self.seen.append(found)
        self.validated = time.monotonic()
        self.cost = self.validated - now
        self.tell(f"image {run.step}, {found.seconds:.0f} s: {found}")
        if found.score > self.best.score:
            self.best, self._weights = found, _copy_of(run.model)
        worse = self.seen[-self.patience :]
        stale = len(worse) == self.patience and self.best not in worse
        return over or stale

    def restore_best(self) -> None:
        """Give the model its best weights, without adapters, ready to be used."""
        adapted = any("parametrizations" in name for name in self._weights)
        if not adapted:
            merge_adapters(self.model.image_encoder)
        self.model.load_state_dict(self._weights)
        merge_adapters(self.model.image_encoder)
        self.model.requires_grad_(True).eval()
        self.model.weights_hash = None


def _copy_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}
