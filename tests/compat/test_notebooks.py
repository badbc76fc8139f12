"""The lines of the reference's example notebooks, with the import changed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sam_plugins.compat import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry
from sam_plugins.compat.utils.transforms import ResizeLongestSide
from tests.compat.conftest import smooth_image

pytestmark = pytest.mark.parametrize("pair", ["vit_b"], indirect=True)


@pytest.fixture
def image():
    return smooth_image(5, (150, 210))


def test_a_checkpoint_file_through_the_registry(pair, tmp_path):
    sam_checkpoint = tmp_path / "sam_vit_b.pth"
    whole = sam_model_registry["vit_b"]()
    torch.save(whole.state_dict(), sam_checkpoint)
    sam = sam_model_registry["vit_b"](checkpoint=str(sam_checkpoint))
    sam.to(device="cpu")
    for name, value in sam.state_dict().items():
        assert torch.equal(value, whole.state_dict()[name]), name


def test_the_predictor_example(pair, image):
    predictor = SamPredictor(pair[1])
    predictor.set_image(image)
    input_point, input_label = np.array([[100, 75]]), np.array([1])
    masks, scores, logits = predictor.predict(
        point_coords=input_point, point_labels=input_label, multimask_output=True
    )
    assert masks.shape == (3, 150, 210)
    assert masks.dtype == bool
    assert scores.shape == (3,)
    mask_input = logits[np.argmax(scores), :, :]
    masks, _, _ = predictor.predict(
        point_coords=np.array([[100, 75], [40, 30]]),
        point_labels=np.array([1, 0]),
        mask_input=mask_input[None, :, :],
        multimask_output=False,
    )
    assert masks.shape == (1, 150, 210)
    masks, _, _ = predictor.predict(
        point_coords=None,
        point_labels=None,
        box=np.array([20, 30, 180, 120])[None, :],
        multimask_output=False,
    )
    assert masks.shape == (1, 150, 210)
    input_boxes = torch.tensor([[20, 30, 180, 120], [5, 5, 60, 70], [90, 10, 200, 140]])
    transformed_boxes = predictor.transform.apply_boxes_torch(input_boxes, image.shape[:2])
    masks, _, _ = predictor.predict_torch(
        point_coords=None, point_labels=None, boxes=transformed_boxes, multimask_output=False
    )
    assert masks.shape == (3, 1, 150, 210)


def test_several_images_at_once_as_the_reference_answers_them(pair, image, relative_error):
    other = smooth_image(6, (120, 90))
    resize_transform = ResizeLongestSide(pair[1].image_encoder.img_size)

    def prepare_image(image):
        resized = resize_transform.apply_image(image)
        return torch.as_tensor(resized).permute(2, 0, 1).contiguous()

    boxes = torch.tensor([[20, 30, 80, 110], [5, 5, 60, 70]])
    batched_input = [
        {
            "image": prepare_image(image),
            "boxes": resize_transform.apply_boxes_torch(boxes, image.shape[:2]),
            "original_size": image.shape[:2],
        },
        {
            "image": prepare_image(other),
            "point_coords": torch.tensor([[[300.0, 200.0]]]),
            "point_labels": torch.tensor([[1]]),
            "original_size": other.shape[:2],
        },
    ]
    ours = pair[1](batched_input, multimask_output=False)
    theirs = pair[0](batched_input, multimask_output=False)
    for a, b in zip(ours, theirs, strict=True):
        assert a.keys() == b.keys()
        assert relative_error(a["low_res_logits"], b["low_res_logits"]) <= 1e-4
        assert relative_error(a["iou_predictions"], b["iou_predictions"]) <= 1e-4
        assert a["masks"].shape == b["masks"].shape
        assert (a["masks"] != b["masks"]).float().mean() < 1e-4


def test_the_automatic_mask_generator_example(pair, image):
    mask_generator = SamAutomaticMaskGenerator(
        model=pair[1],
        points_per_side=3,
        pred_iou_thresh=0.86,
        stability_score_thresh=0.92,
        crop_n_layers=1,
        crop_n_points_downscale_factor=2,
        min_mask_region_area=100,
    )
    anns = mask_generator.generate(image)
    assert len(anns) > 0
    sorted_anns = sorted(anns, key=(lambda x: x["area"]), reverse=True)
    assert sorted_anns[0]["segmentation"].shape == (150, 210)
    assert sorted_anns[0]["segmentation"].sum() == sorted_anns[0]["area"]
    assert set(anns[0]) == {
        "segmentation",
        "area",
        "bbox",
        "predicted_iou",
        "point_coords",
        "stability_score",
        "crop_box",
    }
