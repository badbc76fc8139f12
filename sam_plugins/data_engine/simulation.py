"""The whole loop without people: does it help? All three stages with a simulated annotator."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sam_plugins.automatic import AutomaticSettings
from sam_plugins.data_engine.annotator import Annotator, Clicked
from sam_plugins.data_engine.automatic import find_masks
from sam_plugins.data_engine.engine import Engine
from sam_plugins.data_engine.finding import Recipe
from sam_plugins.data_engine.importing import import_work
from sam_plugins.data_engine.records import SourceImage
from sam_plugins.data_engine.retraining import retrain
from sam_plugins.data_engine.settings import EngineSettings
from sam_plugins.datasets.labelled import LabelledImage
from sam_plugins.masks import rle
from sam_plugins.predictor import Predictor

# A true mask counts as found by an automatic one from this IoU on.
FOUND = 0.5


@dataclass(frozen=True)
class Plan:
    """What is simulated.

    Parameters
    ----------
    rounds : int
        Rounds of the first stage.
    images : int
        Images that are annotated in each round, and in the second stage.
    objects : int
        Objects that are annotated in an image, at most, the largest first.
    unseen : int
        Images that no round sees, to measure on.
    measured : int
        Objects that are measured in each of them, at most.
    points_per_side : int
        Of the grid with which the second and third stage look for masks.
    annotator : Annotator
        Who clicks.
    engine : EngineSettings
        Model and training.
    """

    rounds: int = 4
    images: int = 10
    objects: int = 10
    unseen: int = 20
    measured: int = 6
    points_per_side: int = 16
    annotator: Annotator = field(default_factory=Annotator)
    engine: EngineSettings = field(default_factory=EngineSettings)


@dataclass(frozen=True)
class Row:
    """Figures of one moment.

    Parameters
    ----------
    when : str
        ``"start"``, ``"round 1"``, ..., ``"stage 2"``.
    labelled : int
        Images that people have labelled so far.
    masks : int
        Masks by people so far.
    clicks, iou, painted : float
        On images never seen: mean clicks a mask, mean IoU after the first click, share of masks
        that had to be painted in the end.
    given_clicks : float, optional
        Mean clicks a mask of the annotation just before this training, prefilled masks counting
        none.
    prefilled : float, optional
        Share of those masks that were prefilled.
    recall, precision : float, optional
        Of automatic masks on images never seen: share of true masks found, and of masks that are
        true.
    """

    when: str
    labelled: int
    masks: int
    clicks: float
    iou: float
    painted: float
    given_clicks: float | None = None
    prefilled: float | None = None
    recall: float | None = None
    precision: float | None = None


def simulate(
    images: Sequence[SourceImage],
    truth: Mapping[str, LabelledImage],
    folder: str | os.PathLike[str],
    plan: Plan | None = None,
    *,
    on_progress: Callable[[str], object] | None = None,
) -> Iterator[Row]:
    """Run all three stages with an annotator who knows the truth.

    Parameters
    ----------
    images : sequence of SourceImage
        All images.
    truth : mapping of str to LabelledImage
        By the images' names.
    folder : path-like
        For the engine.
    plan : Plan, optional
        How much.
    on_progress : callable, optional
        Called with one line at a time.

    Yields
    ------
    Row
        As soon as there are figures.
    """
    plan = plan or Plan()
    order = np.random.default_rng(plan.engine.seed).permutation(len(images)).tolist()
    unseen = [images[index] for index in order[: plan.unseen]]
    engine = Engine.create(folder, [images[index] for index in order[plan.unseen :]], plan.engine)
    loop = _Loop(engine, truth, unseen, plan, on_progress or (lambda line: None))
    yield loop.row("start", automatic=True)
    for number in range(1, plan.rounds + 1):
        given = loop.annotate(stage=1)
        retrain(engine, on_progress=loop.tell)
        yield loop.row(f"round {number}", *given)
    given = loop.annotate(stage=2)
    retrain(engine, on_progress=loop.tell)
    yield loop.row("stage 2", *given, automatic=True)


@dataclass(frozen=True)
class _Loop:
    engine: Engine
    truth: Mapping[str, LabelledImage]
    unseen: Sequence[SourceImage]
    plan: Plan
    tell: Callable[[str], object]

    def annotate(self, *, stage: int) -> tuple[float, float]:
        """Annotate the next images; mean clicks a mask, and the share that was prefilled."""
        plan, state = self.plan, self.engine.state
        waiting = self.engine.waiting(stage, count=plan.images)
        if stage == 2:
            find_masks(state, self._recipe(), waiting, stage=2)
        predictor = _predictor(self.engine.model)
        clicks = masks = prefilled = 0
        for image in waiting:
            work = state.work(image, stage) if stage == 2 else None
            annotated, made = plan.annotator.annotate(
                predictor,
                self.truth[image.name],
                prefilled=() if work is None else work.objects,
                most=plan.objects,
                name=image.name,
            )
            import_work(self.engine, [annotated], stage=stage)
            clicks += sum(each.clicks for each in made)
            masks += len(annotated.objects)
            prefilled += len(annotated.objects) - len(made)
        self.tell(f"stage {stage}: {masks} masks, {clicks} clicks, {prefilled} prefilled")
        return clicks / max(masks, 1), prefilled / max(masks, 1)

    def row(
        self,
        when: str,
        given_clicks: float | None = None,
        prefilled: float | None = None,
        *,
        automatic: bool = False,
    ) -> Row:
        state = self.engine.state
        made = measure(
            self.engine.model,
            [self.truth[image.name] for image in self.unseen],
            most=self.plan.measured,
            annotator=self.plan.annotator,
        )
        recall, precision = self._automatic() if automatic else (None, None)
        return Row(
            when,
            sum(source == "person" for stage in (1, 2) for source, _ in state.done(stage).values()),
            state.masks_by_people(),
            float(np.mean([each.clicks for each in made])),
            float(np.mean([each.first_iou for each in made])),
            float(np.mean([each.painted for each in made])),
            given_clicks,
            prefilled,
            recall,
            precision,
        )

    def _recipe(self) -> Recipe:
        from sam_plugins.checkpoints import load_model

        own = AutomaticSettings.for_model(load_model(self.engine.model))
        settings = replace(own, points_per_side=self.plan.points_per_side)
        return Recipe(self.engine.model, settings)

    def _automatic(self) -> tuple[float, float]:
        """Recall and precision of the third stage's masks on the unseen images."""
        finder = self._recipe().open()
        true = found = masks = right = 0
        for image in self.unseen:
            records = finder.find(image).records
            objects = self.truth[image.name].objects
            fit = rle.iou([each.segmentation for each in records], list(objects))
            true, masks = true + len(objects), masks + len(records)
            found += int((fit.max(axis=0, initial=0) >= FOUND).sum())
            right += int((fit.max(axis=1, initial=0) >= FOUND).sum())
        return found / max(true, 1), right / max(masks, 1)


