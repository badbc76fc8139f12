"""Random clicks, all objects, and gains over another model."""

import json

import numpy as np
import pytest
from PIL import Image

from sam_plugins.errors import SamPluginsError
from sam_plugins.evaluation import sets
from sam_plugins.evaluation.comparison import gain_table, read_scores
from sam_plugins.evaluation.prompts import MaskScores, ObjectScores, Protocol, first_click
from sam_plugins.evaluation.sets import paper_limits, read_set


def scores(iou):
    return [ObjectScores("a", 0, 0.1, {"click": 0.5}, {"click": MaskScores(iou, iou, iou)})]


@pytest.fixture
def uneven_set(tmp_path):
    rows = []
    for count in (1, 2, 9):
        labels = np.zeros((40, 120), dtype=np.uint8)
        for number in range(count):
            labels[5:30, 12 * number : 12 * number + 10] = number + 1
        Image.fromarray(labels * 20).convert("RGB").save(tmp_path / f"{count}.png")
        Image.fromarray(labels).save(tmp_path / f"{count}_mask.png")
        rows.append({"image": f"{count}.png", "mask": f"{count}_mask.png"})
    (tmp_path / "index.json").write_text(json.dumps(rows))
    return tmp_path


def test_gains_by_hand():
    results = {"a": scores(0.75), "b": scores(0.25), "c": scores(0.5)}
    table = gain_table(results, {"a": {"click": 0.5, "clicks3": 0.9}, "b": {"click": 0.5}})
    assert table.columns == ("set", "click")
    assert table.rows == (("a", 0.25), ("b", -0.25))
    assert "1 of 2 sets" in table.note
    assert gain_table(results, {}).rows == ()


def test_random_clicks_are_on_the_object_and_repeat():
    mask = np.zeros((30, 40), dtype=bool)
    mask[5:20, 10:35] = True
    clicks = {first_click(mask, 0, Protocol(random=True, seed=seed)) for seed in range(10)}
    assert len(clicks) > 5
    assert all(mask[int(y), int(x)] for x, y in clicks)
    again = Protocol(random=True, seed=3)
    assert first_click(mask, 1, again) == first_click(mask, 1, again)


def test_all_objects_of_a_set_whose_images_have_few_and_many(uneven_set, monkeypatch):
    def measured(limits):
        limit, each = limits
        return sorted(len(x.masks) for x in read_set(uneven_set, limit=limit, each=each))

    assert paper_limits(uneven_set) == (12, 9)
    assert measured(paper_limits(uneven_set)) == [1, 2, 9]
    # As many as are asked for, and no more of one image than that needs.
    monkeypatch.setattr(sets, "MANY", 11)
    monkeypatch.setattr(sets, "SOME", 6)
    assert paper_limits(uneven_set) == (6, 3)
    assert measured(paper_limits(uneven_set)) == [1, 2, 3]


def test_a_set_without_objects(make_set):
    limit, each = paper_limits(make_set("empty", radius=1, height=400))
    assert list(read_set(make_set("none", radius=1, height=400), limit=limit, each=each)) == []


def test_the_command_compares(command, make_set, tmp_path):
    folder, told = make_set(), tmp_path / "scores.json"
    arguments = ("prompts", "--data", folder, "--clicks", 1, "--no-boxes", "--all")
    assert command(*arguments, "--json", told)[0] == 0
    code, out, _ = command(*arguments, "--compare", told)
    assert code == 0
    assert "| discs | 0.000 | 0.000 | 0.000 |" in out
    code, other, _ = command(*arguments, "--random", "--seed", 5)
    assert code == 0
    assert other.splitlines()[4] != out.splitlines()[4]


@pytest.mark.parametrize("text", ["[", "[1]", '{"a": 3}', '{"a": {"click": "x"}}'])
def test_files_without_scores(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(SamPluginsError, match="no scores"):
        read_scores(path)
