"""Examples for the text tower: described scenes, seen through imperfect candidate masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from sam_plugins.datasets.procedural.captions import Facts, caption
from sam_plugins.datasets.procedural.described import DescribedScene, described_scene
from sam_plugins.datasets.procedural.shapes import fill, outline
from sam_plugins.phrases import SLOTS, Phrase
from sam_plugins.text.looks import Looks, looks_of

# Candidates that are no object: half as many as objects, at least this many are drawn.
DISTRACTORS = (1, 7)
LEAST_PIXELS = 20
# What the tower's auxiliary heads name.
FEATURES = ("shape", "colour", "tone", "texture")


@dataclass(frozen=True, eq=False)
class Example:
    """A scene and its candidates.

    Parameters
    ----------
    facts : Facts
        Of the scene's objects, without their masks.
    looks : Looks
        Of N candidates.
    owner : ndarray of shape (N,), int64
        Which object a candidate is; -1 for distractors.
    features : ndarray of shape (N, 4), int64
        Which value of each of `FEATURES` it has; -1 where none.
    """

    facts: Facts
    looks: Looks
    owner: NDArray[np.int64]
    features: NDArray[np.int64]


def example(rng: Generator, size: int = 256) -> Example:
    """Make a scene and candidates of it.

    Parameters
    ----------
    rng : Generator
        All randomness comes from it.
    size : int
        Side of the scene, in pixels.

    Returns
    -------
    Example
    """
    scene = described_scene(rng, size)
    masks = [_shaky(rng, each.mask) for each in scene.objects]
    owner = list(range(len(masks)))
    for _ in range(int(rng.integers(*DISTRACTORS))):
        masks.append(_distractor(rng, scene))
        owner.append(-1)
    kept = [i for i, mask in enumerate(masks) if mask.sum() >= LEAST_PIXELS]
    owner = [owner[i] for i in kept]
    features = np.full((len(kept), len(FEATURES)), -1)
    for row, index in enumerate(owner):
        for column, slot in enumerate(FEATURES):
            value = getattr(scene.objects[index], slot) if index >= 0 else None
            if value is not None:
                features[row, column] = SLOTS[slot].index(value)
    looks = looks_of(scene.image, [masks[i] for i in kept])
    return Example(Facts.of(scene), looks, np.array(owner), features)


def _shaky(rng: Generator, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A mask as a model might give it: a pixel too large, too small, or shifted; holes filled."""
    chance = rng.random()
    if chance < 0.2:
        mask = ndimage.binary_dilation(mask, iterations=int(rng.integers(1, 3)))
    elif chance < 0.35:
        smaller = ndimage.binary_erosion(mask)
        mask = smaller if smaller.sum() > 0.5 * mask.sum() else mask
    elif chance < 0.5:
        mask = np.roll(mask, rng.integers(-1, 2, 2), (0, 1))
    if rng.random() < 0.3:  # rough along the border
        noise = ndimage.gaussian_filter(rng.standard_normal(mask.shape), 1.5)
        soft = ndimage.gaussian_filter(mask.astype(np.float32), 1.2)
        mask = soft + 0.8 * noise > 0.5 if soft.max() > 0.7 else mask
        labels, count = ndimage.label(mask)
        if count > 1:
            sizes = np.bincount(labels.ravel())[1:]
            mask = labels == 1 + sizes.argmax()
    if rng.random() < 0.05:
        mask = ndimage.binary_fill_holes(mask)
    return mask


def _distractor(rng: Generator, scene: DescribedScene) -> NDArray[np.bool_]:
    """A mask that is no object: a part, two together, a piece of the background, all of it."""
    first, second = (scene.objects[i].mask for i in rng.integers(len(scene.objects), size=2))
    size = len(first)
    kind = rng.random()
    if kind < 0.35:  # a part
        y, x = np.nonzero(first)
        angle = rng.uniform(0, 2 * np.pi)
        along = (np.arange(size) * np.cos(angle)) + (np.arange(size) * np.sin(angle))[:, None]
        return first & (along < np.quantile(along[y, x], rng.uniform(0.25, 0.6)))
    if kind < 0.5:
        return first | second if (first != second).any() else ~first
    taken = np.any([each.mask for each in scene.objects], axis=0)
    if kind < 0.6:
        return ~taken
    patch = fill(size, outline(rng, size * rng.uniform(0.03, 0.2)), rng.uniform(0, size, 2))
    mask = np.zeros((size, size), dtype=bool)
    if patch is not None:
        mask[patch.window] = patch.mask
    return mask & ~taken if kind < 0.85 else mask & ~first


def without_masks(made: Example) -> Example:
    """Drop what takes memory and is not needed any more: the objects' masks.

    Parameters
    ----------
    made : Example
        Any.

    Returns
    -------
    Example
    """
    from dataclasses import replace

    objects = tuple(replace(each, mask=np.zeros((0, 0), dtype=bool)) for each in made.facts.objects)
    return replace(made, facts=replace(made.facts, objects=objects))


def questions(
    rng: Generator, made: Example, count: int
) -> tuple[list[Phrase], NDArray[np.float32]]:
    """Draw captions for training.

    Parameters
    ----------
    rng : Generator
        Source of randomness.
    made : Example
        The scene.
    count : int
        How many; fewer come if no more clear ones are found.

    Returns
    -------
    phrases : list of Phrase
        Of each caption.
    answers : ndarray of shape (captions, N), float32
        1 where a candidate is meant.
    """
    phrases, answers = [], []
    for _ in range(count):
        drawn = caption(rng, made.facts, words="seen")
        if drawn is not None:
            phrases.append(drawn.phrase)
            answers.append(np.isin(made.owner, drawn.objects).astype(np.float32))
    return phrases, np.array(answers, dtype=np.float32).reshape(len(phrases), len(made.owner))


def make_examples(seeds: Sequence[int], size: int = 256) -> list[Example]:
    """Make one example a seed.

    Parameters
    ----------
    seeds : sequence of int
        The same seed gives the same example.
    size : int
        Side of the scenes, in pixels.

    Returns
    -------
    list of Example
    """
    return [without_masks(example(np.random.default_rng([7, seed]), size)) for seed in seeds]
