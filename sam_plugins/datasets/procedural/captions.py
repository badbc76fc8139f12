"""Captions of described scenes: phrases, and which objects they mean.

Some pairs of words (`HELD_OUT`) never stand together in a caption for training, so that captions
that hold such a pair measure whether words are combined or only whole phrases remembered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sam_plugins.datasets.procedural.described import Described, DescribedScene
from sam_plugins.phrases import COLOURS, COUNTS, RANKS, SHAPES, SLOTS, TEXTURES, Phrase

KINDS = (
    "shape",
    "colour",
    "texture",
    "tone",
    "size",
    "superlative",
    "count",
    "position",
    "relation",
    "absent",
)
HELD_OUT = frozenset(
    {
        *(("red", "star"), ("blue", "ring"), ("green", "triangle"), ("yellow", "square")),
        *(("purple", "disc"), ("white", "cross"), ("orange", "crescent"), ("cyan", "oval")),
        *(("pink", "rod"), ("grey", "triangle"), ("black", "star"), ("striped", "disc")),
        *(("spotted", "square"), ("checked", "oval"), ("striped", "star"), ("blue", "striped")),
        *(("red", "spotted"), ("dark", "cell"), ("bright", "rod"), ("dark", "triangle")),
        *(("large", "red"), ("small", "green"), ("large", "oval"), ("small", "star")),
        *(("largest", "square"), ("smallest", "disc"), ("leftmost", "star"), ("darkest", "oval")),
        *(("largest", "dark"), ("topmost", "triangle"), ("brightest", "cell")),
        *(("3", "ring"), ("2", "square"), ("4", "disc"), ("2", "red")),
        *(("place:left", "filament"), ("place:top", "ring"), ("place:upper right", "triangle")),
        *(("place:bottom", "cell"), ("place:right", "blue"), ("place:middle", "disc")),
        *(("relation:left of", "star"), ("relation:above", "disc"), ("relation:nearest", "ring")),
        *(("relation:right of", "red"), ("relation:below", "square")),
    }
)

# A caption is asked only if no object is this near to the other side of its answer.
AREA_MARGIN = 1.2  # ratio of areas
TONE_MARGIN = 0.08  # of the full brightness
PLACE_MARGIN = 0.035  # of the scene's side
# Nearer to a side than this share of it is "on the left", ...; this near to the centre, both ways,
# is "in the middle".
SIDE, MIDDLE = 0.4, 0.22
# Objects this many times larger or smaller than the scene's mean are large or small.
SIZE_RATIO = 1.45

Words = Literal["any", "seen", "held out"]


@dataclass(frozen=True)
class Caption:
    """A phrase about a scene, and its answer.

    Parameters
    ----------
    phrase : Phrase
        What is asked.
    objects : tuple of int
        Which of the scene's objects it means; none if there is no such object.
    kind : str
        One of `KINDS`.
    """

    phrase: Phrase
    objects: tuple[int, ...]
    kind: str


def holds_held_out(phrase: Phrase) -> bool:
    """Whether a phrase holds one of the pairs of words kept apart for evaluation.

    Parameters
    ----------
    phrase : Phrase
        Its own words pair with each other, and a relation with its anchor's words.

    Returns
    -------
    bool
    """
    own = list(replace(phrase, relation=None, anchor=None).words)
    pairs = [(a, b) for i, a in enumerate(own) for b in own[i + 1 :]]
    pairs += [(b, a) for a, b in pairs]
    if phrase.anchor is not None:
        pairs += [(f"relation:{phrase.relation}", word) for word in phrase.anchor.words]
        if holds_held_out(phrase.anchor):
            return True
    return any(pair in HELD_OUT for pair in pairs)


class UnclearError(Exception):
    """The answer hangs on a margin: two people might answer differently."""


@dataclass(frozen=True, eq=False)
class Facts:
    """What captions need to know of a scene's N objects.

    Parameters
    ----------
    objects : tuple of Described
        N objects.
    areas, luminance : ndarray of shape (N,), float64
        In pixels; 0 to 1.
    centres : ndarray of shape (N, 2), float64
        x then y, as fractions of the side.
    """

    objects: tuple[Described, ...]
    areas: NDArray[np.float64]
    luminance: NDArray[np.float64]
    centres: NDArray[np.float64]

    @classmethod
    def of(cls, scene: DescribedScene) -> Facts:
        """Collect them.

        Parameters
        ----------
        scene : DescribedScene
            The scene.

        Returns
        -------
        Facts
        """
        return cls(
            scene.objects,
            np.array([float(each.area) for each in scene.objects]),
            np.array([each.luminance for each in scene.objects]),
            np.array([each.centre for each in scene.objects]),
        )

    def meant(self, phrase: Phrase) -> list[int]:
        """Find the objects that a phrase means.

        Parameters
        ----------
        phrase : Phrase
            The phrase.

        Returns
        -------
        list of int
            Sorted; empty if there is none.

        Raises
        ------
        UnclearError
            If the answer hangs on one of the margins, or the anchor is not one object.
        """
        found = list(range(len(self.objects)))
        for slot in ("shape", "colour", "texture", "tone"):
            value = getattr(phrase, slot)
            if value is not None:
                found = [i for i in found if getattr(self.objects[i], slot) == value]
        if phrase.size is not None:
            found = self._sized(found, phrase.size)
        if phrase.place is not None:
            found = self._placed(found, phrase.place)
        if phrase.relation is not None and phrase.anchor is not None:
            found = self._related(found, phrase.relation, self.meant(phrase.anchor))
        if phrase.rank is not None and found:
            found = self._ranked(found, phrase.rank)
        if phrase.count is not None and len(found) != int(phrase.count):
            return []
        return found

    def _sized(self, found: list[int], size: str) -> list[int]:
        ratio = np.log(self.areas) - np.log(self.areas).mean()
        ratio = ratio if size == "large" else -ratio
        return _above(found, ratio, np.log(SIZE_RATIO), np.log(AREA_MARGIN))

    def _placed(self, found: list[int], place: str) -> list[int]:
        x, y = self.centres.T
        if place == "middle":
            return _above(found, -np.maximum(abs(x - 0.5), abs(y - 0.5)), -MIDDLE, PLACE_MARGIN)
        sides = {"left": -x, "right": x - 1, "top": -y, "bottom": y - 1}
        for word in place.replace("upper", "top").replace("lower", "bottom").split():
            found = _above(found, sides[word], -SIDE, PLACE_MARGIN)
        return found

    def _related(self, found: list[int], relation: str, anchors: list[int]) -> list[int]:
        if len(anchors) != 1:
            raise UnclearError("the anchor is not one object")
        anchor = anchors[0]
        found = [i for i in found if i != anchor]
        away = self.centres - self.centres[anchor]
        if relation == "nearest":
            return self._first(found, -np.hypot(*away.T), PLACE_MARGIN) if found else []
        axis, sign = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}[
            relation
        ]
        return _above(found, sign * away[:, axis], 0.0, PLACE_MARGIN)

    def _ranked(self, found: list[int], rank: str) -> list[int]:
        x, y = self.centres.T
        scores, margin = {
            "largest": (np.log(self.areas), np.log(AREA_MARGIN)),
            "smallest": (-np.log(self.areas), np.log(AREA_MARGIN)),
            "brightest": (self.luminance, TONE_MARGIN),
            "darkest": (-self.luminance, TONE_MARGIN),
            "leftmost": (-x, PLACE_MARGIN),
            "rightmost": (x, PLACE_MARGIN),
            "topmost": (-y, PLACE_MARGIN),
            "lowest": (y, PLACE_MARGIN),
        }[rank]
        return self._first(found, scores, float(margin))

    @staticmethod
    def _first(found: list[int], scores: NDArray[np.float64], margin: float) -> list[int]:
        order = sorted(found, key=lambda i: -scores[i])
        if len(order) > 1 and scores[order[0]] - scores[order[1]] < margin:
            raise UnclearError("two objects are about equal")
        return order[:1]


def _above(
    found: list[int], scores: NDArray[np.float64], threshold: float, margin: float
) -> list[int]:
    if any(abs(scores[i] - threshold) < margin for i in found):
        raise UnclearError("an object lies on the border")
    return [i for i in found if scores[i] > threshold]


def caption(
    rng: Generator, facts: Facts, *, kind: str | None = None, words: Words = "any", tries: int = 40
) -> Caption | None:
    """Draw a caption of a scene.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    facts : Facts
        Of the scene.
    kind : str, optional
        One of `KINDS`; by default any.
    words : str
        ``"seen"`` for captions without a pair of `HELD_OUT`, ``"held out"`` for those with one.
    tries : int
        How many are drawn before it is given up.

    Returns
    -------
    Caption or None
        None if no clear caption was found.
    """
    for _ in range(tries):
        chosen = kind or KINDS[rng.integers(len(KINDS))]
        phrase = _drawn(rng, facts, chosen)
        if chosen in _FEATURES and getattr(phrase, chosen) is None:
            continue
        if words != "any" and holds_held_out(phrase) != (words == "held out"):
            continue
        try:
            found = facts.meant(phrase)
        except UnclearError:
            continue
        if bool(found) != (chosen == "absent"):
            if len(found) == len(facts.objects) and len(found) > 3 and rng.random() < 0.8:
                continue  # a phrase that means everything teaches little
            return Caption(phrase, tuple(found), chosen)
    return None


_FEATURES = ("shape", "colour", "texture", "tone")


def _attributes(rng: Generator, each: Described, chance: float) -> Phrase:
    """Some of what can be said of an object: its features by chance."""
    said = {
        slot: getattr(each, slot)
        for slot in _FEATURES
        if rng.random() < chance * (0.4 if slot in ("tone", "texture") else 1)
    }
    return Phrase(**said)


def _drawn(rng: Generator, facts: Facts, kind: str) -> Phrase:
    """A phrase of a kind about an object drawn at random; it may turn out unclear."""
    target = facts.objects[rng.integers(len(facts.objects))]
    phrase = _attributes(rng, target, 0.55)
    if kind in ("shape", "colour", "texture", "tone"):
        return replace(phrase, **{kind: getattr(target, kind)})
    if kind == "size":
        return replace(phrase, size=str(rng.choice(SLOTS["size"])))
    if kind == "superlative":
        return replace(phrase, rank=str(rng.choice(RANKS)))
    if kind == "count":
        return replace(phrase, count=str(rng.choice(COUNTS[:4])))
    if kind == "position":
        return replace(phrase, place=str(rng.choice(SLOTS["place"])))
    if kind == "relation":
        anchor = _attributes(rng, facts.objects[rng.integers(len(facts.objects))], 0.8)
        if rng.random() < 0.2:
            anchor = replace(anchor, rank=str(rng.choice(RANKS)))
        return replace(phrase, relation=str(rng.choice(SLOTS["relation"])), anchor=anchor)
    return _absent(rng, facts, phrase)


def _absent(rng: Generator, facts: Facts, phrase: Phrase) -> Phrase:
    """A phrase that probably means nothing: one feature is another's, or the count wrong."""
    chance = rng.random()
    if chance < 0.2:
        return replace(phrase, count=str(rng.choice(COUNTS)))
    if chance < 0.35:
        return replace(phrase, place=str(rng.choice(SLOTS["place"])))
    other = facts.objects[rng.integers(len(facts.objects))]
    slot, every = [("shape", SHAPES), ("colour", COLOURS), ("texture", TEXTURES)][rng.integers(3)]
    value = getattr(other, slot) if rng.random() < 0.6 else str(rng.choice(every))
    changed: dict[str, Any] = {slot: value}
    return replace(phrase, **changed)
