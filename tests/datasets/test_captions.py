from dataclasses import replace

import numpy as np
import pytest

from sam_plugins.datasets.procedural.captions import (
    HELD_OUT,
    KINDS,
    Facts,
    UnclearError,
    caption,
    holds_held_out,
)
from sam_plugins.datasets.procedural.described import Described, DescribedScene, described_scene
from sam_plugins.phrases import SLOTS, Phrase, parse


def square(
    x: int, y: int, side: int, *, size: int = 100, shape: str = "disc", colour: str = "red"
) -> Described:
    mask = np.zeros((size, size), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return Described(mask, shape, "plain", colour, "bright", 0.01 * side)


@pytest.fixture
def facts() -> Facts:
    """A small red disc upper left, a large red disc lower left, a blue star on the right."""
    objects = (
        square(5, 5, 8),
        square(5, 70, 20),
        square(80, 40, 12, shape="star", colour="blue"),
    )
    return Facts.of(DescribedScene(np.zeros((100, 100, 3), dtype=np.uint8), objects))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("discs", [0, 1]),
        ("blue objects", [2]),
        ("green objects", []),
        ("the largest disc", [1]),
        ("the smallest object", [0]),
        ("the brightest disc", [1]),
        ("two discs", [0, 1]),
        ("three discs", []),
        ("objects on the left", [0, 1]),
        ("object in the upper left corner", [0]),
        ("the rightmost object", [2]),
        ("the topmost object", [0]),
        ("discs left of the star", [0, 1]),
        ("objects right of the largest disc", [2]),
        ("discs above the star", [0]),
        ("discs below the star", [1]),
        ("large discs", [1]),
        ("small discs", [0]),
    ],
)
def test_what_phrases_mean(facts: Facts, text: str, expected: list[int]) -> None:
    assert facts.meant(parse(text)) == expected


@pytest.mark.parametrize("text", ["discs left of a red disc", "the largest object nearest to red"])
def test_an_anchor_must_be_one_object(facts: Facts, text: str) -> None:
    with pytest.raises(UnclearError):
        facts.meant(parse(text))


def test_about_equal_objects_are_not_ranked() -> None:
    twins = (square(5, 5, 10), square(50, 50, 10))
    facts = Facts.of(DescribedScene(np.zeros((100, 100, 3), dtype=np.uint8), twins))
    with pytest.raises(UnclearError):
        facts.meant(parse("the largest disc"))


def test_held_out_pairs_are_of_words_that_exist() -> None:
    words = {
        f"{slot}:{value}" if slot in ("place", "relation") else value
        for slot, values in SLOTS.items()
        for value in values
    }
    assert {word for pair in HELD_OUT for word in pair} <= words


def test_held_out_pairs_are_found_also_in_anchors() -> None:
    assert holds_held_out(parse("red striped discs"))
    assert holds_held_out(parse("a ring above the red star"))
    assert holds_held_out(parse("the rod nearest to the ring"))
    assert not holds_held_out(parse("a striped square"))
    assert not holds_held_out(Phrase())


@pytest.mark.parametrize("words", ["seen", "held out"])
def test_captions_keep_the_words_apart_and_mean_what_they_say(words: str) -> None:
    rng = np.random.default_rng(3)
    drawn = 0
    for _ in range(4):
        facts = Facts.of(described_scene(rng))
        for kind in KINDS:
            each = caption(rng, facts, kind=kind, words=words)
            if each is None:
                continue
            drawn += 1
            assert holds_held_out(each.phrase) == (words == "held out")
            assert list(each.objects) == facts.meant(each.phrase)
            assert (not each.objects) == (kind == "absent")
    assert drawn > 15


def test_scenes_come_from_their_seed_and_hold_what_they_tell() -> None:
    first, second = (described_scene(np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    together = np.sum([each.mask for each in first.objects], axis=0)
    assert together.max() == 1  # they do not overlap
    for each in first.objects:
        assert each.shape in SLOTS["shape"]
        assert each.texture in SLOTS["texture"]
        shown = first.image[each.mask].mean() / 255
        assert shown == pytest.approx(each.luminance, abs=0.03)


def test_red_is_red() -> None:
    for seed in range(30):
        scene = described_scene(np.random.default_rng(seed))
        for each in scene.objects:
            if each.colour == "red" and each.texture == "plain" and each.shape != "cell":
                red, green, blue = scene.image[each.mask].mean(axis=0)
                assert red > 1.5 * max(green, blue)
                return
    pytest.fail("no red object in thirty scenes")


def test_facts_need_no_masks_after_they_are_made(facts: Facts) -> None:
    bare = replace(
        facts, objects=tuple(replace(o, mask=np.zeros((0, 0), dtype=bool)) for o in facts.objects)
    )
    assert bare.meant(parse("discs left of the star")) == [0, 1]
