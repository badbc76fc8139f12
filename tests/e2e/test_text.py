"""A text typed beside the image in a real browser: a mask for each object that it names."""

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from labelstudio_backend.sample.project import LABEL_CONFIG
from tests.e2e.coins import overlap
from tests.e2e.recorder import masks_of
from tests.e2e.team import assemble

WITH_TEXT = LABEL_CONFIG.replace(
    "<Image", '<TextArea name="text" toName="image" smart="true" editable="true"/>\n  <Image'
)
# x, y, radius and colour.
DISCS = (
    (90, 100, 52, (230, 10, 10)),
    (240, 80, 26, (230, 10, 10)),
    (220, 230, 44, (10, 40, 230)),
)


@pytest.fixture
def discs(tmp_path):
    """An image of two red discs and a blue one, and their masks."""
    y, x = np.mgrid[:320, :320]
    masks = [np.hypot(x - cx, y - cy) <= radius for cx, cy, radius, _ in DISCS]
    image = np.full((320, 320, 3), 150, dtype=np.uint8)
    for mask, disc in zip(masks, DISCS, strict=True):
        image[mask] = disc[3]
    path = tmp_path / "discs.png"
    Image.fromarray(image).save(path)
    return path, masks


def test_a_text_has_a_mask_for_each_object_that_it_names(label_studio, backend, annotator, discs):
    path, masks = discs
    team = assemble(label_studio, backend, [path], label_config=WITH_TEXT)
    annotator.open_task(team.project, team.tasks[0])
    annotator.use("key-point-tool")
    page = annotator.page
    with page.expect_response(lambda each: "interactive-annotating" in each.url):
        page.locator("textarea[name=text], [class*=textarea] textarea, input.ant-input").last.fill(
            "red discs"
        )
        page.keyboard.press("Shift+Enter")
    annotator.take("text")
    answered = team.recorder.clicks[-1].masks
    assert len(answered) == 2
    for mask in masks[:2]:
        assert max(overlap(mask, each) for each in answered) > 0.8
    annotator.accept()
    expect(annotator.regions).to_have_count(2)
    annotator.submit()
    (result,) = team.annotations(team.tasks[0])
    brushes = [region for region in result if region["type"] == "brushlabels"]
    submitted = masks_of(brushes)
    assert len(submitted) == 2
    for mask in answered:
        assert any(np.array_equal(mask, each) for each in submitted)
