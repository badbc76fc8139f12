"""What a set's masks are like (paper, §5): how many, how large, where, how concave."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sam_plugins.evaluation.plots import new_figure, png_of
from sam_plugins.evaluation.rendering import Table
from sam_plugins.evaluation.sets import read_set

# Cells of a map of centres, along either side.
CENTRE_CELLS = 16
# Objects an image whose convex hull is computed, at most.
HULLS = 100


@dataclass(frozen=True, eq=False)
class SetStatistics:
    """The masks of a set.

    Parameters
    ----------
    masks_per_image : ndarray of shape (I,), int64
        Of each image.
    sizes : ndarray of shape (N,), float64
        Of each mask: the root of its share of the image's area.
    centres : ndarray of shape (N, 2), float64
        Of each mask: x then y, as shares of the image's sides.
    concavities : ndarray of shape (M,), float64
        1 less the share of its convex hull that a mask fills; M is at most N.
    """

    masks_per_image: NDArray[np.int64]
    sizes: NDArray[np.float64]
    centres: NDArray[np.float64]
    concavities: NDArray[np.float64]


def concavity_of(mask: NDArray[np.bool_]) -> float:
    """Measure how concave a mask is.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
        Not empty.

    Returns
    -------
    float
        0 for a convex mask; 1 less the area over that of its convex hull.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    from scipy.spatial import ConvexHull, QhullError

    from sam_plugins.evaluation.boundaries import boundary_of

    if not mask.any():
        raise ValueError("an empty mask has no hull")
    padded = np.pad(mask, 1)
    y, x = np.nonzero(boundary_of(padded))
    # The four corners of each pixel of the border.
    corners = np.concatenate([np.stack([x + i, y + j], axis=1) for i in (0, 1) for j in (0, 1)])
    try:
        hull = ConvexHull(corners).volume  # of two dimensions, the area
    except QhullError:
        return 0.0
    return max(0.0, 1.0 - float(mask.sum()) / float(hull))


def statistics_of(folder: str | os.PathLike[str], *, images: int = 50) -> SetStatistics:
    """Measure the masks of a set.

    Parameters
    ----------
    folder : path-like
        The set; objects below the least area of `read_set` are left out.
    images : int
        At most, chosen at random.

    Returns
    -------
    SetStatistics
        Of length 0 for a set without objects.
    """
    counts, sizes, centres, concavities = [], [], [], []
    for sample in read_set(folder, limit=10**9):
        height, width = sample.ignore.shape
        counts.append(len(sample.masks))
        for number, mask in enumerate(sample.masks):
            window = ndimage.find_objects(mask.astype(np.uint8))[0]
            inner = mask[window]
            y, x = np.nonzero(inner)
            top, left = window[0].start, window[1].start
            sizes.append(np.sqrt(len(x) / mask.size))
            centres.append(((x.mean() + left + 0.5) / width, (y.mean() + top + 0.5) / height))
            if number < HULLS:
                concavities.append(concavity_of(inner))
        if len(counts) == images:
            break
    return SetStatistics(
        np.array(counts, dtype=np.int64),
        np.array(sizes, dtype=np.float64),
        np.array(centres, dtype=np.float64).reshape(-1, 2),
        np.array(concavities, dtype=np.float64),
    )


def statistics_table(sets: Mapping[str, SetStatistics]) -> Table:
    """Put sets side by side.

    Parameters
    ----------
    sets : mapping of str to SetStatistics
        By name.

    Returns
    -------
    Table
    """

    def middle(values: NDArray[np.float64]) -> float | None:
        return float(np.median(values)) if len(values) else None

    rows = []
    for name, each in sets.items():
        offsets = np.abs(each.centres - 0.5).max(axis=1) if len(each.centres) else np.empty(0)
        central = float((offsets < 0.25).mean()) if len(offsets) else None
        mean = float(each.masks_per_image.mean()) if len(each.masks_per_image) else None
        counts = (len(each.masks_per_image), len(each.sizes), mean)
        rows.append((name, *counts, middle(each.sizes), central, middle(each.concavities)))
    columns = ("set", "images", "masks", "an image", "median size", "central", "median concavity")
    note = (
        "Size: the root of a mask's share of the image. Central: share of masks whose centre lies "
        "in the middle quarter of the image; one quarter without bias. SA-1B (paper): about 100 "
        "masks an image."
    )
    return Table("What the masks are like", columns, tuple(rows), note)


def draw_distributions(sets: Mapping[str, SetStatistics]) -> bytes:
    """Draw masks per image, sizes and concavities of several sets.

    Parameters
    ----------
    sets : mapping of str to SetStatistics
        By name; those without masks are left out.

    Returns
    -------
    bytes
        A PNG file.
    """
    figure = new_figure(13, 4.2)
    panels = (
        ("masks an image", np.geomspace(1, 500, 14), "masks_per_image"),
        ("mask size / image size", np.linspace(0, 1, 21), "sizes"),
        ("concavity", np.linspace(0, 1, 21), "concavities"),
    )
    axes = figure.subplots(1, 3)
    for place, (label, edges, name) in zip(axes, panels, strict=True):
        middles = (edges[1:] + edges[:-1]) / 2
        for number, (title, each) in enumerate(sets.items()):
            values = getattr(each, name)
            if len(values):
                share = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)
                style = ("-", "--", ":")[number // 10 % 3]
                place.plot(middles, share, style, label=title, linewidth=1.3)
        place.set(xlabel=label, ylabel="share", ylim=0)
    axes[0].set_xscale("log")
    handles, labels = axes[1].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside right center", fontsize=8)
    return png_of(figure)


def draw_centres(sets: Mapping[str, SetStatistics]) -> bytes:
    """Draw where masks' centres lie, one map a set.

    Parameters
    ----------
    sets : mapping of str to SetStatistics
        By name.

    Returns
    -------
    bytes
        A PNG file; of each map the most frequent cell is dark.
    """
    across = min(5, max(1, len(sets)))
    down = max(1, -(-len(sets) // across))
    figure = new_figure(2.4 * across, 2.5 * down)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for place in axes:
        place.set_axis_off()
    cells = np.linspace(0, 1, CENTRE_CELLS + 1)
    for place, (name, each) in zip(axes, sets.items(), strict=False):
        counts = np.histogram2d(each.centres[:, 1], each.centres[:, 0], [cells, cells])[0]
        smooth = ndimage.gaussian_filter(counts, 1.0)
        place.imshow(smooth, cmap="Blues", vmin=0)
        place.set_title(name, fontsize=9)
    return png_of(figure)
