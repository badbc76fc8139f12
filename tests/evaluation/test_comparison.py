"""Random clicks, all objects, and gains over another model."""

import numpy as np
import pytest

from sam_plugins.errors import SamPluginsError
from sam_plugins.evaluation import sets
from sam_plugins.evaluation.comparison import gain_table, read_scores
from sam_plugins.evaluation.prompts import MaskScores, ObjectScores, Protocol, first_click
from sam_plugins.evaluation.sets import paper_limit


def scores(iou):
    return [ObjectScores("a", 0, 0.1, {"click": 0.5}, {"click": MaskScores(iou, iou, iou)})]


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


def test_large_sets_are_sampled(make_set, monkeypatch):
    folder = make_set()
    assert paper_limit(folder) == 4
    monkeypatch.setattr(sets, "MANY", 3)
    monkeypatch.setattr(sets, "SOME", 2)
    assert paper_limit(folder) == 2


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
