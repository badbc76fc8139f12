"""A simulated annotator: knows the true masks, clicks as a careful person would, counts the clicks.

With it the whole loop can be tested and measured without people. It clicks in the middle of the
object, then in the middle of the largest error, until the mask is good enough or its patience ends;
it then paints what is missing, as the paper's annotators did with brush and eraser (§4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sam_plugins.datasets.annotations import AnnotatedImage, AnnotatedObject
from sam_plugins.datasets.labelled import LabelledImage
from sam_plugins.embedding import ImageEmbedding
from sam_plugins.evaluation.clicks import iou
from sam_plugins.evaluation.prompts import clicked
from sam_plugins.evaluation.sets import Sample
from sam_plugins.masks import rle
from sam_plugins.predictor import Predictor


@dataclass(frozen=True, eq=False)
class Clicked:
    """One object, annotated.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
        What the annotator accepted: the model's mask, or the truth if it was painted.
    clicks : int
        How many it took.
    first_iou, iou : float
        Of the model's mask after the first click, and after the last one.
    points : tuple of (float, float)
        Where was clicked, x then y.
    painted : bool
        Whether the clicks alone were not enough.
    """

    mask: NDArray[np.bool_]
    clicks: int
    first_iou: float
    iou: float
    points: tuple[tuple[float, float], ...]
    painted: bool


@dataclass(frozen=True)
class Annotator:
    """How the simulated annotator works.

    Parameters
    ----------
    target : float
        IoU at which a mask is good enough.
    most_clicks : int
        After so many clicks on one object the rest is painted.
    least_kept : float
        Prefilled masks that fit a true one at least so well are kept, others deleted.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    target: float = 0.9
    most_clicks: int = 10
    least_kept: float = 0.75

    def __post_init__(self) -> None:
        for name in ("target", "least_kept"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie above 0 and up to 1, got {getattr(self, name)}")
        if self.most_clicks < 1:
            raise ValueError(f"most_clicks must be 1 or more, got {self.most_clicks}")

    def click(
        self,
        predictor: Predictor,
        embedding: ImageEmbedding,
        sample: Sample,
        truth: NDArray[np.bool_],
    ) -> Clicked:
        """Annotate one object.

        Parameters
        ----------
        predictor : Predictor
            The model.
        embedding : ImageEmbedding
            Of the sample's image.
        sample : Sample
            The image.
        truth : ndarray of shape (H, W), bool
            The object, not empty.

        Returns
        -------
        Clicked
        """
        steps = clicked(predictor, embedding, sample, truth)
        reached: list[float] = []
        while True:
            prompt, prediction = next(steps)
            reached.append(iou(prediction.best_mask, truth, sample.ignore))
            if reached[-1] >= self.target or len(reached) == self.most_clicks:
                break
        painted = reached[-1] < self.target
        points = () if prompt.points is None else prompt.points.tolist()
        return Clicked(
            mask=truth if painted else prediction.best_mask,
            clicks=len(reached),
            first_iou=reached[0],
            iou=reached[-1],
            points=tuple((x, y) for x, y in points),
            painted=painted,
        )

    def annotate(
        self,
        predictor: Predictor,
        image: LabelledImage,
        *,
        prefilled: Sequence[AnnotatedObject] = (),
        most: int | None = None,
        name: str | None = None,
    ) -> tuple[AnnotatedImage, list[Clicked]]:
        """Annotate the objects of an image that are not there yet.

        Parameters
        ----------
        predictor : Predictor
            The model.
        image : LabelledImage
            The image with its true masks.
        prefilled : sequence of AnnotatedObject
            Masks that are there. Those that fit no true mask are deleted, of two that fit one the
            better one is kept.
        most : int, optional
            At most so many objects are annotated, the largest first.
        name : str, optional
            What the image is called; by default as it is.

        Returns
        -------
        annotated : AnnotatedImage
            What was kept, then what was clicked.
        clicked : list of Clicked
            The latter.
        """
        kept, found = self._keep(image, prefilled)
        left = sorted(
            (each for n, each in enumerate(image.objects) if n not in found),
            key=lambda each: -rle.area(each),
        )[:most]
        masks = [rle.decode(each) for each in left]
        nothing = np.zeros(image.image.shape[:2], dtype=bool)
        sample = Sample(image.name, image.image, masks, nothing)
        embedding = predictor.embed(image.image) if masks else None
        made = [
            self.click(predictor, embedding, sample, truth)
            for truth in masks
            if embedding is not None
        ]
        objects = [
            AnnotatedObject(0, rle.encode(each.mask), point_coords=each.points, clicks=each.clicks)
            for each in made
        ]
        labelled = tuple(
            replace(each, label=number) for number, each in enumerate([*kept, *objects], start=1)
        )
        size = (image.image.shape[0], image.image.shape[1])
        return AnnotatedImage(name or image.name, size, labelled), made

    def _keep(
        self, image: LabelledImage, prefilled: Sequence[AnnotatedObject]
    ) -> tuple[list[AnnotatedObject], set[int]]:
        """The prefilled masks that are good, and the numbers of the true ones that they fit."""
        fit = rle.iou([each.segmentation for each in prefilled], list(image.objects))
        kept: list[AnnotatedObject] = []
        found: set[int] = set()
        for number in np.argsort(-fit.max(axis=1, initial=0), kind="stable").tolist():
            best = int(fit[number].argmax()) if fit.shape[1] else -1
            if best >= 0 and fit[number, best] >= self.least_kept and best not in found:
                kept.append(prefilled[number])
                found.add(best)
        return kept, found
