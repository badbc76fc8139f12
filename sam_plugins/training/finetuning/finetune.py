"""``finetune``: train a model on labelled images, keep what is best on images held out."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from sam_plugins.datasets.labelled import DataError, LabelledImage
from sam_plugins.devices import choose_precision
from sam_plugins.evaluation.prompts import Protocol, measure
from sam_plugins.evaluation.sets import Sample
from sam_plugins.modeling.sam import Sam
from sam_plugins.predictor import Predictor
from sam_plugins.training.finetuning.adapters import add_adapters, merge_adapters
from sam_plugins.training.finetuning.examples import ExampleStream
from sam_plugins.training.interactive import InteractiveObjective, InteractiveSettings
from sam_plugins.training.loop import LoopSettings, Run, start_fabric
from sam_plugins.training.optimizer import OptimizerSettings

Mode = Literal["whole", "decoder", "adapters"]

# Learning rates that neither stall nor destroy what the model knows, for each mode.
LEARNING_RATES: dict[str, float] = {"whole": 1e-4, "decoder": 2e-4, "adapters": 5e-4}

# Fabric's names of precisions.
PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}

# A validation is at most this share of the time.
VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class FinetuneSettings:
    """How a model is fine-tuned.

    Parameters
    ----------
    mode : str
        ``"whole"``: all weights; ``"decoder"``: prompt encoder and mask decoder, on embeddings that
        are computed once; ``"adapters"``: the same, and low-rank adapters on the encoder.
    minutes : float
        Training ends after this time, or earlier.
    steps : int
        Training ends after this many images, or earlier.
    validation : float
        Share of the images that are held out.
    patience : int
        Validations without a better result after which training ends.
    learning_rate : float, optional
        By default one that suits the mode.
    rank : int
        Of the adapters.
    most_objects : int
        Objects of an image that are trained on at once.
    most_validated : int
        Objects that are measured in a validation, at most.
    seed : int
        Of the split, the order and the prompts.
    prompts : InteractiveSettings
        How the annotator is simulated: by default one correction, not eight as in the paper. In a
        given time, more images teach more than more rounds.
    """

    mode: Mode = "decoder"
    minutes: float = 10.0
    steps: int = 100_000
    validation: float = 0.2
    patience: int = 8
    learning_rate: float | None = None
    rank: int = 4
    most_objects: int = 6
    most_validated: int = 60
    seed: int = 0
    prompts: InteractiveSettings = field(
        default_factory=lambda: InteractiveSettings(clicks=1, empty_rounds=0)
    )

    def __post_init__(self) -> None:
        if self.mode not in LEARNING_RATES:
            raise ValueError(f"unknown mode {self.mode!r}: use {', '.join(LEARNING_RATES)}")
        if not 0 < self.validation < 1:
            raise ValueError(f"the held-out share must lie between 0 and 1, got {self.validation}")


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


@dataclass(frozen=True)
class Outcome:
    """What came of fine-tuning.

    Parameters
    ----------
    before, after : Validation
        On the same objects.
    validations : list of Validation
        All of them, in order.
    losses : list of (int, float)
        Training step and loss.
    trained, held_out : list of str
        Names of the images.
    """

    before: Validation
    after: Validation
    validations: list[Validation]
    losses: list[tuple[int, float]]
    trained: list[str]
    held_out: list[str]


def split(
    images: Sequence[LabelledImage], share: float, *, seed: int
) -> tuple[list[LabelledImage], list[LabelledImage]]:
    """Hold some of the images out.

    Parameters
    ----------
    images : sequence of LabelledImage
        At least two.
    share : float
        How many are held out: at least one, and one is left.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    trained, held_out : list of LabelledImage

    Raises
    ------
    DataError
        If there is only one image.
    """
    if len(images) < 2:
        raise DataError("two labelled images or more are needed: one is held out to measure with")
    order = np.random.default_rng(seed).permutation(len(images))
    count = min(max(1, round(share * len(images))), len(images) - 1)
    held = set(order[:count].tolist())
    kept = [image for index, image in enumerate(images) if index not in held]
    return kept, [images[index] for index in sorted(held)]


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


def finetune(
    model: Sam,
    images: Sequence[LabelledImage],
    settings: FinetuneSettings | None = None,
    *,
    on_progress: Callable[[str], object] | None = None,
) -> Outcome:
    """Train a model on labelled images.

    Parameters
    ----------
    model : Sam
        Any; in the end it has the weights that were best on the images held out, which may be those
        that it had.
    images : sequence of LabelledImage
        At least two.
    settings : FinetuneSettings, optional
        How.
    on_progress : callable, optional
        Called with one line at a time.

    Returns
    -------
    Outcome

    Raises
    ------
    DataError
        If there are too few images.
    TrainingDivergedError
        If the loss is not finite; the model has its best weights then.
    """
    settings = settings or FinetuneSettings()
    tell = on_progress or (lambda line: None)
    trained, held_out = split(images, settings.validation, seed=settings.seed)
    before = validate(model, held_out, most=settings.most_validated)
    tell(f"before: {_line(before)} ({len(trained)} images to train on, {len(held_out)} held out)")
    keeper = _Keeper(model, held_out, settings, before, tell)
    stream = ExampleStream(
        trained, model, seed=settings.seed, keep_embeddings=settings.mode == "decoder"
    )
    losses: list[tuple[int, float]] = []
    prepare(model, settings)
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = _run_in(folder, model, settings)
            run.go(
                stream.batches,
                on_report=lambda row: losses.append((int(row["step"]), row["loss"])),
                stop=keeper.stop,
            )
    finally:
        keeper.restore_best()
    tell(f"after: {_line(keeper.best)}")
    return Outcome(
        before=before,
        after=keeper.best,
        validations=[before, *keeper.seen],
        losses=losses,
        trained=[image.name for image in trained],
        held_out=[image.name for image in held_out],
    )


def prepare(model: Sam, settings: FinetuneSettings) -> None:
    """Choose which weights learn.

    Parameters
    ----------
    model : Sam
        Changed in place: with adapters in that mode.
    settings : FinetuneSettings
        The mode and the adapters' rank.
    """
    model.requires_grad_(True)
    if settings.mode == "decoder":
        model.image_encoder.requires_grad_(False)
    elif settings.mode == "adapters":
        add_adapters(model.image_encoder, rank=settings.rank)


def _run_in(folder: str | os.PathLike[str], model: Sam, settings: FinetuneSettings) -> Run:
    rate = settings.learning_rate or LEARNING_RATES[settings.mode]
    prompts = InteractiveSettings(
        **{**settings.prompts.__dict__, "most_masks": settings.most_objects}
    )
    # When it ends is not known beforehand, hence a constant learning rate.
    optimizer = OptimizerSettings(learning_rate=rate, weight_decay=0.01, warm_up=20, drops=())
    loop = LoopSettings(
        steps=settings.steps, clip=1.0, seed=settings.seed, report_every=10,
        checkpoint_every=settings.steps,
    )  # fmt: skip
    # Half the time where the processor can; weights stay in single precision.
    precision = PRECISIONS[choose_precision(model.device, "auto")]
    fabric = start_fabric(device=str(model.device), precision=precision)
    return Run(InteractiveObjective(model, prompts), optimizer, loop, Path(folder), fabric=fabric)


class _Keeper:
    """Validates now and then, keeps the best weights, says when to stop."""

    def __init__(
        self,
        model: Sam,
        held_out: Sequence[LabelledImage],
        settings: FinetuneSettings,
        before: Validation,
        tell: Callable[[str], object],
    ) -> None:
        self.model, self.held_out, self.settings, self.tell = model, held_out, settings, tell
        self.best, self.seen = before, list[Validation]()
        self.start = self.validated = time.monotonic()
        self.cost = 0.0
        self._weights = self._copy()

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in self.model.state_dict().items()}

    def stop(self, run: Run) -> bool:
        """Validate if it is time for it; True ends the training."""
        now = time.monotonic()
        over = now - self.start > 60 * self.settings.minutes or run.step >= self.settings.steps
        due = now - self.validated > max(10.0, self.cost / VALIDATION_SHARE)
        if not (over or due):
            return False
        found = validate(
            self.model, self.held_out, most=self.settings.most_validated, step=run.step,
            seconds=now - self.start,
        )  # fmt: skip
        self.seen.append(found)
        self.validated = time.monotonic()
        self.cost = self.validated - now
        self.tell(f"image {run.step}, {found.seconds:.0f} s: {_line(found)}")
        if found.score > self.best.score:
            self.best, self._weights = found, self._copy()
        worse = self.seen[-self.settings.patience :]
        stale = len(worse) == self.settings.patience and self.best not in worse
        return over or stale

    def restore_best(self) -> None:
        """Give the model its best weights, without adapters."""
        if self.settings.mode == "adapters" and not self.seen_adapters():
            merge_adapters(self.model.image_encoder)
            self.model.load_state_dict(self._weights)
        else:
            self.model.load_state_dict(self._weights)
            merge_adapters(self.model.image_encoder)
        self.model.requires_grad_(True).eval()
        self.model.weights_hash = None

    def seen_adapters(self) -> bool:
        """Whether the best weights are from after the adapters were put in."""
        return any("parametrizations" in name for name in self._weights)


def _line(found: Validation) -> str:
    return f"IoU 1 click {found.click:.3f}, 3 clicks {found.clicks3:.3f}, box {found.box:.3f}"
