"""The protocol with a model that knows the truth, or knows nothing."""

import json

import numpy as np
import pytest
import torch

from sam_plugins.evaluation import prompts
from sam_plugins.evaluation.prompts import ObjectScores, mean_scores, measure, table_of
from sam_plugins.evaluation.sets import Sample
from sam_plugins.frames import Frame
from sam_plugins.prediction import Prediction

TRUTH = np.zeros((64, 64), dtype=bool)
TRUTH[10:40, 20:50] = True
SAMPLE = Sample("one", np.zeros((64, 64, 3), np.uint8), [TRUTH], np.zeros((64, 64), bool))


class Oracle:
    """A predictor whose second mask is the truth; it gets better with every click."""

    def __init__(self, best):
        self.ranked_first = best
        self.asked = []

    def embed(self, image):
        return image

    def predict(self, embedding, prompt, *, multimask):
        self.asked.append((prompt, multimask))
        clicks = 0 if prompt.points is None else len(prompt.points)
        shown = TRUTH.copy()
        if clicks:
            shown[10 : 10 + max(0, 10 - 2 * clicks)] = False  # rows still missing
        exact, nothing = np.where(TRUTH, 5.0, -5), np.full(TRUTH.shape, -5.0)
        masks = [nothing, exact, nothing] if multimask else [np.where(shown, 5.0, -5)]
        scores = np.full(len(masks), 0.2)
        scores[self.ranked_first if multimask else 0] = 0.9
        low = torch.nn.functional.avg_pool2d(torch.tensor(np.stack(masks))[None], 2)[0]
        return Prediction(
            low_resolution_logits=low.float().numpy(),
            predicted_iou=scores.astype(np.float32),
            frame=Frame((64, 64), 64, 2),
        )


def test_a_model_that_ranks_right_and_one_that_ranks_wrong():
    (right,), (wrong,) = (measure(Oracle(best), [SAMPLE]) for best in (1, 0))
    assert right.click > 0.95
    assert wrong.click == 0
    assert wrong.click_best == right.click_best == right.click
    assert right.box > 0.95
    assert right.clicks5 > right.clicks3
    assert right.clicks3 == pytest.approx(26 / 30, abs=0.05)
    assert right.ellipse == pytest.approx(np.pi / 4, abs=0.03)
    assert right.predicted == pytest.approx(0.9)


def test_what_the_model_is_asked():
    oracle = Oracle(1)
    measure(oracle, [SAMPLE])
    first, multimask = oracle.asked[0]
    assert multimask
    assert first.points.tolist() == [[34.5, 24.5]]
    corrections = [(p, m) for p, m in oracle.asked[1:] if p.points is not None]
    assert [len(prompt.points) for prompt, _ in corrections] == [2, 3, 4, 5]
    assert all(prompt.mask is not None and not many for prompt, many in corrections)
    boxes = [prompt.boxes.tolist() for prompt, _ in oracle.asked if prompt.boxes is not None]
    assert boxes == [[[20, 10, 50, 40]]] * 2


def scores(click, predicted):
    values = dict.fromkeys(ObjectScores.__dataclass_fields__, 0.5)
    return ObjectScores(**{**values, "click": click, "predicted": predicted})


def test_means_and_correlation_are_numpys():
    rng = np.random.default_rng(0)
    pairs = rng.random((20, 2))
    means = mean_scores([scores(*pair) for pair in pairs])
    assert means["objects"] == 20
    assert means["click"] == pytest.approx(pairs[:, 0].mean())
    assert means["correlation"] == pytest.approx(np.corrcoef(pairs.T)[0, 1])
    assert mean_scores([scores(0.3, 0.4)])["correlation"] == 0


def test_the_table_has_a_row_a_set_and_their_mean():
    results = {"a": mean_scores([scores(0.2, 0.1)]), "b": mean_scores([scores(0.6, 0.1)] * 3)}
    lines = table_of(results).splitlines()
    assert [line.split("|")[1].strip() for line in lines] == [
        "set",
        "---",
        "a",
        "b",
        "mean over sets",
    ]
    assert lines[-1].split("|")[2:4] == [" 4 ", " 0.400 "]


def test_the_command_measures_and_writes(tmp_path, monkeypatch, capsys):
    labels = np.arange(4, dtype=np.int32)[:, None, None] * 0 + TRUTH
    np.savez(tmp_path / "volume.npz", image=labels * 0, labels=labels)
    monkeypatch.setattr(prompts, "Predictor", lambda model, device: Oracle(1))
    out = tmp_path / "out.json"
    prompts.main(["--data", str(tmp_path), "--limit", "2", "--json", str(out)])
    assert "mean over sets" in capsys.readouterr().out
    assert json.loads(out.read_text())[tmp_path.name]["objects"] == 2
