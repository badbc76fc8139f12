"""Label images: one integer an object, as napari, ImageJ and CellProfiler use them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sam_plugins.masks import rle as rle_codec
from sam_plugins.masks.records import MaskRecord

Overlap = Literal["smaller_on_top", "larger_on_top", "confident_on_top"]


def records_to_labels(
    records: Sequence[MaskRecord],
    image_size: tuple[int, int],
    *,
    overlap: Overlap = "smaller_on_top",
) -> NDArray[Any]:
    """Compose masks to a label image.

    Parameters
    ----------
    records : sequence of MaskRecord
        The masks; record i gets the label i + 1.
    image_size : tuple of int
        (H, W), in pixels.
    overlap : str
        Whose pixels they are where masks overlap: ``"smaller_on_top"`` (parts stay visible on their
        wholes), ``"larger_on_top"`` or ``"confident_on_top"`` (by predicted IoU).

    Returns
    -------
    ndarray of shape (H, W), uint16 (int32 for more than 65535 masks)
        0 is background. A mask that is covered altogether has no pixel.

    Raises
    ------
    ValueError
        If the rule is unknown or a mask is of another size.
    """
    if overlap not in get_args(Overlap):
        raise ValueError(f"unknown overlap rule {overlap!r}: use one of {get_args(Overlap)}")
    keys = {
        "smaller_on_top": lambda index: -records[index].area,
        "larger_on_top": lambda index: records[index].area,
        "confident_on_top": lambda index: records[index].predicted_iou,
    }
    height, width = image_size
    dtype = np.uint16 if len(records) <= np.iinfo(np.uint16).max else np.int32
    # Runs go column by column: painted on the transposed image, without making a mask.
    flat = np.zeros(width * height, dtype=dtype)
    for index in sorted(range(len(records)), key=keys[overlap]):
        record = records[index]
        if record.image_size != (height, width):
            raise ValueError(
                f"mask {index} is {record.image_size} but the image is {(height, width)}"
            )
        ends = np.cumsum(rle_codec.to_runs(record.segmentation))
        for start, stop in zip(ends[0::2], ends[1::2], strict=False):
            flat[start:stop] = index + 1
    return np.ascontiguousarray(flat.reshape(width, height).T)


def labels_to_masks(labels: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Go through the objects of a label image.

    Parameters
    ----------
    labels : ndarray of shape (H, W), integer
        0 is background.

    Yields
    ------
    label : int
        In rising order.
    mask : ndarray of shape (H, W), bool

    Raises
    ------
    ValueError
        If the labels are not integers, or not of two axes.

    Examples
    --------
    >>> [(label, int(mask.sum())) for label, mask in labels_to_masks(np.array([[0, 2], [2, 5]]))]
    [(2, 2), (5, 1)]
    """
    array = np.asarray(labels)
    if array.ndim != 2 or array.dtype.kind not in "ui":
        raise ValueError(
            f"a label image has two axes of integers, got {array.dtype} of shape {array.shape}"
        )
    for label in np.unique(array):
        if label:
            yield int(label), array == label
