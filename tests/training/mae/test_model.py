"""The masked autoencoder: masks, positions, loss, and the names of its weights."""

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from sam_plugins.checkpoints import load_image_encoder
from sam_plugins.checkpoints.mae import mae_to_image_encoder
from sam_plugins.modeling import SamConfig, ViTConfig, build_sam
from sam_plugins.modeling.configs import CONFIGS
from sam_plugins.training.mae.fit import save_encoder
from sam_plugins.training.mae.model import SIZES, MaskedAutoencoder, MaskedAutoencoderConfig
from sam_plugins.training.mae.patches import (
    patches_of,
    positions,
    random_masks,
    reconstruction_loss,
)

TINY = MaskedAutoencoderConfig(
    32, 2, 2, image_size=64, decoder_dim=16, decoder_depth=1, decoder_heads=2
)


def generators(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.fixture
def model(randomize):
    return randomize(MaskedAutoencoder(TINY))


def some_masks(count=2):
    return random_masks(generators(*range(count)), patches=TINY.patches, visible=TINY.visible)


def test_three_quarters_are_masked_as_the_seed_says():
    masks = random_masks(generators(1, 2, 1), patches=196, visible=SIZES["vit_b"].visible)
    assert masks.sum(dim=1).tolist() == [147] * 3
    assert torch.equal(masks[0], masks[2])
    assert not torch.equal(masks[0], masks[1])
    (shared,) = generators(1)
    twice = random_masks([shared, shared], patches=196, visible=49)
    assert torch.equal(twice[0], masks[0])
    assert not torch.equal(twice[1], masks[0])


def test_every_patch_is_masked_equally_often():
    share = random_masks(generators(0) * 4000, patches=16, visible=4).float().mean(dim=0)
    # Five standard deviations of a mean over 4000.
    assert (share - 0.75).abs().max() < 5 * (0.75 * 0.25 / 4000) ** 0.5


def test_positions_follow_the_formula():
    found = positions(3, 8)[0].numpy()
    assert not found[0].any()
    for y in range(3):
        for x in range(3):
            expected = []
            for place in (x, y):
                for wave in (np.sin, np.cos):
                    expected += [wave(place / 10000 ** (2 * i / 4)) for i in range(2)]
            np.testing.assert_allclose(found[1 + 3 * y + x], expected, atol=1e-6)


def test_patches_are_cut_row_by_row():
    images = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)[..., :4]
    found = patches_of(images, 2)
    for place, (y, x) in enumerate([(0, 0), (0, 2), (2, 0), (2, 2)]):
        expected = images[1, :, y : y + 2, x : x + 2].permute(1, 2, 0).flatten()
        assert torch.equal(found[1, place], expected)


def test_loss_of_a_tiny_example_and_only_masked_patches_count():
    rng = np.random.default_rng(0)
    predicted, patches = rng.normal(size=(2, 2, 3, 4)).astype(np.float32)
    masked = np.array([[True, False, True], [False, True, True]])
    errors = []
    for image, place in zip(*np.nonzero(masked), strict=True):
        patch = patches[image, place]
        wanted = (patch - patch.sum() / 4) / np.sqrt(((patch - patch.mean()) ** 2).sum() / 3 + 1e-6)
        errors.append(((predicted[image, place] - wanted) ** 2).mean())

    def loss(predicted, patches):
        return reconstruction_loss(*map(torch.from_numpy, (predicted, patches, masked))).item()

    assert loss(predicted, patches) == pytest.approx(np.mean(errors), rel=1e-5)
    predicted[~masked] = 100
    patches[~masked] = -100
    assert loss(predicted, patches) == pytest.approx(np.mean(errors), rel=1e-5)
    patches[masked] = 7  # of one colour: finite
    assert np.isfinite(loss(predicted, patches))


def test_masked_pixels_are_not_seen(model):
    images, masked = torch.randn(2, 3, 64, 64), some_masks()
    pixels = masked.view(2, 1, 4, 4).repeat_interleave(16, 2).repeat_interleave(16, 3)
    with torch.no_grad():
        encoded = model.encode(images, masked)
        assert encoded.shape == (2, 1 + 4, 32)
        other = torch.where(pixels, torch.randn(images.shape), images)
        assert torch.equal(model.encode(other, masked), encoded)
        changed = torch.where(pixels, images, torch.randn(images.shape))
        assert not torch.allclose(model.encode(changed, masked), encoded)


def test_encoder_is_the_plain_vit_of_timm(model, relative_error):
    peer = VisionTransformer(img_size=64, embed_dim=32, depth=2, num_heads=2, num_classes=0).eval()
    encoder = {k: v for k, v in model.state_dict().items() if "decoder" not in k}
    del encoder["mask_token"]
    peer.load_state_dict(encoder)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        ours = model.encode(images, torch.zeros(2, 16, dtype=torch.bool))
        assert relative_error(ours, peer.forward_features(images)) < 1e-5


