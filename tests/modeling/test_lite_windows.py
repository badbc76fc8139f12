"""Windows: laid about what was prompted, inside the frame; cutting and pasting loses nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sam_plugins.modeling import build_sam
from sam_plugins.modeling.lite import LOGIT_SCALE, MOST_CUT_OFF
from sam_plugins.modeling.lite_levels import LevelPrompts
from sam_plugins.modeling.lite_windows import OUTSIDE, Windows
from tests.modeling.test_lite import TINY, answer, clicks


def windows_about(*points, frame_size=(512, 512)):
    corners = torch.tensor([[point] for point in points], dtype=torch.float32)
    return Windows(corners, torch.ones(len(points), 1, dtype=torch.bool), frame_size)


@pytest.mark.parametrize(
    ("frame_size", "point", "start", "size"),
    [
        ((512, 512), (256, 256), (128, 128), (256, 256)),
        ((512, 512), (3, 500), (0, 256), (256, 256)),
        ((512, 512), (265, 150), (144, 16), (256, 256)),
        ((512, 384), (380, 202), (128, 80), (256, 256)),
        ((512, 128), (100, 300), (0, 176), (256, 128)),
        ((64, 128), (100, 30), (0, 0), (64, 128)),
    ],
)
def test_where_a_window_lies(frame_size, point, start, size):
    windows = windows_about(point, frame_size=frame_size)
    assert windows.start.tolist() == [list(start)]
    assert windows.size == size


def test_the_middle_of_what_counts():
    prompts = LevelPrompts(
        points=torch.tensor([[[203.0, 300], [260, 340], [500, 10], [0, 0]]]),
        labels=torch.tensor([[1, 1, 0, -1]]),
    )
    assert prompts.windows((512, 512)).start.tolist() == [[96, 192]]  # about (231.5, 320)
    background = replace(prompts, labels=torch.tensor([[0, -1, -1, -1]]))
    assert background.windows((512, 512)).start.tolist() == [[80, 176]]  # about (203, 300)
    boxed = replace(background, boxes=torch.tensor([[[300.0, 260, 340, 300]]]))
    assert boxed.windows((512, 512)).start.tolist() == [[192, 160]]  # the background click is not
    nowhere = replace(prompts, labels=torch.tensor([[-1, -1, -1, -1]]))
    assert nowhere.windows((512, 512)).start.tolist() == [[0, 0]]
    with pytest.raises(ValueError, match="needs points or boxes"):
        LevelPrompts(mask_logits=torch.zeros(1, 1, 8, 8)).windows((512, 512))


def test_cut_is_slicing_and_paste_puts_it_back():
    torch.manual_seed(0)
    windows = windows_about((256, 256), (3, 500), (300, 100))
    features = tuple(torch.randn(1, 3, 512 // s, 512 // s) for s in (16, 8, 4, 2))
    for stride, whole, cut in zip((16, 8, 4, 2), features, windows.cut(features), strict=True):
        for row, (x, y) in enumerate(windows.start.tolist()):
            x, y, side = x // stride, y // stride, 256 // stride
            assert torch.equal(cut[row][0], whole[0, :, y : y + side, x : x + side])
    logits = torch.randn(3, 1, 256, 256)
    pasted = windows.paste_logits(windows.cut_logits(logits))
    for row, (x, y) in enumerate((windows.start // 2).tolist()):
        inside = np.zeros((256, 256), bool)
        inside[y : y + 128, x : x + 128] = True
        assert torch.equal(pasted[row, 0][inside], logits[row, 0][inside])
        assert (pasted[row, 0][~inside] == OUTSIDE).all()


def test_clicks_outside_of_the_window_become_padding():
    prompts = LevelPrompts(
        points=torch.tensor([[[256.0, 256], [128, 128], [127, 200], [383, 383], [384, 200]]]),
        labels=torch.tensor([[1, 0, 0, 0, 0]]),
        boxes=torch.tensor([[[250.0, 250, 260, 265]]]),
    )
    inside = prompts.within(windows_about((256, 256)))
    assert inside.labels.tolist() == [[1, 0, -1, 0, -1]]
    assert inside.points[0, 0].tolist() == [128, 128]
    assert inside.boxes.tolist() == [[[122, 122, 132, 137]]]


def test_what_a_window_cuts_off():
    logits = torch.full((1, 4, 128, 128), -1.0)
    logits[0, 0, 50:60, 50:60] = 1  # whole
    logits[0, 1, 50:60, :10] = 1  # cut at the left, where the window is within the frame
    logits[0, 2, -10:, 50:60] = 1  # cut at the bottom, where the frame ends too
    inner, corner = windows_about((256, 256)), windows_about((0, 512))
    assert inner.cut_off(logits)[0].tolist() == [0, 1, 1, 0]
    assert corner.cut_off(logits)[0].tolist() == [0, 0, 0, 0]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_sam(replace(TINY, frame_size=512)).eval()


@pytest.fixture(scope="module")
def features(model):
    torch.manual_seed(1)
    with torch.no_grad():
        return model.encode(model.preprocess(torch.rand(1, 3, 512, 512) * 255))


def test_a_click_is_answered_in_its_window_or_by_the_coarse_level(model, features):
    points = [[250.0, 260]], [[40, 500]], [[400, 30]]
    prompts = clicks(*([[*each[0], 1]] for each in points))
    logits, iou = answer(model, features, **prompts)
    for row, (start, (x, y)) in enumerate(
        zip([(128, 128), (0, 256), (256, 0)], [each[0] for each in points], strict=True)
    ):
        left, top = start
        maps = tuple(
            f[:, :, top // s : (top + 256) // s, left // s : (left + 256) // s]
            for s, f in zip((16, 8, 4, 2), features, strict=False)
        )
        one = torch.ones(1, 1, dtype=torch.long)
        with torch.no_grad():
            fine, fine_iou = model.decode_all(
                maps,
                points=torch.tensor([[[x - left, y - top]]]),
                labels=one,
                origin=torch.tensor([[left, top]], dtype=torch.float32),
            )
            coarse, coarse_iou = model.decode_all(
                features[4:], points=torch.tensor([[[(x + 0.5) / 2 - 0.5, (y + 0.5) / 2 - 0.5]]]),
                labels=one,
            )  # fmt: skip
        fine_mask = torch.full((1, 4, 256, 256), OUTSIDE)
        fine_mask[..., top // 2 : top // 2 + 128, left // 2 : left // 2 + 128] = LOGIT_SCALE * fine
        coarse_mask = torch.nn.functional.interpolate(
            LOGIT_SCALE * coarse, scale_factor=2, mode="bilinear"
        )
        cut = Windows(torch.tensor([[[x, y]]]), torch.ones(1, 1, dtype=torch.bool), (512, 512))
        better = (coarse_iou > fine_iou) | (cut.cut_off(fine) > MOST_CUT_OFF)
        for k in range(3):
            wanted = (coarse_mask if better[0, 1 + k] else fine_mask)[0, 1 + k]
            torch.testing.assert_close(logits[row, k], wanted, rtol=1e-3, atol=1e-3)
            wanted_iou = (coarse_iou if better[0, 1 + k] else fine_iou)[0, 1 + k].sigmoid()
            torch.testing.assert_close(iou[row, k], wanted_iou, rtol=1e-4, atol=1e-4)


def test_a_mask_alone_is_asked_at_the_coarsest_level(model, features):
    mask = torch.randn(2, 1, 256, 256)
    logits, _ = answer(model, features, mask_logits=mask)
    with torch.no_grad():
        small = torch.nn.functional.avg_pool2d(mask / LOGIT_SCALE, 2)
        wanted, _ = model.decode_all(features[4:], mask_logits=small)
    wanted = torch.nn.functional.interpolate(wanted, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(logits, LOGIT_SCALE * wanted[:, 1:], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("count", [1, 3])
def test_asking_the_levels_in_one_call_changes_nothing(model, features, count, monkeypatch):
    points = torch.tensor([[[30.0, 41]], [[100, 60]], [[5, 200]]])[:count]
    prompts = {"points": points, "labels": torch.ones(count, 1), "multimask": True}
    with torch.inference_mode():
        together = model.decode(features, **prompts)
        monkeypatch.setattr("sam_plugins.modeling.lite.FEW_PROMPTS", 0)
        apart = model.decode(features, **prompts)
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_a_window_passes_gradients_on(model, features):
    points = torch.tensor([[[30.0, 41]], [[100, 60]]])
    logits, _ = model.decode(features, points=points, labels=torch.ones(2, 1), multimask=True)
    logits.sum().backward()
    weight = model.mask_decoder.up8.weight
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0
    model.zero_grad()
