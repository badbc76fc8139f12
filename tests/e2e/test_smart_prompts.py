"""Clicks and boxes in a real browser: what people see is what they get."""

from functools import cache

import numpy as np
from scipy import ndimage
from skimage import data, filters, measure

from tests.e2e.recorder import masks_of

# Keys of the sample's labels.
CELL_POINT, CELL_BOX, OBJECT_BOX = "1", "3", "4"
# x, y of two of the coins.
COIN, OTHER = (334, 44), (215, 50)


@cache
def truth(coin):
    """A coin as it is: by a threshold, which is enough for coins on dark ground."""
    image = data.coins()
    labels = measure.label(ndimage.binary_fill_holes(image > filters.threshold_otsu(image)))
    return labels == labels[coin[1], coin[0]]


def overlap(mask, other):
    """Intersection over union."""
    return (mask & other).sum() / (mask | other).sum()


def corners(coin):
    """The box around a coin."""
    ys, xs = np.nonzero(truth(coin))
    return (xs.min(), ys.min()), (xs.max() + 1, ys.max() + 1)


def test_points_make_one_mask_which_is_submitted_as_it_was_answered(assemble, annotator):
    team = assemble()
    annotator.open_task(team.project, team.tasks[0])
    annotator.use("key-point-tool")
    annotator.click(CELL_POINT, *COIN)
    annotator.take("click")
    annotator.click(CELL_POINT, COIN[0] + 12, COIN[1])
    annotator.click(CELL_POINT, 290, 20, negative=True)
    annotator.take("points")
    flags = [[point["is_positive"] for point in each.context] for each in team.recorder.clicks]
    assert flags == [[True], [True, True], [True, True, False]]
    for each in team.recorder.clicks:
        (mask,) = each.masks
        assert overlap(mask, truth(COIN)) > 0.9
    annotator.accept()
    assert annotator.regions == ["Cell"]  # the prompts are gone
    annotator.submit()
    annotator.take("submitted")
    (result,) = team.annotations(team.tasks[0])
    (region,) = result
    assert region["value"]["brushlabels"] == ["Cell"]
    (submitted,) = masks_of([region])
    assert np.array_equal(submitted, mask)


def test_a_negative_point_takes_away(assemble, annotator):
    team = assemble(count=4)
    annotator.open_task(team.project, team.tasks[3])  # the astronaut
    annotator.use("key-point-tool")
    annotator.click("2", 250, 400)
    annotator.click("2", 225, 120, negative=True)
    first, second = (each.masks[0] for each in team.recorder.clicks)
    assert second[400, 250]
    assert not second[120, 225]
    assert first[400, 250]


def test_each_box_has_a_mask(assemble, annotator):
    team = assemble()
    annotator.open_task(team.project, team.tasks[0])
    annotator.use("rectangle-tool")
    annotator.drag(CELL_BOX, *corners(COIN))
    annotator.drag(CELL_BOX, *corners(OTHER))
    annotator.take("boxes")
    assert [len(each.masks) for each in team.recorder.clicks] == [1, 2]
    answered = team.recorder.clicks[-1].masks
    for mask, coin in zip(answered, (COIN, OTHER), strict=True):
        assert overlap(mask, truth(coin)) > 0.9
    annotator.accept()
    assert annotator.regions == ["Cell", "Cell"]
    annotator.submit()
    (result,) = team.annotations(team.tasks[0])
    submitted = masks_of(result)
    assert len(result) == len(submitted) == 2
    for mask in answered:
        assert any(np.array_equal(mask, each) for each in submitted)


def test_labels_are_asked_about_apart(assemble, annotator):
    team = assemble()
    annotator.open_task(team.project, team.tasks[0])
    annotator.use("rectangle-tool")
    annotator.drag(CELL_BOX, *corners(COIN))
    annotator.accept()
    annotator.drag(OBJECT_BOX, *corners(OTHER))
    annotator.accept()
    assert annotator.regions == ["Cell", "Object"]
    annotator.submit()
    (result,) = team.annotations(team.tasks[0])
    assert [region["value"]["brushlabels"] for region in result] == [["Cell"], ["Object"]]
