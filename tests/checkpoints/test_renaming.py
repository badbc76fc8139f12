"""Renaming tables, against the real classes of the other projects."""

from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import peers
from sam_plugins.checkpoints.renaming import (
    HUGGING_FACE,
    MAE,
    TIMM,
    RenamingTable,
    detect_layout,
    from_hugging_face,
    from_timm,
    strip_prefix,
    to_hugging_face,
    to_timm,
)
from sam_plugins.errors import CheckpointError
from sam_plugins.modeling import CONFIGS, SamConfig, ViTConfig, build_sam

# Hugging Face's names of the settings; values from the released models' own configurations.
VISION = {
    "vit_b": {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12}
    | {"mlp_dim": 3072, "global_attn_indexes": [2, 5, 8, 11]},
    "vit_l": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
    | {"mlp_dim": 4096, "global_attn_indexes": [5, 11, 17, 23]},
    "vit_h": {"hidden_size": 1280, "num_hidden_layers": 32, "num_attention_heads": 16}
    | {"mlp_dim": 5120, "global_attn_indexes": [7, 15, 23, 31]},
}


@pytest.fixture(scope="module", autouse=True)
def importable_peers() -> None:
    peers.prepare()


def ours(name: str) -> dict[str, Tensor]:
    with torch.device("meta"):
        return build_sam(name).state_dict()


def theirs(name: str) -> dict[str, Tensor]:
    transformers = pytest.importorskip("transformers")
    config = transformers.SamConfig(vision_config=VISION[name])
    with torch.device("meta"):
        return transformers.SamModel(config).state_dict()


def shapes(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize("name", VISION)
def test_hugging_face_has_the_same_names_and_shapes_both_ways(name: str) -> None:
    official, other = ours(name), theirs(name)
    assert shapes(from_hugging_face(other)) == shapes(official)
    assert shapes(to_hugging_face(official)) == shapes(other)


@pytest.mark.parametrize("name", VISION)
def test_round_trip_through_hugging_face(name: str) -> None:
    state = {key: object() for key in ours(name)}
    assert from_hugging_face(to_hugging_face(state)) == state


@pytest.mark.parametrize(
    "lost", ["shared_image_embedding.", "prompt_encoder.shared_embedding.", "nothing"]
)
def test_hugging_face_file_that_stores_the_shared_matrix_once(lost: str) -> None:
    other = {key: v for key, v in theirs("vit_b").items() if not key.startswith(lost)}
    assert shapes(from_hugging_face(other)) == shapes(ours("vit_b"))


@pytest.mark.parametrize("name", VISION)
def test_timm_has_the_same_names_and_shapes_both_ways(name: str) -> None:
    # The released samvit models: the encoder's names without prefix, fc1 and fc2 in the MLPs.
    state = ours(name)
    official = {key: value for key, value in state.items() if key.startswith("image_encoder.")}
    other = to_timm(state)
    assert shapes(from_timm(other)) == shapes(official)
    assert all(from_timm(other)[key] is tensor for key, tensor in official.items())
    assert {"pos_embed", "patch_embed.proj.weight", "neck.3.bias"} <= other.keys()
    assert other["blocks.0.mlp.fc1.weight"].shape[0] == 4 * CONFIGS[name].encoder.embed_dim
    assert not any(key.startswith("image_encoder") or ".lin" in key for key in other)


def test_timm_itself() -> None:
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        other = timm.create_model("samvit_base_patch16", pretrained=False).state_dict()
    assert shapes(to_timm(ours("vit_b"))) == shapes(other)


def test_names_of_a_masked_autoencoder() -> None:
    # facebookresearch/mae, models_mae.py: timm's blocks.
    pairs = {
        "patch_embed.proj.weight": "image_encoder.patch_embed.proj.weight",
        "pos_embed": "image_encoder.pos_embed",
        "blocks.3.norm1.bias": "image_encoder.blocks.3.norm1.bias",
        "blocks.3.attn.qkv.weight": "image_encoder.blocks.3.attn.qkv.weight",
        "blocks.11.mlp.fc1.weight": "image_encoder.blocks.11.mlp.lin1.weight",
        "blocks.11.mlp.fc2.bias": "image_encoder.blocks.11.mlp.lin2.bias",
    }
    for theirs_, official in pairs.items():
        assert MAE.to_official(theirs_) == official
        assert MAE.from_official(official) == theirs_
    assert MAE.to_official("cls_token") is None
    assert MAE.to_official("decoder_blocks.0.norm1.weight") is None
    assert MAE.from_official("image_encoder.neck.0.weight") is None


@pytest.mark.parametrize("table", [HUGGING_FACE, TIMM, MAE])
def test_tables_are_one_to_one(table: RenamingTable) -> None:
    official, other = zip(*table.pairs, strict=True)
    assert len(set(official)) == len(official)
    assert len(set(other)) == len(other)


def test_part_of_a_name_is_not_a_match() -> None:
    table = RenamingTable((("a.b", "x"), ("a.b.{}.c", "y.{}")))
    assert table.from_official("a.b") == "x"
    assert table.from_official("a.b.weight") == "x.weight"
    assert table.from_official("a.bc") is None
    assert table.from_official("a.b.12.c.weight") == "y.12.weight"
    assert table.from_official("aXb") is None
    assert table.to_official("y.12.weight") == "a.b.12.c.weight"


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (["image_encoder.pos_embed", "mask_decoder.iou_token.weight"], "official"),
        (["image_encoder.patch_embed.seq.0.c.weight"], "official"),
        (["vision_encoder.pos_embed", "mask_decoder.iou_token.weight"], "hugging_face"),
        (["pos_embed", "patch_embed.proj.weight", "blocks.0.norm1.bias", "neck.0.weight"], "timm"),
        (["cls_token", "pos_embed", "patch_embed.proj.weight", "blocks.0.norm1.bias"], "mae"),
    ],
)
def test_detection(names: list[str], layout: str) -> None:
    assert detect_layout(names) == layout


