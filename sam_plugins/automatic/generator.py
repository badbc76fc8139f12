"""Automatic masks: prompt an image with a grid of points and keep the masks worth keeping.

Two steps, because one is expensive and the other is not: `propose` encodes the image and decodes
the grid (seconds), `select` applies thresholds and removes duplicates (milliseconds), so that a
person can move a slider. `generate` does both.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.automatic.grids import Crop, crops_of, grid_of
from sam_plugins.automatic.selection import Candidates, select_records
from sam_plugins.automatic.settings import AutomaticSettings
from sam_plugins.embedding import ImageEmbedding
from sam_plugins.errors import CancelledError, InvalidImageError, SamPluginsError
from sam_plugins.images import Normalization, Planes, read_image, to_rgb
from sam_plugins.masks.records import MaskRecord
from sam_plugins.prompts import Prompt

if TYPE_CHECKING:
    from sam_plugins.predictor import Predictor

Progress = Callable[[int, int], None]
Cancelled = Callable[[], bool]


@dataclass(frozen=True, eq=False)
class Proposals:
    """All candidate masks of one image, before thresholds and duplicate removal.

    Parameters
    ----------
    candidates : tuple of Candidates
        One set a crop, in the order of the crops. Crops that are a pixel wide, which those of a
        tiny image may be, are left out.
    image_size : tuple of int
        (H, W) of the image, in pixels.
    settings : AutomaticSettings
        What they were made with. Candidates below its ``pred_iou_thresh`` were not kept.
    """

    candidates: tuple[Candidates, ...]
    image_size: tuple[int, int]
    settings: AutomaticSettings

    def __len__(self) -> int:
        return sum(len(candidates) for candidates in self.candidates)


def propose(
    predictor: Predictor,
    image: Any,
    *,
    settings: AutomaticSettings | None = None,
    normalization: Normalization | None = None,
    channel_axis: int | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> Proposals:
    """Decode a grid of points on an image, and on overlapping crops of it.

    Parameters
    ----------
    predictor : Predictor
        The model.
    image : array-like, path-like or ImageEmbedding
        An image as for `Predictor.embed`, or its embedding, which suffices without crops.
    settings : AutomaticSettings, optional
        By default those that suit the predictor's model.
    normalization, channel_axis
        See `Predictor.embed`.
    progress : callable, optional
        Called with (done, total) points.
    cancelled : callable, optional
        Asked between batches of points; the work stops if it returns True.

    Returns
    -------
    Proposals

    Raises
    ------
    CancelledError
        If ``cancelled`` returned True.
    SamPluginsError
        If crops are asked for and only an embedding is given.

    Notes
    -----
    The predicted IoU is compared with its threshold before a mask is upsampled, and a mask is
    turned into runs, box, area and stability score row by row: memory grows neither with the
    image's size nor with the number of masks.
    """
    chosen = settings or AutomaticSettings.for_model(predictor.model)
    size, embeddings = _embeddings(predictor, image, chosen, normalization, channel_axis)
    crops = _crops(predictor, size, chosen)
    total = sum(len(grid_of(chosen, crop.layer)) for crop in crops)
    done = 0
    found = []
    for crop, embedding in zip(crops, embeddings, strict=True):
        parts = []
        for batch in _point_batches(crop, chosen, predictor.prompts_per_batch):
            if cancelled is not None and cancelled():
                raise CancelledError(f"stopped after {done} of {total} points")
            parts.append(_candidates_at(predictor, embedding, batch, crop, size, chosen))
            done += len(batch)
            if progress is not None:
                progress(done, total)
        found.append(Candidates.join(parts, crop_box=crop.box))
    return Proposals(candidates=tuple(found), image_size=size, settings=chosen)


def select(proposals: Proposals, *, settings: AutomaticSettings | None = None) -> list[MaskRecord]:
    """Apply thresholds to proposals, remove duplicates, clean small regions.

    Parameters
    ----------
    proposals : Proposals
        From `propose`.
    settings : AutomaticSettings, optional
        By default those that the proposals were made with. Only thresholds are used: the grid, the
        crops and the offset of the stability score are the proposals' own.

    Returns
    -------
    list of MaskRecord
        Those from the smallest crops first, then by descending predicted IoU; masks that had small
        regions removed come after all others. May be empty.

    Raises
    ------
    ValueError
        If the predicted-IoU threshold is below the one that the proposals were made with.
    """
    chosen = settings or proposals.settings
    if chosen.pred_iou_thresh < proposals.settings.pred_iou_thresh:
        raise ValueError(
            f"these proposals were made with pred_iou_thresh {proposals.settings.pred_iou_thresh}: "
            f"propose again to select with {chosen.pred_iou_thresh}"
        )
    return select_records(proposals.candidates, proposals.image_size, chosen)


def generate(
    predictor: Predictor,
    image: Any,
    *,
    settings: AutomaticSettings | None = None,
    normalization: Normalization | None = None,
    channel_axis: int | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
) -> list[MaskRecord]:
    """Find all masks of an image: `propose`, then `select`.

    Parameters
    ----------
    predictor, image, settings, normalization, channel_axis, progress, cancelled
        See `propose`.

    Returns
    -------
    list of MaskRecord
        May be empty.
    """
    proposals = propose(
        predictor,
        image,
        settings=settings,
        normalization=normalization,
        channel_axis=channel_axis,
        progress=progress,
        cancelled=cancelled,
    )
    return select(proposals)


def generate_batch(
    predictor: Predictor,
    images: Sequence[Any],
    *,
    batch_size: int = 4,
    settings: AutomaticSettings | None = None,
    normalization: Normalization | None = None,
    channel_axis: int | None = None,
) -> Iterator[list[MaskRecord]]:
    """Find all masks of many images, encoding ``batch_size`` of them at a time.

    Parameters
    ----------
    predictor : Predictor
        The model.
    images : sequence
        See `Predictor.embed`.
    batch_size : int
        Images that the encoder takes at once.
    settings, normalization, channel_axis
        See `propose`.

    Yields
    ------
    list of MaskRecord
        One list an image, in order.

    Raises
    ------
    ValueError
        If the batch size is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    chosen = settings or AutomaticSettings.for_model(predictor.model)
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        embeddings: Sequence[Any] = batch
        if not chosen.crop_n_layers:
            embeddings = predictor.embed_batch(
                batch,
                batch_size=batch_size,
                normalization=normalization,
                channel_axis=channel_axis,
            )
        for each in embeddings:
            yield generate(
                predictor,
                each,
                settings=chosen,
                normalization=normalization,
                channel_axis=channel_axis,
            )


