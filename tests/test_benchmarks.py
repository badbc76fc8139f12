"""The figures in the documentation are those of the last run."""

import json

from benchmarks import gpu, measure
from benchmarks.pages import BLOCK, PAGE, TABLES, filled


def test_the_tables_are_those_of_the_results():
    text = PAGE.read_text(encoding="utf-8")
    assert sorted(found[2] for found in BLOCK.finditer(text)) == sorted(TABLES)
    assert filled(text) == text


def test_what_stands_around_the_tables_stays():
    text = "before\n<!-- results: lite -->\nold\n<!-- end -->\nafter <!-- end -->\n"
    made = filled(text)
    assert made.startswith("before\n<!-- results: lite -->\n| photograph |")
    assert made.endswith("|\n<!-- end -->\nafter <!-- end -->\n")
    assert "old" not in made


def test_the_benchmark_of_a_gpu_runs_without_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    gpu.main(["--quick", "--device", "cpu", "--large", "lite", "--small", "lite"])
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert [row["task"].split()[0] for row in rows] == ["encode", "click", "automatic"]
    assert all(row["seconds"] > 0 for row in rows)
    assert rows[0]["share"] > 0
    assert "| click with lite |" in capsys.readouterr().out
