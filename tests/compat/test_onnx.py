"""``SamOnnxModel`` gives what the reference's gives."""

from __future__ import annotations

import pytest
import torch
from segment_anything.utils.onnx import SamOnnxModel as ReferenceModel

from sam_plugins.compat.utils.onnx import SamOnnxModel

OPTIONS = [
    {"return_single_mask": True},
    {"return_single_mask": False, "return_extra_metrics": True},
    {"return_single_mask": True, "use_stability_score": True},
]


@pytest.mark.parametrize("pair", ["vit_b"], indirect=True)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("labels", [[1, -1], [1, 0, -1], [1, 2, 3]])
@pytest.mark.parametrize("has_mask", [0.0, 1.0])
def test_the_same_masks_and_scores(pair, options, labels, has_mask, relative_error):
    generator = torch.Generator().manual_seed(0)
    inputs = {
        "image_embeddings": torch.randn(1, 256, 64, 64, generator=generator),
        "point_coords": torch.rand(1, len(labels), 2, generator=generator) * 700,
        "point_labels": torch.tensor([labels], dtype=torch.float32),
        "mask_input": torch.randn(1, 1, 256, 256, generator=generator),
        "has_mask_input": torch.tensor([has_mask]),
        "orig_im_size": torch.tensor([200.0, 300.0]),
    }
    theirs = ReferenceModel(pair[0], **options)(**inputs)
    ours = SamOnnxModel(pair[1], **options)(**inputs)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        # The stability score of an empty mask is not a number, in both.
        most = float(b.float().nan_to_num().abs().max())
        torch.testing.assert_close(
            a.float(), b.float(), rtol=1e-3, atol=1e-4 * most, equal_nan=True
        )
