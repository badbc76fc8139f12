"""Answers: the masks that the predictor gives for the same prompts, in the form that is wanted."""

import base64
import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from labelstudio_backend.answering import BadRequestError, PredictRequest, ServedModel, Service
from labelstudio_backend.answering.clicks import ClickMemory
from labelstudio_backend.answering.options import ProjectOptions
from labelstudio_backend.answering.projects import Projects
from labelstudio_backend.answering.requests import SetupRequest
from labelstudio_backend.fetching import FetchSettings
from labelstudio_backend.protocol.masks import read_masks
from sam_plugins import Prompt
from sam_plugins.masks.boxes import mask_to_box
from tests.labelstudio_backend.server.conftest import COINS, CONFIG, box, png, point, question

COINS_SIZE = (303, 384)


@pytest.fixture(scope="module")
def model():
    return ServedModel("lite")


@pytest.fixture
def service(model, tmp_path):
    return Service(model, Projects(tmp_path, settings=FetchSettings()))


@pytest.fixture(scope="module")
def predictor(model):
    return model.current.predictor


def ask(service, *regions, **task):
    """The regions of a smart prompt's answer."""
    (prediction,) = service.predict(PredictRequest.read(question(*regions, **task)))
    return prediction["result"]


def batch(service, *tasks, config=CONFIG, project="1"):
    """The answers for tasks as they are."""
    body = {"tasks": list(tasks), "project": project, "label_config": config}
    return service.predict(PredictRequest.read(body))


def masks_in(regions, size=COINS_SIZE):
    return [each.mask for each in read_masks(regions, size)]


def at(x, y, size=COINS_SIZE):
    """A click in pixels of the image, as a prompt's point."""
    return [x / 100 * size[1] - 0.5, y / 100 * size[0] - 0.5]


# ---- prompts -------------------------------------------------------------------------------


def test_a_point_gives_the_best_mask(service, predictor):
    embedding = predictor.embed(data.coins())
    (mask,) = masks_in(ask(service, point(87, 14.5)))
    expected = predictor.predict(embedding, Prompt(points=[at(87, 14.5)]))
    assert np.array_equal(mask, expected.best_mask)


def test_points_are_refined_one_by_one(service, predictor):
    embedding = predictor.embed(data.coins())
    places = [(87, 14.5, True), (80, 5, False), (88, 17, True)]
    (mask,) = masks_in(ask(service, *(point(x, y, is_positive=p) for x, y, p in places)))
    points = [at(x, y) for x, y, _ in places]
    answer = predictor.predict(embedding, Prompt(points=points[:1]))
    for count in (2, 3):
        step = Prompt(points=points[:count], labels=[1, 0, 1][:count])
        answer = predictor.predict(embedding, answer.refine(step))
    assert np.array_equal(mask, answer.best_mask)


def test_a_point_without_is_positive_is_positive(service):
    restored = point(87, 14.5)
    del restored["is_positive"]
    (mask,) = masks_in(ask(service, restored))
    assert np.array_equal(mask, masks_in(ask(service, point(87, 14.5)))[0])


def test_one_mask_for_each_box(service, predictor):
    embedding = predictor.embed(data.coins())
    boxes = [(80, 5, 15, 18), (50, 5, 12, 20)]
    masks = masks_in(ask(service, *(box(*each) for each in boxes)))
    assert len(masks) == 2
    height, width = COINS_SIZE
    for (x, y, w, h), mask in zip(boxes, masks, strict=True):
        corners = [x * width, y * height, (x + w) * width, (y + h) * height]
        expected = predictor.predict(embedding, Prompt(boxes=[[c / 100 for c in corners]]))
        assert np.array_equal(mask, expected.best_mask)


