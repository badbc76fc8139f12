"""The small model: shapes, prompts one by one and in batches, maps drawn where prompts are."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sam_plugins.modeling import CONFIGS, build_sam
from sam_plugins.modeling.configs import LiteConfig, SamConfig
from sam_plugins.modeling.lite import LOGIT_SCALE, LiteSam
from sam_plugins.modeling.lite_boxes import fit_to_boxes
from sam_plugins.modeling.lite_prompts import LitePromptEncoder

TINY = SamConfig(
    "tiny",
    LiteConfig(
        channels=(8, 8, 16, 16, 16),
        blocks=(1, 1, 1, 1),
        embed_dim=32,
        fine_channels=(16, 8, 8),
        decoder_heads=2,
        decoder_mlp_dim=32,
    ),
    frame_size=128,
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    built = build_sam(TINY)
    # Random statistics, so that normalisation is not the identity.
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
    return built


@pytest.fixture(scope="module")
def features(model):
    torch.manual_seed(1)
    with torch.no_grad():
        return model.encode(model.preprocess(torch.rand(1, 3, 128, 128) * 255))


def answer(model, features, multimask=True, **prompts):
    with torch.no_grad():
        return model.decode(features, **prompts, multimask=multimask)


def clicks(*rows):
    """Prompts of clicks: rows of (x, y, label)."""
    table = torch.tensor(rows, dtype=torch.float32)
    return {"points": table[..., :2], "labels": table[..., 2].long()}


BOX = torch.tensor([[[20.0, 30, 90, 100]]])


def test_the_shipped_size():
    model = build_sam("lite")
    assert isinstance(model, LiteSam)
    assert (model.frame_size, model.low_resolution_stride) == (512, 2)
    count = sum(p.numel() for p in model.parameters())
    assert 2.5e6 < count < 3.0e6
    larger = LiteConfig(
        channels=(24, 48, 96, 192, 256), blocks=(1, 2, 3, 4), fine_channels=(64, 48, 8)
    )
    assert sum(p.numel() for p in build_sam(SamConfig("m", larger, 512)).parameters()) > 2 * count


def test_features_at_four_strides_of_two_levels(model, features):
    fine = [(1, 32, 8, 8), (1, 16, 16, 16), (1, 8, 32, 32), (1, 8, 64, 64)]
    coarse = [(1, channels, side // 2, side // 2) for _, channels, side, _ in fine]
    assert [tuple(f.shape) for f in features] == fine + coarse


def test_the_coarse_level_is_the_frame_at_half_its_size(model, features):
    torch.manual_seed(1)
    frame = model.preprocess(torch.rand(1, 3, 128, 128) * 255)
    with torch.no_grad():
        half = model.encode_level(
            torch.nn.functional.interpolate(frame, scale_factor=0.5, mode="area")
        )
    for here, there in zip(features[4:], half, strict=True):
        torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-4)


def at_level(model, features, level, **prompts):
    """Answer at one level alone, written out."""
    shrunk = dict(prompts)
    if "points" in prompts:
        shrunk["points"] = (prompts["points"] + 0.5) / 2**level - 0.5
    if "boxes" in prompts:
        shrunk["boxes"] = prompts["boxes"] / 2**level
    with torch.no_grad():
        logits, iou = model.decode_all(features[4 * level :][:4], **shrunk)
    if level:
        logits = torch.nn.functional.interpolate(logits, scale_factor=2, mode="bilinear")
    logits = LOGIT_SCALE * logits[:, 1:]
    if "boxes" in prompts:
        logits = fit_to_boxes(logits, prompts["boxes"], stride=2)
    return logits, iou[:, 1:].sigmoid()


def test_a_boxs_size_decides_on_the_level():
    torch.manual_seed(5)
    model = build_sam(replace(TINY, frame_size=256))
    with torch.no_grad():
        features = model.encode(model.preprocess(torch.rand(1, 3, 256, 256) * 255))
    small, large = [[[20.0, 30, 175, 90]]], [[[20.0, 30, 190, 90]]]
    boxes = torch.tensor([small[0], large[0], small[0]])
    together = answer(model, features, boxes=boxes)
    for row, level in enumerate((0, 1, 0)):
        alone = at_level(model, features, level, boxes=boxes[row : row + 1])
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[row : row + 1], b, rtol=1e-4, atol=1e-4)


def test_each_candidate_of_a_click_comes_from_the_level_that_believes_in_it(model, features):
    prompts = clicks([[40, 50, 1]], [[90, 70, 1]], [[10, 100, 0]])
    logits, iou = answer(model, features, **prompts)
    fine, coarse = (at_level(model, features, level, **prompts) for level in (0, 1))
    better = coarse[1] > fine[1]
    torch.testing.assert_close(iou, torch.maximum(fine[1], coarse[1]))
    wanted = torch.where(better[..., None, None], coarse[0], fine[0])
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("multimask", "count"), [(True, 3), (False, 1)])
def test_masks_at_half_the_frame_and_ious_in_range(model, features, multimask, count):
    logits, iou = answer(model, features, multimask, **clicks([[40, 50, 1]], [[9, 8, 0]]))
    assert logits.shape == (2, count, 64, 64)
    assert iou.shape == (2, count)
    assert ((iou >= 0) & (iou <= 1)).all()


def test_a_batch_of_prompts_equals_prompts_one_by_one(model, features):
    torch.manual_seed(2)
    prompts = {
        "points": torch.rand(5, 3, 2) * 128,
        "labels": torch.randint(-1, 2, (5, 3)),
        "boxes": torch.tensor([[0.0, 0, 64, 64]]) + torch.rand(5, 2, 4) * 60,
        "mask_logits": torch.randn(5, 1, 64, 64) * 5,
    }
    together = answer(model, features, **prompts)
    for index in range(5):
        alone = answer(model, features, **{k: v[index : index + 1] for k, v in prompts.items()})
        for a, b in zip(together, alone, strict=True):
            torch.testing.assert_close(a[index : index + 1], b, rtol=1e-4, atol=1e-4)


def test_prompts_on_several_images_equal_prompts_image_by_image(model):
    torch.manual_seed(3)
    images = model.preprocess(torch.rand(2, 3, 128, 128) * 255)
    points, labels = torch.rand(6, 1, 2) * 128, torch.ones(6, 1, dtype=torch.long)
    with torch.no_grad():
        features = model.encode_level(images)
        origin = torch.tensor([[10.0, 20], [30, 5]])
        logits, _ = model.decode_all(features, points=points, labels=labels, origin=origin)
        for image in range(2):
            part = slice(3 * image, 3 * image + 3)
            alone, _ = model.decode_all(
                tuple(f[image : image + 1] for f in features),
                points=points[part],
                labels=labels[part],
                origin=origin[image : image + 1],
            )
            torch.testing.assert_close(logits[part], alone, rtol=1e-4, atol=1e-4)


def test_every_kind_of_prompt_changes_the_mask(model, features):
    base = clicks([[64, 64, 1]])
    variants = {
        "elsewhere": clicks([[20, 90, 1]]),
        "negative": clicks([[64, 64, 0]]),
        "second": clicks([[64, 64, 1], [20, 90, 0]]),
        "box": {**base, "boxes": BOX},
        "two boxes": {**base, "boxes": torch.cat([BOX, BOX + 20], dim=1)},
        "mask": {**base, "mask_logits": torch.full((1, 1, 64, 64), 3.0)},
        "text": {**base, "text_tokens": torch.ones(1, 1, 32)},
    }
    answers = {name: answer(model, features, **prompt)[0] for name, prompt in variants.items()}
    answers["base"] = answer(model, features, **base)[0]
    names = list(answers)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            difference = (answers[first] - answers[second]).abs().max()
            assert difference > 1e-4, (first, second)


@pytest.mark.parametrize(
    "prompt", [{"boxes": BOX}, {"mask_logits": torch.zeros(1, 1, 64, 64)}, {}], ids=str
)
def test_prompts_without_points(model, features, prompt):
    logits, iou = answer(model, features, **prompt)
    assert logits.shape == (1, 3, 64, 64)
    assert torch.isfinite(logits).all()
    assert torch.isfinite(iou).all()


def test_logits_are_scaled_on_the_way_out_and_back_in(model, features):
    one_level = replace(TINY, encoder=replace(TINY.encoder, levels=1))
    weights = model.state_dict()
    model, features = build_sam(one_level), features[:4]
    model.load_state_dict(weights)
    model.eval()
    first, iou = answer(model, features, **clicks([[40, 50, 1]]))
    with torch.no_grad():
        raw, raw_iou = model.decode_all(features, **clicks([[40, 50, 1]]))
        again, _ = model.decode_all(
            features, **clicks([[40, 50, 1]]), mask_logits=raw[:, 1:2].contiguous()
        )
    torch.testing.assert_close(first, LOGIT_SCALE * raw[:, 1:])
    torch.testing.assert_close(iou, raw_iou[:, 1:].sigmoid())
    refined, _ = answer(model, features, **clicks([[40, 50, 1]]), mask_logits=first[:, :1])
    torch.testing.assert_close(refined, LOGIT_SCALE * again[:, 1:])


def test_points_without_labels_are_an_error(model, features):
    with pytest.raises(ValueError, match="together"):
        model.decode(features, points=torch.zeros(1, 1, 2), multimask=True)


def test_where_a_padding_point_lies_does_not_matter(model, features):
    here = answer(model, features, **clicks([[40, 50, 1], [0, 0, -1]]))
    there = answer(model, features, **clicks([[40, 50, 1], [99, 77, -1]]))
    torch.testing.assert_close(here, there)


def test_the_order_of_points_does_not_matter(model, features):
    one = answer(model, features, **clicks([[40, 50, 1], [90, 20, 0], [5, 5, 1]]))
    other = answer(model, features, **clicks([[5, 5, 1], [40, 50, 1], [90, 20, 0]]))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_padding_is_the_mean_colour(model):
    """A smaller image gives the masks of the same image on a canvas of the mean colour."""
    torch.manual_seed(4)
    image = torch.rand(3, 96, 128) * 255
    canvas = model.pixel_mean.expand(3, 128, 128).clone()
    canvas[:, :96] = image
    torch.testing.assert_close(model.preprocess(image), model.preprocess(canvas))


def test_frames_need_not_be_square(model):
    with torch.no_grad():
        features = model.encode(torch.randn(1, 3, 64, 192))
    logits, _ = answer(model, features, **clicks([[100, 30, 1]]))
    assert logits.shape == (1, 3, 32, 96)
    with pytest.raises(ValueError, match="multiple"):
        model.encode(torch.randn(1, 3, 64, 150))


def drawn(encoder, **prompts):
    """The maps (5, 32, 32) of one prompt at stride 4, before any weights."""
    seen = []
    handle = encoder.maps8.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    given = dict.fromkeys(("points", "labels", "boxes", "mask_logits", "text_tokens"))
    encoder(**{**given, **prompts}, batch=1, size=(32, 32))
    handle.remove()
    return seen[0][0].detach().numpy()


def test_maps_show_clicks_boxes_and_the_previous_mask_where_they_are():
    encoder = LitePromptEncoder(TINY.encoder)
    mask = torch.full((1, 1, 64, 64), -20.0)
    mask[..., 10:20, 30:50] = 20
    previous, positive, negative, inside, boxed = drawn(
        encoder,
        **clicks([[40, 60, 1], [100, 21, 0], [7, 7, -1]]),
        boxes=torch.tensor([[[20.0, 40, 60, 100]]]),
        mask_logits=mask,
    )
    y, x = np.mgrid[:32, :32] * 4 + 2.0
    for disc, (cx, cy) in ((positive, (40.5, 60.5)), (negative, (100.5, 21.5))):
        # A click is at its pixel's centre; a Gaussian of radius 5 around it, and nothing else.
        np.testing.assert_allclose(disc, np.exp(-(((x - cx) ** 2 + (y - cy) ** 2) / 25)), atol=1e-6)
    deep = (np.abs(x - 40) < 14) & (np.abs(y - 70) < 24)
    far = (np.abs(x - 40) > 28) | (np.abs(y - 70) > 38)
    assert inside[deep].min() > 0.9
    assert inside[far].max() < 0.1
    assert (boxed == 1).all()
    expected = np.zeros((32, 32))
    expected[5:10, 15:25] = 1
    np.testing.assert_allclose(previous, expected, atol=1e-6)


def test_without_box_and_mask_their_maps_are_empty():
    previous, _, negative, inside, boxed = drawn(
        LitePromptEncoder(TINY.encoder), **clicks([[40, 60, 1]])
    )
    assert not previous.any()
    assert not negative.any()
    assert not inside.any()
    assert not boxed.any()


def test_positions_do_not_depend_on_the_frame_nor_on_precision():
    encoder = LitePromptEncoder(TINY.encoder)
    small, large = encoder.grid_encoding((4, 4)), encoder.grid_encoding((8, 6))
    torch.testing.assert_close(small, large[:, :, :4, :4])
    centre = encoder.encode_positions(torch.tensor([[24.0, 40.0]]))
    torch.testing.assert_close(small[0, :, 2, 1], centre[0])
    with torch.autocast("cpu", torch.bfloat16):
        half = encoder.encode_positions(torch.tensor([[24.0, 40.0]]))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, centre, rtol=0, atol=0)


def test_half_precision_gives_nearly_the_same_masks(model):
    torch.manual_seed(5)
    image = model.preprocess(torch.rand(1, 3, 128, 128) * 255)
    prompt = clicks([[64, 64, 1]])
    with torch.no_grad():
        full = answer(model, model.encode(image), **prompt)[0]
        with torch.autocast("cpu", torch.bfloat16):
            encoded = model.encode(image)
        half = answer(model, tuple(f.float() for f in encoded), **prompt)[0]
    assert (full - half).abs().mean() < 0.05 * full.std() + 0.02


def test_a_lite_model_needs_a_lite_configuration():
    with pytest.raises(ValueError, match="ViTConfig"):
        LiteSam(replace(CONFIGS["vit_b"], name="x"))
