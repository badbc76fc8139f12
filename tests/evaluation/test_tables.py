"""Means, correlations, and how they are written."""

import json

import numpy as np
import pytest

from sam_plugins.evaluation.prompts import MaskScores, ObjectScores
from sam_plugins.evaluation.tables import (
    correlation_of,
    json_of,
    markdown_of,
    mean_over_sets,
    summary_of,
)


def scores(true, predicted, *, image="a.png"):
    masks = {
        "click": MaskScores(true, true / 2, true / 4),
        "click_oracle": MaskScores(1.0, 1.0, 1.0),
    }
    return ObjectScores(image, 0, 0.1, {"click": predicted}, masks)


RESULTS = {
    "small": [scores(0.2, 0.1), scores(0.4, 0.3, image="b.png")],
    "large": [scores(0.8, 0.5), scores(0.9, 0.4), scores(0.7, 0.6), scores(0.8, 0.5)],
    "one": [scores(0.5, 0.5)],
}


def test_means_and_correlation_are_numpys():
    pairs = np.random.default_rng(0).random((20, 2))
    summary = summary_of([scores(*pair) for pair in pairs])
    assert (summary.images, summary.objects) == (1, 20)
    assert summary.means["iou"]["click"] == pytest.approx(pairs[:, 0].mean())
    assert summary.means["dice"]["click"] == pytest.approx(pairs[:, 0].mean() / 2)
    assert summary.means["boundary_f"]["click"] == pytest.approx(pairs[:, 0].mean() / 4)
    assert summary.means["iou"]["click_oracle"] == 1
    assert summary.correlation == pytest.approx(np.corrcoef(pairs.T)[0, 1])


def test_no_correlation_without_spread_or_without_one_click():
    assert correlation_of([]) is None
    assert correlation_of([scores(0.3, 0.4)]) is None
    assert correlation_of([scores(0.3, 0.4), scores(0.5, 0.4)]) is None
    more = ObjectScores("a", 0, 0.1, {"clicks3": 0.5}, {"clicks3": MaskScores(0.1, 0.1, 0.1)})
    assert correlation_of([more, more]) is None


def test_sets_have_the_same_weight():
    mean = mean_over_sets([summary_of(each) for each in RESULTS.values()])
    assert mean.means["iou"]["click"] == pytest.approx((0.3 + 0.8 + 0.5) / 3)
    assert (mean.images, mean.objects) == (4, 7)
    assert mean.correlation == pytest.approx((1 - 1) / 2)  # the third set has none


def test_a_table_a_measure_and_the_mean_last():
    text = markdown_of(RESULTS)
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("| set")]
    assert len(tables) == 3
    assert tables[0][0] == "| set | images | objects | click | click_oracle | correlation |"
    assert tables[0][2] == "| small | 2 | 2 | 0.300 | 1.000 | 1.000 |"
    assert tables[0][4] == "| one | 1 | 1 | 0.500 | 1.000 | - |"
    assert tables[0][5].startswith("| mean over sets | 4 | 7 | 0.533 | 1.000 | ")
    assert tables[1][2] == "| small | 2 | 2 | 0.150 | 1.000 |"
    assert tables[2][2] == "| small | 2 | 2 | 0.075 | 1.000 |"
    for table in tables:
        assert len({line.count("|") for line in table}) == 1
    pooled = correlation_of([x for each in RESULTS.values() for x in each])
    assert text.endswith(f"all 7 objects pooled: {pooled:.3f}\n")


def test_json_holds_every_object():
    told = json.loads(json.dumps(json_of(RESULTS, settings={"seed": 3})))
    assert told["settings"] == {"seed": 3}
    assert [each["set"] for each in told["objects"]] == ["small"] * 2 + ["large"] * 4 + ["one"]
    assert told["objects"][1] == {
        "set": "small",
        "image": "b.png",
        "index": 0,
        "area": 0.1,
        "predicted_iou": {"click": 0.3},
        "masks": {
            "click": {"iou": 0.4, "dice": 0.2, "boundary_f": 0.1},
            "click_oracle": {"iou": 1.0, "dice": 1.0, "boundary_f": 1.0},
        },
    }
    assert told["sets"]["one"]["correlation"] is None
    assert told["mean_over_sets"]["means"]["iou"]["click"] == pytest.approx(1.6 / 3)
