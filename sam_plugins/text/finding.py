"""``TextFinder``: text prompts about images, by the best way there is; says which it took."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.embedding import ImageEmbedding
from sam_plugins.errors import InvalidPromptError
from sam_plugins.images import Normalization, Planes, to_rgb
from sam_plugins.masks.records import MaskRecord
from sam_plugins.phrases import parse
from sam_plugins.prompts import Prompt
from sam_plugins.text.answers import TextAnswer, best_answer
from sam_plugins.text.candidates import candidates_of, masks_of_boxes, record_of
from sam_plugins.text.clip import ClipEncoder, candidate_vectors, similarity_scores
from sam_plugins.text.looks import Looks, looks_of
from sam_plugins.text.tower import THRESHOLD, shipped_tower, tower_scores

if TYPE_CHECKING:
    from sam_plugins.modeling.text_tower import TextTower
    from sam_plugins.predictor import Predictor
    from sam_plugins.text.trained import TextTrained

# Takes an RGB image (H, W, 3), uint8, and a text; gives boxes (M, 4), xyxy, in pixels.
Detector = Callable[[NDArray[np.uint8], str], Any]

# Images whose candidates are remembered.
REMEMBERED = 8


@dataclass(eq=False)
class Seen:
    """An image with its candidates, and what was computed of them.

    Parameters
    ----------
    rgb : ndarray of shape (H, W, 3), uint8
        The image.
    embedding : ImageEmbedding
        Of the image.
    records : list of MaskRecord
        The candidates.
    kept : dict
        By name, what a way computed of them once.
    """

    rgb: NDArray[np.uint8]
    embedding: ImageEmbedding
    records: list[MaskRecord]
    kept: dict[str, Any] = field(default_factory=dict)

    @property
    def looks(self) -> Looks:
        """What the candidates look like, computed once."""
        if "looks" not in self.kept:
            self.kept["looks"] = looks_of(self.rgb, [each.mask() for each in self.records])
        return self.kept["looks"]


class TextFinder:
    """Finds the objects that a phrase means.

    Parameters
    ----------
    predictor : Predictor
        Whose masks are chosen from.
    tower : TextTower, optional
        In place of the one that ships.
    clip : ClipEncoder, optional
        Ranks candidates by how well their crops fit the text, in place of the tower: understands
        any text, as well as it can.
    trained : TextTrained, optional
        A model trained for text prompts: one mask a text.
    threshold : float
        Candidates that score less are no matches.
    detector : callable, optional
        Takes an RGB image (H, W, 3), uint8, and the text, and gives boxes (M, 4), xyxy, in pixels,
        or a pair of boxes and scores (M,): then the masks are those of the boxes.

    Raises
    ------
    ValueError
        If the threshold is not a probability.

    Examples
    --------
    >>> import skimage
    >>> from sam_plugins import Predictor
    >>> finder = TextFinder(Predictor("lite"))
    >>> answer = finder.find(skimage.data.coins()[:128, :128], Prompt(text="the largest disc"))
    >>> answer.way
    'tower'
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        tower: TextTower | None = None,
        clip: ClipEncoder | None = None,
        trained: TextTrained | None = None,
        threshold: float = THRESHOLD,
        detector: Detector | None = None,
    ) -> None:
        if not 0 <= threshold <= 1:
            raise ValueError(f"the threshold must lie in 0 .. 1, got {threshold}")
        self.predictor = predictor
        self.clip = clip
        self.trained = trained
        self.threshold = threshold
        self.detector = detector
        self.tower = tower
        self._seen: OrderedDict[tuple[str, str], Seen] = OrderedDict()

    def find(
        self,
        image: Any,
        prompt: Prompt,
        *,
        normalization: Normalization | None = None,
        channel_axis: int | None = None,
    ) -> TextAnswer:
        """Find the objects that a text prompt means.

        Parameters
        ----------
        image : array-like
            See `Predictor.embed`.
        prompt : Prompt
            With a text, and nothing else.
        normalization, channel_axis
            See `Predictor.embed`.

        Returns
        -------
        TextAnswer
            All matching objects, the best first; perhaps none.

        Raises
        ------
        InvalidPromptError
            If there is no text, something beside it, or a text that is not understood.
        """
        text = text_of(prompt)
        self.check(text)  # before any work is done
        planes = Planes.loaded(image, normalization=normalization, channel_axis=channel_axis)
        embedding = self.predictor.embed(planes, normalization=normalization)
        return self.find_in(to_rgb(planes, normalization=normalization), embedding, text)

    def find_in(self, rgb: NDArray[np.uint8], embedding: ImageEmbedding, text: str) -> TextAnswer:
        """Find the objects that a text means in an image that is embedded already.

        Parameters
        ----------
        rgb : ndarray of shape (H, W, 3), uint8
            The image.
        embedding : ImageEmbedding
            Of the image.
        text : str
            What is looked for.

        Returns
        -------
        TextAnswer

        Raises
        ------
        InvalidPromptError
            If the text is not understood.
        """
        if self.detector is not None:
            return self._detected(rgb, embedding, text)
        if self.trained is not None:
            prediction = self.trained.predict(embedding, Prompt(text=text))
            height, width = embedding.image_size
            record = record_of(prediction, (width / 2, height / 2))
            records = [] if record is None else [record]
            scores = np.array([each.predicted_iou for each in records])
            return best_answer(records, scores, threshold=-np.inf, way="model")
        self.check(text)
        seen = self.look_at(rgb, embedding)
        if self.clip is not None:
            scores, way = similarity_scores(self.clip, self._vectors(seen), text), "similarity"
        else:
            tower = self.tower or shipped_tower()
            scores, way = tower_scores(tower, seen.looks, [parse(text)])[0], "tower"
        return best_answer(seen.records, scores, threshold=self.threshold, way=way)

    def check(self, text: str) -> None:
        """Check that a text can be answered.

        Parameters
        ----------
        text : str
            What is looked for.

        Raises
        ------
        InvalidPromptError
            If it is not understood, or too long.
        """
        if self.detector is not None:
            return
        if self.trained is not None:
            self.trained.encoder.texts([text])
        elif self.clip is not None:
            self.clip.texts([text])
        else:
            parse(text)

    def look_at(self, rgb: NDArray[np.uint8], embedding: ImageEmbedding) -> Seen:
        """Give an image's candidates, found once for the images looked at lately.

        Parameters
        ----------
        rgb : ndarray of shape (H, W, 3), uint8
            The image.
        embedding : ImageEmbedding
            Of the image.

        Returns
        -------
        Seen
        """
        key = embedding.content_key, embedding.normalization_key
        seen = self._seen.get(key) if embedding.content_key else None
        if seen is None:
            seen = Seen(rgb, embedding, candidates_of(self.predictor, rgb, embedding))
        self._seen[key] = seen
        self._seen.move_to_end(key)
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return seen

    def _vectors(self, seen: Seen) -> NDArray[np.float32]:
        """CLIP's view of the candidates, kept with them."""
        assert self.clip is not None
        name = f"clip {self.clip.name}"
        if name not in seen.kept:
            masks = [each.mask() for each in seen.records]
            seen.kept[name] = candidate_vectors(self.clip, seen.rgb, masks)
        return seen.kept[name]

    def _detected(self, rgb: NDArray[np.uint8], embedding: ImageEmbedding, text: str) -> TextAnswer:
        """Boxes from the detector, one mask each."""
        assert self.detector is not None
        boxes, scores = checked_boxes(self.detector(rgb, text), embedding.image_size)
        records: list[MaskRecord] = []
        kept: list[float] = []
        for box, score in zip(boxes, scores, strict=True):
            found = masks_of_boxes(self.predictor, embedding, box[None])
            records += found
            kept += [float(score)] * len(found)
        return best_answer(records, np.array(kept), threshold=-np.inf, way="detector")


