"""The mask decoder against the reference implementation: results, batches, gradients."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from segment_anything.modeling import MaskDecoder as ReferenceDecoder
from segment_anything.modeling import TwoWayTransformer as ReferenceTransformer
from torch import nn

from sam_plugins.modeling.mask_decoder import MaskDecoder
from sam_plugins.modeling.two_way_transformer import Attention, TwoWayTransformer

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def ours(randomize):
    transformer = TwoWayTransformer(2, 256, 8, 2048)
    return randomize(MaskDecoder(transformer_dim=256, transformer=transformer))


@pytest.fixture(scope="module")
def theirs(ours):
    transformer = ReferenceTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
    decoder = ReferenceDecoder(
        num_multimask_outputs=3,
        transformer=transformer,
        transformer_dim=256,
        iou_head_depth=3,
        iou_head_hidden_dim=256,
    )
    decoder.load_state_dict(ours.state_dict(), strict=True)
    return decoder.eval()


def inputs(batch, tokens, *, mask=False, grid=(16, 24), seed=0):
    """Arguments that both decoders take: an image and the encoded prompts."""
    generator = torch.Generator().manual_seed(seed)
    height, width = grid
    if mask:
        dense = torch.randn(batch, 256, height, width, generator=generator)
    else:
        dense = torch.randn(1, 256, 1, 1, generator=generator).expand(batch, -1, height, width)
    return {
        "image_embeddings": torch.randn(1, 256, height, width, generator=generator),
        "image_pe": torch.randn(1, 256, height, width, generator=generator),
        "sparse_prompt_embeddings": torch.randn(batch, tokens, 256, generator=generator),
        "dense_prompt_embeddings": dense,
    }


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize(
    ("batch", "tokens"),
    # No prompt, a click, a box with clicks, and more tokens than are worth a detour.
    [(1, 0), (1, 2), (3, 5), (2, 30)],
)
@torch.inference_mode()
def test_masks_and_their_quality_equal_the_reference(
    batch, tokens, mask, multimask, ours, theirs, relative_error
):
    arguments = inputs(batch, tokens, mask=mask)
    masks, iou = ours(**arguments, multimask_output=multimask)
    expected_masks, expected_iou = theirs(**arguments, multimask_output=multimask)
    assert masks.shape == (batch, 3 if multimask else 1, 64, 96)
    assert relative_error(masks, expected_masks) <= TOLERANCE
    torch.testing.assert_close(iou, expected_iou, rtol=TOLERANCE, atol=TOLERANCE)


@torch.inference_mode()
def test_the_full_grid_equals_the_reference(ours, theirs, relative_error):
    arguments = inputs(2, 2, grid=(64, 64))
    masks, iou = ours(**arguments, multimask_output=True)
    expected_masks, expected_iou = theirs(**arguments, multimask_output=True)
    assert relative_error(masks, expected_masks) <= TOLERANCE
    torch.testing.assert_close(iou, expected_iou, rtol=TOLERANCE, atol=TOLERANCE)


@torch.inference_mode()
def test_all_four_masks_can_be_had(ours, theirs, relative_error):
    arguments = inputs(2, 2)
    masks, iou = ours.predict_masks(**arguments)
    expected_masks, expected_iou = theirs.predict_masks(**arguments)
    assert masks.shape == (2, 4, 64, 96)
    assert relative_error(masks, expected_masks) <= TOLERANCE
    assert relative_error(iou, expected_iou) <= TOLERANCE


@settings(max_examples=10)
@given(batch=st.integers(1, 4), tokens=st.integers(0, 20), mask=st.booleans())
def test_a_batch_equals_its_prompts_one_by_one(ours, batch, tokens, mask):
    arguments = inputs(batch, tokens, mask=mask, grid=(4, 6))
    for grad in (False, True):  # in pieces and all at once
        with torch.set_grad_enabled(grad):
            masks, iou = ours(**arguments, multimask_output=True)
            for i in range(batch):
                one = {
                    name: value[i : i + 1] if "prompt" in name else value
                    for name, value in arguments.items()
                }
                expected_masks, expected_iou = ours(**one, multimask_output=True)
                torch.testing.assert_close(masks[i : i + 1], expected_masks, rtol=1e-4, atol=1e-4)
                torch.testing.assert_close(iou[i : i + 1], expected_iou, rtol=1e-4, atol=1e-4)


@torch.inference_mode()
def test_each_prompt_may_be_about_an_image_of_its_own(ours):
    arguments = inputs(3, 2)
    images = torch.randn(3, 256, 16, 24, generator=torch.Generator().manual_seed(9))
    masks, _ = ours(**{**arguments, "image_embeddings": images}, multimask_output=True)
    for i in range(3):
        one = {
            name: value[i : i + 1] if "prompt" in name else value
            for name, value in arguments.items()
        }
        expected, _ = ours(**{**one, "image_embeddings": images[i : i + 1]}, multimask_output=True)
        torch.testing.assert_close(masks[i : i + 1], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mask", [True, False])
def test_gradients_equal_the_reference(mask, ours, theirs, relative_error):
    gradients = []
    for decoder in (ours, theirs):
        decoder = copy.deepcopy(decoder)
        arguments = inputs(2, 3, mask=mask, grid=(4, 4))
        arguments["image_embeddings"].requires_grad_()
        masks, iou = decoder(**arguments, multimask_output=True)
        (masks.tanh().sum() + iou.sum()).backward()
        found = {name: p.grad for name, p in decoder.named_parameters()}
        gradients.append(found | {"image": arguments["image_embeddings"].grad})
    for name, expected in gradients[1].items():
        # The keys' bias has no influence: its gradient is rounding.
        if expected is not None and not name.endswith("k_proj.bias"):
            # Heads of masks that were not asked for are not computed here: None for zero.
            gradient = gradients[0][name]
            error = (expected if gradient is None else gradient - expected).abs().max()
            assert error <= 1e-3 * expected.abs().max() + 1e-6, name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.inference_mode()
def test_half_precision_is_close(dtype, ours, relative_error):
    arguments = inputs(2, 2, mask=True)
    expected, _ = ours(**arguments, multimask_output=True)
    masks, iou = copy.deepcopy(ours).to(dtype)(**arguments, multimask_output=True)
    assert masks.dtype == iou.dtype == dtype
    assert 0 < relative_error(masks, expected) < 0.1


class Adapted(nn.Module):
    """A projection to whose result a low-rank term is added."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.out_features = layer.out_features
        generator = torch.Generator().manual_seed(1)
        self.down = torch.randn(2, layer.in_features, generator=generator) / 16
        self.up = torch.randn(layer.out_features, 2, generator=generator)

    def forward(self, x):
        return self.layer(x) + x @ self.down.T @ self.up.T


