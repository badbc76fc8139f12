"""Which objects are shown, and where their parts are drawn."""

import numpy as np

from sam_plugins.evaluation import pictures
from sam_plugins.evaluation.pictures import SIDE, Panel, chosen, draw, panels_of, sheet_of
from sam_plugins.evaluation.prompts import MaskScores, ObjectScores, Protocol, measure
from sam_plugins.evaluation.sets import read_set
from sam_plugins.prompts import Prompt


def test_best_median_and_worst():
    scores = [
        ObjectScores(name, 0, 0.1, {}, {"box": MaskScores(value, 0, 0)})
        for name, value in (("c", 0.3), ("a", 0.9), ("b", 0.5), ("e", 0.1), ("d", 0.2))
    ]
    found = {rank: each.image for rank, each in chosen(scores, "box").items()}
    assert found == {"best": "a", "median": "c", "worst": "e"}
    assert {each.image for each in chosen(scores[:1], "box").values()} == {"c"}


def test_outline_mask_prompt_and_what_is_outside_the_image():
    image = np.full((50, 50, 3), 200, dtype=np.uint8)
    truth, predicted = np.zeros((50, 50), bool), np.zeros((50, 50), bool)
    truth[:26, :26] = True
    predicted[20:40, 20:40] = True
    prompt = Prompt(points=[[13, 13], [4, 4]], labels=[1, 0], boxes=[[0, 0, 26, 26]])
    picture = draw(image, truth, predicted, prompt)
    assert picture.shape == (SIDE, SIDE, 3)
    # The crop is 52 wide and begins at -13: 4 pixels of the panel each.
    at = lambda x, y: picture[round(4 * (y + 13)), round(4 * (x + 13))].tolist()  # noqa: E731
    assert at(-5, -5) == [0, 0, 0]
    assert at(13, 13) == list(pictures._PAPER)
    assert at(4, 4) == list(pictures._INK)
    assert at(30, 10) == [200, 200, 200]
    assert at(32, 32)[2] > at(32, 32)[0]
    assert (picture == pictures._TRUTH).all(axis=2).any()
    assert at(0, 15) == list(pictures._BOX)


def test_three_panels_a_prompt(lite, make_set):
    folder = make_set()
    protocol = Protocol(clicks=(2,))
    scores = list(measure(lite, read_set(folder, limit=4), protocol=protocol))
    panels = panels_of(lite, read_set(folder, limit=4), scores, protocol=protocol)
    assert [panel.caption.split(":")[0] for panel in panels] == [
        f"{column} {rank}" for column in ("clicks2", "box") for rank in ("best", "median", "worst")
    ]
    values = [float(panel.caption.split()[-1]) for panel in panels]
    assert values[0] >= values[1] >= values[2]
    assert values[3] >= values[4] >= values[5]


def test_the_sheet_holds_all_panels():
    panel = Panel("box best: IoU 0.50", np.full((SIDE, SIDE, 3), 90, dtype=np.uint8))
    sheet = np.asarray(sheet_of([("müßig", [panel]), ("b", [panel] * 3)]))
    assert (sheet == 90).all(axis=2).sum() >= 4 * SIDE * SIDE
    assert sheet.shape[1] > 3 * SIDE
