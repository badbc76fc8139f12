"""Fairness (paper, §6): scores by groups of people, and where images come from."""

from __future__ import annotations

import csv
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sam_plugins.errors import SamPluginsError
from sam_plugins.evaluation.clicks import iou, random_click, random_error
from sam_plugins.evaluation.rendering import Cell, Table
from sam_plugins.prompts import Prompt

if TYPE_CHECKING:
    from sam_plugins.predictor import Predictor

POINTS = (1, 3)
# 95 % intervals, of so many samples of the objects of a group.
BOOTSTRAPS = 1000

# Regions and incomes of Table 1 of the paper: share of SA-1B's images and of COCO's.
PUBLISHED_REGIONS = {
    "Africa": (0.028, 0.030),
    "Asia & Oceania": (0.362, 0.114),
    "Europe": (0.498, 0.342),
    "Latin America & Caribbean": (0.035, 0.031),
    "North America": (0.077, 0.483),
    "high income": (0.540, 0.891),
    "middle income": (0.450, 0.105),
    "low income": (0.009, 0.004),
}


@dataclass(frozen=True)
class Person:
    """One object whose group is known.

    Parameters
    ----------
    image : str
        Path of the image, in the folder of the CSV file.
    mask : str
        Path of its label image.
    label : int
        The object's value there.
    groups : mapping of str to str
        By attribute; attributes that are unknown are missing.
    """

    image: str
    mask: str
    label: int
    groups: Mapping[str, str]


def read_people(path: str | os.PathLike[str]) -> list[Person]:
    """Read which group each object belongs to.

    Parameters
    ----------
    path : path-like
        A CSV file with the columns ``image``, ``mask``, ``label`` and one for each attribute.

    Returns
    -------
    list of Person
        In the file's order.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SamPluginsError
        If a column is missing or a label is no number. Names the row.
    """
    people = []
    for number, row in _rows(path, ("image", "mask", "label")):
        groups = {x: y for x, y in row.items() if x not in ("image", "mask", "label") and y}
        try:
            people.append(Person(row["image"], row["mask"], int(row["label"]), groups))
        except ValueError as error:
            raise SamPluginsError(f"{path}, row {number}: {error}") from error
    return people


def measure_groups(
    predictor: Predictor,
    people: Iterable[Person],
    root: str | os.PathLike[str],
    *,
    points: Sequence[int] = POINTS,
    seed: int = 0,
) -> Iterator[tuple[Person, dict[int, float]]]:
    """Segment each object by random points.

    Parameters
    ----------
    predictor : Predictor
        The model.
    people : iterable of Person
        Rows of one image that follow each other are measured on one embedding.
    root : path-like
        The folder of the CSV file.
    points : sequence of int
        After how many points masks are measured; the first is uniform in the object, further ones
        are uniform in the error.
    seed : int
        Of the points.

    Yields
    ------
    person : Person
        Those whose mask is empty are left out.
    ious : dict of int to float
        By number of points.

    Raises
    ------
    SamPluginsError
        If a mask is not as large as its image.
    """
    rng = np.random.default_rng(seed)
    embedded, embedding = "", None
    for person in people:
        labels = np.asarray(Image.open(Path(root) / person.mask))
        truth = labels == person.label
        if not truth.any():
            continue
        if embedding is None or person.image != embedded:
            image = np.asarray(Image.open(Path(root) / person.image).convert("RGB"))
            embedded, embedding = person.image, predictor.embed(image)
        if embedding.image_size != truth.shape:
            raise SamPluginsError(
                f"{person.mask} has the shape {truth.shape}, and its image {person.image} "
                f"{embedding.image_size}: a mask must be as large as its image"
            )
        clicks, signs, ious = [random_click(truth, rng)], [1], {}
        prompt = Prompt(points=np.array(clicks), labels=np.array(signs))
        answer = predictor.predict(embedding, prompt, multimask=True)
        for count in range(1, max(points) + 1):
            if count > 1:
                click, sign = random_error(answer.best_mask, truth, rng)
                clicks, signs = [*clicks, click], [*signs, sign]
                prompt = answer.refine(Prompt(points=np.array(clicks), labels=np.array(signs)))
                answer = predictor.predict(embedding, prompt, multimask=False)
            if count in points:
                ious[count] = iou(answer.best_mask, truth)
        yield person, ious


