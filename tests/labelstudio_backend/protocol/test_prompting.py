"""Regions become prompts, in pixels of the image."""

import numpy as np
import pytest

from labelstudio_backend.protocol.brush_rle import encode
from labelstudio_backend.protocol.prompting import MOST_REGIONS, read_prompts, read_text
from sam_plugins.errors import InvalidPromptError, SamPluginsError

SIZE = (480, 640)


def point(x, y, label="Cat", **more):
    value = {"x": x, "y": y, "width": 0.3, "keypointlabels": [label]}
    return {"type": "keypointlabels", "to_name": "image", "value": value, **more}


def rectangle(x, y, w, h, rotation=0, label="Cat"):
    value = {"x": x, "y": y, "width": w, "height": h, "rotation": rotation}
    return {"type": "rectanglelabels", "value": {**value, "rectanglelabels": [label]}}


def test_points_of_a_label_are_one_prompt_and_those_without_a_sign_are_positive():
    restored, negative = point(50, 50), point(25, 75, is_positive=False)
    other = point(10, 10, label="Dog", is_positive=True)
    upstream = point(1, 1)
    upstream["value"]["positive"] = False
    cat, dog = read_prompts([restored, negative, other, upstream], SIZE)
    assert cat.label == "Cat"
    assert cat.to_name == "image"
    assert cat.prompt.points.tolist() == [[319.5, 239.5], [159.5, 359.5], pytest.approx([5.9, 4.3])]
    assert cat.prompt.labels.tolist() == [1, 0, 0]
    assert (dog.label, dog.prompt.labels.tolist()) == ("Dog", [1])


def test_each_rectangle_is_an_object():
    first, second = read_prompts([rectangle(10, 20, 30, 40), rectangle(50, 50, 10, 10)], SIZE)
    assert first.prompt.boxes[0] == pytest.approx([64, 96, 256, 288])
    assert second.prompt.boxes[0] == pytest.approx([320, 240, 384, 288])


def test_turned_rectangles_and_ellipses_are_boxed():
    # A quarter turn about the first corner: the width goes down, the height to the left.
    (turned,) = read_prompts([rectangle(50, 50, 10, 20, rotation=90)], SIZE)
    assert turned.prompt.boxes[0] == pytest.approx([320 - 96, 240, 320, 240 + 64])
    value = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 10, "rotation": 90}
    (ellipse,) = read_prompts([{"type": "ellipselabels", "value": value}], SIZE)
    assert ellipse.prompt.boxes[0] == pytest.approx([320 - 48, 240 - 64, 320 + 48, 240 + 64])
    assert ellipse.label is None


def test_what_lies_outside_is_moved_to_the_border():
    (clicked,) = read_prompts([point(120, -5)], SIZE)
    assert clicked.prompt.points.tolist() == [[639, 0]]
    (boxed,) = read_prompts([rectangle(-10, -10, 130, 130)], SIZE)
    assert boxed.prompt.boxes.tolist() == [[0, 0, 640, 480]]


@pytest.mark.parametrize("factor", [1, 2])
def test_brush_masks_of_another_size_are_resized(factor):
    mask = np.zeros((SIZE[0] * factor, SIZE[1] * factor), dtype=bool)
    mask[100 * factor : 200 * factor, 300 * factor : 400 * factor] = True
    region = {
        "type": "brushlabels",
        "original_width": mask.shape[1],
        "original_height": mask.shape[0],
        "image_rotation": 90,
        "value": {"format": "rle", "rle": encode(mask), "brushlabels": ["Cat"]},
    }
    (asked,) = read_prompts([region], SIZE)
    assert asked.prompt.mask.shape == SIZE
    assert np.argwhere(asked.prompt.mask).min(0).tolist() == [100, 300]
    assert asked.prompt.mask.sum() == 10_000
    assert asked.image_rotation == 90


def test_other_regions_are_left_out_and_text_is_found():
    text = {"type": "textarea", "value": {"text": ["the orange", "blob"]}}
    assert read_prompts([text, {"type": "choices", "value": {"choices": ["a"]}}], SIZE) == []
    assert read_text([point(1, 1), text]) == "the orange blob"
    assert read_text([point(1, 1)]) is None


@pytest.mark.parametrize(
    "regions",
    [
        7,
        "text",
        [7],
        [{"type": "keypointlabels"}],
        [{"type": "keypointlabels", "value": 3}],
        [point("1", 2)],
        [point(True, 2)],
        [point(float("nan"), 2)],
        [rectangle(1, 2, None, 4)],
        [rectangle(1, 2, 3, float("inf"))],
        [{"type": "brushlabels", "value": {"rle": [1, 2]}}],
        [
            {
                "type": "brushlabels",
                "original_width": 10**6,
                "original_height": 10**6,
                "value": {"rle": [255] * 20},
            }
        ],
        [point(1, 1)] * (MOST_REGIONS + 1),
    ],
)
def test_malformed_regions_are_refused(regions):
    with pytest.raises(SamPluginsError):
        read_prompts(regions, SIZE)
    assert issubclass(InvalidPromptError, SamPluginsError)
