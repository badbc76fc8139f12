"""Names and shapes of the weights: those of the released files, so that they load strictly."""

import pytest
import torch
from segment_anything import sam_model_registry

from sam_plugins.modeling import CONFIGS, SamConfig, ViTConfig, build_sam

# Width, blocks, heads, global blocks, tensors, parameters: measured on the released files.
VITS = {
    "vit_b": (768, 12, 12, {2, 5, 8, 11}, 314, 93_735_472),
    "vit_l": (1024, 24, 16, {5, 11, 17, 23}, 482, 312_342_832),
    "vit_h": (1280, 32, 16, {7, 15, 23, 31}, 594, 641_090_608),
}


def norm(name, channels):
    return {f"{name}.weight": (channels,), f"{name}.bias": (channels,)}


def linear(name, inputs, outputs):
    return {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}


def neck(inputs):
    return {
        "image_encoder.neck.0.weight": (256, inputs, 1, 1),
        **norm("image_encoder.neck.1", 256),
        "image_encoder.neck.2.weight": (256, 256, 3, 3),
        **norm("image_encoder.neck.3", 256),
    }


def vit_table(name):
    width, depth, heads, global_blocks, _, _ = VITS[name]
    table = {
        "image_encoder.pos_embed": (1, 64, 64, width),
        "image_encoder.patch_embed.proj.weight": (width, 3, 16, 16),
        "image_encoder.patch_embed.proj.bias": (width,),
        **neck(width),
    }
    for i in range(depth):
        block = f"image_encoder.blocks.{i}"
        distances = 127 if i in global_blocks else 27
        table |= norm(f"{block}.norm1", width) | norm(f"{block}.norm2", width)
        table |= linear(f"{block}.attn.qkv", width, 3 * width)
        table |= linear(f"{block}.attn.proj", width, width)
        table |= linear(f"{block}.mlp.lin1", width, 4 * width)
        table |= linear(f"{block}.mlp.lin2", 4 * width, width)
        for axis in "hw":
            table[f"{block}.attn.rel_pos_{axis}"] = (distances, width // heads)
    return table


def prompt_encoder_table():
    root = "prompt_encoder"
    table = {f"{root}.pe_layer.positional_encoding_gaussian_matrix": (2, 128)}
    for name in [*(f"point_embeddings.{i}" for i in range(4)), "not_a_point_embed"]:
        table[f"{root}.{name}.weight"] = (1, 256)
    table[f"{root}.no_mask_embed.weight"] = (1, 256)
    for index, shape in ((0, (4, 1, 2, 2)), (3, (16, 4, 2, 2)), (6, (256, 16, 1, 1))):
        table[f"{root}.mask_downscaling.{index}.weight"] = shape
        table[f"{root}.mask_downscaling.{index}.bias"] = shape[:1]
    table |= norm(f"{root}.mask_downscaling.1", 4) | norm(f"{root}.mask_downscaling.4", 16)
    return table


def attention(name, inner):
    table = linear(f"{name}.out_proj", inner, 256)
    for part in "qkv":
        table |= linear(f"{name}.{part}_proj", 256, inner)
    return table


def mask_decoder_table():
    root = "mask_decoder"
    table = {f"{root}.iou_token.weight": (1, 256), f"{root}.mask_tokens.weight": (4, 256)}
    for i in range(2):
        layer = f"{root}.transformer.layers.{i}"
        table |= attention(f"{layer}.self_attn", 256)
        table |= attention(f"{layer}.cross_attn_token_to_image", 128)
        table |= attention(f"{layer}.cross_attn_image_to_token", 128)
        table |= linear(f"{layer}.mlp.lin1", 256, 2048) | linear(f"{layer}.mlp.lin2", 2048, 256)
        for number in range(1, 5):
            table |= norm(f"{layer}.norm{number}", 256)
    table |= attention(f"{root}.transformer.final_attn_token_to_image", 128)
    table |= norm(f"{root}.transformer.norm_final_attn", 256)
    table |= {
        f"{root}.output_upscaling.0.weight": (256, 64, 2, 2),
        f"{root}.output_upscaling.0.bias": (64,),
        f"{root}.output_upscaling.3.weight": (64, 32, 2, 2),
        f"{root}.output_upscaling.3.bias": (32,),
    }
    table |= norm(f"{root}.output_upscaling.1", 64)
    heads = {f"output_hypernetworks_mlps.{i}": 32 for i in range(4)} | {"iou_prediction_head": 4}
    for head, outputs in heads.items():
        table |= linear(f"{root}.{head}.layers.0", 256, 256)
        table |= linear(f"{root}.{head}.layers.1", 256, 256)
        table |= linear(f"{root}.{head}.layers.2", 256, outputs)
    return table


def conv_norm(name, shape):
    out = shape[:1]
    table = {f"{name}.c.weight": shape, f"{name}.bn.num_batches_tracked": ()}
    for part in ("weight", "bias", "running_mean", "running_var"):
        table[f"{name}.bn.{part}"] = out
    return table


def tiny_vit_table():
    root = "image_encoder"
    table = conv_norm(f"{root}.patch_embed.seq.0", (32, 3, 3, 3))
    table |= conv_norm(f"{root}.patch_embed.seq.2", (64, 32, 3, 3))
    for i in range(2):
        block = f"{root}.layers.0.blocks.{i}"
        table |= conv_norm(f"{block}.conv1", (256, 64, 1, 1))
        table |= conv_norm(f"{block}.conv2", (256, 1, 3, 3))
        table |= conv_norm(f"{block}.conv3", (64, 256, 1, 1))
    for i, (narrow, wide) in enumerate(((64, 128), (128, 160), (160, 320))):
        step = f"{root}.layers.{i}.downsample"
        table |= conv_norm(f"{step}.conv1", (wide, narrow, 1, 1))
        table |= conv_norm(f"{step}.conv2", (wide, 1, 3, 3))
        table |= conv_norm(f"{step}.conv3", (wide, wide, 1, 1))
    stages = ((1, 128, 2, 4, 7), (2, 160, 6, 5, 14), (3, 320, 2, 10, 7))
    for stage, width, depth, heads, window in stages:
        for i in range(depth):
            block = f"{root}.layers.{stage}.blocks.{i}"
            table |= norm(f"{block}.attn.norm", width)
            table |= linear(f"{block}.attn.qkv", width, 3 * width)
            table |= linear(f"{block}.attn.proj", width, width)
            table[f"{block}.attn.attention_biases"] = (heads, window**2)
            table |= conv_norm(f"{block}.local_conv", (width, 1, 3, 3))
            table |= norm(f"{block}.mlp.norm", width)
            table |= linear(f"{block}.mlp.fc1", width, 4 * width)
            table |= linear(f"{block}.mlp.fc2", 4 * width, width)
    return table | norm(f"{root}.norm_head", 320) | linear(f"{root}.head", 320, 1000) | neck(320)


def shapes(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def on_meta(build, *arguments):
    with torch.device("meta"):
        return build(*arguments)


@pytest.mark.parametrize("name", VITS)
def test_vit_has_the_released_names_shapes_and_sizes(name):
    model = on_meta(build_sam, name)
    state = model.state_dict()
    assert shapes(state) == vit_table(name) | prompt_encoder_table() | mask_decoder_table()
    *_, tensors, parameters = VITS[name]
    assert len(state) == tensors
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert sum(p.numel() for p in model.prompt_encoder.parameters()) == 6_220
    assert sum(p.numel() for p in model.mask_decoder.parameters()) == 4_058_340


@pytest.mark.parametrize("name", VITS)
def test_the_reference_implementation_has_the_same(name):
    theirs = on_meta(sam_model_registry[name])
    assert shapes(on_meta(build_sam, name).state_dict()) == shapes(theirs.state_dict())


def test_tiny_vit_has_the_released_names_shapes_and_sizes():
    model = on_meta(build_sam, "vit_t")
    table = tiny_vit_table() | prompt_encoder_table() | mask_decoder_table()
    assert shapes(model.state_dict()) == table
    assert sum(p.numel() for p in model.parameters()) == 10_130_092
    assert sum(p.numel() for p in model.image_encoder.parameters()) == 6_065_532
    unused = [*model.image_encoder.head.parameters(), *model.image_encoder.norm_head.parameters()]
    assert sum(p.numel() for p in unused) == 321_640


def test_no_buffer_is_stored_but_the_frequencies_and_batch_statistics():
    for name in ("vit_b", "vit_t"):
        model = on_meta(build_sam, name)
        parameters = dict(model.named_parameters())
        stored = {key.rsplit(".", 1)[1] for key in model.state_dict() if key not in parameters}
        assert stored <= {
            "positional_encoding_gaussian_matrix",
            "running_mean",
            "running_var",
            "num_batches_tracked",
        }


def test_a_name_that_is_no_model_is_refused():
    with pytest.raises(ValueError, match=r"unknown model 'vit_x': use one of vit_b, .*lite"):
        build_sam("vit_x")


@pytest.mark.parametrize("frame_size", [0, 8, 1000])
def test_a_frame_that_is_no_multiple_of_the_patch_is_refused(frame_size):
    with pytest.raises(ValueError, match=f"multiple of 16, got {frame_size}"):
        SamConfig("x", ViTConfig(64, 2, 2, (1,)), frame_size=frame_size)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("vit_b", "vit"), ("vit_l", "vit"), ("vit_h", "vit"), ("vit_t", "tiny_vit"), ("lite", "lite")],
)
def test_the_kind_of_each_model(name, kind):
    assert CONFIGS[name].kind == kind
    assert CONFIGS[name].name == name
