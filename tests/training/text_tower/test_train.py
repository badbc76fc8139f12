from pathlib import Path

import numpy as np
import pytest
import torch

from sam_plugins.checkpoints.tower import TOWER, load_tower, save_tower
from sam_plugins.errors import CheckpointError, CheckpointNotFoundError
from sam_plugins.phrases import Phrase, parse
from sam_plugins.text.looks import Looks
from sam_plugins.text.tower import tower_scores
from sam_plugins.training.text_tower.examples import example, make_examples, questions
from sam_plugins.training.text_tower.train import Recipe, new_tower, train_tower


def test_examples_tell_objects_from_distractors() -> None:
    made = example(np.random.default_rng(2), 96)
    assert len(made.looks) == len(made.owner) == len(made.features)
    assert set(range(len(made.facts.objects))) >= set(made.owner[made.owner >= 0].tolist())
    assert (made.features[made.owner < 0] == -1).all()
    assert (made.features[made.owner >= 0, 0] >= 0).all()


def test_questions_answer_by_the_objects_meant() -> None:
    made = make_examples([4], 96)[0]
    phrases, answers = questions(np.random.default_rng(0), made, 20)
    assert answers.shape == (len(phrases), len(made.owner))
    for phrase, answer in zip(phrases, answers, strict=True):
        meant = set(made.facts.meant(phrase))
        assert {made.owner[i] for i in np.flatnonzero(answer)} == meant & set(made.owner.tolist())
        assert not answer[made.owner < 0].any()


def test_training_learns_resumes_and_is_reproducible(tmp_path: Path) -> None:
    examples = make_examples(range(3), 96)
    recipe = Recipe(steps=6, scenes=2, captions=3, warmup=2)
    first = train_tower(examples, tmp_path / "a", recipe=recipe)
    second = train_tower(examples, tmp_path / "b", recipe=recipe)
    assert first.read_bytes() == second.read_bytes()
    state = torch.load(tmp_path / "a" / "state.pt", weights_only=True)
    assert state["step"] == 6
    again = train_tower(examples, tmp_path / "a", recipe=Recipe(steps=8, scenes=2, captions=3))
    assert torch.load(tmp_path / "a" / "state.pt", weights_only=True)["step"] == 8
    assert again.read_bytes() != second.read_bytes()


def test_files_of_towers(tmp_path: Path) -> None:
    tower = new_tower().eval()
    save_tower(tower, tmp_path / "t.safetensors")
    back = load_tower(tmp_path / "t.safetensors")
    assert back.config == tower.config
    for name, value in tower.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], value, rtol=1e-3, atol=1e-4)
    with pytest.raises(CheckpointNotFoundError, match="no text tower"):
        load_tower(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="damaged"):
        load_tower(tmp_path / "bad.safetensors")


def test_the_shipped_file_is_small() -> None:
    assert TOWER.stat().st_size < 2_000_000


def looks_of_discs() -> Looks:
    """Random looks at nine places."""
    rng = np.random.default_rng(1)
    measures = rng.uniform(0, 1, (9, 18)).astype(np.float32)
    return Looks(rng.integers(0, 256, (9, 4, 40, 40), dtype=np.uint8), measures)


def test_the_order_of_candidates_and_the_other_questions_do_not_matter() -> None:
    torch.manual_seed(0)
    tower, looks = new_tower().eval(), looks_of_discs()
    phrases = [
        parse("the largest red disc"),
        parse("discs above the smallest star"),
        parse("the ring nearest to the red star"),
        parse("two cells on the left"),
        Phrase(),
    ]
    scores = tower_scores(tower, looks, phrases)
    assert scores.shape == (5, 9)
    assert ((scores >= 0) & (scores <= 1)).all()
    order = np.random.default_rng(0).permutation(9)
    shuffled = tower_scores(tower, Looks(looks.crops[order], looks.measures[order]), phrases)
    np.testing.assert_allclose(shuffled, scores[:, order], atol=1e-5)
    for row, phrase in zip(scores, phrases, strict=True):
        np.testing.assert_allclose(tower_scores(tower, looks, [phrase])[0], row, atol=1e-5)


def test_padding_changes_nothing() -> None:
    torch.manual_seed(0)
    tower, looks = new_tower().eval(), looks_of_discs()
    numbers = tower.numbers([parse("the largest disc left of the red star"), parse("three rings")])
    with torch.inference_mode():
        measures = torch.from_numpy(looks.measures)
        tokens = tower.tokens(torch.from_numpy(looks.crops), measures)
        alone = tower(
            tokens[:5].expand(2, -1, -1), measures[:5, :2].expand(2, -1, -1),
            torch.ones(2, 5, dtype=torch.bool), numbers,
        )  # fmt: skip
        present = torch.arange(9).expand(2, -1) < 5
        padded = tower(
            tokens.expand(2, -1, -1), measures[:, :2].expand(2, -1, -1), present, numbers
        )
    torch.testing.assert_close(padded[:, :5].exp(), alone.exp(), atol=1e-4, rtol=1e-3)
    assert padded[:, 5:].exp().max() < 1e-6


def test_words_that_a_tower_lacks() -> None:
    with pytest.raises(ValueError, match="no shape 'wheel'"):
        new_tower().numbers([Phrase(shape="wheel")])


def test_nothing_to_choose_from() -> None:
    looks = Looks(np.zeros((0, 4, 40, 40), np.uint8), np.zeros((0, 18), np.float32))
    assert tower_scores(new_tower().eval(), looks, [Phrase()]).shape == (1, 0)
