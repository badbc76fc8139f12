"""All stages, driven by an annotator who knows the truth: as functions and as commands."""

import json

import numpy as np
import pytest

from sam_plugins.cli.main import run as command
from sam_plugins.data_engine import Engine, EngineError, EngineSettings, retraining
from sam_plugins.data_engine.annotator import Annotator
from sam_plugins.data_engine.simulation import Plan, simulate, sources_of
from sam_plugins.datasets.coco import read_coco, write_coco
from sam_plugins.datasets.sa1b_check import check_sa1b
from sam_plugins.predictor import Predictor


def test_the_simulation_goes_through_all_stages(tmp_path, sources, truth):
    plan = Plan(
        rounds=1,
        images=4,
        objects=2,
        unseen=2,
        measured=1,
        annotator=Annotator(target=0.7, most_clicks=2),
        engine=EngineSettings(steps=2),
    )
    lines = []
    rows = list(simulate(sources, truth, tmp_path / "loop", plan, on_progress=lines.append))
    assert [row.when for row in rows] == ["start", "round 1", "stage 2"]
    assert [row.labelled for row in rows] == [0, 4, 8]
    assert rows[0].masks == 0
    assert rows[1].masks == 8
    assert rows[2].prefilled is not None
    assert all(1 <= row.clicks <= 2 for row in rows)
    assert 0 <= rows[-1].recall <= 1
    engine = Engine.open(tmp_path / "loop")
    assert [each.number for each in engine.state.rounds()] == [1, 2]
    # Measured on the same images before and after, none of them trained on.
    scores = engine.state.rounds()[0].scores
    assert (scores["trained"], scores["held_out"]) == (4, 0) or scores["held_out"] >= 1
    assert Predictor(engine.model).model.name == "round-002"


def test_a_round_is_due_when_there_are_new_masks(engine, truth):
    from sam_plugins.data_engine.importing import import_work
    from tests.data_engine.test_importing import annotated

    images = engine.state.images()
    assert retraining.due(engine) == "0 new masks by people, a round needs 6"
    with pytest.raises(EngineError, match="two labelled images"):
        retraining.retrain(engine)
    import_work(engine, [annotated(image, truth) for image in images[:4]], stage=1)
    assert retraining.due(engine) is None
    finished = retraining.retrain(engine)
    assert (finished.number, finished.masks) == (1, 12)
    assert finished.scores["from"] == "lite"
    assert (finished.scores["trained"], finished.scores["held_out"]) == (3, 1)
    assert retraining.due(engine) == "0 new masks by people, a round needs 6"
    import_work(engine, [annotated(image, truth) for image in images[4:6]], stage=1)
    assert retraining.retrain(engine).scores["from"].endswith("round-001.safetensors")
    import_work(engine, [annotated(image, truth) for image in images[6:9]], stage=1)
    assert retraining.due(engine) == "all 2 rounds are done"


def test_the_commands_go_through_all_stages(tmp_path, sources, truth, capsys):
    folder, photos = tmp_path / "engine", tmp_path / "images"
    assert [image.name for image in sources_of(tmp_path)] == [image.name for image in sources]

    def run(*arguments):
        code = command(["engine", *(str(each) for each in arguments)])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    assert run("status", folder)[0] == 1
    code, told = run("init", folder, photos, "--masks", 6, "--steps", 2, "--held-out", 0.25)
    assert (code, "12 images" in told) == (0, True)
    assert run("stage1-export", folder, tmp_path / "label", "--count", 4)[0] == 0
    blank = read_coco(tmp_path / "label" / "instances.json")
    assert len(blank) == 4
    assert "No round is due" in run("retrain", folder)[1]

    predictor = Predictor("lite", device="cpu")
    people = Annotator(target=0.7, most_clicks=3)
    made = [people.annotate(predictor, truth[image.file_name])[0] for image in blank]
    write_coco(tmp_path / "made.json", made)
    code, told = run("stage1-import", folder, tmp_path / "made.json")
    assert (code, "12 masks by people" in told) == (0, True)
    assert run("retrain", folder)[0] == 0

    few = ("--points-per-side", 3, "--workers", 0, "--device", "cpu")
    assert run("stage2", folder, tmp_path / "fill", "--count", 2, *few)[0] == 0
    prefilled = read_coco(tmp_path / "fill" / "instances.json")
    assert len(prefilled) == 2
    filled = [
        people.annotate(predictor, truth[image.file_name], prefilled=image.objects)[0]
        for image in prefilled
    ]
    write_coco(tmp_path / "filled.json", filled)
    assert run("stage1-import", folder, tmp_path / "filled.json", "--stage", 2)[0] == 0

    low = ("--pred-iou-thresh", 0.3, "--stability-score-thresh", 0.3, "--crop-layers", 1)
    assert run("stage3", folder, *few, *low)[0] == 0
    assert "12 complete before" in run("stage3", folder, *few, *low)[1]
    code, told = run("status", folder)
    assert code == 0
    for part in ("person", "model", "round-001", "12 images"):
        assert part in told
    for out, more in (("plain", ()), ("tars", ("--tar",))):
        assert run("export", folder, tmp_path / out, "--per-shard", 5, *more)[0] == 0
        found = check_sa1b(tmp_path / out)
        assert (found.images, found.problems) == (12, [])
    assert run("export", folder, tmp_path / "all.json", "--stages", "2,1")[0] == 0
    assert len(read_coco(tmp_path / "all.json")) == 6
    content = json.loads((tmp_path / "all.json").read_text())
    assert any(each.get("clicks") for each in content["annotations"])


def test_wrong_use_is_told(tmp_path, sources, engine, capsys):
    for arguments in (
        ["init", tmp_path / "e", tmp_path / "images", "--held-out", "2"],
        ["init", tmp_path / "e", tmp_path / "nothing here.txt"],
        ["export", engine.folder, tmp_path / "out", "--stages", "4"],
        ["stage1-import", engine.folder, tmp_path / "missing.json"],
        ["stage2", engine.folder, tmp_path / "out", "--detector", "nothing"],
        ["stage3", engine.folder, "--points-per-side", "0"],
    ):
        assert command(["engine", *map(str, arguments)]) == 2, arguments
    capsys.readouterr()
    labels = np.zeros((4, 4), np.uint16)
    from sam_plugins.datasets.label_images import write_labels

    write_labels(tmp_path / "stranger.tif", labels)
    assert command(["engine", "stage1-import", str(engine.folder), str(tmp_path / "stranger.tif")])
    assert "stranger.tif" in capsys.readouterr().err
