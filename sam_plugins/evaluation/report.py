"""Everything that some sets allow to measure, on one page with the paper's figures beside ours."""

from __future__ import annotations

import base64
import html
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam_plugins.evaluation import plots
from sam_plugins.evaluation.rendering import Table

if TYPE_CHECKING:
    from sam_plugins.predictor import Predictor

Progress = Callable[[str, int, int], None]

# Of the paper's 23 sets: mean IoU gained over RITM with one point (Figure 9a), by our folders.
PUBLISHED_GAIN = {"dsb2018_bbbc038": 44.7, "ppdls_cvppp_a1": 46.9}


@dataclass(frozen=True)
class Amount:
    """How much is measured. The defaults suit two cores and half an hour.

    Parameters
    ----------
    objects : int
        Objects a set for clicks and boxes.
    edge_images, edge_thresholds : int
        Images and thresholds for edges.
    proposal_images, proposal_points : int
        Images a set, and points a side of the grid, for proposals (the paper: 64).
    nested : int
        Parts a set for wholes and parts.
    images : int
        Images a set for what masks are like.
    """

    objects: int = 20
    edge_images: int = 20
    edge_thresholds: int = 33
    proposal_images: int = 4
    proposal_points: int = 32
    nested: int = 30
    images: int = 20


@dataclass(frozen=True, eq=False)
class Section:
    """A part of the page.

    Parameters
    ----------
    title : str
        One line.
    tables : tuple of Table
        What was measured.
    pictures : tuple of bytes
        PNG files.
    missing : str
        Why nothing was measured, and what is needed; empty if something was.
    """

    title: str
    tables: tuple[Table, ...] = ()
    pictures: tuple[bytes, ...] = ()
    missing: str = ""


