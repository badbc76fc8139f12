"""Finding an image's masks without a person: what each worker does."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.automatic import AutomaticSettings
from sam_plugins.data_engine.records import SourceImage
from sam_plugins.masks.records import MaskRecord

if TYPE_CHECKING:
    from sam_plugins.predictor import Predictor

# Takes an image (H, W, 3), uint8; gives boxes (N, 4), xyxy in pixels.
Detector = Callable[[NDArray[np.uint8]], Any]


@dataclass(frozen=True)
class Found:
    """What a worker found in one image.

    Parameters
    ----------
    image : SourceImage
        Which image.
    size : tuple of int
        (H, W), in pixels; (0, 0) if it failed.
    records : tuple of MaskRecord
        The masks.
    error : str, optional
        Why there are none.
    """

    image: SourceImage
    size: tuple[int, int] = (0, 0)
    records: tuple[MaskRecord, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Recipe:
    """All that the masks of an image depend on, small enough to be sent to a worker.

    Parameters
    ----------
    model : str
        A name or a checkpoint's path, which each worker must see.
    settings : AutomaticSettings, optional
        By default those that suit the model.
    detector : str, optional
        A function, ``"package.module:name"``, that gives boxes: their masks come first, and those
        of the grid after them.
    device, precision : str
        See `Predictor`.
    threads : int
        Processor threads of each worker. Sums are rounded in another order with another number, so
        that equal results need equal numbers.
    """

    model: str
    settings: AutomaticSettings | None = None
    detector: str | None = None
    device: str = "auto"
    precision: str = "auto"
    threads: int = 1

    def open(self) -> Finder:
        """Load the model in this process.

        Returns
        -------
        Finder
        """
        import torch

        from sam_plugins.cache import EmbeddingCache
        from sam_plugins.predictor import Predictor

        torch.set_num_threads(self.threads)
        # Each image comes once: nothing is gained by keeping embeddings, but memory lost.
        cache = EmbeddingCache(memory_bytes=0, disk_bytes=0)
        predictor = Predictor(self.model, device=self.device, precision=self.precision, cache=cache)
        settings = self.settings or AutomaticSettings.for_model(predictor.model)
        detector = None if self.detector is None else load_detector(self.detector)
        return Finder(self, predictor, settings, detector)


@dataclass(frozen=True)
class Finder:
    """A loaded model that finds masks.

    Parameters
    ----------
    recipe : Recipe
        What it was made from.
    predictor : Predictor
        The model.
    settings : AutomaticSettings
        How masks are found and selected.
    detector : callable, optional
        Gives boxes of objects.
    """

    recipe: Recipe
    predictor: Predictor
    settings: AutomaticSettings
    detector: Detector | None = None

    @cached_property
    def made_with(self) -> str:
        """Identity of all that masks depend on but the image: 16 hexadecimal digits."""
        from sam_plugins import __version__

        parts = {
            "version": __version__,
            "weights": self.predictor.weights_hash,
            "precision": self.predictor.precision,
            "threads": self.recipe.threads,
            "detector": self.recipe.detector,
            "settings": asdict(self.settings),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def find(self, image: SourceImage) -> Found:
        """Find the masks of one image.

        Parameters
        ----------
        image : SourceImage
            Which image.

        Returns
        -------
        Found
            With an error if the image cannot be read or segmented: one bad file stops nothing.
        """
        from sam_plugins.automatic import generate
        from sam_plugins.images import Planes, read_image

        try:
            planes = Planes.loaded(read_image(image.path, page=image.page))
            records = generate(self.predictor, planes, settings=self.settings)
            if self.detector is not None:
                records = self._with_boxes(planes, records)
        except Exception as error:
            return Found(image, error=" ".join(str(error).split()) or type(error).__name__)
        return Found(image, planes.layout.size, tuple(records))

    def _with_boxes(self, planes: Any, records: list[MaskRecord]) -> list[MaskRecord]:
        from sam_plugins.data_engine.boxes import records_of_boxes, without_duplicates
        from sam_plugins.images import to_rgb

        boxes = self.detector(to_rgb(planes)) if self.detector is not None else ()
        first = records_of_boxes(self.predictor, planes, boxes, self.settings)
        return without_duplicates([*first, *records], self.settings.box_nms_thresh)


def load_detector(name: str) -> Detector:
    """Find a detector by its name.

    Parameters
    ----------
    name : str
        ``"package.module:function"``.

    Returns
    -------
    callable
        Takes an image (H, W, 3), uint8, and gives boxes (N, 4), xyxy in pixels.

    Raises
    ------
    ValueError
        If there is no such function.
    """
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{name!r} is not package.module:function: {error}") from error
    if not callable(found):
        raise ValueError(f"{name!r} is not a function")
    return found
