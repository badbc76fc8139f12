"""``MaskRecord``: one automatic mask with its scores, as in SA-1B's annotations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sam_plugins.errors import InvalidMaskError
from sam_plugins.masks import rle as rle_codec

Output = Literal["rle", "uncompressed_rle", "binary_mask", "polygons"]


@dataclass(frozen=True)
class MaskRecord:
    """One mask.

    Parameters
    ----------
    segmentation : dict
        Compressed COCO RLE.
    area : int
        In pixels.
    bbox : tuple of int
        x, y, width, height in pixels, of the inclusive box: width is last column minus first, as
        the reference gives it, one less than COCO's.
    predicted_iou : float
        The model's own estimate of the mask's quality.
    point_coords : tuple of (float, float)
        The points that it was prompted with: x then y, in pixels of the image.
    stability_score : float
        See `sam_plugins.masks.stability`.
    crop_box : tuple of int
        x, y, width, height of the crop that it was found in.
    """

    segmentation: dict[str, Any]
    area: int
    bbox: tuple[int, int, int, int]
    predicted_iou: float
    point_coords: tuple[tuple[float, float], ...]
    stability_score: float
    crop_box: tuple[int, int, int, int]

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of the image, in pixels."""
        height, width = self.segmentation["size"]
        return int(height), int(width)

    def mask(self) -> NDArray[np.bool_]:
        """The mask: (H, W), bool."""
        return rle_codec.decode(self.segmentation)

    def as_dict(self, *, output: Output = "rle") -> dict[str, Any]:
        """The record as the reference gives it.

        Parameters
        ----------
        output : str
            The form of ``segmentation``: ``"rle"``, ``"uncompressed_rle"``, ``"binary_mask"`` or
            ``"polygons"``.

        Returns
        -------
        dict
        """
        return {
            "segmentation": self._segmentation(output),
            "area": self.area,
            "bbox": list(self.bbox),
            "predicted_iou": self.predicted_iou,
            "point_coords": [list(point) for point in self.point_coords],
            "stability_score": self.stability_score,
            "crop_box": list(self.crop_box),
        }

    def _segmentation(self, output: Output) -> Any:
        if output == "rle":
            return dict(self.segmentation)
        if output == "uncompressed_rle":
            return rle_codec.to_uncompressed(self.segmentation)
        if output == "binary_mask":
            return self.mask()
        if output == "polygons":
            from sam_plugins.masks.polygons import mask_to_polygons

            return mask_to_polygons(self.mask())
        raise ValueError(
            f"output must be 'rle', 'uncompressed_rle', 'binary_mask' or 'polygons', got {output!r}"
        )

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> MaskRecord:
        """Read a record in the reference's form, whatever the form of its segmentation.

        Parameters
        ----------
        record : dict
            With the keys of `as_dict`; ``segmentation`` is a mask (H, W), an uncompressed or a
            compressed RLE.

        Returns
        -------
        MaskRecord
            With a compressed segmentation.

        Raises
        ------
        InvalidMaskError
            If a field is missing or malformed.
        """
        try:
            given = record["segmentation"]
            if isinstance(given, dict):
                segmentation = rle_codec.from_uncompressed(given)
            else:
                segmentation = rle_codec.encode(np.asarray(given))
            x, y, width, height = (int(side) for side in record["bbox"])
            crop = tuple(int(side) for side in record["crop_box"])
            return cls(
                segmentation=segmentation,
                area=int(record["area"]),
                bbox=(x, y, width, height),
                predicted_iou=float(record["predicted_iou"]),
                point_coords=tuple((float(px), float(py)) for px, py in record["point_coords"]),
                stability_score=float(record["stability_score"]),
                crop_box=(crop[0], crop[1], crop[2], crop[3]),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise InvalidMaskError(f"a mask record is malformed: {error!r}") from error
