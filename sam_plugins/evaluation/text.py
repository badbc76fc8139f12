"""How well text prompts are answered: captions of procedural scenes, by kind.

Asked are captions that hold a pair of words that no caption of training held. As a control, every
scene is asked another scene's caption of the same kind: if the words mattered little, that would
score about as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sam_plugins.datasets.procedural.captions import KINDS, Caption, Facts, Words, caption
from sam_plugins.datasets.procedural.described import DescribedScene, described_scene
from sam_plugins.masks import rle as rle_codec
from sam_plugins.text.answers import TextAnswer, best_answer
from sam_plugins.text.finding import Seen, TextFinder
from sam_plugins.text.tower import THRESHOLD, shipped_tower, tower_scores

# Kept apart from the seeds of training, which begin with another number.
SEED = 11
MATCH = 0.5  # IoU at which a mask counts as an object


@dataclass(frozen=True)
class CaptionScore:
    """How one caption was answered.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    words : str
        What was asked.
    meant, found : int
        Objects.
    first_iou : float
        IoU of the first mask with the best of the objects meant; 0 if nothing was found.
    f1 : float
        Of all masks against all objects meant, matched one to one at IoU 0.5; 1 if there is
        neither.
    shuffled_first_iou, shuffled_f1 : float
        The same for the answer to another scene's caption.
    reachable : float
        Mean over the objects meant of the IoU of the best candidate: no choice of words can give
        more. NaN if none was meant.
    """

    kind: str
    words: str
    meant: int
    found: int
    first_iou: float
    f1: float
    shuffled_first_iou: float
    shuffled_f1: float
    reachable: float


def measure_text(
    finder: TextFinder,
    *,
    scenes: int = 40,
    seed: int = 0,
    words: Words = "held out",
    progress: Callable[[int, int], None] | None = None,
) -> list[CaptionScore]:
    """Ask captions about fresh scenes.

    Parameters
    ----------
    finder : TextFinder
        What is measured, by way of its tower.
    scenes : int
        How many; each is asked up to one caption of each kind.
    seed : int
        Of the scenes.
    words : str
        See `caption`.
    progress : callable, optional
        Called with (done, total) scenes.

    Returns
    -------
    list of CaptionScore

    Raises
    ------
    ValueError
        If there are fewer than 2 scenes, between which captions could be shuffled.
    """
    if scenes < 2:
        raise ValueError(f"two scenes or more are needed to shuffle captions, got {scenes}")
    asked = []
    for number in range(scenes):
        asked.append(_ask(finder, np.random.default_rng([SEED, seed, number]), words))
        if progress is not None:
            progress(number + 1, scenes)
    return [score for index in range(scenes) for score in _scored(finder, asked, index)]


@dataclass(frozen=True, eq=False)
class _Asked:
    scene: DescribedScene
    seen: Seen
    captions: dict[str, Caption]


def _ask(finder: TextFinder, rng: np.random.Generator, words: Words) -> _Asked:
    scene = described_scene(rng)
    facts = Facts.of(scene)
    drawn = {kind: caption(rng, facts, kind=kind, words=words, tries=200) for kind in KINDS}
    seen = finder.look_at(scene.image, finder.predictor.embed(scene.image))
    return _Asked(scene, seen, {kind: each for kind, each in drawn.items() if each is not None})


def _scored(finder: TextFinder, asked: Sequence[_Asked], index: int) -> Iterator[CaptionScore]:
    here = asked[index]
    truths = [rle_codec.encode(each.mask) for each in here.scene.objects]
    best = rle_codec.iou(truths, [each.segmentation for each in here.seen.records])
    for kind, each in here.captions.items():
        # The next scene that has a caption of the kind; the scene's own if none other has.
        around = [asked[(index + step) % len(asked)] for step in range(1, len(asked) + 1)]
        other = next(scene.captions[kind] for scene in around if kind in scene.captions)
        answer, shuffled = _answers(finder, here.seen, [each, other])
        meant = [truths[i] for i in each.objects]
        first_iou, f1 = compare(answer, meant)
        shuffled_first_iou, shuffled_f1 = compare(shuffled, meant)
        reachable = best[list(each.objects)].max(axis=1, initial=0).mean() if meant else np.nan
        yield CaptionScore(
            kind=kind,
            words=" ".join(each.phrase.words),
            meant=len(meant),
            found=len(answer),
            first_iou=first_iou,
            f1=f1,
            shuffled_first_iou=shuffled_first_iou,
            shuffled_f1=shuffled_f1,
            reachable=float(reachable),
        )


def _answers(finder: TextFinder, seen: Seen, asked: Sequence[Caption]) -> list[TextAnswer]:
    tower = finder.tower or shipped_tower()
    scores = tower_scores(tower, seen.looks, [each.phrase for each in asked])
    return [best_answer(seen.records, row, threshold=THRESHOLD, way="tower") for row in scores]


def compare(answer: TextAnswer, meant: Sequence[rle_codec.Rle]) -> tuple[float, float]:
    """Compare an answer with the objects meant.

    Parameters
    ----------
    answer : TextAnswer
        Masks, the best first.
    meant : sequence of dict
        RLEs of the objects.

    Returns
    -------
    first_iou : float
        See `CaptionScore`.
    f1 : float
        See `CaptionScore`.
    """
    if not len(answer) or not meant:
        return 0.0, float(not len(answer) and not meant)
    overlap = rle_codec.iou([each.segmentation for each in answer.records], meant)
    hits = _matched(overlap)
    return float(overlap[0].max()), 2 * hits / (len(answer) + len(meant))


def _matched(overlap: NDArray[np.float64]) -> int:
    """How many pairs agree by `MATCH` or more, one to one, as many as possible."""
    from scipy.optimize import linear_sum_assignment

    agree = overlap >= MATCH
    rows, columns = linear_sum_assignment(~agree)
    return int(agree[rows, columns].sum())


def text_table(scores: Sequence[CaptionScore]) -> str:
    """Write a Markdown table: a row a kind of caption, then all that mean something.

    Parameters
    ----------
    scores : sequence of CaptionScore
        From `measure_text`.

    Returns
    -------
    str
        Means; ``absent`` are captions that mean nothing, of which only F1 is told (the share that
        was answered by nothing), and which are left out of the last row.
    """
    head = (
        "| captions | n | first mask IoU | F1 | shuffled IoU | shuffled F1 | best candidate IoU |"
    )
    lines = [head, "|---|---:|---:|---:|---:|---:|---:|"]
    for kind in KINDS:
        rows = [each for each in scores if each.kind == kind]
        if rows:
            lines.append(_row(kind, rows, measured=kind != "absent"))
    rows = [each for each in scores if each.kind != "absent"]
    if rows:
        lines.append(_row("**all but absent**", rows, measured=True))
    return "\n".join(lines) + "\n"


def _row(name: str, rows: Sequence[CaptionScore], *, measured: bool) -> str:
    def mean(field: str) -> str:
        return f"{np.mean([getattr(each, field) for each in rows]):.3f}"

    if not measured:
        return f"| {name} | {len(rows)} | - | {mean('f1')} | - | {mean('shuffled_f1')} | - |"
    fields = ("first_iou", "f1", "shuffled_first_iou", "shuffled_f1", "reachable")
    return f"| {name} | {len(rows)} | {' | '.join(mean(field) for field in fields)} |"
