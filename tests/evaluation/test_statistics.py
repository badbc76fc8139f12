"""Statistics of sets, against scikit-image and by hand."""

import io
import json

import numpy as np
import pytest
from PIL import Image
from skimage.measure import label, regionprops

from sam_plugins.evaluation.statistics import (
    SetStatistics,
    concavity_of,
    draw_centres,
    draw_distributions,
    statistics_of,
    statistics_table,
)


def test_concavity_by_hand_and_near_scikit_image():
    square = np.ones((5, 7), dtype=bool)
    assert concavity_of(square) == pytest.approx(0)
    assert concavity_of(np.ones((1, 1), dtype=bool)) == pytest.approx(0)
    corner = np.ones((10, 10), dtype=bool)
    corner[5:, 5:] = False  # 75 of a hull of 87.5
    assert concavity_of(corner) == pytest.approx(1 - 75 / 87.5)
    blob = np.hypot(*np.mgrid[-40:41, -40:41]) < 35
    blob[:, 38:60] &= ~(np.abs(np.arange(81) - 40) < 6)[:, None]
    (region,) = [x for x in regionprops(label(blob)) if x.area > 500][:1]
    assert concavity_of(region.image) == pytest.approx(1 - region.solidity, abs=0.02)
    with pytest.raises(ValueError, match="empty"):
        concavity_of(np.zeros((4, 4), dtype=bool))


def test_a_set_of_discs(make_set):
    found = statistics_of(make_set(), images=2)
    assert found.masks_per_image.tolist() == [2, 2]
    area = (np.hypot(*np.mgrid[-20:21, -20:21]) < 14).sum()
    assert found.sizes.min() == pytest.approx(np.sqrt(area / 8000))
    # A disc around pixel (70, 45) of 100 x 80, whose centre is half a pixel further.
    assert np.isclose(found.centres, [0.705, 45.5 / 80]).all(axis=1).sum() == 2
    assert (found.concavities < 0.1).all()
    assert len(statistics_of(make_set("one"), images=1).masks_per_image) == 1


def test_nothing_and_pictures(command, make_set, tmp_path):
    empty = make_set("empty", radius=1, height=400)
    nothing = statistics_of(empty)
    assert isinstance(nothing, SetStatistics)
    sets = {"none": nothing, "discs": statistics_of(make_set())}
    assert statistics_table(sets).rows[0] == ("none", 0, 0, None, None, None, None)
    for drawn in (draw_distributions(sets), draw_centres(sets), draw_centres({})):
        assert Image.open(io.BytesIO(drawn)).format == "PNG"
    plot, centres, told = (tmp_path / name for name in ("a.png", "b.png", "c.json"))
    code, out, _ = command(
        "statistics", "--data", tmp_path / "discs", "--plot", plot, "--centres", centres,
        "--json", told,
    )  # fmt: skip
    assert code == 0
    assert "| discs | 2 | 4 | 2.000 |" in out
    assert json.loads(told.read_text())["tables"][0]["rows"][0]["masks"] == 4
    assert plot.stat().st_size > 1000 < centres.stat().st_size