def measure(
    model: str, images: Sequence[LabelledImage], *, most: int, annotator: Annotator
) -> list[Clicked]:
    """Annotate images without keeping anything: how many clicks does it take?

    Parameters
    ----------
    model : str
        A name or a checkpoint's path.
    images : sequence of LabelledImage
        With their true masks.
    most : int
        Objects an image, at most, spread over all sizes.
    annotator : Annotator
        Who clicks.

    Returns
    -------
    list of Clicked
        One an object.
    """
    predictor = _predictor(model)
    made = []
    for image in images:
        ordered = sorted(image.objects, key=rle.area)
        spread = np.linspace(0, len(ordered) - 1, min(most, len(ordered))).astype(int)
        chosen = LabelledImage(image.name, image.image, tuple(ordered[i] for i in spread))
        made += annotator.annotate(predictor, chosen)[1]
    return made


def _predictor(model: str) -> Predictor:
    from sam_plugins.cache import EmbeddingCache

    return Predictor(model, cache=EmbeddingCache(disk_bytes=0))


def sources_of(folder: Path) -> list[SourceImage]:
    """The images of a folder as `read_labelled` reads it.

    Parameters
    ----------
    folder : Path
        With ``images``.

    Returns
    -------
    list of SourceImage
        Named after their files.
    """
    files = sorted(p for p in (folder / "images").iterdir() if not p.name.startswith("."))
    return [SourceImage(path.name, str(path.resolve())) for path in files]
