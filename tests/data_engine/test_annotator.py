"""The simulated annotator: clicks until it is good, paints what is left, keeps what is there."""

import numpy as np
import pytest

from sam_plugins.data_engine.annotator import Annotator
from sam_plugins.data_engine.simulation import measure
from sam_plugins.datasets.annotations import AnnotatedObject
from sam_plugins.evaluation.clicks import iou
from sam_plugins.masks import rle
from sam_plugins.predictor import Predictor


@pytest.fixture(scope="module")
def predictor():
    return Predictor("lite", device="cpu")


def test_masks_are_as_good_as_asked_for(predictor, truth):
    image = truth["b00.png"]
    annotated, made = Annotator(target=0.8).annotate(predictor, image)
    assert len(annotated.objects) == len(made) == 3
    masks = sorted(image.masks(), key=lambda mask: -mask.sum())
    for each, clicked, mask in zip(annotated.objects, made, masks, strict=True):
        assert iou(rle.decode(each.segmentation), mask) >= 0.8
        assert each.clicks == clicked.clicks == len(each.point_coords)
        assert 1 <= clicked.clicks <= 10
        # The first click is inside.
        x, y = each.point_coords[0]
        assert mask[int(y), int(x)]


def test_what_clicks_do_not_reach_is_painted(predictor, truth):
    image = truth["b01.png"]
    annotated, made = Annotator(target=1.0, most_clicks=2).annotate(predictor, image, most=1)
    (only,) = made
    assert only.painted == (only.iou < 1)
    assert only.clicks <= 2
    largest = max(image.masks(), key=np.count_nonzero)
    assert iou(rle.decode(annotated.objects[0].segmentation), largest) == 1


def test_good_masks_are_kept_and_others_deleted(predictor, truth):
    image = truth["b02.png"]
    nothing = rle.encode(np.pad(np.ones((5, 5)), ((0, 67), (0, 91))))
    shrunk = image.masks()[1].copy()
    shrunk[:, :48] = False  # half of it
    prefilled = [
        AnnotatedObject(1, nothing),
        AnnotatedObject(2, image.objects[0], predicted_iou=0.9),
        AnnotatedObject(3, image.objects[0]),
        AnnotatedObject(4, rle.encode(shrunk)),
    ]
    annotated, made = Annotator().annotate(predictor, image, prefilled=prefilled)
    assert len(made) == 2
    assert [each.label for each in annotated.objects] == [1, 2, 3]
    assert annotated.objects[0].segmentation == image.objects[0]
    assert annotated.objects[0].predicted_iou == 0.9


def test_measuring_counts_clicks(truth):
    made = measure("lite", [truth["b03.png"], truth["b04.png"]], most=2, annotator=Annotator())
    assert len(made) == 4
    assert all(0 <= each.first_iou <= 1 for each in made)


@pytest.mark.parametrize("wrong", [{"target": 0}, {"most_clicks": 0}, {"least_kept": 1.5}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Annotator(**wrong)
