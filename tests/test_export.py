"""ONNX files answer as the model does, run by onnxruntime."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sam_plugins.checkpoints import load_model
from sam_plugins.compat.utils.onnx import SamOnnxModel
from sam_plugins.errors import SamPluginsError
from sam_plugins.export import (
    DECODER_INPUTS,
    DECODER_OUTPUTS,
    OPSET,
    OnnxEncoder,
    export_decoder,
    export_encoder,
)
from sam_plugins.modeling import CONFIGS, build_sam

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module", params=["vit_b", "vit_t", "lite"])
def model(request):
    if request.param == "lite":
        return load_model("lite").eval()
    torch.manual_seed(0)
    config = CONFIGS[request.param]
    if request.param == "vit_b":
        # Two of twelve blocks: one attends in windows, one globally.
        config = replace(config, encoder=replace(config.encoder, depth=2, global_attention=(1,)))
    return build_sam(config).eval()


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_the_encoder_at_any_size_within_the_frame(model, tmp_path):
    export_encoder(model, tmp_path / "encoder.onnx")
    run = session(tmp_path / "encoder.onnx")
    assert run.get_inputs()[0].name == "image"
    assert run.get_outputs()[0].name == "image_embeddings"
    side = model.frame_size
    for height, width in ((side, side), (side // 2 + 7, side), (side, 33)):
        image = torch.rand(1, 3, height, width) * 255
        with torch.inference_mode():
            expected = OnnxEncoder(model)(image)
        found = run.run(None, {"image": image.numpy()})
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other.numpy(), atol=1e-4, rtol=1e-3)


def prompt(points, size, *, mask):
    """Inputs of the decoder, random but for what matters."""
    rng = np.random.default_rng(points)
    values = (
        rng.normal(size=(1, 256, 64, 64)),
        rng.uniform(0, 1000, (1, points, 2)),
        rng.integers(-1, 4, (1, points)),
        rng.normal(0, 5, (1, 1, 256, 256)),
        [float(mask)],
        size,
    )
    return {
        name: np.asarray(value, dtype=np.float32)
        for name, value in zip(DECODER_INPUTS, values, strict=True)
    }


@pytest.mark.parametrize(("single_mask", "use_stability_score"), [(False, False), (True, True)])
def test_the_decoder_with_any_number_of_points(tmp_path, single_mask, use_stability_score):
    torch.manual_seed(1)
    model = build_sam(CONFIGS["vit_t"]).eval()
    options = {"single_mask": single_mask, "use_stability_score": use_stability_score}
    path = tmp_path / "decoder.onnx"
    export_decoder(model, path, **options)
    assert onnx.load(path).opset_import[0].version == OPSET
    run = session(path)
    assert [each.name for each in run.get_inputs()] == list(DECODER_INPUTS)
    assert [each.name for each in run.get_outputs()] == list(DECODER_OUTPUTS)
    reference = SamOnnxModel(model, single_mask, use_stability_score).eval()
    cases = ((2, (900, 1500), False), (1, (300, 200), True), (40, (1024, 1024), True))
    for points, size, mask in cases:
        given = prompt(points, size, mask=mask)
        expected = reference(*(torch.from_numpy(given[name]) for name in DECODER_INPUTS))
        found = run.run(None, given)
        for one, other in zip(found, expected, strict=True):
            assert one.shape == tuple(other.shape)
            np.testing.assert_allclose(one, other.numpy(), atol=1e-4, rtol=1e-3)


def test_the_decoder_of_lite_is_refused(tmp_path):
    with pytest.raises(SamPluginsError, match="vit_t"):
        export_decoder(load_model("lite"), tmp_path / "decoder.onnx")
    assert not list(tmp_path.iterdir())
