"""``SamPredictor`` gives what the reference's gives, for every combination of prompts."""

from __future__ import annotations

from functools import cache
from itertools import product

import numpy as np
import pytest
import torch
from segment_anything import SamPredictor as ReferencePredictor

from sam_plugins.compat import SamPredictor
from tests.compat.conftest import smooth_image

SIZE = (200, 310)
POINTS = {
    "no points": (None, None),
    "a point": (np.array([[100.0, 50.0]]), np.array([1])),
    "points": (np.array([[100.0, 50.0], [20.5, 180.0], [300.0, 3.0]]), np.array([1, 0, 1])),
}
BOXES = {"no box": None, "a box": np.array([30.0, 20.0, 250.0, 150.5])}


@pytest.fixture(scope="module")
def make_predictors():
    """Makes the predictors of a pair, which have an image, once."""

    @cache
    def make(pair):
        made = [ReferencePredictor(pair[0]), SamPredictor(pair[1])]
        for predictor in made:
            predictor.set_image(smooth_image(3, SIZE))
        return made

    return make


@pytest.fixture
def predictors(pair, make_predictors):
    return make_predictors(pair)


def combinations():
    for points, box, mask in product(POINTS, BOXES, (False, True)):
        if (points, box, mask) != ("no points", "no box", False):
            yield points, box, mask


def assert_same(theirs, ours, relative_error):
    assert relative_error(torch.as_tensor(ours[1]), torch.as_tensor(theirs[1])) <= 1e-4
    assert relative_error(torch.as_tensor(ours[2]), torch.as_tensor(theirs[2])) <= 1e-4
    assert ours[0].shape == theirs[0].shape
    assert ours[0].dtype == theirs[0].dtype
    assert (ours[0] != theirs[0]).mean() < 1e-4


def test_embedding(predictors, relative_error):
    theirs, ours = predictors
    assert ours.original_size == theirs.original_size
    assert tuple(ours.input_size) == tuple(theirs.input_size)
    error = relative_error(ours.get_image_embedding(), theirs.get_image_embedding())
    assert error <= 1e-4


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize(("points", "box", "with_mask"), list(combinations()))
def test_predictions(predictors, points, box, with_mask, multimask, relative_error):
    theirs, ours = predictors
    coords, labels = POINTS[points]
    mask = None
    if with_mask:
        mask = np.random.default_rng(1).normal(0, 5, (1, 256, 256)).astype(np.float32)
    prompt = {
        "point_coords": coords,
        "point_labels": labels,
        "box": BOXES[box],
        "mask_input": mask,
        "multimask_output": multimask,
    }
    assert_same(theirs.predict(**prompt), ours.predict(**prompt), relative_error)


def test_logits_instead_of_masks(predictors, relative_error):
    theirs, ours = (
        predictor.predict(np.array([[9.0, 9.0]]), np.array([1]), return_logits=True)[0]
        for predictor in predictors
    )
    assert relative_error(torch.as_tensor(ours), torch.as_tensor(theirs)) <= 1e-4


def test_many_boxes_as_tensors(predictors, relative_error):
    boxes = torch.tensor([[30, 20, 250, 150], [5, 5, 60, 60], [100, 20, 300, 190], [0, 0, 9, 9]])
    many = boxes.repeat(3, 1) + torch.arange(12)[:, None]
    answers = []
    for predictor in predictors:
        scaled = predictor.transform.apply_boxes_torch(many, SIZE)
        answer = predictor.predict_torch(None, None, boxes=scaled, multimask_output=False)
        answers.append([each.numpy() for each in answer])
    assert_same(*answers, relative_error)


@pytest.mark.parametrize("pair", ["vit_b"], indirect=True)
def test_blue_green_red_images_and_a_new_image(pair, relative_error):
    image = smooth_image(4, (64, 48))
    answers = []
    for predictor in (ReferencePredictor(pair[0]), SamPredictor(pair[1])):
        predictor.set_image(np.zeros((20, 30, 3), np.uint8))
        predictor.set_image(image, image_format="BGR")
        answers.append(predictor.predict(np.array([[24.0, 32.0]]), np.array([1])))
    assert_same(*answers, relative_error)


@pytest.mark.parametrize("pair", ["vit_b"], indirect=True)
def test_prompts_before_an_image_are_refused(pair):
    predictor = SamPredictor(pair[1])
    with pytest.raises(RuntimeError, match="set_image"):
        predictor.predict(np.array([[1.0, 1.0]]), np.array([1]))
    predictor.set_image(np.zeros((20, 30, 3), np.uint8))
    predictor.reset_image()
    with pytest.raises(RuntimeError, match="set_image"):
        predictor.get_image_embedding()


@pytest.mark.parametrize("pair", ["vit_b"], indirect=True)
def test_wrong_formats_and_tensors_are_refused(pair):
    predictor = SamPredictor(pair[1])
    with pytest.raises(ValueError, match="image_format"):
        predictor.set_image(np.zeros((20, 30, 3), np.uint8), image_format="HSV")
    with pytest.raises(ValueError, match="long side of 1024"):
        predictor.set_torch_image(torch.zeros(1, 3, 20, 30), (20, 30))