def interval_of(values: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """Give the 95 % interval of a mean, by bootstrap.

    Parameters
    ----------
    values : sequence of float
        At least one.
    seed : int
        Of the samples.

    Returns
    -------
    low, high : float
        Percentiles 2.5 and 97.5 of the means of samples with replacement.

    Raises
    ------
    ValueError
        If there is no value.
    """
    array = np.asarray(values, dtype=np.float64)
    if not len(array):
        raise ValueError("there is no value to give an interval of")
    rng = np.random.default_rng(seed)
    means = rng.choice(array, (BOOTSTRAPS, len(array))).mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


def fairness_table(measured: Iterable[tuple[Person, Mapping[int, float]]]) -> Table:
    """Average each group.

    Parameters
    ----------
    measured : iterable of (Person, mapping of int to float)
        From `measure_groups`.

    Returns
    -------
    Table
        One row a group of each attribute.
    """
    groups: dict[tuple[str, str], list[Mapping[int, float]]] = defaultdict(list)
    counts: set[int] = set()
    for person, ious in measured:
        counts |= ious.keys()
        for attribute, group in person.groups.items():
            groups[attribute, group].append(ious)
    rows: list[tuple[Cell, ...]] = []
    for (attribute, group), found in sorted(groups.items()):
        cells: list[float] = []
        for count in sorted(counts):
            values = [ious[count] for ious in found]
            cells += [float(np.mean(values)), *interval_of(values)]
        rows.append((attribute, group, len(found), *cells))
    heads = [f"{name} {count} pt" for count in sorted(counts) for name in ("mIoU", "from", "to")]
    note = (
        "Random points; 95 % intervals by bootstrap. The paper: 54 % at one point, 90 % at three."
    )
    return Table("Fairness", ("attribute", "group", "objects", *heads), tuple(rows), note)


def geography_table(images: str | os.PathLike[str], countries: str | os.PathLike[str]) -> Table:
    """Count images by region and by income, as in Table 1 of the paper.

    Parameters
    ----------
    images : path-like
        A CSV file with the columns ``image`` and ``country`` (a code), and optionally ``masks``.
    countries : path-like
        A CSV file with ``country``, ``region`` and ``income`` (the World Bank's, for example).

    Returns
    -------
    Table
        Countries that are not in the second file are counted as ``unknown``.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    SamPluginsError
        If a column is missing or a number of masks is none.
    """
    kinds = {
        row["country"].strip().upper(): (row["region"], f"{row['income']} income")
        for _, row in _rows(countries, ("country", "region", "income"))
    }
    found: dict[str, set[str]] = defaultdict(set)
    counts: Counter[str] = Counter()
    masks: Counter[str] = Counter()
    total = 0
    for number, row in _rows(images, ("image", "country")):
        country, total = row["country"].strip().upper(), total + 1
        for kind in kinds.get(country, ("unknown",)):
            found[kind].add(country)
            counts[kind] += 1
            try:
                masks[kind] += int(row.get("masks") or 0)
            except ValueError as error:
                raise SamPluginsError(f"{images}, row {number}: {error}") from error
    rows = [
        (kind, len(found[kind]), counts[kind], masks[kind], counts[kind] / total)
        for kind in sorted(counts)
    ]
    beside = [(*row, *PUBLISHED_REGIONS.get(row[0], (None, None))) for row in rows]
    columns = ("kind", "countries", "images", "masks", "share", "SA-1B (paper)", "COCO (paper)")
    return Table("Where images come from", columns, tuple(beside))


def _rows(
    path: str | os.PathLike[str], needed: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV file, from 1, without the head."""
    with open(path, newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [name for name in needed if name not in (reader.fieldnames or ())]
        if missing:
            raise SamPluginsError(f"{path} lacks the columns {', '.join(missing)}")
        for number, row in enumerate(reader, 1):
            yield number, {str(key): str(value or "") for key, value in row.items()}
