"""Prompts as tokens and maps, against the reference implementation."""

import copy
import itertools

import pytest
import torch
from segment_anything.modeling import PromptEncoder as ReferencePromptEncoder

from sam_plugins.modeling.prompt_encoder import PromptEncoder

SIZES = (256, (64, 64), (1024, 1024))


@pytest.fixture(scope="module")
def ours(randomize):
    return randomize(PromptEncoder(*SIZES))


@pytest.fixture(scope="module")
def theirs(ours):
    encoder = ReferencePromptEncoder(*SIZES, mask_in_chans=16)
    encoder.load_state_dict(ours.state_dict(), strict=True)
    return encoder.eval()


def prompts(kinds, batch, seed=0):
    """Prompts of the given kinds, as both prompt encoders take them."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(batch, 2, 2, generator=generator) * 1024
    given = {
        "points": (
            torch.rand(batch, 4, 2, generator=generator) * 1024,
            torch.tensor([[1, 0, -1, 1]]).expand(batch, -1),
        ),
        "boxes": corners.sort(dim=1).values.flatten(1),
        "masks": torch.randn(batch, 1, 256, 256, generator=generator) * 5,
    }
    return {name: given[name] if name in kinds else None for name in given}


COMBINATIONS = [
    kinds
    for count in range(4)
    for kinds in itertools.combinations(("points", "boxes", "masks"), count)
]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("kinds", COMBINATIONS, ids="-".join)
@torch.inference_mode()
def test_every_combination_equals_the_reference(kinds, batch, ours, theirs):
    given = prompts(kinds, batch)
    sparse, dense = ours(**given)
    expected_sparse, expected_dense = theirs(**given)
    tokens = (4 if "points" in kinds else 0) + (2 if "boxes" in kinds else 0)
    padding = 1 if "points" in kinds and "boxes" not in kinds else 0
    assert sparse.shape == (batch if kinds else 1, tokens + padding, 256)
    torch.testing.assert_close(sparse, expected_sparse, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(dense, expected_dense, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_the_dense_encoding_equals_the_reference(ours, theirs):
    torch.testing.assert_close(ours.get_dense_pe(), theirs.get_dense_pe(), rtol=0, atol=1e-5)


@torch.inference_mode()
def test_several_boxes_of_one_prompt_are_the_tokens_of_each(ours, theirs):
    boxes = torch.stack([prompts(["boxes"], 2, seed)["boxes"] for seed in range(3)], dim=1)
    sparse, _ = ours(boxes=boxes)
    expected = [theirs(points=None, boxes=boxes[:, i], masks=None)[0] for i in range(3)]
    assert sparse.shape == (2, 6, 256)
    torch.testing.assert_close(sparse, torch.cat(expected, dim=1), rtol=1e-5, atol=1e-5)
    one, _ = ours(boxes=boxes[:, :1])
    torch.testing.assert_close(one, expected[0], rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_text_tokens_come_last(ours):
    given = prompts(["points", "boxes"], 2)
    text = torch.randn(2, 3, 256, generator=torch.Generator().manual_seed(5))
    sparse, _ = ours(**given, text=text)
    without, _ = ours(**given)
    assert torch.equal(sparse, torch.cat([without, text], dim=1))
    alone, dense = ours(text=text)
    assert torch.equal(alone, text)
    assert dense.shape == (2, 256, 64, 64)


@torch.inference_mode()
def test_corners_may_be_given_as_points_with_the_labels_2_and_3(ours):
    box = prompts(["boxes"], 2)["boxes"]
    expected, _ = ours(boxes=box)
    points = (box.view(2, 2, 2), torch.tensor([[2, 3]]).expand(2, -1))
    sparse, _ = ours(points=points)
    torch.testing.assert_close(sparse[:, :2], expected)
    padding, _ = ours(points=(torch.zeros(2, 0, 2), torch.zeros(2, 0)))
    assert torch.equal(sparse[:, 2:], padding)


@torch.inference_mode()
def test_without_a_mask_the_map_is_a_view_of_one_vector(ours):
    _, dense = ours(boxes=torch.zeros(64, 4))
    assert dense.shape == (64, 256, 64, 64)
    assert dense.untyped_storage().nbytes() == 256 * 4


@torch.inference_mode()
def test_the_dense_encoding_follows_new_weights_and_other_grids(ours, randomize):
    encoder = copy.deepcopy(ours)
    first = encoder.get_dense_pe()
    assert encoder.get_dense_pe() is first  # kept
    assert encoder.get_dense_pe((16, 32)).shape == (1, 256, 16, 32)
    encoder.load_state_dict(randomize(PromptEncoder(*SIZES), seed=1).state_dict())
    assert not torch.allclose(encoder.get_dense_pe(), first)
    encoder.load_state_dict(ours.state_dict())
    assert torch.equal(encoder.get_dense_pe(), first)


def test_what_inference_kept_can_be_trained_with(ours):
    encoder = copy.deepcopy(ours)
    with torch.inference_mode():
        encoder.get_dense_pe()
    with torch.no_grad():
        encoding = encoder.get_dense_pe()
    weight = torch.ones(1, requires_grad=True)
    (weight * encoding).sum().backward()
    assert weight.grad == pytest.approx(float(encoding.sum()), rel=1e-4)


@torch.inference_mode()
def test_another_frame_is_encoded_as_a_reference_built_for_it_does(ours):
    theirs = ReferencePromptEncoder(256, (20, 32), (320, 512), mask_in_chans=16)
    theirs.load_state_dict(ours.state_dict())
    given = {"boxes": torch.tensor([[10.0, 20, 300, 310]]), "masks": None}
    given["points"] = torch.tensor([[[500.0, 33], [7, 300]]]), torch.tensor([[1, 0]])
    for result, expected in zip(ours(**given, grid=(20, 32)), theirs(**given), strict=True):
        torch.testing.assert_close(result, expected.expand_as(result), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        ours.get_dense_pe((20, 32)), theirs.get_dense_pe(), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@torch.inference_mode()
def test_half_precision_rounds_tokens_but_not_positions(dtype, ours):
    half = copy.deepcopy(ours).to(dtype)
    given = prompts(["points", "boxes", "masks"], 2)
    sparse, dense = half(**given)
    expected_sparse, expected_dense = ours(**given)
    assert sparse.dtype == dense.dtype == dtype
    # One rounding of the encoding and one of the sum with the embedding.
    torch.testing.assert_close(sparse.float(), expected_sparse, rtol=0.01, atol=0.02)
    torch.testing.assert_close(dense.float(), expected_dense, rtol=0.05, atol=0.1)
    assert torch.equal(half.get_dense_pe(), ours.get_dense_pe())
