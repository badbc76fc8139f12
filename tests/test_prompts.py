"""``Prompt`` takes what a person may say in all its spellings, and refuses the rest in one line."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from sam_plugins.errors import InvalidPromptError, SamPluginsError
from sam_plugins.prompts import Prompt

MASK = np.zeros((3, 4), dtype=bool)


@pytest.mark.parametrize(
    "points",
    [
        [[1, 2], [3, 4.5]],
        ((1, 2), (3, 4.5)),
        np.array([[1, 2], [3, 4.5]]),
        np.array([[1, 3], [2, 4.5]], dtype=np.float16).T,
        torch.tensor([[1, 2], [3, 4.5]]),
    ],
)
def test_points_of_all_types(points):
    prompt = Prompt(points=points)
    assert prompt.points.dtype == np.float32
    assert prompt.points.tolist() == [[1, 2], [3, 4.5]]
    assert prompt.labels.tolist() == [1, 1]
    assert prompt.labels.dtype == np.int64


def test_one_point_and_one_box_need_no_list_of_one():
    prompt = Prompt(points=[5, 6], labels=0, boxes=[1, 2, 3, 4])
    assert prompt.points.tolist() == [[5, 6]]
    assert prompt.labels.tolist() == [0]
    assert prompt.boxes.tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    "labels", [[1, 0], (True, False), np.array([1.0, 0.0]), torch.tensor([1, 0])]
)
def test_labels_of_all_types(labels):
    assert Prompt(points=[[1, 2], [3, 4]], labels=labels).labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({}, 0),
        ({"points": [], "labels": [], "boxes": []}, 0),
        ({"points": np.zeros((0, 2)), "boxes": np.zeros((0, 4))}, 0),
        ({"points": [1, 2]}, 1),
        ({"points": [[1, 2], [3, 4]]}, 2),
        ({"boxes": [[1, 2, 3, 4], [5, 6, 7, 8]]}, 2),
        ({"mask": MASK}, 1),
        ({"text": " a dog "}, 1),
        ({"points": [1, 2], "boxes": [1, 2, 3, 4], "mask": MASK, "text": "dog"}, 4),
    ],
)
def test_hints_are_counted(fields, count):
    prompt = Prompt(**fields)
    assert prompt.count == count
    assert prompt.empty == (count == 0)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"points": [[1, 2, 3]]}, r"\(N, 2\), got \(1, 3\)"),
        ({"points": [1, 2, 3]}, r"\(N, 2\)"),
        ({"points": [[[1, 2]]]}, r"\(N, 2\)"),
        ({"points": 5}, r"\(N, 2\)"),
        ({"points": "here"}, "must be numbers"),
        ({"points": [[1, 2], [3]]}, "must be numbers"),
        ({"points": [[1, None]]}, "finite|numbers"),
        ({"points": [[1, np.nan]]}, "finite numbers, got .*nan"),
        ({"points": [[1, np.inf]]}, "finite"),
        ({"points": [[1, 1e300]]}, "finite"),
        ({"points": [[1, 2]], "labels": [7]}, "label 7 must be 1 .* or 0"),
        ({"points": [[1, 2]], "labels": [-1]}, "label -1"),
        ({"points": [[1, 2]], "labels": [0.5]}, r"label 0\.5"),
        ({"points": [[1, 2]], "labels": [np.nan]}, "label nan"),
        ({"points": [[1, 2]], "labels": ["yes"]}, "label 'yes'"),
        ({"points": [[1, 2]], "labels": [1, 0]}, r"1 points, labels of shape \(2,\)"),
        ({"labels": [1]}, "0 points"),
        ({"boxes": [1, 2, 3]}, r"\(N, 4\)"),
        ({"boxes": [[10, 2, 3, 4]]}, r"box \(10, 2, 3, 4\) must be x0, y0, x1, y1"),
        ({"boxes": [[1, 2, 3, 4], [1, 20, 3, 4]]}, r"box \(1, 20, 3, 4\)"),
        ({"boxes": [[1, 2, np.nan, 4]]}, "finite"),
        ({"mask": np.zeros((2, 3, 4), dtype=bool)}, "two axes"),
        ({"mask": np.zeros((0, 4), dtype=bool)}, "two axes"),
        ({"mask": np.zeros((3, 4), dtype=np.uint8)}, "bool .* or float"),
        ({"mask": np.full((3, 4), np.nan)}, "finite"),
        ({"mask": np.full((3, 4), 1e300)}, "finite"),
        ({"mask": "mask.png"}, "two axes"),
        ({"text": ""}, "empty"),
        ({"text": "  "}, "empty"),
        ({"text": 5}, "must be a string, got int"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_makes_no_sense_is_refused_in_one_line(fields, words):
    with pytest.raises(InvalidPromptError, match=words) as caught:
        Prompt(**fields)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, SamPluginsError)
    assert isinstance(caught.value, ValueError)


def test_degenerate_boxes_are_boxes():
    assert Prompt(boxes=[3, 4, 3, 4]).count == 1


def test_arrays_are_copied_and_cannot_be_changed():
    points = np.array([[1, 2]], dtype=np.float32)
    mask = MASK.copy()
    prompt = Prompt(points=points, boxes=[1, 2, 3, 4], mask=mask)
    points[:] = 99
    mask[:] = True
    assert prompt.points.tolist() == [[1, 2]]
    assert not prompt.mask.any()
    for array in (prompt.points, prompt.labels, prompt.boxes, prompt.mask):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    with pytest.raises(AttributeError):
        prompt.points = None


def test_masks_and_logits_are_told_apart_by_their_type():
    assert Prompt(mask=MASK).mask.dtype == bool
    assert Prompt(mask=MASK[None]).mask.shape == (3, 4)
    for dtype in ("f2", "f4", "f8"):
        assert Prompt(mask=np.zeros((256, 256), dtype=dtype)).mask.dtype == np.float32
    assert Prompt(mask=torch.zeros(1, 256, 256)).mask.shape == (256, 256)


def test_text_is_trimmed():
    assert Prompt(text=" a dog\n").text == "a dog"


def test_parts_can_be_replaced_and_prompts_pickled():
    prompt = Prompt(points=[[1, 2]], labels=[0], boxes=[1, 2, 3, 4], text="dog")
    more = replace(prompt, mask=MASK)
    assert more.count == 4
    assert prompt.count == 3
    with pytest.raises(InvalidPromptError):
        replace(prompt, labels=[2])
    again = pickle.loads(pickle.dumps(more))
    assert again.points.tolist() == [[1, 2]]
    assert again.text == "dog"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"points": [[-0.5, 1]]}, r"point \(-0\.5, 1\) .* 40 pixels wide and 30 high"),
        ({"points": [[1, 1], [41, 1]]}, r"point \(41, 1\)"),
        ({"points": [[1, 30.5]]}, r"point \(1, 30\.5\)"),
        ({"points": [[35, 35]]}, r"point \(35, 35\)"),
        ({"boxes": [[0, 0, 41, 30]]}, r"box \(0, 0, 41, 30\)"),
        ({"boxes": [[0, 0, 4, 3], [-1, 0, 4, 3]]}, r"box \(-1, 0, 4, 3\)"),
        ({"mask": np.zeros((40, 30), dtype=bool)}, "40 x 30 .* 30 x 40"),
    ],
)
def test_what_lies_outside_the_image_is_named(fields, words):
    with pytest.raises(InvalidPromptError, match=words) as caught:
        Prompt(**fields).check_inside((30, 40))
    assert "\n" not in str(caught.value)


def test_the_border_belongs_to_the_image():
    everything = {
        "points": [[0, 0], [40, 30], [39.5, 0]],
        "boxes": [[0, 0, 40, 30]],
        "mask": np.zeros((30, 40), dtype=bool),
    }
    Prompt(**everything).check_inside((30, 40))
    Prompt(mask=np.zeros((256, 256), dtype=np.float32)).check_inside((30, 40))
    Prompt(text="a dog").check_inside((30, 40))
