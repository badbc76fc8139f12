"""OpenVINO's image encoder against the model's own."""

import builtins

import numpy as np
import pytest
import torch

from sam_plugins import Predictor, Prompt
from sam_plugins.modeling.openvino_encoder import OpenVinoEncoder

openvino = pytest.importorskip("openvino")


@pytest.fixture
def frames():
    return torch.randn(3, 3, 128, 128, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("half", "most"), [(False, 1e-4), (True, 0.03)])
def test_embeddings_are_those_of_the_model(tiny_sam, frames, tmp_path, half, most):
    encoder = OpenVinoEncoder(
        tiny_sam.image_encoder, frame_size=128, folder=tmp_path, name="tiny", half=half
    )
    with torch.inference_mode():
        expected = tiny_sam.image_encoder(frames)
    got = encoder(frames)
    assert got.shape == expected.shape
    assert got.dtype == torch.float32
    assert torch.linalg.norm(got - expected) / torch.linalg.norm(expected) < most


def test_a_model_is_translated_once(tiny_sam, frames, tmp_path, monkeypatch):
    options = {"frame_size": 128, "folder": tmp_path / "new" / "folder", "name": "a", "half": False}
    first = OpenVinoEncoder(tiny_sam.image_encoder, **options)(frames)
    monkeypatch.setattr(openvino, "convert_model", None)
    again = OpenVinoEncoder(tiny_sam.image_encoder, **options)(frames)
    assert torch.equal(first, again)
    with pytest.raises(TypeError):  # another model is not taken for it
        OpenVinoEncoder(tiny_sam.image_encoder, **options | {"name": "b"})


def test_nothing_is_left_of_a_translation_that_failed(tiny_sam, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(openvino, "save_model", full)
    with pytest.raises(OSError, match="no space"):
        OpenVinoEncoder(
            tiny_sam.image_encoder, frame_size=128, folder=tmp_path, name="a", half=False
        )
    assert not list(tmp_path.iterdir())


def test_two_that_translate_at_once_share_the_result(tiny_sam, frames, tmp_path, monkeypatch):
    options = {"frame_size": 128, "folder": tmp_path, "name": "a", "half": False}
    save = openvino.save_model

    def slow(*args, **keywords):
        monkeypatch.setattr(openvino, "save_model", save)
        OpenVinoEncoder(tiny_sam.image_encoder, **options)  # the other, which ends first
        save(*args, **keywords)

    monkeypatch.setattr(openvino, "save_model", slow)
    encoder = OpenVinoEncoder(tiny_sam.image_encoder, **options)
    assert encoder(frames).shape == (3, 256, 8, 8)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_predictor_answers_as_in_float32(tiny_sam):
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    exact, other = (Predictor(tiny_sam, precision=each) for each in ("float32", "openvino"))
    first, second = exact.embed(image), other.embed(image)
    assert second.precision == "openvino"
    prompt = Prompt(points=[[40, 50]])
    a, b = exact.predict(first, prompt), other.predict(second, prompt)
    assert (a.masks == b.masks).mean() > 0.95


def test_models_of_several_maps_are_refused():
    with pytest.raises(ValueError, match="one map"):
        Predictor("lite", precision="openvino")


def test_without_openvino_the_error_says_what_to_install(tiny_sam, tmp_path, monkeypatch):
    load = builtins.__import__

    def without(name, *args, **keywords):
        if name == "openvino":
            raise ImportError(name)
        return load(name, *args, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r'pip install "sam-plugins\[openvino\]"'):
        OpenVinoEncoder(
            tiny_sam.image_encoder, frame_size=128, folder=tmp_path, name="a", half=False
        )
