"""Summaries by PyTorch equal those by the kernels, and those of masks made as a whole."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco
from scipy import ndimage

from sam_plugins.frames import Frame
from sam_plugins.masks import device_summaries
from sam_plugins.masks.device_summaries import summarize_on_device, summarize_where_it_is
from sam_plugins.masks.stability import stability_score
from sam_plugins.masks.streaming import summarize

SIZES = [(64, 64), (30, 50), (61, 20), (2, 2), (3, 40), (90, 77)]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]


@pytest.fixture(params=DEVICES)
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU")
    return request.param


def logits_for(frame, seed, kind, count=3):
    """Of which no value at the image's size lies so near to a cut that its last bit decides."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, (count, *frame.low_resolution_size)).astype(np.float32)
    if kind == "smooth":
        logits = ndimage.gaussian_filter(logits, (0, 2, 2))
        logits = (3 * logits / logits.std()).astype(np.float32)
    while True:
        full = frame.upsample(torch.from_numpy(logits))
        if all((full - cut).abs().min() > 1e-5 for cut in (-1, 0, 1)):
            return logits
        logits += np.float32(1e-4)


def assert_same(found, expected):
    for name in ("boxes", "areas", "stability"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
    assert found.rles == expected.rles


@pytest.mark.parametrize("kind", ["smooth", "noise"])
@pytest.mark.parametrize("size", SIZES)
def test_summaries_are_those_of_the_kernels(size, kind, device):
    frame = Frame(size, 64, 4)
    logits = logits_for(frame, 0, kind)
    found = summarize_on_device(torch.from_numpy(logits).to(device), frame)
    assert_same(found, summarize(logits, frame))


def test_summaries_of_a_large_image_are_those_of_the_kernels(device):
    frame = Frame((700, 1300), 1024, 4)
    logits = np.random.default_rng(5).normal(0, 4, (2, *frame.low_resolution_size))
    logits = (9 * ndimage.gaussian_filter(logits, (0, 6, 6))).astype(np.float32)
    found = summarize_on_device(torch.from_numpy(logits).to(device), frame)
    expected = summarize(logits, frame)
    # Among a million of values one may lie so near to a cut that its last bit decides.
    assert np.abs(found.areas - expected.areas).max() <= 1
    for ours, theirs in zip(found.rles, expected.rles, strict=True):
        assert (coco.decode(ours) != coco.decode(theirs)).sum() <= 1


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(2, 70), st.integers(2, 70)),
    st.tuples(*[st.integers(0, 3)] * 4),
    st.floats(-2, 2),
)
def test_summaries_are_those_of_the_upsampled_masks(seed, size, margins, threshold):
    """To the last pixel, because both are upsampled by the same operator; anywhere in an image."""
    frame = Frame(size, 64, 4)
    left, top, right, bottom = margins
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.normal(0, 9, (3, 16, 16)), (0, seed % 3, seed % 3))
    logits = torch.from_numpy((smooth + rng.normal(0, 3, (3, 1, 1))).astype(np.float32))
    full_size = (size[0] + top + bottom, size[1] + left + right)
    found = summarize_on_device(
        logits, frame, threshold=threshold, offset=(left, top), full_size=full_size
    )
    full = frame.upsample(logits).numpy()
    masks = np.zeros((3, *full_size), np.uint8)
    masks[:, top : top + size[0], left : left + size[1]] = full > np.float32(threshold)
    for index, mask in enumerate(masks):
        theirs = coco.encode(np.asfortranarray(mask))
        assert found.rles[index] == {
            "size": list(full_size),
            "counts": theirs["counts"].decode(),
        }
        assert found.areas[index] == mask.sum()
        ys, xs = mask.nonzero()
        box = [xs.min(), ys.min(), xs.max(), ys.max()] if mask.any() else [0, 0, 0, 0]
        assert found.boxes[index].tolist() == box
    np.testing.assert_allclose(found.stability, stability_score(full, threshold=threshold))


@pytest.mark.parametrize(
    ("offset", "full_size"),
    [((0, 0), (30, 50)), ((7, 0), (30, 80)), ((0, 9), (60, 50)), ((20, 7), (80, 90))],
    ids=["alone", "all rows", "all columns", "in the middle"],
)
@pytest.mark.parametrize("kind", ["empty", "full", "corners", "stripes"])
def test_runs_at_the_borders(kind, offset, full_size, device):
    frame = Frame((30, 50), 50, 5)
    logits = np.full((1, 10, 10), -9, np.float32)
    if kind == "full":
        logits[:] = 9
    elif kind == "corners":
        logits[:, ::5, ::9] = 9
    elif kind == "stripes":
        # Runs that go on from the end of a column to the begin of the next.
        logits[:, ::5] = 9
    options = {"offset": offset, "full_size": full_size}
    found = summarize_on_device(torch.from_numpy(logits).to(device), frame, **options)
    assert_same(found, summarize(logits, frame, **options))
    assert (found.areas[0] == 0) == (kind == "empty")


@pytest.mark.parametrize("at_once", [1, 2, 7, 99])
def test_chunks_do_not_matter(at_once, monkeypatch):
    frame = Frame((40, 70), 64, 4)
    logits = torch.from_numpy(logits_for(frame, 2, "smooth", count=7))
    each, sizes, upsample = 8 * 64 * 64 + 8 * 40 * 70, [], Frame.upsample
    monkeypatch.setattr(
        Frame, "upsample", lambda *given: sizes.append(len(given[1])) or upsample(*given)
    )
    found = summarize_on_device(logits, frame, chunk_bytes=at_once * each + each // 2)
    assert sizes == {1: [1] * 7, 2: [2, 2, 2, 1], 7: [7], 99: [7]}[at_once]
    assert_same(found, summarize(logits.numpy(), frame))
    # A mask that is larger than a chunk is one.
    assert_same(summarize_on_device(logits[:2], frame, chunk_bytes=1), summarize(logits[:2], frame))


def test_a_chunk_goes_to_the_host_in_one_piece(monkeypatch):
    frame = Frame((40, 70), 64, 4)
    copies, cpu = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda x: copies.append(x.shape) or cpu(x))
    logits = torch.from_numpy(logits_for(frame, 2, "noise"))
    summarize_on_device(logits, frame)
    assert len(copies) == 1
    copies.clear()
    without = summarize_on_device(logits, frame, with_rle=False)
    assert without.rles == []
    assert copies == [(7 * 3,)]
    np.testing.assert_array_equal(without.areas, summarize(logits.numpy(), frame).areas)


def test_no_masks_and_what_does_not_fit():
    frame = Frame((30, 50), 64, 4)
    logits = torch.zeros(0, *frame.low_resolution_size)
    assert_same(summarize_on_device(logits, frame), summarize(logits.numpy(), frame))
    with pytest.raises(ValueError, match="logits"):
        summarize_on_device(torch.zeros(1, 7, 7), frame)
    with pytest.raises(ValueError, match="does not lie"):
        summarize_on_device(logits, frame, offset=(5, 0))


def test_on_a_cpu_the_kernels_do_it(monkeypatch):
    frame = Frame((30, 50), 64, 4)
    logits = logits_for(frame, 1, "smooth")
    monkeypatch.setattr(device_summaries, "summarize_on_device", None)
    options = {"offset": (1, 2), "full_size": (40, 60)}
    found = summarize_where_it_is(torch.from_numpy(logits), frame, **options)
    assert_same(found, summarize(logits, frame, **options))
