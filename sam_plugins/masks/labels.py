"""Label images: one integer an object, as napari, ImageJ and CellProfiler use them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import DTypeLike, NDArray

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
    for index, record in enumerate(records):
        if record.image_size != tuple(image_size):
            raise ValueError(f"mask {index} is {record.image_size} but the image is {image_size}")
    order = sorted(range(len(records)), key=keys[overlap])
    dtype = np.uint16 if len(records) <= np.iinfo(np.uint16).max else np.int32
    return rles_to_labels(
        [records[index].segmentation for index in order],
        [index + 1 for index in order],
        image_size,
        dtype=dtype,
    )


def rles_to_labels(
    rles: Sequence[rle_codec.Rle],
    labels: Sequence[int],
    image_size: tuple[int, int],
    *,
    dtype: DTypeLike = np.uint32,
) -> NDArray[Any]:
    """Paint encoded masks one after the other, the last on top.

    Parameters
    ----------
    rles : sequence of dict
        Run-length encodings of masks of the image's size.
    labels : sequence of int
        What each mask is painted with.
    image_size : tuple of int
        (H, W), in pixels.
    dtype : dtype
        Of the label image.

    Returns
    -------
    ndarray of shape (H, W)
        0 is background.

    Examples
    --------
    >>> rles_to_labels([{"size": [2, 2], "counts": [1, 3]}], [7], (2, 2)).tolist()
    [[0, 7], [7, 7]]
    """
    height, width = image_size
    # Runs go column by column: painted on the transposed image, without making a mask.
    flat = np.zeros(width * height, dtype=dtype)
    for rle, label in zip(rles, labels, strict=True):
        ends = np.cumsum(rle_codec.to_runs(rle))
        for start, stop in zip(ends[0::2], ends[1::2], strict=False):
            flat[start:stop] = label
    return np.ascontiguousarray(flat.reshape(width, height).T)


def labels_to_rles(labels: NDArray[Any]) -> dict[int, rle_codec.Rle]:
    """Encode all objects of a label image in one pass over its pixels.

    Parameters
    ----------
    labels : ndarray of shape (H, W), integer
        0 is background.

    Returns
    -------
    dict
        Label and compressed COCO RLE, in rising order of the labels.

    Raises
    ------
    ValueError
        If the labels are not integers, or not of two axes.

    Examples
    --------
    >>> labels_to_rles(np.array([[0, 2], [2, 5]]))[2]
    {'size': [2, 2], 'counts': '121'}
    """
    array = _checked(labels)
    flat = array.T.ravel()
    if not flat.any():
        return {}
    starts = np.concatenate(([0], np.flatnonzero(flat[1:] != flat[:-1]) + 1))
    stops = np.append(starts[1:], flat.size)
    values = flat[starts]
    order = np.argsort(values, kind="stable")
    order = order[values[order] != 0]
    found, first = np.unique(values[order], return_index=True)
    encoded = {}
    for label, mine in zip(found.tolist(), np.split(order, first[1:]), strict=True):
        borders = np.column_stack([starts[mine], stops[mine]]).ravel()
        runs = np.diff(borders, prepend=0, append=flat.size)
        encoded[label] = rle_codec.encode_runs(runs if runs[-1] else runs[:-1], array.shape)
    return encoded


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
    array = _checked(labels)
    for label in np.unique(array):
        if label:
            yield int(label), array == label


def _checked(labels: NDArray[Any]) -> NDArray[Any]:
    array = np.asarray(labels)
    if array.ndim != 2 or array.dtype.kind not in "ui":
        raise ValueError(
            f"a label image has two axes of integers, got {array.dtype} of shape {array.shape}"
        )
    return array