@pytest.mark.parametrize("name", ["q_proj", "k_proj", "v_proj", "out_proj"])
@torch.inference_mode()
def test_adapted_projections_take_effect(name, randomize):
    """The detour around projecting image tokens must not go around what was put in their place."""
    adapted = randomize(Attention(64, 4, 2))
    merged = copy.deepcopy(adapted)
    wrapper = Adapted(getattr(adapted, name))
    setattr(adapted, name, wrapper)
    getattr(merged, name).weight += wrapper.up @ wrapper.down
    few, many = (torch.randn(1, n, 64, generator=torch.Generator().manual_seed(n)) for n in (5, 99))
    for q, k in ((few, many), (many, few)):
        torch.testing.assert_close(adapted(q, k, k + 1), merged(q, k, k + 1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("queries", "keys"), [(5, 99), (99, 5), (5, 5), (99, 99)])
def test_attention_is_the_same_on_every_way(queries, keys, randomize, relative_error):
    """With gradients all is projected; without, the shorter side is taken through instead."""
    attention = randomize(Attention(64, 4, 2))
    generator = torch.Generator().manual_seed(2)
    q, k, v = (torch.randn(3, n, 64, generator=generator) for n in (queries, keys, keys))
    expected = attention(q, k, v).detach()
    with torch.no_grad():
        assert relative_error(attention(q, k, v), expected) <= 1e-5


def test_heads_must_share_the_channels():
    with pytest.raises(ValueError, match="10 channels cannot be shared among 4 heads"):
        Attention(20, 4, 2)


@torch.inference_mode()
def test_what_is_kept_of_an_image_is_not_used_for_another(ours, theirs, relative_error):
    decoder, reference = copy.deepcopy(ours), copy.deepcopy(theirs)

    def check(arguments):
        masks, _ = decoder(**arguments, multimask_output=True)
        expected, _ = reference(**arguments, multimask_output=True)
        assert relative_error(masks, expected) <= TOLERANCE

    arguments = inputs(1, 2)
    check(arguments)
    check({**arguments, "sparse_prompt_embeddings": torch.randn(2, 3, 256)} | {
        "dense_prompt_embeddings": arguments["dense_prompt_embeddings"].expand(2, -1, -1, -1)
    })  # fmt: skip
    arguments["image_embeddings"].mul_(-1)
    check(arguments)
    check({**arguments, "image_pe": torch.randn(1, 256, 16, 24)})
    check({**arguments, "dense_prompt_embeddings": torch.randn(1, 256, 16, 24)})
    check(inputs(1, 2, grid=(5, 3)))
    for each in (decoder, reference):
        layer = each.transformer.layers[0].cross_attn_image_to_token
        layer.q_proj.weight.data.mul_(2)
        layer.out_proj.weight.data.mul_(2)
    check(inputs(1, 2, grid=(5, 3)))


def test_threads_that_ask_about_different_images_get_their_own_answers(ours):
    """What is kept of the image that was asked about last belongs to one of them at a time."""
    decoder, wrong = copy.deepcopy(ours), []
    given = [inputs(1, 2, grid=(8, 8), seed=seed) for seed in range(4)]

    def predict(arguments):
        with torch.inference_mode():
            return decoder(**arguments, multimask_output=True, precision=torch.bfloat16)[0]

    expected = [predict(arguments) for arguments in given]

    def ask(number):
        for _ in range(20):
            if (predict(given[number]) - expected[number]).norm() > 0.01 * expected[number].norm():
                wrong.append(number)

    with ThreadPoolExecutor(len(given)) as pool:
        list(pool.map(ask, range(len(given))))
    assert not wrong
