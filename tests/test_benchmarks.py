"""The figures in the documentation are those of the last run."""

import json
import re

import pytest

from benchmarks import engine, gpu, measure
from benchmarks.pages import BLOCK, PAGE, PICTURE, PROCESSORS, TABLES, filled
from benchmarks.plots import draw, speed_ups


def test_the_tables_are_those_of_the_results():
    text = PAGE.read_text(encoding="utf-8")
    assert {found[2] for found in BLOCK.finditer(text)} >= set(TABLES)
    assert filled(text) == text


def test_the_picture_is_that_of_the_results(tmp_path):
    drawn = tmp_path / "drawn.svg"
    draw(PROCESSORS, drawn)
    said, shown = (re.findall(r">([^<>]+)</text>", each.read_text()) for each in (drawn, PICTURE))
    assert said == shown
    assert f"{speed_ups()['encode, ViT-B']:.1f}" in shown


def test_what_stands_around_the_tables_stays():
    text = "before\n<!-- results: lite -->\nold\n<!-- end -->\nafter <!-- end -->\n"
    made = filled(text)
    assert made.startswith("before\n<!-- results: lite -->\n| photograph |")
    assert made.endswith("|\n<!-- end -->\nafter <!-- end -->\n")
    assert "old" not in made


def test_results_of_some_tasks_are_not_mixed_with_those_of_another_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    monkeypatch.setenv(measure.FOLDER_VARIABLE, "avx2")
    rows = [{"task": "encode", "seconds": 1.0}, {"task": "click", "seconds": 2.0}]
    assert engine._other_tasks("engine", ["click"]) == []
    path = measure.save("engine", rows)
    assert path == tmp_path / "avx2" / "engine.json"
    assert engine._other_tasks("engine", ["click"]) == rows[:1]
    written = json.loads(path.read_text())
    written["machine"]["instructions"] = "others"
    path.write_text(json.dumps(written))
    with pytest.raises(ValueError, match="another machine"):
        engine._other_tasks("engine", ["click"])
    assert engine._other_tasks("engine", ["click", "encode"]) == []  # nothing to be mixed


def test_the_benchmark_of_a_gpu_runs_without_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    gpu.main(["--quick", "--device", "cpu", "--large", "lite", "--small", "lite"])
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert [(row["task"], row["measure"]) for row in rows] == [
        ("encode 2 images with lite", "share of the rate"),
        ("click with lite", "seconds"),
        ("automatic masks with lite", "seconds"),
    ]
    assert [row["goal"] for row in rows] == [">= 0.55", "<= 0.003", "<= 0.15"]
    assert all(row["value"] > 0 for row in rows)
    assert [row["met"] for row in rows] == [
        rows[0]["value"] >= 0.55,
        rows[1]["value"] <= 0.003,
        rows[2]["value"] <= 0.15,
    ]
    assert "| click with lite | seconds |" in capsys.readouterr().out


def test_the_reference_is_compared_by_time_and_memory():
    speed, memory = gpu.compared("task", (2.0, 100.0), (24.0, 1000.0))
    assert (speed["value"], speed["goal"], speed["met"]) == (12, ">= 10", True)
    assert (memory["value"], memory["goal"], memory["met"]) == (0.1, "<= 0.25", True)
    speed, memory = gpu.compared("task", (2.0, None), (18.0, None))
    assert (speed["met"], memory["value"], memory["met"]) == (False, None, None)


def test_operations_are_those_of_the_definition():
    # By hand, in 1e9 multiplications: patches, linear layers, attention, positions, neck.
    expected = 2.4 + 12 * 12 * 768**2 * 4096 / 1e9 + 114.9 + 2.5 + 3.2
    assert abs(gpu.operations("vit_b") / 2e9 - expected) < 0.5