@pytest.mark.parametrize(
    "names", [[], ["fc.weight"], ["patch_embed.proj.weight", "blocks.0.norm1.bias"]]
)
def test_other_networks_are_not_taken_for_sam(names: list[str]) -> None:
    with pytest.raises(CheckpointError, match="not a Segment Anything checkpoint"):
        detect_layout(names)


@pytest.mark.parametrize("prefix", ["module.", "model.", "sam.", "module.model.sam_model."])
@pytest.mark.parametrize("layout", ["official", "hugging_face", "timm"])
def test_prefix(prefix: str, layout: str) -> None:
    official: dict[str, Any] = {key: key for key in ours("vit_b")}
    state = {"official": official, "timm": to_timm(official)}.get(layout)
    if state is None:
        state = to_hugging_face(official)
    prefixed = {prefix + key: value for key, value in state.items()}
    assert strip_prefix(prefixed) == state
    assert strip_prefix({**prefixed, "loss.weight": 1}) == state
    assert strip_prefix(state) == state


def test_reduced_hugging_face_model_computes_the_same() -> None:
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    vision = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "mlp_dim": 256}
    vision |= {"image_size": 128, "global_attn_indexes": [1], "window_size": 3}
    vision |= {"output_channels": 32, "num_pos_feats": 16}
    prompts = {"hidden_size": 32, "image_size": 128, "image_embedding_size": 8}
    decoder = {"hidden_size": 32, "num_attention_heads": 8, "mlp_dim": 2048}
    other = transformers.SamModel(
        transformers.SamConfig(
            vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder
        )
    ).eval()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    config = SamConfig(
        "small", ViTConfig(64, 2, 2, (1,), window_size=3, out_channels=32), frame_size=128
    )
    model = build_sam(config)
    model.load_state_dict(from_hugging_face(other.state_dict()), strict=True)
    pixels = torch.randn(1, 3, 128, 128)
    points, labels = torch.tensor([[[30.0, 40.0], [90.0, 10.0]]]), torch.tensor([[1, 0]])
    with torch.no_grad():
        features = model.encode(pixels)
        logits, iou = model.decode(features, points=points, labels=labels, multimask=True)
        expected = other(pixels, input_points=points[None], input_labels=labels[None])
    torch.testing.assert_close(
        features[0], other.get_image_embeddings(pixels), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(iou, expected.iou_scores[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(logits, expected.pred_masks[0], atol=1e-4, rtol=1e-4)