def _embeddings(
    predictor: Predictor,
    image: Any,
    settings: AutomaticSettings,
    normalization: Normalization | None,
    channel_axis: int | None,
) -> tuple[tuple[int, int], Iterator[ImageEmbedding]]:
    """The image's size and, one after the other, its crops' embeddings, the whole first."""
    if isinstance(image, ImageEmbedding):
        if settings.crop_n_layers:
            raise SamPluginsError("crops need the image itself: an embedding is of the whole image")
        return image.frame.image_size, iter([image])
    array = read_image(image) if isinstance(image, str | os.PathLike) else image
    planes = Planes.loaded(array, normalization=normalization, channel_axis=channel_axis)
    whole = predictor.embed(planes, normalization=normalization)
    if not settings.crop_n_layers:
        return whole.frame.image_size, iter([whole])

    def one_by_one() -> Iterator[ImageEmbedding]:
        yield whole
        rgb = to_rgb(planes, normalization=normalization)
        for crop in _crops(predictor, whole.frame.image_size, settings)[1:]:
            x0, y0, x1, y1 = crop.box
            yield predictor.encode_rgb([rgb[y0:y1, x0:x1]])[0]

    return whole.frame.image_size, one_by_one()


def _crops(
    predictor: Predictor, image_size: tuple[int, int], settings: AutomaticSettings
) -> list[Crop]:
    """The crops that can be looked at: of a tiny image, some are a pixel wide or empty."""
    crops = []
    for crop in crops_of(image_size, settings):
        x0, y0, x1, y1 = crop.box
        with suppress(InvalidImageError):
            predictor.frame_of((y1 - y0, x1 - x0))
            crops.append(crop)
    return crops


def _point_batches(
    crop: Crop, settings: AutomaticSettings, batch_size: int
) -> Iterator[NDArray[np.float64]]:
    """The crop's grid in its own pixels, (n, 2) x then y, in batches that the decoder takes."""
    x0, y0, x1, y1 = crop.box
    points = grid_of(settings, crop.layer) * np.array([x1 - x0, y1 - y0])
    size = min(batch_size, settings.points_per_batch or batch_size)
    for start in range(0, len(points), size):
        yield points[start : start + size]


def _candidates_at(
    predictor: Predictor,
    embedding: ImageEmbedding,
    points: NDArray[np.float64],
    crop: Crop,
    image_size: tuple[int, int],
    settings: AutomaticSettings,
) -> Candidates:
    """Three candidates a point, those with a predicted IoU above the threshold summarized."""
    import torch

    from sam_plugins.masks.device_summaries import summarize_where_it_is

    prompts = [Prompt(points=point[None]) for point in points]
    logits, predicted_iou = predictor.decode_tensors(embedding, prompts, multimask=True)
    flat_iou = predicted_iou.flatten()  # (n * 3,)
    # Before anything is upsampled: the score needs no mask, and most candidates fall here.
    kept = torch.arange(len(flat_iou), device=flat_iou.device)
    if settings.pred_iou_thresh > 0:
        kept = kept[flat_iou > settings.pred_iou_thresh]
    origin = np.array(crop.box[:2])
    flat_points = np.repeat(points + origin, logits.shape[1], axis=0)  # (n * 3, 2)
    summaries = summarize_where_it_is(
        logits.flatten(0, 1)[kept],  # (kept, h, w)
        embedding.frame,
        threshold=predictor.model.mask_threshold,
        stability_offset=settings.stability_score_offset,
        offset=(int(origin[0]), int(origin[1])),
        full_size=image_size,
    )
    return Candidates(
        predicted_iou=flat_iou[kept].cpu().numpy(),
        points=flat_points[kept.cpu().numpy()],
        boxes=summaries.boxes,
        areas=summaries.areas,
        stability=summaries.stability,
        rles=tuple(summaries.rles),
        crop_box=crop.box,
    )
