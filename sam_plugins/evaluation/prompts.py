"""How good are the masks after clicks and boxes?

The single-point protocol of the paper (arXiv 2304.02643, §7.1): a click in the middle of the
object, each further one in the middle of the largest error; and tight boxes. ``sam-plugins evaluate
prompts`` runs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sam_plugins.evaluation import baselines
from sam_plugins.evaluation.boundaries import boundary_f
from sam_plugins.evaluation.clicks import box_of, centre_of, iou, next_click, random_click
from sam_plugins.evaluation.sets import Sample
from sam_plugins.masks.regions import regions_at
from sam_plugins.prediction import Prediction
from sam_plugins.predictor import Predictor
from sam_plugins.prompts import Prompt

if TYPE_CHECKING:
    from sam_plugins.embedding import ImageEmbedding

# The measures of `MaskScores`, and what they are called in tables.
MEASURES = {"iou": "IoU", "dice": "Dice", "boundary_f": "Boundary F-score"}


@dataclass(frozen=True)
class Protocol:
    """Which prompts are measured.

    Parameters
    ----------
    clicks : tuple of int
        After how many clicks a mask is measured.
    boxes : bool
        Also measure masks of tight boxes.
    baselines : bool
        Also measure what needs no model, for one click and for boxes where they are measured.
    random : bool
        The first click is anywhere on the object, not in its middle (paper, §D.1).
    seed : int
        Of random clicks.

    Raises
    ------
    ValueError
        If there are no clicks, or fewer than one.

    Examples
    --------
    >>> Protocol(clicks=(5, 1, 1)).clicks
    (1, 5)
    """

    clicks: tuple[int, ...] = (1, 3, 5)
    boxes: bool = True
    baselines: bool = False
    random: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.clicks:
            raise ValueError("there must be at least one number of clicks")
        for count in self.clicks:
            if count < 1:
                raise ValueError(f"the number of clicks must be at least 1, got {count}")
        object.__setattr__(self, "clicks", tuple(sorted(set(self.clicks))))


@dataclass(frozen=True)
class MaskScores:
    """How well one mask fits the truth, each from 0 to 1.

    Parameters
    ----------
    iou : float
        Intersection over union.
    dice : float
        Twice the intersection over the sum of both areas.
    boundary_f : float
        F-score of the boundary, see `boundary_f`.
    """

    iou: float
    dice: float
    boundary_f: float

    @classmethod
    def of(
        cls, mask: NDArray[np.bool_], truth: NDArray[np.bool_], ignore: NDArray[np.bool_]
    ) -> MaskScores:
        """Compare two masks.

        Parameters
        ----------
        mask, truth, ignore : ndarray of shape (H, W), bool
            What was predicted, what is true, and what counts neither way.

        Returns
        -------
        MaskScores
        """
        overlap = iou(mask, truth, ignore)
        # With I and U the areas of intersection and union, Dice is 2 I / (U + I).
        return cls(overlap, 2 * overlap / (1 + overlap), boundary_f(mask, truth, ignore))


@dataclass(frozen=True)
class ObjectScores:
    """How well the masks of one object fit.

    Parameters
    ----------
    image : str
        Name of the sample.
    index : int
        Which of the sample's masks the object is.
    area : float
        The object's share of the image.
    predicted_iou : dict of str to float
        The model's own estimate for the masks ``"click"``, ``"click3"``, ... and ``"box"``.
    masks : dict of str to MaskScores
        By column: see `measure_object`.
    """

    image: str
    index: int
    area: float
    predicted_iou: dict[str, float]
    masks: dict[str, MaskScores]

    def as_dict(self) -> dict[str, object]:
        """All values, as JSON holds them."""
        return asdict(self)


def column_of(clicks: int) -> str:
    """Name the column of a number of clicks.

    Parameters
    ----------
    clicks : int
        At least 1.

    Returns
    -------
    str
        The name.

    Examples
    --------
    >>> column_of(1), column_of(3)
    ('click', 'clicks3')
    """
    return "click" if clicks == 1 else f"clicks{clicks}"


def clicked(
    predictor: Predictor,
    embedding: ImageEmbedding,
    sample: Sample,
    truth: NDArray[np.bool_],
    *,
    first: tuple[float, float] | None = None,
) -> Iterator[tuple[Prompt, Prediction]]:
    """Click on an object, again and again where the mask is most wrong.

    Parameters
    ----------
    predictor : Predictor
        With the model to measure.
    embedding : ImageEmbedding
        Of the sample's image.
    sample : Sample
        The image.
    truth : ndarray of shape (H, W), bool
        One of the sample's masks.
    first : tuple of float, optional
        The first click, x then y, in pixels; by default in the middle of the object.

    Yields
    ------
    prompt : Prompt
        All clicks so far; from the second one on with the logits of the mask before.
    prediction : Prediction
        Three masks for the first click, one for more. Each is computed when it is asked for.
    """
    point, label = first or centre_of(truth & ~sample.ignore)[0], 1
    points, labels = [point], [label]
    prompt = Prompt(points=np.array(points), labels=np.array(labels))
    prediction = predictor.predict(embedding, prompt, multimask=True)
    while True:
        yield prompt, prediction
        point, label = next_click(prediction.best_mask, truth, sample.ignore)
        points, labels = [*points, point], [*labels, label]
        prompt = prediction.refine(Prompt(points=np.array(points), labels=np.array(labels)))
        prediction = predictor.predict(embedding, prompt, multimask=False)


def first_click(mask: NDArray[np.bool_], index: int, protocol: Protocol) -> tuple[float, float]:
    """Choose where an object is clicked first.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
        Not empty.
    index : int
        Which of the sample's masks it is.
    protocol : Protocol
        In the middle, or anywhere.

    Returns
    -------
    tuple of float
        x then y, in pixels. The same one for the same object, protocol and seed.
    """
    if not protocol.random:
        return centre_of(mask)[0]
    # Not one generator for all: a second model is asked at the same points.
    return random_click(mask, np.random.default_rng([protocol.seed, index, int(mask.sum())]))


def measure_object(
    predictor: Predictor,
    embedding: ImageEmbedding,
    sample: Sample,
    index: int,
    *,
    protocol: Protocol | None = None,
) -> ObjectScores:
    """Prompt for one object of an embedded image, and compare.

    Parameters
    ----------
    predictor : Predictor
        With the model to measure.
    embedding : ImageEmbedding
        Of the sample's image.
    sample : Sample
        The image.
    index : int
        Which of the sample's masks is the truth.
    protocol : Protocol, optional
        Which prompts; by default one, three and five clicks, and boxes.

    Returns
    -------
    ObjectScores
        With the columns ``click``, ``clicks3``, ...: the mask with the highest predicted IoU;
        ``click_oracle``: of the three masks after one click, the one that fits best;
        ``click_piece``: of ``click``, only the connected piece under the click; ``box`` and
        ``box_oracle``: the same for the three masks of the tight box; ``box_single``: the single
        mask for it. Without a model: ``flood``, ``random_walk``, ``ellipse``, ``filled_box``,
        ``grabcut``.
    """
    protocol = protocol or Protocol()
    truth = sample.masks[index]
    masks: dict[str, NDArray[np.bool_]] = {}
    predicted: dict[str, float] = {}
    first = first_click(truth & ~sample.ignore, index, protocol)
    steps = clicked(predictor, embedding, sample, truth, first=first)
    # The range comes first: it ends before one click too many is computed.
    for count, (prompt, prediction) in zip(range(1, protocol.clicks[-1] + 1), steps, strict=False):
        if count not in protocol.clicks:
            continue
        column = column_of(count)
        masks[column] = prediction.best_mask
        predicted[column] = float(prediction.predicted_iou[prediction.best])
        if count == 1 and prompt.points is not None:
            masks["click_oracle"] = _oracle(prediction, truth, sample.ignore)
            masks["click_piece"] = regions_at(prediction.best_mask, prompt.points)
    if protocol.boxes:
        boxed = Prompt(boxes=np.array([box_of(truth)]))
        prediction = predictor.predict(embedding, boxed, multimask=True)
        masks["box"] = prediction.best_mask
        predicted["box"] = float(prediction.predicted_iou[prediction.best])
        masks["box_oracle"] = _oracle(prediction, truth, sample.ignore)
        masks["box_single"] = predictor.predict(embedding, boxed, multimask=False).best_mask
    if protocol.baselines:
        masks |= _without_model(sample, truth, index, protocol)
    return ObjectScores(
        image=sample.name,
        index=index,
        area=float(truth.mean()),
        predicted_iou=predicted,
        masks={name: MaskScores.of(mask, truth, sample.ignore) for name, mask in masks.items()},
    )


def _oracle(
    prediction: Prediction, truth: NDArray[np.bool_], ignore: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The mask of the highest true IoU: (H, W), bool."""
    return max(prediction.masks, key=lambda mask: iou(mask, truth, ignore))


