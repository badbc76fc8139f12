"""``SamAutomaticMaskGenerator`` with the reference's signature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.automatic import AutomaticSettings, generate
from sam_plugins.cache import EmbeddingCache
from sam_plugins.masks.records import Output
from sam_plugins.modeling.sam import Sam
from sam_plugins.predictor import Predictor

OUTPUT_MODES: dict[str, Output] = {
    "binary_mask": "binary_mask",
    "uncompressed_rle": "uncompressed_rle",
    "coco_rle": "rle",
}


class SamAutomaticMaskGenerator:
    """Find all masks of an image from a grid of points.

    Parameters
    ----------
    model : Sam
        The model.
    points_per_side : int, optional
        The grid has this many points squared. None if ``point_grids`` is given.
    points_per_batch : int
        Upper bound of the points decoded at once; memory may make it fewer.
    pred_iou_thresh, stability_score_thresh, stability_score_offset : float
        See `AutomaticSettings`.
    box_nms_thresh, crop_nms_thresh, crop_overlap_ratio : float
        See `AutomaticSettings`.
    crop_n_layers, crop_n_points_downscale_factor, min_mask_region_area : int
        See `AutomaticSettings`.
    point_grids : sequence of ndarray of shape (n, 2), optional
        Grid points of each crop layer, x then y, as fractions of the crop.
    output_mode : str
        ``"binary_mask"``, ``"uncompressed_rle"`` or ``"coco_rle"``.

    Raises
    ------
    ValueError
        If a setting is out of its range.
    """

    def __init__(
        self,
        model: Sam,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Sequence[NDArray[Any]] | None = None,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
    ) -> None:
        if (points_per_side is None) == (point_grids is None):
            raise ValueError("give exactly one of points_per_side and point_grids")
        if output_mode not in OUTPUT_MODES:
            raise ValueError(f"output_mode must be one of {list(OUTPUT_MODES)}, got {output_mode}")
        self.output_mode = output_mode
        self.settings = AutomaticSettings(
            points_per_side=points_per_side or 1,
            points_per_batch=points_per_batch,
            pred_iou_thresh=pred_iou_thresh,
            stability_score_thresh=stability_score_thresh,
            stability_score_offset=stability_score_offset,
            box_nms_thresh=box_nms_thresh,
            crop_n_layers=crop_n_layers,
            crop_nms_thresh=crop_nms_thresh,
            crop_overlap_ratio=crop_overlap_ratio,
            crop_n_points_downscale_factor=crop_n_points_downscale_factor,
            point_grids=point_grids,
            min_mask_region_area=min_mask_region_area,
        )
        no_cache = EmbeddingCache(memory_bytes=0, disk_bytes=0)
        self.predictor = Predictor(
            model, device=str(model.device), precision="float32", cache=no_cache
        )

    def generate(self, image: NDArray[np.uint8]) -> list[dict[str, Any]]:
        """Find all masks of an image.

        Parameters
        ----------
        image : ndarray of shape (H, W, 3), uint8
            RGB.

        Returns
        -------
        list of dict
            With the keys ``segmentation``, ``area``, ``bbox`` (x, y, w, h), ``predicted_iou``,
            ``point_coords``, ``stability_score`` and ``crop_box`` (x, y, w, h). May be empty.
        """
        records = generate(self.predictor, image, settings=self.settings)
        return [record.as_dict(output=OUTPUT_MODES[self.output_mode]) for record in records]
