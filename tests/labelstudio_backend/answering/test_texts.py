"""Text prompts of Label Studio: a mask for each object that the text names."""

import numpy as np
import pytest

from labelstudio_backend.answering import PredictRequest, ServedModel, Service
from labelstudio_backend.answering.projects import Projects
from labelstudio_backend.fetching import FetchSettings
from labelstudio_backend.protocol.masks import read_masks
from sam_plugins.errors import InvalidPromptError
from tests.labelstudio_backend.server.conftest import png, question

SIZE = (160, 160)


@pytest.fixture(scope="module")
def discs():
    """Two red discs and a blue one; a boolean mask of each."""
    image = np.full((*SIZE, 3), 150, dtype=np.uint8)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    masks = [np.hypot(x - cx, y - cy) <= r for cx, cy, r in ((45, 50, 26), (120, 40, 13))]
    blue = np.hypot(x - 110, y - 115) <= 22
    image[masks[0] | masks[1]] = 230, 10, 10
    image[blue] = 10, 40, 230
    return png(image), masks, blue


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    projects = Projects(tmp_path_factory.mktemp("projects"), settings=FetchSettings())
    return Service(ServedModel("lite"), projects)


def ask(service, image, text):
    region = {"type": "textarea", "to_name": "image", "value": {"text": [text]}}
    (answer,) = service.predict(PredictRequest.read(question(region, image=image)))
    return answer["result"]


def iou(first, second):
    return (first & second).sum() / (first | second).sum()


def test_all_objects_that_a_text_names_come_with_the_only_label(service, discs):
    image, red, blue = discs
    regions = ask(service, image, "red discs")
    masks = [each.mask for each in read_masks(regions, SIZE)]
    assert len(masks) == len(red)
    assert all(max(iou(mask, each) for mask in masks) > 0.8 for each in red)
    assert not any((mask & blue).any() for mask in masks)
    assert all(each["from_name"] == "masks" for each in regions)
    assert all(each["value"]["brushlabels"] == ["Cell"] for each in regions)
    assert all(0.5 <= each["score"] <= 1 for each in regions)


def test_another_text_about_the_same_image_has_another_answer(service, discs):
    image, _, blue = discs
    (mask,) = read_masks(ask(service, image, "the blue disc"), SIZE)
    assert iou(mask.mask, blue) > 0.8


def test_what_is_not_there_gives_no_masks(service, discs):
    assert ask(service, discs[0], "green stars") == []


@pytest.mark.parametrize("text", ["", "   "])
def test_a_deleted_text_gives_no_masks(service, discs, text):
    assert ask(service, discs[0], text) == []


@pytest.mark.parametrize(
    ("text", "told"),
    [("a wheel", "'wheel'"), ("細胞", "細胞"), ("cell " * 2000, "200"), ("flurble", "'flurble'")],
)
def test_what_is_not_understood_is_said_before_the_image_is_fetched(service, text, told):
    with pytest.raises(InvalidPromptError, match=told):
        ask(service, "http://127.0.0.1:1/unreachable.png", text)