def find_sets(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Find the sets in a folder.

    Parameters
    ----------
    root : Path
        A folder of sets, or one set.

    Returns
    -------
    masks, edges : dict of str to Path
        Sets of true masks, and of people's edges, by name.

    Raises
    ------
    FileNotFoundError
        If there is neither.
    """
    import json

    masks, edges = {}, {}
    for folder in sorted([root, *(x for x in root.iterdir() if x.is_dir())]):
        if (folder / "volume.npz").is_file():
            masks[folder.resolve().name] = folder
        elif (folder / "index.json").is_file():
            rows = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            kinds = {key for row in rows for key in row}
            if "mask" in kinds:
                masks[folder.resolve().name] = folder
            elif "gt" in kinds:
                edges[folder.resolve().name] = folder
    if not masks and not edges:
        raise FileNotFoundError(f"{root} holds no set: no folder with index.json or volume.npz")
    return masks, edges


def sections_of(
    predictor: Predictor,
    root: Path,
    *,
    amount: Amount | None = None,
    progress: Progress | None = None,
) -> Iterator[Section]:
    """Measure everything that the sets of a folder allow.

    Parameters
    ----------
    predictor : Predictor
        The model.
    root : Path
        See `find_sets`.
    amount : Amount, optional
        How much.
    progress : callable, optional
        Called with a title, how much is done, and how much there is.

    Yields
    ------
    Section
        One an experiment, also for those that lack data.
    """
    masks, edges = find_sets(root)
    much = amount or Amount()
    tell = progress or (lambda *_: None)
    yield _prompts(predictor, masks, much, tell)
    yield _edges(predictor, edges, much, tell)
    yield _proposals(predictor, masks, much, tell)
    yield _ambiguity(predictor, masks, much, tell)
    yield _statistics(masks, much, tell)
    yield Section(
        "Instance segmentation",
        missing="Needs a detector's boxes: sam-plugins evaluate instances.",
    )
    yield Section(
        "Mask quality",
        missing="Needs automatic masks and their corrections: sam-plugins evaluate quality.",
    )
    yield Section(
        "Fairness and geography",
        missing="Needs objects with their groups, or images with their countries: "
        "sam-plugins evaluate fairness, sam-plugins evaluate geography.",
    )


def _prompts(
    predictor: Predictor, sets: Mapping[str, Path], much: Amount, tell: Progress
) -> Section:
    from sam_plugins.evaluation.prompts import Protocol, measure
    from sam_plugins.evaluation.sets import read_set
    from sam_plugins.evaluation.tables import summary_of

    title = "Clicks and boxes"
    columns = ("click", "click_oracle", "clicks3", "box")
    rows = []
    tell(title, 0, len(sets))
    for number, (name, folder) in enumerate(sets.items()):
        samples = read_set(folder, limit=much.objects)
        scores = list(measure(predictor, samples, protocol=Protocol(clicks=(1, 3))))
        if scores:
            means = summary_of(scores).means["iou"]
            gain = PUBLISHED_GAIN.get(name)
            ours = [means[column] for column in columns]
            rows.append((name, len(scores), *ours, f"+{gain}" if gain else None))
        tell(title, number + 1, len(sets))
    if not rows:
        return Section(title, missing="Needs a set of images with true masks.")
    note = (
        "Mean IoU. One click in the middle of the object: the most confident of three masks, and "
        "the best of them (oracle). The paper gives, for the sets of its 23 that are here, how "
        "much SAM ViT-H gains over RITM in points of IoU; it is better on 16 of 23, the oracle on "
        "all."
    )
    heads = ("set", "objects", "1 click", "oracle", "3 clicks", "box", "paper: over RITM")
    table = Table("Mean IoU of masks", heads, tuple(rows), note)
    values = {str(row[0]): float(row[2] or 0.0) for row in rows}
    return Section(title, (table,), (plots.bars(values, label="mean IoU after one click"),))


def _edges(predictor: Predictor, sets: Mapping[str, Path], much: Amount, tell: Progress) -> Section:
    from sam_plugins.evaluation.edges import edge_table, measure_source

    title = "Edges"
    if not sets:
        return Section(title, missing="Needs a set with people's edges, as BSDS500.")
    folder = next(iter(sets.values()))
    counted: dict[str, list[Any]] = {}
    for source in ("model", "canny", "sobel", "people"):
        name = predictor.model.name if source == "model" else source
        counted[name], seen = [], set()
        steps = measure_source(
            source,
            folder,
            predictor=predictor,
            limit=much.edge_images,
            thresholds=much.edge_thresholds,
        )
        for image, counts in steps:
            counted[name].append(counts)
            seen.add(image)  # of an image, each person's edges are counted
            tell(f"{title}: {source}", len(seen), much.edge_images)
    return Section(title, (edge_table(counted),), (plots.precision_recall(counted),))


def _proposals(
    predictor: Predictor, sets: Mapping[str, Path], much: Amount, tell: Progress
) -> Section:
    from sam_plugins.evaluation.average_precision import FoundObject, TrueObject
    from sam_plugins.evaluation.proposals import proposal_table, proposals_of, recalls_of
    from sam_plugins.evaluation.sets import read_set
    from sam_plugins.masks import rle

    title = "Object proposals"
    chosen = {name: folder for name, folder in sets.items() if "coco" in name or "emps" in name}
    rows = {}
    for name, folder in (chosen or dict(list(sets.items())[:1])).items():
        truths: list[TrueObject] = []
        found: list[FoundObject] = []
        tell(f"{title}: {name}", 0, much.proposal_images)
        samples = islice(read_set(folder, limit=10**9), much.proposal_images)
        for number, sample in enumerate(samples):
            truths += [
                TrueObject(number, 1, rle.encode(mask), float(mask.sum())) for mask in sample.masks
            ]
            found += proposals_of(
                predictor, sample.image, number, points_per_side=much.proposal_points
            )
            tell(f"{title}: {name}", number + 1, much.proposal_images)
        if truths:
            rows[name] = recalls_of(truths, found)
    if not rows:
        return Section(title, missing="Needs a set of images with all their objects.")
    return Section(title, (proposal_table(rows),))


def _ambiguity(
    predictor: Predictor, sets: Mapping[str, Path], much: Amount, tell: Progress
) -> Section:
    from sam_plugins.evaluation.ambiguity import (
        ambiguity_table,
        answer_of,
        is_nested,
        read_nested,
    )

    title = "Wholes and parts"
    answers: dict[str, list[Any]] = {}
    for name, folder in sets.items():
        if is_nested(folder):
            answers[name] = []
            for nested in read_nested(folder, limit=much.nested):
                answers[name].append(answer_of(predictor, nested))
                tell(f"{title}: {name}", len(answers[name]), much.nested)
    if not any(answers.values()):
        return Section(title, missing="Needs a set of wholes and parts, as wbc_parts.")
    return Section(title, (ambiguity_table(answers),))


def _statistics(sets: Mapping[str, Path], much: Amount, tell: Progress) -> Section:
    from sam_plugins.evaluation.statistics import (
        draw_centres,
        draw_distributions,
        statistics_of,
        statistics_table,
    )

    title = "What the masks are like"
    found = {}
    tell(title, 0, len(sets))
    for number, (name, folder) in enumerate(sets.items()):
        found[name] = statistics_of(folder, images=much.images)
        tell(title, number + 1, len(sets))
    if not found:
        return Section(title, missing="Needs a set of images with true masks.")
    pictures = (draw_distributions(found), draw_centres(found))
    return Section(title, (statistics_table(found),), pictures)


def page_of(sections: Sequence[Section], *, settings: Mapping[str, Any]) -> str:
    """Write one HTML page that needs no other file.

    Parameters
    ----------
    sections : sequence of Section
        In order.
    settings : mapping of str to object
        With what was measured.

    Returns
    -------
    str
    """
    parts = [f"<h2>{html.escape(each.title)}</h2>\n{_body(each)}" for each in sections]
    facts = ", ".join(f"{html.escape(str(x))}: {html.escape(str(y))}" for x, y in settings.items())
    day = time.strftime("%Y-%m-%d")
    return (
        "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width'>"
        f"<title>Evaluation</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>Evaluation</h1>\n<p class='note'>{day}. {facts}.</p>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _body(section: Section) -> str:
    if section.missing:
        return f"<p class='missing'>Not measured. {html.escape(section.missing)}</p>"
    tables = [table.html() for table in section.tables]
    images = [
        f"<img alt='{html.escape(section.title)}' "
        f"src='data:image/png;base64,{base64.b64encode(each).decode('ascii')}'>"
        for each in section.pictures
    ]
    return "\n".join([*tables, *images])


_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2em auto;
  padding: 0 1em; color: #222; background: #fff; }
h2 { margin-top: 2em; border-bottom: 1px solid #ccc; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { padding: .2em .7em; text-align: left; border-bottom: 1px solid #e4e4e4; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.note { color: #555; max-width: 75ch; }
.missing { color: #8a5a00; }
img { max-width: 100%; display: block; margin: 1em 0; }
"""
