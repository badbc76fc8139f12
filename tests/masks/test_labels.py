"""Label images: which mask is on top, and the masks that come back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from sam_plugins.masks import rle
from sam_plugins.masks.labels import (
    labels_to_masks,
    labels_to_rles,
    records_to_labels,
    rles_to_labels,
)
from sam_plugins.masks.overlay import colours, overlay, write_overlay
from sam_plugins.masks.records import MaskRecord


def record(mask, iou=0.9):
    return MaskRecord(
        segmentation=rle.encode(mask),
        area=int(mask.sum()),
        bbox=(0, 0, 1, 1),
        predicted_iou=iou,
        point_coords=((1.0, 1.0),),
        stability_score=0.97,
        crop_box=(0, 0, mask.shape[1], mask.shape[0]),
    )


@pytest.fixture
def nested():
    """A large and confident mask, and a small one that lies half in it."""
    large, small = np.zeros((6, 8), bool), np.zeros((6, 8), bool)
    large[1:5, 1:6] = True
    small[2:4, 4:8] = True
    return large, small, [record(large, 0.9), record(small, 0.8)]


@pytest.mark.parametrize(
    ("rule", "winner"), [("smaller_on_top", 2), ("larger_on_top", 1), ("confident_on_top", 1)]
)
def test_overlaps(nested, rule, winner):
    large, small, records = nested
    labels = records_to_labels(records, (6, 8), overlap=rule)
    assert labels.dtype == np.uint16
    assert (labels[large & small] == winner).all()
    assert (labels[large & ~small] == 1).all()
    assert (labels[small & ~large] == 2).all()
    assert not labels[~(large | small)].any()


def test_masks_come_back():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, (20, 30))
    records = [record(mask) for _, mask in labels_to_masks(labels)]
    np.testing.assert_array_equal(records_to_labels(records, (20, 30)), labels)


def test_more_masks_than_sixteen_bits_hold():
    dot = record(np.eye(1, 2, dtype=bool))
    labels = records_to_labels([dot] * 65_536, (1, 2))
    assert labels.dtype == np.int32
    assert labels.tolist() == [[65_536, 0]]


def test_no_mask_and_wrong_use(nested):
    assert not records_to_labels([], (3, 4)).any()
    with pytest.raises(ValueError, match="overlap rule"):
        records_to_labels([], (3, 4), overlap="mine")
    with pytest.raises(ValueError, match=r"\(6, 8\)"):
        records_to_labels(nested[2], (6, 9))
    with pytest.raises(ValueError, match="integers"):
        list(labels_to_masks(np.zeros((3, 3))))


def test_an_overlay_colours_masks_and_leaves_the_rest(nested, tmp_path):
    from PIL import Image

    large, small, records = nested
    image = np.full((6, 8, 3), 100, np.uint8)
    picture = overlay(image, records)
    np.testing.assert_array_equal(picture[~(large | small)], image[~(large | small)])
    assert (picture[large | small] != 100).any(axis=1).all()
    # The small one is on top, outlined in its own colour.
    np.testing.assert_array_equal(picture[2, 7], colours(2)[1])
    np.testing.assert_array_equal(overlay(image, [large, small]), picture)
    write_overlay(tmp_path / "o.png", image, records)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "o.png")), picture)
    assert (image == 100).all()


@given(
    arrays(
        np.int32,
        array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
        elements=st.sampled_from([0, 0, 1, 2, 5, 100_000]),
    )
)
def test_all_objects_are_encoded_in_one_pass(labels):
    encoded = labels_to_rles(labels)
    assert encoded == {label: rle.encode(mask) for label, mask in labels_to_masks(labels)}
    assert list(encoded) == sorted(encoded)
    again = rles_to_labels(list(encoded.values()), list(encoded), labels.shape)
    np.testing.assert_array_equal(again, labels)


def test_an_image_without_pixels_has_no_objects():
    assert labels_to_rles(np.zeros((0, 5), np.uint16)) == {}


def test_only_label_images_are_encoded():
    with pytest.raises(ValueError, match="two axes of integers"):
        labels_to_rles(np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(ValueError, match="two axes of integers"):
        labels_to_rles(np.zeros((2, 2)))
