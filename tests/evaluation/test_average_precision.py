"""AP and AR of masks: against pycocotools, and LVIS's rule by hand."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from sam_plugins.evaluation.average_precision import (
    AREAS,
    Federation,
    FoundObject,
    TrueObject,
    accuracy_of,
    mean_accuracy,
)
from sam_plugins.evaluation.coco_files import Annotations
from sam_plugins.evaluation.instances import precision_of
from sam_plugins.evaluation.proposals import recalls_of
from sam_plugins.masks import rle

SIZE = (160, 200)


def rectangle(x, y, width, height):
    mask = np.zeros(SIZE, dtype=bool)
    mask[max(y, 0) : y + height, max(x, 0) : x + width] = True
    return mask


def scenes(seed, *, images=6, categories=3):
    """Random objects, crowds among them, and masks that are near to them or anywhere."""
    random = np.random.default_rng(seed)
    truths, found = [], []
    for image in range(1, images + 1):
        for _ in range(random.integers(0, 7)):
            x, y = random.integers(0, 100, 2)
            side = random.integers(4, 110, 2)
            mask = rectangle(x, y, *side)
            category = int(random.integers(1, categories + 1))
            crowd = bool(random.random() < 0.15)
            truths.append(TrueObject(image, category, rle.encode(mask), float(mask.sum()), crowd))
            for _ in range(random.integers(0, 3)):
                dx, dy = random.integers(-4, 5, 2)
                moved = rectangle(x + dx, y + dy, *side)
                label = category if random.random() < 0.8 else int(random.integers(1, 4))
                found.append(FoundObject(image, label, rle.encode(moved), float(random.random())))
    return truths, found


def by_pycocotools(truths, found, *, merged=False, most=(1, 10, 100)):
    images = sorted({x.image for x in truths} | {x.image for x in found})
    content = {
        "images": [{"id": image, "height": SIZE[0], "width": SIZE[1]} for image in images],
        "categories": [{"id": number} for number in (1, 2, 3)],
        "annotations": [
            {
                "id": number,
                "image_id": x.image,
                "category_id": x.category,
                "segmentation": x.rle,
                "area": x.area,
                "iscrowd": int(x.crowd),
                "bbox": [0, 0, 1, 1],
            }
            for number, x in enumerate(truths, 1)
        ],
    }
    results = [
        {"image_id": x.image, "category_id": x.category, "segmentation": x.rle, "score": x.score}
        for x in found
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        api = COCO()
        api.dataset = content
        api.createIndex()
        measured = COCOeval(api, api.loadRes(results), "segm")
        measured.params.maxDets = list(most)
        measured.params.useCats = 0 if merged else 1
        measured.evaluate()
        measured.accumulate()
    return measured.eval


def mean(values):
    values = values[values > -1]
    return float(values.mean()) if values.size else None


@pytest.mark.parametrize("seed", range(6))
def test_the_same_as_pycocotools(seed):
    truths, found = scenes(seed)
    expected = by_pycocotools(truths, found)
    for place, area in enumerate(AREAS.values()):
        ap, ar = mean_accuracy(accuracy_of(truths, found, area=area))
        assert ap == pytest.approx(mean(expected["precision"][..., place, -1]))
        assert ar == pytest.approx(mean(expected["recall"][..., place, -1]))
    annotations = Annotations({}, {}, truths, {}, None)
    assert precision_of(annotations, found)["all"] == pytest.approx(
        mean(expected["precision"][..., 0, -1])
    )


@pytest.mark.parametrize("most", [1, 3, 1000])
def test_proposals_are_pycocotools_recall_without_categories(most):
    truths, found = scenes(11, images=8)
    truths = [TrueObject(x.image, x.category, x.rle, x.area) for x in truths]
    expected = by_pycocotools(truths, found, merged=True, most=(1, most, most))["recall"]
    merged = [FoundObject(x.image, 0, x.rle, x.score) for x in found]
    recalls = recalls_of(truths, merged, most=most)
    for place, name in enumerate(AREAS):
        assert recalls[name] == pytest.approx(mean(expected[..., place, -1]))


def test_recall_by_frequency_by_hand():
    masks = [rectangle(0, 0, 20, 20), rectangle(50, 0, 20, 20), rectangle(100, 0, 20, 20)]
    truths = [TrueObject(1, n, rle.encode(m), 400.0) for n, m in enumerate(masks, 1)]
    found = [FoundObject(1, 0, rle.encode(masks[n]), 0.5) for n in (0, 2)]
    recalls = recalls_of(truths, found, frequency={1: "f", 2: "c", 3: "c"})
    assert (recalls["frequent"], recalls["common"], recalls["rare"]) == (1.0, 0.5, None)
    assert recalls["all"] == pytest.approx(2 / 3)
    assert (recalls["small"], recalls["large"]) == (pytest.approx(2 / 3), None)


def test_the_federated_rule_by_hand():
    here, there = rle.encode(rectangle(0, 0, 40, 40)), rle.encode(rectangle(100, 60, 40, 40))
    truths = [TrueObject(1, 1, here, 1600.0)]
    right, wrong = FoundObject(1, 1, here, 0.5), FoundObject(1, 1, there, 0.9)
    elsewhere = FoundObject(2, 1, there, 0.8)

    def ap(found, federation=None):
        return accuracy_of(truths, found, federation=federation)[1].ap

    assert ap([right]) == pytest.approx(1)
    assert ap([right, wrong]) == pytest.approx(0.5)
    assert ap([right, elsewhere]) == pytest.approx(0.5)
    # Nobody looked for the category in image 2: what is found there is left out.
    assert ap([right, elsewhere], Federation()) == pytest.approx(1)
    # It is known not to be there: that is wrong.
    assert ap([right, elsewhere], Federation({2: frozenset({1})})) == pytest.approx(0.5)
    # Image 1 has more of them than are labelled: another one counts neither way.
    federation = Federation({}, {1: frozenset({1})})
    assert ap([right, wrong], federation) == pytest.approx(1)
    assert ap([right, wrong], Federation()) == pytest.approx(0.5)


def test_lvis_bounds_the_masks_of_an_image():
    here = rle.encode(rectangle(0, 0, 40, 40))
    truths = [TrueObject(1, 1, here, 1600.0), TrueObject(1, 2, here, 1600.0)]
    found = [FoundObject(1, 1, here, 0.9), FoundObject(1, 2, here, 0.8)]
    both = accuracy_of(truths, found, most=1)
    assert [both[category].ar for category in (1, 2)] == pytest.approx([1, 1])
    one = accuracy_of(truths, found, most=1, federation=Federation())
    assert [one[category].ar for category in (1, 2)] == pytest.approx([1, 0])


def test_degenerate_input():
    pixel = rle.encode(rectangle(3, 3, 1, 1))
    assert accuracy_of([], []) == {}
    assert mean_accuracy({}) == (None, None)
    # Masks without truth, and truth without masks.
    assert accuracy_of([], [FoundObject(1, 1, pixel, 0.5)]) == {}
    missed = accuracy_of([TrueObject(1, 1, pixel, 1.0)], [])
    assert (missed[1].ap, missed[1].ar) == (0, 0)
    same = accuracy_of([TrueObject(1, 1, pixel, 1.0)], [FoundObject(1, 1, pixel, 0.5)])
    assert (same[1].ap, same[1].ar) == pytest.approx((1, 1))
    # All ignored.
    assert accuracy_of([TrueObject(1, 1, pixel, 1.0, ignore=True)], []) == {}
