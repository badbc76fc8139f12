"""Labelled images as training examples: in the frame, turned and mirrored, embedded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sam_plugins.datasets.labelled import LabelledImage
from sam_plugins.frames import Frame
from sam_plugins.modeling.sam import Sam
from sam_plugins.training.interactive import Example

# Quarter turns, mirrored or not.
ORIENTATIONS = 8

# Embeddings of training images take at most this much memory; what does not fit is encoded again.
MOST_CACHE_BYTES = 2 * 2**30


class ExampleStream:
    """Endless examples from labelled images; which one comes when depends on the seed alone.

    Parameters
    ----------
    images : sequence of LabelledImage
        At least one.
    model : Sam
        Gives the frame's size and, if embeddings are kept, the embeddings.
    seed : int
        Of the order, the orientations and the prompts.
    keep_embeddings : bool
        Encode each image once in each orientation and keep that: for training the decoder alone.
    """

    def __init__(
        self, images: Sequence[LabelledImage], model: Sam, *, seed: int, keep_embeddings: bool
    ) -> None:
        self.images = images
        self.model = model
        self.seed = seed
        self.keep_embeddings = keep_embeddings
        self._kept: dict[tuple[int, int], tuple[Tensor, ...]] = {}
        self._kept_bytes = 0

    def batches(self, first: int) -> Iterator[list[Example]]:
        """Give batches of one example each.

        Parameters
        ----------
        first : int
            Number of the first one.

        Yields
        ------
        list of Example
        """
        count, number = len(self.images), first
        while True:
            order = np.random.default_rng([self.seed, number // count]).permutation(count)
            yield [self.example(int(order[number % count]), number)]
            number += 1

    def example(self, index: int, number: int) -> Example:
        """Make one example.

        Parameters
        ----------
        index : int
            Which image.
        number : int
            Its place in the stream; decides on orientation and prompts.

        Returns
        -------
        Example
        """
        rng = np.random.default_rng([self.seed, 1, number])
        orientation = int(rng.integers(ORIENTATIONS))
        seed = int(rng.integers(2**31))
        item = self.images[index]
        image = _turned(item.image, orientation, (0, 1))
        frame = Frame(
            (image.shape[0], image.shape[1]),
            self.model.frame_size,
            self.model.low_resolution_stride,
        )
        pixels = torch.from_numpy(np.array(frame.resize_image(image))).permute(2, 0, 1)
        masks = torch.from_numpy(np.array(_turned(item.masks(), orientation, (1, 2))))
        size = (pixels.shape[1], pixels.shape[2])
        small = functional.interpolate(masks[:, None].float(), size, mode="nearest")[:, 0] > 0.5
        features = self._features((index, orientation), pixels) if self.keep_embeddings else None
        return Example(pixels, small, seed, features)

    @torch.no_grad()
    def _features(self, key: tuple[int, int], pixels: Tensor) -> tuple[Tensor, ...]:
        if key in self._kept:
            return self._kept[key]
        model, training = self.model, self.model.image_encoder.training
        model.image_encoder.eval()
        features = model.encode(model.preprocess(pixels[None].to(model.device).float()))
        model.image_encoder.train(training)
        size = sum(feature.numel() * feature.element_size() for feature in features)
        if self._kept_bytes + size <= MOST_CACHE_BYTES:
            self._kept[key] = features
            self._kept_bytes += size
        return features


def _turned(array: np.ndarray, orientation: int, axes: tuple[int, int]) -> np.ndarray:
    """One of eight orientations of the two axes."""
    turned = np.rot90(array, orientation % 4, axes)
    return np.flip(turned, axes[1]) if orientation >= 4 else turned
