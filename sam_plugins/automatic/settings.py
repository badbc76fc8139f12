"""``AutomaticSettings``: how automatic masks are found and selected."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from sam_plugins.modeling.sam import Sam


@dataclass(frozen=True)
class AutomaticSettings:
    """How automatic masks are found and selected. The defaults are the reference's.

    Parameters
    ----------
    points_per_side : int
        The grid on the whole image has this many points squared.
    points_per_batch : int, optional
        Upper bound of the points decoded at once. By default only memory bounds it.
    pred_iou_thresh : float
        A mask is kept if its predicted IoU is above it; 0 keeps all.
    stability_score_thresh : float
        A mask is kept if its stability score reaches it; 0 keeps all.
    stability_score_offset : float
        The stability score is the IoU of the mask cut this much above and this much below the
        threshold, in logits.
    box_nms_thresh : float
        Of two masks in one crop whose boxes have a higher IoU, the one with the lower predicted
        IoU is dropped.
    crop_n_layers : int
        Layer i of crops looks at the image in 2^i x 2^i overlapping crops; 0 is no crops.
    crop_nms_thresh : float
        The same between crops, where the smaller crop's mask is kept.
    crop_overlap_ratio : float
        How much crops of the first layer overlap, as a fraction of the image's short side.
    crop_n_points_downscale_factor : int
        The grid in layer i has points_per_side / factor^i points a side.
    point_grids : sequence of array-like of shape (n, 2), optional
        In place of regular grids: the points of each crop layer, x then y, as fractions of the
        crop. Kept as nested tuples.
    min_mask_region_area : int
        Holes and islands of fewer pixels are removed; 0 leaves masks alone.
    drop_small_masks : bool
        Drop a mask altogether if its largest piece has fewer pixels than that (paper, §B);
        otherwise the largest piece is kept.
    max_mask_fraction : float
        Masks that cover this fraction of the image, or more, are dropped; above 1 keeps all.

    Raises
    ------
    ValueError
        If a number is out of its range or a grid is missing or malformed.

    Examples
    --------
    >>> AutomaticSettings().points_per_side
    32
    >>> AutomaticSettings.sa1b().crop_n_layers
    2
    """

    points_per_side: int = 32
    points_per_batch: int | None = None
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    point_grids: Any = None
    min_mask_region_area: int = 0
    drop_small_masks: bool = False
    max_mask_fraction: float = 1.01

    def __post_init__(self) -> None:
        # Written so that NaN, which compares as false, is refused as well.
        at_least_one = {
            "points_per_side": self.points_per_side,
            "points_per_batch": 1 if self.points_per_batch is None else self.points_per_batch,
            "crop_n_points_downscale_factor": self.crop_n_points_downscale_factor,
        }
        for name, value in at_least_one.items():
            if not value >= 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        for name in ("crop_n_layers", "min_mask_region_area", "stability_score_offset"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")
        overlaps = ("box_nms_thresh", "crop_nms_thresh", "crop_overlap_ratio")
        for name in (*overlaps, "stability_score_thresh"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in 0 .. 1, got {getattr(self, name)}")
        if not self.max_mask_fraction > 0:
            raise ValueError(f"max_mask_fraction must be above 0, got {self.max_mask_fraction}")
        if math.isnan(self.pred_iou_thresh):
            raise ValueError("pred_iou_thresh must be a number, got nan")
        if self.crop_n_layers > 5:
            raise ValueError(
                "crop_n_layers must be 5 or less (layer 5 has 1024 crops), "
                f"got {self.crop_n_layers}"
            )

        if self.point_grids is not None:
            object.__setattr__(self, "point_grids", self._checked_grids())

    def _checked_grids(self) -> tuple[tuple[tuple[float, float], ...], ...]:
        if len(self.point_grids) <= self.crop_n_layers:
            raise ValueError(
                f"point_grids must have a grid for each of the {self.crop_n_layers + 1} layers, "
                f"got {len(self.point_grids)}"
            )
        grids = [np.asarray(grid, dtype=np.float64) for grid in self.point_grids]
        for grid in grids:
            if grid.ndim != 2 or grid.shape[1] != 2 or not ((grid >= 0) & (grid <= 1)).all():
                raise ValueError(
                    "each of point_grids must have the shape (n, 2) and lie in 0 .. 1, "
                    f"got {grid.shape}"
                )
        return tuple(tuple((float(x), float(y)) for x, y in grid) for grid in grids)

    @classmethod
    def sa1b(cls) -> AutomaticSettings:
        """The stricter settings with which SA-1B was made (paper, §B).

        A 32 x 32 grid on the image, 16 x 16 on 2 x 2 crops, 8 x 8 on 4 x 4 crops; masks of 95 % of
        the image or more dropped; pieces and holes under 100 pixels removed.
        """
        return cls(
            crop_n_layers=2,
            crop_n_points_downscale_factor=2,
            min_mask_region_area=100,
            drop_small_masks=True,
            max_mask_fraction=0.95,
        )

    @classmethod
    def for_model(cls, model: Sam) -> AutomaticSettings:
        """Take the defaults, with the thresholds that suit a model's own scores.

        Parameters
        ----------
        model : Sam
            Its configuration names the thresholds.

        Returns
        -------
        AutomaticSettings
        """
        return cls(
            pred_iou_thresh=model.config.pred_iou_thresh,
            stability_score_thresh=model.config.stability_score_thresh,
        )
