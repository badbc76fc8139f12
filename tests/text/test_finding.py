import numpy as np
import pytest
from numpy.typing import NDArray

from sam_plugins.errors import InvalidPromptError
from sam_plugins.masks import rle as rle_codec
from sam_plugins.masks.records import MaskRecord
from sam_plugins.predictor import Predictor
from sam_plugins.prompts import Prompt
from sam_plugins.text.answers import best_answer
from sam_plugins.text.candidates import candidates_of, distinct, striking_boxes
from sam_plugins.text.finding import TextFinder, checked_boxes


@pytest.fixture(scope="module")
def finder(lite: Predictor) -> TextFinder:
    return TextFinder(lite)


def centres(answer) -> list[tuple[int, int]]:
    found = []
    for record in answer.records:
        y, x = np.nonzero(record.mask())
        found.append((round(x.mean()), round(y.mean())))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the blue disc", [(110, 115)]),
        ("red discs", [(45, 50), (120, 40)]),
        ("the largest red disc", [(45, 50)]),
        ("the smallest disc", [(120, 40)]),
        ("discs on the left", [(45, 50)]),
        ("the red disc above the blue disc", [(45, 50), (120, 40)]),
        ("green stars", []),
        ("two red discs", [(45, 50), (120, 40)]),
    ],
)
def test_the_shipped_tower_finds_what_is_meant(
    finder: TextFinder, discs: NDArray[np.uint8], text: str, expected: list[tuple[int, int]]
) -> None:
    answer = finder.find(discs, Prompt(text=text))
    assert answer.way == "tower"
    found = sorted(centres(answer))
    assert len(found) == len(expected)
    for here, there in zip(found, sorted(expected), strict=True):
        assert np.hypot(here[0] - there[0], here[1] - there[1]) < 4
    assert list(answer.scores) == sorted(answer.scores, reverse=True)


def test_candidates_are_found_once_an_image(
    finder: TextFinder, discs: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    finder.find(discs, Prompt(text="discs"))
    calls = []
    monkeypatch.setattr("sam_plugins.text.finding.candidates_of", lambda *a: calls.append(a) or [])
    finder.find(discs.copy(), Prompt(text="red discs"))
    assert not calls
    finder.find(discs[::-1].copy(), Prompt(text="red discs"))
    assert len(calls) == 1


def test_an_empty_image_has_nothing_to_find(lite: Predictor) -> None:
    answer = TextFinder(lite).find(np.zeros((64, 64, 3), dtype=np.uint8), Prompt(text="discs"))
    assert len(answer) == 0
    assert "0 objects" in answer.told


def test_grey_and_sixteen_bit_images(lite: Predictor, discs: NDArray[np.uint8]) -> None:
    grey = discs[..., 0].astype(np.uint16) * 200
    answer = TextFinder(lite).find(grey, Prompt(text="the dark disc"))
    assert [np.hypot(x - 110, y - 115) < 4 for x, y in centres(answer)] == [True]


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        (Prompt(text="a wheel"), "'wheel'"),
        (Prompt(points=[[1, 1]]), "no text"),
        (Prompt(text="discs", points=[[1, 1]]), "without the text"),
    ],
)
def test_what_cannot_be_answered(
    finder: TextFinder, discs: NDArray[np.uint8], prompt: Prompt, named: str
) -> None:
    with pytest.raises(InvalidPromptError, match=named):
        finder.find(discs, prompt)


def test_a_detector_gives_boxes_to_masks(lite: Predictor, discs: NDArray[np.uint8]) -> None:
    asked = []

    def detector(image, text):
        asked.append((image.shape, text))
        return [[15, 20, 75, 80], [85, 90, 135, 140]], [0.4, 0.9]

    answer = TextFinder(lite, detector=detector).find(discs, Prompt(text="Räder, bitte"))
    assert asked == [((160, 160, 3), "Räder, bitte")]
    assert answer.way == "detector"
    assert answer.scores == (0.9, 0.4)
    (x, y), (x2, y2) = centres(answer)
    assert np.hypot(x - 110, y - 115) < 4
    assert np.hypot(x2 - 45, y2 - 50) < 4


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ([], 0),
        (np.zeros((0, 4)), 0),
        ([[-5, -5, 20, 20]], 1),
        ([[10, 10, 10.5, 20]], 0),
        (([[1, 1, 9, 9]], [0.3]), 1),
    ],
)
def test_boxes_of_detectors_are_brought_into_form(given, count: int) -> None:
    boxes, scores = checked_boxes(given, (50, 60))
    assert boxes.shape == (count, 4)
    assert len(scores) == count
    assert (boxes >= 0).all()


@pytest.mark.parametrize(
    "given", [[[1, 2, 3]], "boxes", ([[1, 1, 9, 9]], [0.1, 0.2]), [[np.nan] * 4]]
)
def test_wrong_boxes_are_refused(given) -> None:
    with pytest.raises(InvalidPromptError, match="detector"):
        checked_boxes(given, (50, 60))


def test_striking_boxes_are_where_the_objects_are(discs: NDArray[np.uint8]) -> None:
    boxes = striking_boxes(discs)
    assert len(boxes) == 3
    truth = np.array([[19, 24, 72, 77], [88, 93, 133, 138], [107, 27, 134, 54]])
    assert np.abs(boxes - truth).max() <= 3
    assert striking_boxes(np.full((40, 40, 3), 9, dtype=np.uint8)).shape == (0, 4)


def test_candidates_do_not_repeat(lite: Predictor, discs: NDArray[np.uint8]) -> None:
    records = candidates_of(lite, discs, lite.embed(discs))
    rles = [each.segmentation for each in records]
    overlap = rle_codec.iou(rles, rles) - np.eye(len(rles))
    assert len(records) >= 3
    assert overlap.max() <= 0.65


def record(x: int, y: int, side: int) -> MaskRecord:
    mask = np.zeros((50, 50), dtype=bool)
    mask[y : y + side, x : x + side] = True
    return MaskRecord(
        rle_codec.encode(mask), side * side, (x, y, side - 1, side - 1), 0.9, ((x, y),), 0.9,
        (0, 0, 50, 50),
    )  # fmt: skip


def test_of_nested_answers_the_better_one_is_kept() -> None:
    records = [record(0, 0, 20), record(5, 5, 8), record(30, 30, 10), record(40, 0, 5)]
    answer = best_answer(records, np.array([0.7, 0.9, 0.6, 0.2]), threshold=0.5, way="tower")
    assert answer.records == (records[1], records[2])
    assert answer.scores == (0.9, 0.6)
    assert answer.told == "2 objects of 4 candidates, by the built-in text tower"


def test_distinct_keeps_the_first() -> None:
    records = [record(0, 0, 20), record(1, 0, 20), record(30, 30, 10)]
    assert distinct(records) == [records[0], records[2]]
    assert distinct([]) == []