def test_a_brush_is_a_mask_prompt(service, predictor):
    mask = np.zeros(COINS_SIZE, bool)
    mask[30:60, 310:355] = True
    from labelstudio_backend.protocol.brush_rle import encode

    value = {"format": "rle", "rle": encode(mask), "brushlabels": ["Cell"]}
    painted = {
        **{"id": "m", "type": "brushlabels", "from_name": "masks", "to_name": "image"},
        **{"original_width": 384, "original_height": 303, "image_rotation": 0, "value": value},
    }
    (found,) = masks_in(ask(service, painted))
    expected = predictor.predict(predictor.embed(data.coins()), Prompt(mask=mask))
    assert np.array_equal(found, expected.best_mask)


def test_no_prompt_any_more_gives_an_empty_answer(service):
    (prediction,) = service.predict(PredictRequest.read(question()))
    assert prediction["result"] == []
    assert prediction["score"] == 0


# ---- images --------------------------------------------------------------------------------


def test_coordinates_mean_the_image_as_it_is_shown(service, predictor):
    upright = data.astronaut()[:400]
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    stored = Image.fromarray(np.rot90(upright).copy())
    stored.save(stream, "PNG", exif=exif)
    turned = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
    size = upright.shape[:2]
    regions = ask(service, point(40, 25), image=turned)
    assert (regions[0]["original_width"], regions[0]["original_height"]) == (size[1], size[0])
    (mask,) = masks_in(regions, size)
    expected = predictor.predict(predictor.embed(upright), Prompt(points=[at(40, 25, size)]))
    assert np.array_equal(mask, expected.best_mask)


def test_the_answer_has_the_images_own_size_whatever_the_prompt_says(service):
    regions = ask(service, point(87, 14.5, original_width=10, original_height=7))
    assert (regions[0]["original_width"], regions[0]["original_height"]) == (384, 303)
    assert np.array_equal(masks_in(regions)[0], masks_in(ask(service, point(87, 14.5)))[0])


def test_a_turned_page_changes_nothing_but_is_told_back(service):
    regions = ask(service, point(87, 14.5, image_rotation=90))
    assert regions[0]["image_rotation"] == 90
    assert np.array_equal(masks_in(regions)[0], masks_in(ask(service, point(87, 14.5)))[0])


# ---- forms of answers ------------------------------------------------------------------------


def config_with(tag):
    return CONFIG.replace("BrushLabels", tag)


def test_a_bitmask_is_exact(service):
    (brushed,) = masks_in(ask(service, point(87, 14.5)))
    regions = ask(service, point(87, 14.5), config=config_with("BitmaskLabels"))
    assert regions[0]["type"] == "bitmasklabels"
    assert regions[0]["value"]["bitmasklabels"] == ["Cell"]
    assert np.array_equal(masks_in(regions)[0], brushed)


def test_polygons_follow_the_mask(service):
    (brushed,) = masks_in(ask(service, point(87, 14.5)))
    regions = ask(service, point(87, 14.5), config=config_with("PolygonLabels"))
    assert {each["type"] for each in regions} == {"polygonlabels"}
    union = np.any(masks_in(regions), axis=0)
    assert (union & brushed).sum() / (union | brushed).sum() > 0.95


def test_a_rectangle_is_the_masks_box(service):
    (brushed,) = masks_in(ask(service, point(87, 14.5)))
    config = CONFIG.replace(
        "<BrushLabels",
        '<RectangleLabels name="r" toName="image"><Label value="Cell"/></RectangleLabels><X',
    ).replace("</BrushLabels>", "</X>")
    (region,) = ask(service, point(87, 14.5), config=config)
    assert (region["type"], region["from_name"]) == ("rectanglelabels", "r")
    x0, y0, x1, y1 = mask_to_box(brushed)
    value = region["value"]
    found = [value[k] for k in ("x", "y", "width", "height")]
    expected = [x0 / 3.84, y0 / 3.03, (x1 - x0 + 1) / 3.84, (y1 - y0 + 1) / 3.03]
    assert found == pytest.approx(expected)


def test_an_ellipse_covers_the_coin(service):
    (brushed,) = masks_in(ask(service, point(87, 14.5)))
    (region,) = ask(service, point(87, 14.5), config=config_with("EllipseLabels"))
    assert region["type"] == "ellipselabels"
    value = region["value"]
    area = np.pi * value["radiusX"] * 3.84 * value["radiusY"] * 3.03
    assert area == pytest.approx(brushed.sum(), rel=0.1)


