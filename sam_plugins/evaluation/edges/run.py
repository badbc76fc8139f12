"""Edges of a whole set, by any detector and by people."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sam_plugins.errors import SamPluginsError
from sam_plugins.evaluation.edges.curves import THRESHOLDS, Counts, count_matches, score
from sam_plugins.evaluation.edges.detectors import canny, sobel
from sam_plugins.evaluation.edges.from_masks import POINTS_PER_SIDE, edge_map
from sam_plugins.evaluation.rendering import Table

if TYPE_CHECKING:
    from sam_plugins.predictor import Predictor

# ODS, OIS, AP and R50 on the 200 test images: Canny and people in Arbelaez et al. (PAMI 2011),
# Sobel, SAM and HED in Table 3 of the paper.
PUBLISHED: dict[str, tuple[float | None, ...]] = {
    "canny": (0.600, 0.640, 0.580, None),
    "sobel": (0.539, None, None, None),
    "people": (0.800, 0.800, None, None),
}
BESIDE: dict[str, tuple[float | None, ...]] = {
    "SAM (ViT-H)": (0.768, 0.786, 0.794, 0.928),
    "HED (trained on BSDS500)": (0.788, 0.808, 0.840, 0.923),
}
NOTE = (
    "Pixels are matched one to one within 0.75 % of the image's diagonal. People: each person's "
    "edges against all others' of the image, one map each. Published: on all 200 test images."
)

Detector = Callable[[NDArray[np.uint8]], NDArray[np.floating]]


@dataclass(frozen=True, eq=False)
class EdgeSample:
    """An image with people's edges.

    Parameters
    ----------
    name : str
        The image's file.
    image : ndarray of shape (H, W, 3), uint8
        RGB.
    boundaries : ndarray of shape (P, H, W), bool
        One map a person.
    """

    name: str
    image: NDArray[np.uint8]
    boundaries: NDArray[np.bool_]


def read_edge_set(
    folder: str | os.PathLike[str], *, limit: int | None = None
) -> Iterator[EdgeSample]:
    """Read a set of images with people's edges.

    Parameters
    ----------
    folder : path-like
        With ``index.json``: a list of objects whose ``image`` is a file and whose ``gt`` is an
        ``.npz`` with ``boundaries`` (P, H, W).
    limit : int, optional
        At most so many images, evenly chosen.

    Yields
    ------
    EdgeSample
        In the index's order.

    Raises
    ------
    FileNotFoundError
        If the folder has no index.
    SamPluginsError
        If something is missing or does not fit together. Names it.
    """
    root = Path(folder)
    if not (root / "index.json").is_file():
        raise FileNotFoundError(f"{root} is not a set: it has no index.json")
    try:
        rows = json.loads((root / "index.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SamPluginsError(f"{root} is no set of edges: {error}") from error
    chosen = np.arange(len(rows))
    if limit is not None and limit < len(rows):
        chosen = np.linspace(0, len(rows) - 1, limit).round().astype(int)
    for index in chosen:
        try:
            name, truth = rows[index]["image"], rows[index]["gt"]
            with np.load(root / truth, allow_pickle=False) as file:
                boundaries = file["boundaries"].astype(bool)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SamPluginsError(f"row {index} of {root}/index.json: {error}") from error
        image = np.asarray(Image.open(root / name).convert("RGB"))
        if boundaries.ndim != 3 or boundaries.shape[1:] != image.shape[:2]:
            raise SamPluginsError(f"{name} is {image.shape[:2]}, its edges {boundaries.shape}")
        yield EdgeSample(name, image, boundaries)


def measure_edges(
    samples: Iterable[EdgeSample],
    detector: Detector,
    *,
    thresholds: int = THRESHOLDS,
    processes: int = 1,
) -> Iterator[tuple[str, Counts]]:
    """Compare a detector's edges with people's, image by image.

    Parameters
    ----------
    samples : iterable of EdgeSample
        The images.
    detector : callable
        Takes an image (H, W, 3), gives a thin edge map (H, W), 0 .. 1. Called in this process.
    thresholds : int
        See `count_matches`.
    processes : int
        How many compare at a time, beside this one; 1 is this one alone.

    Yields
    ------
    name : str
        Of an image, in order.
    counts : ndarray of shape (thresholds, 4)
        For `score`.
    """
    work = ((each.name, detector(each.image), list(each.boundaries)) for each in samples)
    yield from _counted(work, thresholds=thresholds, processes=processes)


def measure_people(
    samples: Iterable[EdgeSample], *, processes: int = 1
) -> Iterator[tuple[str, Counts]]:
    """Compare each person's edges with all others': how well people agree.

    Parameters
    ----------
    samples : iterable of EdgeSample
        The images.
    processes : int
        See `measure_edges`.

    Yields
    ------
    name : str
        Of the image; one of each person who has others beside.
    counts : ndarray of shape (1, 4)
        For `score`.
    """
    work = (
        (
            each.name,
            one.astype(np.float64),
            [*each.boundaries[:index], *each.boundaries[index + 1 :]],
        )
        for each in samples
        for index, one in enumerate(each.boundaries)
        if len(each.boundaries) > 1
    )
    yield from _counted(work, thresholds=1, processes=processes)


def _counted(
    work: Iterator[tuple[str, NDArray[np.floating], list[NDArray[np.bool_]]]],
    *,
    thresholds: int,
    processes: int,
) -> Iterator[tuple[str, Counts]]:
    """Count matches of names, edge maps and true maps, in order."""
    if processes <= 1:
        for name, edges, truths in work:
            yield name, count_matches(edges, truths, thresholds=thresholds)
        return
    # Fresh processes: copies of one that runs torch's threads can hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting: deque[tuple[str, Future[Counts]]] = deque()
        for name, edges, truths in work:
            waiting.append((name, pool.submit(count_matches, edges, truths, thresholds=thresholds)))
            if len(waiting) > 2 * processes:
                name, counts = waiting.popleft()
                yield name, counts.result()
        for name, counts in waiting:
            yield name, counts.result()


def measure_source(
    source: str,
    folder: str | os.PathLike[str],
    *,
    predictor: Predictor | None = None,
    limit: int | None = None,
    thresholds: int = THRESHOLDS,
    points_per_side: int = POINTS_PER_SIDE,
    processes: int = 1,
) -> Iterator[tuple[str, Counts]]:
    """Compare somebody's edges on a set with people's.

    Parameters
    ----------
    source : str
        ``"model"``, ``"canny"``, ``"sobel"`` or ``"people"``.
    folder : path-like
        See `read_edge_set`.
    predictor : Predictor, optional
        Needed for ``"model"``.
    limit, thresholds, points_per_side, processes
        See `read_edge_set`, `measure_edges` and `edge_map`.

    Yields
    ------
    name : str
        Of an image.
    counts : ndarray of shape (T, 4)
        For `score`.

    Raises
    ------
    ValueError
        If there is no such source, or no predictor for the model.
    """
    samples = read_edge_set(folder, limit=limit)
    if source == "people":
        yield from measure_people(samples, processes=processes)
        return
    detectors: dict[str, Detector] = {"canny": canny, "sobel": sobel}
    if predictor is not None:
        detectors["model"] = partial(edge_map, predictor, points_per_side=points_per_side)
    if source not in detectors:
        raise ValueError(f"edges of {source!r} are unknown: {', '.join([*detectors, 'people'])}")
    yield from measure_edges(samples, detectors[source], thresholds=thresholds, processes=processes)


def edge_table(counted: Mapping[str, Sequence[Counts]]) -> Table:
    """Put figures beside those that were published for the whole test set.

    Parameters
    ----------
    counted : mapping of str to sequence of ndarray of shape (T, 4)
        By source: counts of each image.

    Returns
    -------
    Table
        Sources without an image are left out.
    """
    rows = []
    for source, counts in counted.items():
        if counts:
            figures = score(counts)
            curve = source != "people"  # of which there is one point only
            ours = (figures.ods, figures.ois if curve else None)
            rest = (figures.ap, figures.r50) if curve else (None, None)
            rows.append((source, len(counts), *ours, *rest, *PUBLISHED.get(source, (None,) * 4)))
    rows += [(name, "paper", *(None,) * 4, *figures) for name, figures in BESIDE.items()]
    heads = ("ODS", "OIS", "AP", "R50")
    columns = ("edges", "maps", *heads, *(f"published {head}" for head in heads))
    return Table("Edges of BSDS500", columns, tuple(rows), NOTE)
