"""From a masked autoencoder to SAM's image encoder."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from sam_plugins.checkpoints import load_image_encoder, save_model
from sam_plugins.checkpoints.mae import (
    mae_to_image_encoder,
    resize_patch_kernel,
    resize_positions,
)
from sam_plugins.checkpoints.renaming import to_timm
from sam_plugins.errors import CheckpointError, CheckpointNotFoundError
from sam_plugins.modeling import Sam, SamConfig, ViTConfig, build_sam

ENCODER = ViTConfig(32, 2, 2, (1,), window_size=3, out_channels=16)
CONFIG = SamConfig("small", ENCODER, frame_size=128)  # 8 x 8 patches


def autoencoder(patch: int = 16, grid: int = 4, decoder: bool = True) -> dict[str, Tensor]:
    """A state dict with the names and shapes of facebookresearch/mae, of width 32."""
    torch.manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, 32),
        "pos_embed": (1, 1 + grid * grid, 32),
        "patch_embed.proj.weight": (32, 3, patch, patch),
        "patch_embed.proj.bias": (32,),
        "norm.weight": (32,),
        "norm.bias": (32,),
    }
    for block in range(2):
        for layer, shape in {
            "norm1": (32,),
            "norm2": (32,),
            "attn.qkv": (96, 32),
            "attn.proj": (32, 32),
            "mlp.fc1": (128, 32),
            "mlp.fc2": (32, 128),
        }.items():
            shapes[f"blocks.{block}.{layer}.weight"] = shape
            shapes[f"blocks.{block}.{layer}.bias"] = shape[:1]
    if decoder:
        shapes |= {"mask_token": (1, 1, 16), "decoder_embed.weight": (16, 32)}
        shapes |= {"decoder_blocks.0.norm1.weight": (16,), "decoder_pos_embed": (1, 17, 16)}
    return {name: torch.randn(shape) for name, shape in shapes.items()}


@pytest.fixture
def model() -> Sam:
    torch.manual_seed(1)
    return build_sam(CONFIG)


def test_all_but_the_neck_is_filled(model: Sam) -> None:
    state = autoencoder()
    filled = mae_to_image_encoder(state, ENCODER, frame_size=128)
    own = {k: v for k, v in model.state_dict().items() if k.startswith("image_encoder.")}
    assert own.keys() - filled.keys() == {k for k in own if ".neck." in k}
    assert filled.keys() <= own.keys()
    assert {k: v.shape for k, v in filled.items()} == {k: own[k].shape for k in filled}
    for name in ("blocks.1.attn.qkv.weight", "blocks.0.norm2.bias"):
        assert torch.equal(filled[f"image_encoder.{name}"], state[name])
    assert torch.equal(
        filled["image_encoder.blocks.1.mlp.lin2.weight"], state["blocks.1.mlp.fc2.weight"]
    )
    assert not any(filled[k].any() for k in filled if "rel_pos" in k)


def test_positions_keep_their_order() -> None:
    positions = torch.arange(5.0).view(1, 5, 1)  # class token 0, then a grid of 2 x 2
    assert resize_positions(positions, 2)[0, :, :, 0].tolist() == [[1, 2], [3, 4]]
    larger = resize_positions(positions, 4)
    expected = functional.interpolate(
        torch.tensor([[[[1.0, 2], [3, 4]]]]), (4, 4), mode="bicubic", align_corners=False
    )
    torch.testing.assert_close(larger[..., 0], expected[0])


def test_positions_that_are_no_square() -> None:
    with pytest.raises(CheckpointError, match="6 positions"):
        resize_positions(torch.zeros(1, 7, 4), 8)


def test_larger_kernel_answers_to_larger_patches_as_before() -> None:
    torch.manual_seed(0)
    kernel, patches = torch.randn(5, 3, 14, 14), torch.randn(9, 3, 14, 14)
    larger = functional.interpolate(patches, (16, 16), mode="bilinear", align_corners=False)
    before = torch.einsum("dchw,nchw->nd", kernel, patches)
    after = torch.einsum("dchw,nchw->nd", resize_patch_kernel(kernel, 16), larger)
    torch.testing.assert_close(after, before, atol=1e-3, rtol=1e-4)


def test_smaller_kernel_answers_to_a_constant_patch_as_before() -> None:
    torch.manual_seed(0)
    kernel = torch.randn(5, 3, 16, 16)
    smaller = resize_patch_kernel(kernel, 14)
    assert smaller.shape == (5, 3, 14, 14)
    torch.testing.assert_close(smaller.sum((2, 3)), kernel.sum((2, 3)), atol=1e-3, rtol=1e-3)
    assert resize_patch_kernel(kernel, 16) is kernel


@pytest.mark.parametrize("patch", [14, 16])
@pytest.mark.parametrize("wrapped", [False, True])
def test_file_is_put_into_a_model(model: Sam, tmp_path: Path, patch: int, wrapped: bool) -> None:
    state = autoencoder(patch)
    torch.save({"model": state, "epoch": 3} if wrapped else state, tmp_path / "mae.pth")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    missing = load_image_encoder(model, tmp_path / "mae.pth")
    assert missing == sorted(name for name in before if name.startswith("image_encoder.neck."))
    after = model.state_dict()
    assert torch.equal(
        after["image_encoder.blocks.0.mlp.lin1.weight"], state["blocks.0.mlp.fc1.weight"]
    )
    untouched = {*missing, *(n for n in before if not n.startswith("image_encoder."))}
    assert all(torch.equal(after[name], before[name]) for name in untouched)
    assert model.encode(torch.zeros(1, 3, 128, 128))[0].isfinite().all()


def test_encoder_of_timm_and_of_a_whole_model(model: Sam, tmp_path: Path) -> None:
    torch.manual_seed(2)
    other = build_sam(CONFIG)
    torch.save(to_timm(other.state_dict()), tmp_path / "timm.pth")
    save_model(other, tmp_path / "whole.safetensors")
    for name in ("timm.pth", "whole.safetensors"):
        target = build_sam(CONFIG)
        decoder = target.mask_decoder.iou_token.weight.clone()
        assert load_image_encoder(target, tmp_path / name) == []
        for key, value in other.image_encoder.state_dict().items():
            assert torch.equal(target.image_encoder.state_dict()[key], value)
        assert torch.equal(target.mask_decoder.iou_token.weight, decoder)


def test_autoencoder_of_another_depth_or_width(model: Sam, tmp_path: Path) -> None:
    deeper = SamConfig("deeper", ViTConfig(32, 3, 2, (1,), out_channels=16), frame_size=128)
    wider = SamConfig("wider", ViTConfig(64, 2, 2, (1,), out_channels=16), frame_size=128)
    torch.save(autoencoder(), tmp_path / "mae.pth")
    for config, message in ((deeper, "2 blocks of width 32, but .* 3"), (wider, "of width 64")):
        with pytest.raises(CheckpointError, match=message):
            load_image_encoder(build_sam(config), tmp_path / "mae.pth")


def test_autoencoder_does_not_fit_the_small_model(tmp_path: Path) -> None:
    torch.save(autoencoder(), tmp_path / "mae.pth")
    with pytest.raises(CheckpointError, match="does not fit the model 'lite'"):
        load_image_encoder(build_sam("lite"), tmp_path / "mae.pth")


def test_unknown_weights_and_missing_files(model: Sam, tmp_path: Path) -> None:
    torch.save({**autoencoder(), "surprise": torch.zeros(1)}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match="no weights named 'surprise'"):
        load_image_encoder(model, tmp_path / "odd.pth")
    incomplete = autoencoder()
    del incomplete["blocks.0.norm1.weight"]
    torch.save(incomplete, tmp_path / "incomplete.pth")
    with pytest.raises(CheckpointError, match=r"missing image_encoder\.blocks\.0\.norm1\.weight"):
        load_image_encoder(model, tmp_path / "incomplete.pth")
    with pytest.raises(CheckpointNotFoundError):
        load_image_encoder(model, tmp_path / "nowhere.pth")
