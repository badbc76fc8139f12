import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from sam_plugins.checkpoints import load_model
from sam_plugins.datasets.labelled import LabelledImage
from sam_plugins.errors import CheckpointError, CheckpointNotFoundError, InvalidPromptError
from sam_plugins.masks import rle
from sam_plugins.modeling.sam import Sam
from sam_plugins.predictor import Predictor
from sam_plugins.prompts import Prompt
from sam_plugins.text.finding import TextFinder
from sam_plugins.text.trained import TextTrained, token_width
from sam_plugins.training.text.fit import TextFitSettings, fit_text
from tests.text.tiny_clip import COLOURS, AlignedEncoder, tiny_clip


def toy(seed: int, size: int = 128) -> tuple[LabelledImage, dict[str, np.ndarray]]:
    """A disc of each colour, one in each of three of the four quarters."""
    rng = np.random.default_rng(seed)
    image = np.full((size, size, 3), 90, dtype=np.uint8)
    y, x = np.mgrid[:size, :size]
    masks = {}
    for name, quarter in zip(COLOURS, rng.permutation(4), strict=False):
        cx, cy = size * (0.25 + 0.5 * (quarter % 2)), size * (0.25 + 0.5 * (quarter // 2))
        masks[name] = np.hypot(x - cx, y - cy) < size * rng.uniform(0.12, 0.2)
        image[masks[name]] = COLOURS[name]
    return LabelledImage(str(seed), image, tuple(rle.encode(m) for m in masks.values())), masks


@pytest.fixture
def small(tiny_sam: Sam) -> Sam:
    return copy.deepcopy(tiny_sam)


def test_the_projection_is_trained_by_crops_of_a_random_clip(small: Sam) -> None:
    before = {name: value.clone() for name, value in small.state_dict().items()}
    trained = TextTrained(small, tiny_clip())
    fresh = trained.projection.linear.weight.clone()
    losses = fit_text(trained, [toy(0)[0]], TextFitSettings(steps=4, least_area=0.001))
    assert len(losses) == 4
    assert np.isfinite(losses).all()
    assert not torch.equal(trained.projection.linear.weight, fresh)
    # The prompt side is the copy's own: the model itself is as it was.
    for name, value in small.state_dict().items():
        assert torch.equal(value, before[name]), name
    tuned = trained.model.prompt_encoder.state_dict()
    assert any(not torch.equal(v, before[f"prompt_encoder.{k}"]) for k, v in tuned.items())


def test_the_projection_alone(small: Sam) -> None:
    trained = TextTrained(small, tiny_clip())
    prompts = {k: v.clone() for k, v in trained.model.prompt_encoder.state_dict().items()}
    fit_text(trained, [toy(0)[0]], TextFitSettings(steps=2, least_area=0.001, tune="projection"))
    for name, value in trained.model.prompt_encoder.state_dict().items():
        assert torch.equal(value, prompts[name]), name


def test_text_stands_for_the_crops_that_it_agrees_with() -> None:
    """Trained by crops alone, asked by texts: colours that one token tells apart."""
    model = load_model("lite")
    trained = TextTrained(model, AlignedEncoder())
    images = [toy(seed)[0] for seed in range(4)]
    settings = TextFitSettings(
        steps=40, points=0, least_area=0.001, learning_rate=3e-3, tune="decoder", seed=1
    )
    losses = fit_text(trained, images, settings)
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:4])


def test_predicts_refines_saves_and_loads(small: Sam, tmp_path: Path) -> None:
    predictor = Predictor(small, device="cpu", precision="float32")
    image = toy(3)[0].image
    embedding = predictor.embed(image)
    clip = tiny_clip()
    trained = TextTrained(small, clip)
    prompt = Prompt(text="a red disc")
    answer = trained.predict(embedding, prompt)
    assert answer.masks.shape == (1, 128, 128)
    assert len(trained.predict(embedding, prompt, multimask=True)) == 3
    other = trained.predict(embedding, Prompt(text="something else entirely"))
    assert not np.array_equal(other.low_resolution_logits, answer.low_resolution_logits)
    refined = trained.refine(embedding, prompt, [[20, 20]], [1])
    assert not np.array_equal(refined.low_resolution_logits, answer.low_resolution_logits)
    trained.save(tmp_path / "text.safetensors")
    again = TextTrained.load(tmp_path / "text.safetensors", small, encoder=clip)
    np.testing.assert_array_equal(
        again.predict(embedding, prompt).low_resolution_logits, answer.low_resolution_logits
    )
    found = TextFinder(predictor, trained=again).find(image, prompt)
    assert found.way == "model"
    with pytest.raises(InvalidPromptError, match="no text"):
        trained.predict(embedding, Prompt(points=[[1, 1]]))
    with pytest.raises(InvalidPromptError, match="too long"):
        trained.predict(embedding, Prompt(text="x" * 10_000))


def test_wrong_files(small: Sam, tmp_path: Path) -> None:
    clip = tiny_clip()
    with pytest.raises(CheckpointNotFoundError, match="no text prompts"):
        TextTrained.load(tmp_path / "none", small, encoder=clip)
    (tmp_path / "bad").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="damaged"):
        TextTrained.load(tmp_path / "bad", small, encoder=clip)
    TextTrained(small, clip).save(tmp_path / "good")
    with pytest.raises(CheckpointError, match="does not fit"):
        TextTrained.load(tmp_path / "good", small, encoder=AlignedEncoder())
    other = copy.deepcopy(small)
    other.name = "another"
    with pytest.raises(CheckpointError, match="'tiny', not 'another'"):
        TextTrained.load(tmp_path / "good", other, encoder=clip)


@pytest.mark.parametrize(
    "wrong", [{"tune": "all"}, {"steps": 0}, {"masks": 0}, {"points": -1}, {"least_area": 1.5}]
)
def test_wrong_settings(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TextFitSettings(**wrong)


def test_masks_that_are_all_too_small(small: Sam) -> None:
    with pytest.raises(ValueError, match="lower least_area"):
        fit_text(
            TextTrained(small, tiny_clip()), [toy(0)[0]], TextFitSettings(steps=1, least_area=0.9)
        )


def test_width_of_tokens(small: Sam) -> None:
    assert token_width(small) == 256
    assert token_width(load_model("lite")) == load_model("lite").config.encoder.embed_dim
