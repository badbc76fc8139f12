"""``doctor`` and ``preannotate`` with a real Label Studio."""

import pytest

from labelstudio_backend.client.records import Prediction
from sam_plugins.cli.main import run
from tests.e2e.coins import CLOSE, COIN, OTHER, box_region, overlap, truth
from tests.e2e.recorder import masks_of
from tests.e2e.team import backend_running


@pytest.fixture
def command(label_studio, monkeypatch, capsys):
    """Run ``sam-plugins label-studio``; its exit code and what it wrote."""
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.account.token)

    def call(*arguments):
        code = run(["label-studio", *(str(each) for each in arguments)])
        return code, "".join(capsys.readouterr())

    return call


def test_doctor_finds_everything_well(new_team, command):
    team = new_team()
    code, said = command("doctor", "--project", team.project, "--backend", team.backend)
    assert code == 0, said
    assert "All is well" in said
    assert "PNG, 384 x 303" in said
    assert "hint" not in said


def test_doctor_says_what_to_change(new_team, command):
    team = new_team(label_config='<View><Image name="image" value="$image"/></View>')
    code, said = command("doctor", "--project", team.project, "--backend", "http://localhost:1")
    assert code == 1
    assert "the labelling config has no smart points or rectangles" in said
    assert "start it: sam-plugins label-studio serve" in said


def test_doctor_sees_which_backend_label_studio_has_lost(new_team, command, tmp_path):
    team = new_team()
    with backend_running(tmp_path / "other") as (_, lost):
        team.label_studio.client.connect_ml_backend(team.project, lost)
    code, said = command("doctor", "--project", team.project, "--backend", team.backend)
    assert code == 1
    assert f"Label Studio reaches the model at {team.backend}" in said
    assert f"Label Studio does not reach {lost}" in said
    assert "2 models are connected" in said


def test_a_project_is_annotated_once(new_team, command):
    team = new_team(4)
    boxes = [box_region(COIN), box_region(OTHER)]
    first, *others = team.tasks
    team.label_studio.client.import_predictions(
        team.project, [Prediction(first, boxes, 0.9, "detector")]
    )
    code, said = command("preannotate", "--project", team.project)
    assert code == 0, said
    assert "1 task got 2 regions" in said
    assert "3 gave nothing" in said
    (ours,) = [each for each in team.predictions(first) if each["model_version"] != "detector"]
    for mask, coin in zip(masks_of(ours["result"]), (COIN, OTHER), strict=True):
        assert overlap(mask, truth(coin)) > CLOSE
    code, said = command("preannotate", "--project", team.project)
    assert code == 0, said
    assert "0 tasks got 0 regions" in said
    assert len(team.predictions(first)) == 2
    assert [team.predictions(task) for task in others] == [[], [], []]


def test_everything_in_a_project_is_segmented(new_team, command):
    team = new_team(4)
    team.configure({"segment_everything": True, "points_per_side": 8, "label": "Object"})
    code, said = command("preannotate", "--project", team.project, "--chunk", 3)
    assert code == 0, said
    assert "4 tasks got" in said
    stored = [team.predictions(task) for task in team.tasks]
    assert [len(predictions) for predictions in stored] == [1, 1, 1, 1]
    assert all(predictions[0]["result"] for predictions in stored)
    code, said = command("preannotate", "--project", team.project)
    assert code == 0, said
    assert "4 had theirs before" in said
    assert [team.predictions(task) for task in team.tasks] == stored


def test_a_task_without_its_image_spoils_no_other(new_team, command):
    team = new_team(1)
    team.label_studio.client.import_tasks(team.project, [{"image": "/data/upload/1/gone.png"}])
    team.configure({"segment_everything": True, "points_per_side": 8})
    code, said = command("preannotate", "--project", team.project)
    assert code == 1
    assert "1 task got" in said
    assert "1 failed" in said
    assert "not an image" in said
