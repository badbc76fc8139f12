"""The figures in the documentation are those of the last run."""

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