# ---- tasks as they are ------------------------------------------------------------------------

TASK = {"id": 7, "data": {"image": COINS}}


def test_boxes_of_people_and_of_other_models_become_masks(service):
    (asked,) = masks_in(ask(service, box(80, 5, 15, 18)))
    plain = {k: v for k, v in box(80, 5, 15, 18).items() if k != "is_positive"}
    by_people = {**TASK, "annotations": [{"result": [plain], "was_cancelled": False}]}
    by_model = {**TASK, "predictions": [{"result": [plain], "model_version": "detector"}]}
    for task in (by_people, by_model):
        (prediction,) = batch(service, task)
        assert np.array_equal(masks_in(prediction["result"])[0], asked)


def test_each_point_of_a_task_is_an_object(service):
    drawn = [point(87, 14.5), point(56, 16)]
    task = {**TASK, "annotations": [{"result": drawn}]}
    (prediction,) = batch(service, task)
    masks = masks_in(prediction["result"])
    assert len(masks) == 2
    for mask, each in zip(masks, drawn, strict=True):
        assert np.array_equal(mask, masks_in(ask(service, each))[0])


def test_what_is_no_beginning_gives_no_prediction(service):
    cancelled = {**TASK, "annotations": [{"result": [box(1, 1, 9, 9)], "was_cancelled": True}]}
    version = service.model_version("1")
    own = {**TASK, "predictions": [{"result": [box(1, 1, 9, 9)], "model_version": version}]}
    assert batch(service, TASK, cancelled, own) == [[], [], []]


def test_one_bad_task_does_not_spoil_the_others(service):
    drawn = {"annotations": [{"result": [box(80, 5, 15, 18)]}]}
    bad = {"id": 8, "data": {"image": "/data/upload/gone.png"}, **drawn}
    good, wrong = batch(service, {**TASK, **drawn}, bad)
    assert len(good["result"]) == 1
    assert "LABEL_STUDIO_URL" in wrong["error"]
    assert "result" not in wrong
    with pytest.raises(Exception, match="LABEL_STUDIO_URL"):
        batch(service, bad)


def set_up(service, project, **options):
    return service.set_up(SetupRequest(project, CONFIG, "", "", options))


def test_everything_if_the_project_wants_it(service):
    version = set_up(service, "3", segment_everything=True, label="Cell", max_masks=10, min_area=50)
    (prediction,) = batch(service, TASK, project="3")
    assert prediction["model_version"] == version
    assert 1 <= len(prediction["result"]) <= 10
    scores = [region["score"] for region in prediction["result"]]
    assert scores == sorted(scores, reverse=True)
    for region, mask in zip(prediction["result"], masks_in(prediction["result"]), strict=True):
        assert region["value"]["brushlabels"] == ["Cell"]
        assert mask.sum() >= 50


# ---- projects ------------------------------------------------------------------------------


def test_versions_tell_models_and_options_apart_and_survive_a_restart(service, model, tmp_path):
    plain = set_up(service, "1")
    chosen = set_up(service, "2", segment_everything=True)
    joined = set_up(service, "3", join_box_and_points=True)
    assert plain == joined == model.version
    assert chosen.startswith(plain)
    assert chosen != plain
    again = Service(model, Projects(tmp_path, settings=FetchSettings()))
    assert [again.model_version(number) for number in "123"] == [plain, chosen, joined]


def test_projects_do_not_mix(service):
    other = CONFIG.replace("Cell", "Nucleus").replace('name="masks"', 'name="other"')
    set_up(service, "1")
    service.set_up(SetupRequest("2", other, "", "", {"segment_everything": True}))
    (first,) = ask(service, point(87, 14.5))
    assert (first["from_name"], first["value"]["brushlabels"]) == ("masks", ["Cell"])
    (second,) = ask(service, box(80, 5, 15, 18), config=other, project="2")
    assert second["from_name"] == "other"
    assert batch(service, TASK, project="1") == [[]]