def text_of(prompt: Prompt) -> str:
    """Give a prompt's text, if it has nothing but a text.

    Parameters
    ----------
    prompt : Prompt
        Any.

    Returns
    -------
    str

    Raises
    ------
    InvalidPromptError
        If there is no text, or something beside it.
    """
    if prompt.text is None:
        raise InvalidPromptError("the prompt has no text: give Prompt(text=...)")
    if prompt.count > 1:
        raise InvalidPromptError(
            "a text finds whole objects by itself: correct one of them with points or boxes "
            "afterwards, in a prompt without the text"
        )
    return prompt.text


def checked_boxes(
    given: Any, image_size: tuple[int, int]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Bring a detector's answer into form.

    Parameters
    ----------
    given : array-like of shape (M, 4), or a pair of that and of scores (M,)
        Boxes, xyxy, in pixels.
    image_size : tuple of int
        (H, W): boxes are cut off at the image's border.

    Returns
    -------
    boxes : ndarray of shape (M, 4), float32
        Without those that are thinner than a pixel.
    scores : ndarray of shape (M,), float64
        Ones if none were given.

    Raises
    ------
    InvalidPromptError
        If it is of another form.
    """
    boxes, scores = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
    try:
        array = np.array(boxes, dtype=np.float64)
        array = array.reshape(-1, 4) if array.size == 0 else array
        levels = np.ones(len(array)) if scores is None else np.array(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidPromptError(
            f"the detector must give boxes of shape (M, 4), or boxes and scores: {error}"
        ) from error
    if array.ndim != 2 or array.shape[1] != 4 or levels.shape != (len(array),):
        raise InvalidPromptError(
            f"the detector must give boxes of shape (M, 4), and a score for each if any; got the "
            f"shapes {array.shape} and {levels.shape}"
        )
    if not np.isfinite(array).all() or not np.isfinite(levels).all():
        raise InvalidPromptError("the detector gave boxes or scores that are not finite")
    height, width = image_size
    array[:, [0, 2]] = array[:, [0, 2]].clip(0, width)
    array[:, [1, 3]] = array[:, [1, 3]].clip(0, height)
    large = ((array[:, 2] - array[:, 0]) >= 1) & ((array[:, 3] - array[:, 1]) >= 1)
    return array[large].astype(np.float32), levels[large]
