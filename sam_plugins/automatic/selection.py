"""Which of many candidate masks are kept: thresholds, crop borders, duplicates, small regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.automatic.settings import AutomaticSettings
from sam_plugins.masks import rle as rle_codec
from sam_plugins.masks.boxes import box_near_crop_edge, mask_to_box, nms
from sam_plugins.masks.records import MaskRecord
from sam_plugins.masks.regions import remove_small_regions

Rle = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Candidates:
    """N candidate masks from one crop, with all that their selection needs.

    Parameters
    ----------
    predicted_iou : ndarray of shape (N,), float32
    points : ndarray of shape (N, 2), float64
        The grid points that they come from: x then y, in pixels of the whole image.
    boxes : ndarray of shape (N, 4), int64
        Inclusive x0, y0, x1, y1 in pixels of the whole image.
    areas : ndarray of shape (N,), int64
        In pixels.
    stability : ndarray of shape (N,), float64
        Stability scores.
    rles : tuple of dict
        Masks of the whole image's size as COCO RLE.
    crop_box : tuple of int
        x0, y0, x1, y1 of the crop in pixels of the whole image, x1 and y1 exclusive.
    """

    predicted_iou: NDArray[np.float32]
    points: NDArray[np.float64]
    boxes: NDArray[np.int64]
    areas: NDArray[np.int64]
    stability: NDArray[np.floating]
    rles: tuple[Rle, ...]
    crop_box: tuple[int, int, int, int]

    def __len__(self) -> int:
        return len(self.predicted_iou)

    def take(self, indices: NDArray[Any]) -> Candidates:
        """Choose some of the candidates.

        Parameters
        ----------
        indices : ndarray of shape (M,), integer, or (N,), bool
            Positions, in the order wanted, or which to keep.

        Returns
        -------
        Candidates
        """
        positions = np.flatnonzero(indices) if indices.dtype == bool else indices
        return Candidates(
            predicted_iou=self.predicted_iou[positions],
            points=self.points[positions],
            boxes=self.boxes[positions],
            areas=self.areas[positions],
            stability=self.stability[positions],
            rles=tuple(self.rles[position] for position in positions),
            crop_box=self.crop_box,
        )

    @classmethod
    def join(
        cls, parts: Sequence[Candidates], *, crop_box: tuple[int, int, int, int]
    ) -> Candidates:
        """Put candidates of one crop together.

        Parameters
        ----------
        parts : sequence of Candidates
            In order; may be empty.
        crop_box : tuple of int
            x0, y0, x1, y1 of the crop in pixels of the whole image, x1 and y1 exclusive.

        Returns
        -------
        Candidates
        """
        if not parts:
            return cls(
                predicted_iou=np.empty(0, dtype=np.float32),
                points=np.empty((0, 2)),
                boxes=np.empty((0, 4), dtype=np.int64),
                areas=np.empty(0, dtype=np.int64),
                stability=np.empty(0),
                rles=(),
                crop_box=crop_box,
            )
        return cls(
            predicted_iou=np.concatenate([part.predicted_iou for part in parts]),
            points=np.concatenate([part.points for part in parts]),
            boxes=np.concatenate([part.boxes for part in parts]),
            areas=np.concatenate([part.areas for part in parts]),
            stability=np.concatenate([part.stability for part in parts]),
            rles=tuple(rle for part in parts for rle in part.rles),
            crop_box=crop_box,
        )


def select_records(
    candidates: Sequence[Candidates], image_size: tuple[int, int], settings: AutomaticSettings
) -> list[MaskRecord]:
    """Select candidates in each crop, then between crops, then clean what is left.

    Parameters
    ----------
    candidates : sequence of Candidates
        One set a crop.
    image_size : tuple of int
        (H, W), in pixels.
    settings : AutomaticSettings
        The thresholds.

    Returns
    -------
    list of MaskRecord
        May be empty.
    """
    kept = [_select_in_crop(crop, image_size, settings) for crop in candidates]
    records = [record for crop in kept for record in _records(crop)]
    if len(kept) > 1 and records:
        # Smaller crops see more detail, so that their masks win over a larger crop's.
        areas = [record.crop_box[2] * record.crop_box[3] for record in records]
        order = nms(
            _boxes(records), 1 / np.array(areas, dtype=np.float64), settings.crop_nms_thresh
        )
        records = [records[index] for index in order]
    if settings.min_mask_region_area > 0:
        records = _clean(records, settings)
    return records


def _select_in_crop(
    candidates: Candidates, image_size: tuple[int, int], settings: AutomaticSettings
) -> Candidates:
    height, width = image_size
    keep = candidates.areas > 0
    if settings.pred_iou_thresh > 0:
        keep &= candidates.predicted_iou > settings.pred_iou_thresh
    if settings.stability_score_thresh > 0:
        keep &= candidates.stability >= settings.stability_score_thresh
    keep &= candidates.areas < settings.max_mask_fraction * height * width
    # A mask that ends at the crop's border is cut off, unless the image ends there too.
    keep &= ~box_near_crop_edge(candidates.boxes, candidates.crop_box, (0, 0, width, height))
    kept = candidates.take(keep)
    return kept.take(nms(kept.boxes, kept.predicted_iou, settings.box_nms_thresh))


def _records(candidates: Candidates) -> list[MaskRecord]:
    x0, y0, x1, y1 = candidates.crop_box
    return [
        MaskRecord(
            segmentation=rle,
            area=int(area),
            bbox=_xywh(box),
            predicted_iou=float(iou),
            point_coords=((float(point[0]), float(point[1])),),
            stability_score=float(stability),
            crop_box=(x0, y0, x1 - x0, y1 - y0),
        )
        for rle, area, box, iou, point, stability in zip(
            candidates.rles,
            candidates.areas,
            candidates.boxes,
            candidates.predicted_iou,
            candidates.points,
            candidates.stability,
            strict=True,
        )
    ]


def _clean(records: list[MaskRecord], settings: AutomaticSettings) -> list[MaskRecord]:
    """Remove small holes, then small islands, then the duplicates that this has made."""
    cleaned, unchanged = [], []
    least = settings.min_mask_region_area
    for record in records:
        mask, filled = remove_small_regions(record.mask(), min_area=least, mode="holes")
        mask, cut = remove_small_regions(mask, min_area=least, mode="islands")
        if filled or cut:
            # Islands below the limit are gone, so what is left is small only if nothing was large.
            if settings.drop_small_masks and int(mask.sum()) < least:
                continue
            record = replace(
                record,
                segmentation=rle_codec.encode(mask),
                area=int(mask.sum()),
                bbox=_xywh(mask_to_box(mask)),
            )
        cleaned.append(record)
        unchanged.append(not (filled or cut))
    if not cleaned:
        return []
    # Masks that needed no cleaning are preferred to those that did.
    order = nms(
        _boxes(cleaned),
        np.array(unchanged, dtype=np.float64),
        max(settings.box_nms_thresh, settings.crop_nms_thresh),
    )
    return [cleaned[index] for index in order]


def _boxes(records: Sequence[MaskRecord]) -> NDArray[np.int64]:
    """Inclusive x0, y0, x1, y1 of records: (N, 4)."""
    boxes = np.array([record.bbox for record in records], dtype=np.int64)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def _xywh(box: NDArray[Any]) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (int(side) for side in box)
    return x0, y0, x1 - x0, y1 - y0
