"""``finetune``: train a model on labelled images, keep what is best on images held out."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from sam_plugins.datasets.labelled import DataError, LabelledImage
from sam_plugins.devices import choose_precision
from sam_plugins.errors import SamPluginsError
from sam_plugins.masks import rle
from sam_plugins.modeling.sam import Sam
from sam_plugins.training.finetuning.adapters import add_adapters
from sam_plugins.training.finetuning.examples import ExampleStream
from sam_plugins.training.finetuning.validation import Keeper, Validation
from sam_plugins.training.interactive import InteractiveObjective, InteractiveSettings
from sam_plugins.training.loop import LoopSettings, Run, start_fabric
from sam_plugins.training.optimizer import OptimizerSettings

Mode = Literal["whole", "decoder", "adapters"]

# Learning rates that neither stall nor destroy what the model knows, for each mode.
LEARNING_RATES: dict[str, float] = {"whole": 1e-4, "decoder": 4e-4, "adapters": 5e-4}

# Fabric's names of precisions.
PRECISIONS = {"float32": "32-true", "bfloat16": "bf16-mixed"}

# Of the averaged weights, which are what is measured and kept: single images pull to and fro.
EMA = 0.98


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

    Raises
    ------
    ValueError
        If the mode is unknown or the share not between 0 and 1.
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


def finetune(
    model: Sam,
    images: Sequence[LabelledImage],
    settings: FinetuneSettings | None = None,
    *,
    held_out: Sequence[LabelledImage] | None = None,
    folder: str | os.PathLike[str] | None = None,
    on_progress: Callable[[str], object] | None = None,
) -> Outcome:
    """Train a model on labelled images.

    Parameters
    ----------
    model : Sam
        Any; in the end it has the weights that were best on the images held out, which may be those
        that it had.
    images : sequence of LabelledImage
        At least two, or one if others are held out.
    settings : FinetuneSettings, optional
        How.
    held_out : sequence of LabelledImage, optional
        To measure on; by default a share of the images.
    folder : path-like, optional
        Where the log goes, and the batch if training fails. By default they are not kept.
    on_progress : callable, optional
        Called with one line at a time.

    Returns
    -------
    Outcome

    Raises
    ------
    DataError
        If there are too few images, or all objects to train on cover too much of their images.
    TrainingDivergedError
        If the loss is not finite; the model has its best weights then.
    SamPluginsError
        If it is one of several processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SamPluginsError(
            "fine-tuning runs in one process, and this is one of several: start it without torchrun"
        )
    settings = settings or FinetuneSettings()
    tell = on_progress or (lambda line: None)
    if held_out:
        trained = list(images)
    else:
        trained, held_out = split(images, settings.validation, seed=settings.seed)
    if not trained:
        raise DataError("there is no labelled image to train on")
    _check_objects(trained, settings.prompts.most_area)
    keeper = Keeper(
        model,
        held_out,
        minutes=settings.minutes,
        steps=settings.steps,
        patience=settings.patience,
        most=settings.most_validated,
        tell=tell,
    )
    counts = f"{len(trained)} images to train on, {len(held_out)} held out"
    tell(f"before: {keeper.before} ({counts})")
    stream = ExampleStream(
        trained, model, seed=settings.seed, keep_embeddings=settings.mode == "decoder"
    )
    losses: list[tuple[int, float]] = []
    prepare(model, settings)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            run = _run_in(folder or temporary, model, settings)
            run.go(
                stream.batches,
                on_report=lambda row: losses.append((int(row["step"]), row["loss"])),
                stop=keeper.stop,
            )
    finally:
        keeper.restore_best()
    tell(f"after: {keeper.best}")
    return Outcome(
        before=keeper.before,
        after=keeper.best,
        validations=[keeper.before, *keeper.seen],
        losses=losses,
        trained=[image.name for image in trained],
        held_out=[image.name for image in held_out],
    )


def _check_objects(images: Sequence[LabelledImage], most_area: float) -> None:
    sizes = (
        rle.area(each) / (each["size"][0] * each["size"][1])
        for image in images
        for each in image.objects
    )
    if not any(size <= most_area for size in sizes):
        raise DataError(
            f"every object of the {len(images)} images to train on covers more than "
            f"{most_area:.0%} of its image: label what is to be found, and leave 0 what is not"
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
    # When it ends is not known beforehand: a constant learning rate, and averaged weights.
    optimizer = OptimizerSettings(learning_rate=rate, weight_decay=0.01, warm_up=20, drops=())
    loop = LoopSettings(
        steps=settings.steps, clip=1.0, ema=EMA, seed=settings.seed, report_every=10,
        checkpoint_every=None,
    )  # fmt: skip
    # Half the time where the processor can; weights stay in single precision.
    precision = PRECISIONS[choose_precision(model.device, "auto")]
    fabric = start_fabric(device=str(model.device), precision=precision)
    return Run(InteractiveObjective(model, prompts), optimizer, loop, Path(folder), fabric=fabric)