def test_tokens_and_addresses_belong_to_their_project(tmp_path):
    projects = Projects(tmp_path, settings=FetchSettings())
    for number in ("1", "2"):
        host = f"http://studio{number}.example.com"
        projects.set_up(SetupRequest(number, CONFIG, host, f"token{number}", None))
    for number in ("1", "2"):
        known = projects.settings_of(number)
        assert known.label_studio_url == f"http://studio{number}.example.com"
        assert known.api_key == f"token{number}"
    assert projects.settings_of("3").api_key == ""
    assert "token1" not in (tmp_path / "projects.json").read_text()


def test_who_is_not_trusted_names_no_address(tmp_path):
    projects = Projects(tmp_path, settings=FetchSettings(), trust_setup=False)
    projects.set_up(SetupRequest("1", CONFIG, "http://10.0.0.1", "token", None))
    assert projects.settings_of("1").label_studio_url == ""


@pytest.mark.parametrize("text", ["{", "[]", '{"1": {"points_per_side": "many"}}'])
def test_damaged_options_are_begun_anew(tmp_path, text, caplog):
    (tmp_path / "projects.json").write_text(text)
    projects = Projects(tmp_path, settings=FetchSettings())
    assert projects.get("1").options == ProjectOptions()


@pytest.mark.parametrize("given", [None, "", "{}", {}, "  "])
def test_no_options_are_the_defaults(given):
    assert ProjectOptions.read(given) == ProjectOptions()


@pytest.mark.parametrize(
    "given",
    ["{", "[1]", {"unknown": 1}, {"label": 5}, {"max_masks": 0}, {"pred_iou_thresh": -1}],
)
def test_options_that_cannot_be_meant_are_refused(given):
    with pytest.raises(BadRequestError):
        ProjectOptions.read(given)


# ---- memory --------------------------------------------------------------------------------


def test_points_join_the_box_that_they_lie_in_if_wanted(service, predictor):
    embedding = predictor.embed(data.coins())
    set_up(service, "1", join_box_and_points=True)
    ask(service, box(80, 5, 15, 18))
    (joined,) = masks_in(ask(service, point(87, 14.5)))
    corners = [80 * 3.84, 5 * 3.03, 95 * 3.84, 23 * 3.03]
    both = Prompt(boxes=[corners], points=[at(87, 14.5)])
    assert np.array_equal(joined, predictor.predict(embedding, both).best_mask)
    (beside,) = masks_in(ask(service, point(56, 16)))
    alone = predictor.predict(embedding, Prompt(points=[at(56, 16)]))
    assert np.array_equal(beside, alone.best_mask)


@pytest.mark.parametrize("count", [3, 30])
def test_what_is_remembered_changes_no_answer(predictor, count):
    embedding = predictor.embed(data.coins())
    rng = np.random.default_rng(0)
    points = np.concatenate([[[334, 44]], rng.uniform([300, 20], [370, 70], (count - 1, 2))])
    labels = np.concatenate([[1], rng.integers(0, 2, count - 1)])
    warm = ClickMemory()
    for shown in range(1, count + 1):
        step = Prompt(points=points[:shown], labels=labels[:shown])
        one = warm.predict(predictor, embedding, step)
    cold = ClickMemory().predict(predictor, embedding, Prompt(points=points, labels=labels))
    assert np.array_equal(one.low_resolution_logits, cold.low_resolution_logits)


def test_an_image_is_encoded_once_for_all_prompts(service, predictor):
    image = png(np.random.default_rng(5).integers(0, 255, (90, 120, 3), dtype=np.uint8))
    before = predictor.cache.statistics.misses
    for x in (10, 50, 90):
        ask(service, point(x, 50), image=image)
    ask(service, box(10, 10, 50, 50), image=image, project="2")
    assert predictor.cache.statistics.misses == before + 1
