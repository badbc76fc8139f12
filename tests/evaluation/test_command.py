"""``sam-plugins evaluate prompts`` from end to end."""

import json
import subprocess
import sys

import pytest
from PIL import Image


def test_measures_and_writes(command, make_set, tmp_path):
    first, second = make_set("discs"), make_set("others", images=3)
    told, drawn = tmp_path / "new" / "scores.json", tmp_path / "objects.png"
    arguments = ("--clicks", "2,1", "--limit", "3", "--seed", "4", "--device", "cpu", "--baselines")
    code, out, err = command(
        "prompts", "--data", first, second, *arguments, "--json", told, "--picture", drawn
    )
    assert (code, err) == (0, "")
    heads = [line for line in out.splitlines() if line.startswith("| set")]
    assert heads[1] == (
        "| set | images | objects | click | click_oracle | click_piece | clicks2 | box | "
        "box_oracle | box_single | flood | random_walk | ellipse | filled_box | grabcut |"
    )
    assert "| mean over sets | 5 | " in out
    scores = json.loads(told.read_text())
    assert scores["settings"]["clicks"] == [1, 2]
    assert (scores["settings"]["seed"], scores["settings"]["limit"]) == (4, 3)
    assert scores["settings"]["model"] == "lite"
    assert list(scores["sets"]) == ["discs", "others"]
    assert len(scores["objects"]) == scores["mean_over_sets"]["objects"] <= 6
    for name, summary in scores["sets"].items():
        values = [x["masks"]["box"]["iou"] for x in scores["objects"] if x["set"] == name]
        assert summary["means"]["iou"]["box"] == pytest.approx(sum(values) / len(values))
        assert f"{summary['means']['iou']['box']:.3f}" in out
    with Image.open(drawn) as picture:
        assert (picture.format, picture.mode) == ("PNG", "RGB")


def test_the_same_again_and_without_boxes(command, make_set):
    folder = make_set()
    runs = [command("prompts", "--data", folder, "--no-boxes", "--clicks", 1) for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0][0] == 0
    assert "box" not in runs[0][1]


def test_sets_of_the_same_name_are_told_apart(command, make_set, tmp_path):
    (tmp_path / "x").mkdir()
    folder = make_set()
    twin = make_set("x/discs")
    _, out, _ = command("prompts", "--data", folder, "--data", twin, "--limit", 1, "--clicks", 1)
    assert f"| {folder} |" in out
    assert f"| {twin} |" in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--clicks", "0"), "--clicks: the number of clicks must be at least 1, got 0"),
        (("--clicks", "1,many"), "--clicks: '1,many' is not N"),
        (("--clicks", ""), "--clicks"),
        (("--model", "nothing"), "nothing"),
        (("--picture", "a.jpg"), ".png"),
        (("--limit", "0"), "--limit"),
        (("--device", "abacus"), "abacus"),
    ],
)
def test_wrong_use_is_one_line(command, make_set, arguments, named):
    code, out, err = command("prompts", "--data", make_set(), *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("Error: ")
    assert named in err


def test_a_folder_that_is_not_a_set(command, make_set, tmp_path):
    for other in (tmp_path, tmp_path / "missing"):
        code, out, err = command("prompts", "--data", make_set(f"a{other.name}"), other)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "is not a set" in err
    broken = make_set("broken")
    (broken / "index.json").write_text("[{")
    assert command("prompts", "--data", broken)[0] == 2


def test_no_object_is_large_enough(command, make_set):
    tiny, fine = make_set("tiny", radius=1, height=400), make_set()
    code, out, err = command("prompts", "--data", tiny)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith("Error: ")
    assert "large enough" in err.splitlines()[-1]
    code, out, err = command("prompts", "--data", tiny, fine, "--clicks", 1, "--no-boxes")
    assert code == 0
    assert "tiny" not in out
    assert "large enough" in err


def test_baselines_without_opencv_end_before_the_work(command, make_set, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    code, out, err = command("prompts", "--data", make_set(), "--baselines")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "sam-plugins[bench]" in err


def test_help_shows_examples_and_imports_nothing_heavy(command):
    code, _, err = command()
    assert code == 2
    assert "prompts" in err
    assert "\n    sam-plugins evaluate prompts" in command("prompts", "--help")[1]
    program = (
        "import sys\n"
        "from sam_plugins.cli.main import run\n"
        "run(['evaluate', 'prompts', '--help'])\n"
        "print(*sorted(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert {"torch", "scipy", "skimage", "cv2", "numba"}.isdisjoint(
        done.stdout.split("\n")[-2].split()
    )