def test_decoder_puts_visible_tokens_where_they_belong(model):
    masked, tokens = some_masks(), torch.randn(2, 5, 32)
    seen = []
    model.decoder_blocks[0].register_forward_pre_hook(lambda block, given: seen.append(given[0]))
    with torch.no_grad():
        assert model.decode(tokens, masked).shape == (2, 16, 768)
        inside = seen[0] - model.decoder_pos_embed
        narrow = model.decoder_embed(tokens)
    for image in range(2):
        torch.testing.assert_close(inside[image, 0], narrow[image, 0])
        visible = (~masked[image]).nonzero().flatten().tolist()
        for order, place in enumerate(visible):
            torch.testing.assert_close(inside[image, 1 + place], narrow[image, 1 + order])
        for place in masked[image].nonzero().flatten().tolist():
            torch.testing.assert_close(inside[image, 1 + place], model.mask_token[0, 0])


def test_names_and_shapes_are_the_released_files():
    with torch.device("meta"):
        state = MaskedAutoencoder(SIZES["vit_b"]).state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    expected = {
        "cls_token": (1, 1, 768),
        "pos_embed": (1, 197, 768),
        "mask_token": (1, 1, 512),
        "decoder_pos_embed": (1, 197, 512),
        "patch_embed.proj.weight": (768, 3, 16, 16),
        "patch_embed.proj.bias": (768,),
    }
    linear = {"decoder_embed": (512, 768), "decoder_pred": (768, 512)}
    norms = {"norm": 768, "decoder_norm": 512}
    for prefix, depth, width in (("blocks", 12, 768), ("decoder_blocks", 8, 512)):
        for block in range(depth):
            norms |= {f"{prefix}.{block}.norm{n}": width for n in (1, 2)}
            linear |= {
                f"{prefix}.{block}.attn.qkv": (3 * width, width),
                f"{prefix}.{block}.attn.proj": (width, width),
                f"{prefix}.{block}.mlp.fc1": (4 * width, width),
                f"{prefix}.{block}.mlp.fc2": (width, 4 * width),
            }
    for name, shape in linear.items():
        expected |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name, width in norms.items():
        expected |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    assert shapes == expected
    encoder = CONFIGS["vit_b"].encoder
    filled = mae_to_image_encoder({k: torch.zeros(s) for k, s in shapes.items()}, encoder)
    assert filled["image_encoder.pos_embed"].shape == (1, 64, 64, 768)


def test_from_the_autoencoder_into_sam(model, tmp_path):
    save_encoder(model, tmp_path / "encoder.safetensors")
    (tmp_path / "other").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1  # others may read it
    encoder = ViTConfig(32, 2, 2, (1,), window_size=3, out_channels=16)
    sam = build_sam(SamConfig("small", encoder, frame_size=64))
    missing = load_image_encoder(sam, tmp_path / "encoder.safetensors")
    assert missing
    assert all(name.startswith("image_encoder.neck.") for name in missing)
    # Before its blocks SAM's encoder sees what the autoencoder's does, at the same size.
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        ours = model.patch_embed(images) + model.pos_embed[:, 1:]
        theirs = sam.image_encoder.patch_embed(images) + sam.image_encoder.pos_embed
        torch.testing.assert_close(theirs.flatten(1, 2), ours)
        mlp, own = sam.image_encoder.blocks[1].mlp, model.blocks[1].mlp
        assert torch.equal(mlp.lin1.weight, own.fc1.weight)
        assert torch.equal(mlp.lin2.weight, own.fc2.weight)
        assert sam.encode(images)[0].isfinite().all()


def test_weights_that_are_not_finite_are_not_saved(model, tmp_path):
    with torch.no_grad():
        model.blocks[0].norm1.bias[0] = torch.nan
    with pytest.raises(FloatingPointError, match=r"blocks\.0\.norm1\.bias"):
        save_encoder(model, tmp_path / "encoder.safetensors")
    assert not list(tmp_path.iterdir())


def test_bad_inputs(model):
    with pytest.raises(ValueError, match=r"\(B, 3, 64, 64\), got \(1, 3, 32, 32\)"):
        model(torch.zeros(1, 3, 32, 32), some_masks(1))
    for wrong, message in (
        ({"image_size": 60}, "multiple of 16, got 60"),
        ({"mask_ratio": 1.0}, "some of 196 patches visible"),
        ({"mask_ratio": 0.0}, "some of 196 patches visible"),
        ({"decoder_dim": 30}, "multiple of 4 and of 16, got 30"),
    ):
        with pytest.raises(ValueError, match=message):
            MaskedAutoencoderConfig(32, 2, 2, **wrong)