def _without_model(
    sample: Sample, truth: NDArray[np.bool_], index: int, protocol: Protocol
) -> dict[str, NDArray[np.bool_]]:
    masks = {}
    if 1 in protocol.clicks:
        point = first_click(truth & ~sample.ignore, index, protocol)
        masks["flood"] = baselines.flood(sample.image, point)
        masks["random_walk"] = baselines.random_walk(sample.image, point)
    if protocol.boxes:
        box, size = box_of(truth), (truth.shape[0], truth.shape[1])
        masks["ellipse"] = baselines.filled_ellipse(box, size)
        masks["filled_box"] = baselines.filled_box(box, size)
        masks["grabcut"] = baselines.grabcut(sample.image, box)
    return masks


def measure(
    predictor: Predictor, samples: Iterable[Sample], *, protocol: Protocol | None = None
) -> Iterator[ObjectScores]:
    """Prompt for all objects of some images.

    Parameters
    ----------
    predictor : Predictor
        With the model to measure.
    samples : iterable of Sample
        Images with their objects; each is embedded once.
    protocol : Protocol, optional
        Which prompts; by default one, three and five clicks, and boxes.

    Yields
    ------
    ObjectScores
        One an object, in order; none for an object that consists of pixels to ignore.
    """
    for sample in samples:
        embedding = predictor.embed(sample.image)
        for index, truth in enumerate(sample.masks):
            if (truth & ~sample.ignore).any():
                yield measure_object(predictor, embedding, sample, index, protocol=protocol)
