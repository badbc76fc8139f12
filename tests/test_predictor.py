"""The predictor on a small random model: shapes, batching, rules, errors, sharing."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from sam_plugins import EmbeddingCache, Predictor, Prompt
from sam_plugins.errors import InvalidImageError, InvalidPromptError, SamPluginsError


@pytest.fixture(scope="module")
def predictor(tiny_sam):
    return Predictor(tiny_sam, device="cpu", precision="float32")


@pytest.fixture(scope="module")
def image():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def embedding(predictor, image):
    return predictor.embed(image)


PROMPTS = {
    "point": Prompt(points=[[10, 20]]),
    "points": Prompt(points=[[10, 20], [30, 30]], labels=[1, 0]),
    "box": Prompt(boxes=[5, 5, 30, 35]),
    "boxes": Prompt(boxes=[[5, 5, 30, 35], [20, 2, 50, 39]]),
    "mask": Prompt(mask=np.arange(40 * 60).reshape(40, 60) % 60 < 30),
    "point and box": Prompt(points=[[10, 20]], boxes=[5, 5, 30, 35]),
    "all": Prompt(points=[[10, 20]], boxes=[5, 5, 30, 35], mask=np.eye(40, 60, dtype=bool)),
}


@pytest.mark.parametrize("name", PROMPTS)
def test_a_single_hint_gives_three_masks_and_more_give_one(predictor, embedding, name):
    prediction = predictor.predict(embedding, PROMPTS[name])
    count = 3 if name in ("point", "box", "mask") else 1
    assert prediction.masks.shape == (count, 40, 60)
    assert prediction.masks.dtype == bool
    assert prediction.predicted_iou.shape == (count,)
    assert prediction.low_resolution_logits.shape == (
        count,
        *embedding.frame.low_resolution_size,
    )
    assert prediction.best == prediction.predicted_iou.argmax()
    np.testing.assert_array_equal(prediction.best_mask, prediction.masks[prediction.best])


@pytest.mark.parametrize("multimask", [True, False])
def test_the_number_of_masks_can_be_chosen(predictor, embedding, multimask):
    prediction = predictor.predict(embedding, PROMPTS["points"], multimask=multimask)
    assert len(prediction) == (3 if multimask else 1)


def test_masks_are_the_upsampled_logits(predictor, embedding):
    prediction = predictor.predict(embedding, PROMPTS["point"])
    logits = torch.from_numpy(prediction.low_resolution_logits)
    upsampled = embedding.frame.upsample(logits).numpy()
    away = np.abs(upsampled) > 1e-4
    np.testing.assert_array_equal(prediction.masks[away], (upsampled > 0)[away])


def test_a_mixed_batch_is_answered_like_its_prompts_one_by_one(predictor, embedding):
    prompts = [*PROMPTS.values(), *reversed(PROMPTS.values()), *[PROMPTS["point"]] * 9]
    together = predictor.predict_batch(embedding, prompts)
    for prompt, answer in zip(prompts, together, strict=True):
        alone = predictor.predict(embedding, prompt)
        np.testing.assert_allclose(
            answer.low_resolution_logits, alone.low_resolution_logits, rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(answer.predicted_iou, alone.predicted_iou, rtol=1e-4, atol=1e-5)


def test_images_of_several_sizes_are_embedded_in_a_batch_as_one_by_one(tiny_sam):
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (h, w), dtype=np.uint8) for h, w in [(30, 40), (64, 20), (9, 9)]]
    batched = Predictor(tiny_sam, device="cpu", precision="float32").embed_batch(
        images, batch_size=3
    )
    single = Predictor(tiny_sam, device="cpu", precision="float32")
    for image, embedding in zip(images, batched, strict=True):
        alone = single.embed(image)
        assert embedding.frame == alone.frame
        assert embedding.content_key == alone.content_key
        torch.testing.assert_close(embedding.features[0], alone.features[0], rtol=1e-4, atol=1e-5)


def test_an_image_is_encoded_once(tiny_sam, image, monkeypatch):
    predictor = Predictor(tiny_sam, device="cpu")
    calls = []
    encode = predictor._encode
    monkeypatch.setattr(predictor, "_encode", lambda batch: calls.append(1) or encode(batch))
    threads = [threading.Thread(target=predictor.embed, args=(image,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    predictor.embed(image.copy())
    predictor.embed(np.asfortranarray(image))
    assert len(calls) == 1
    predictor.embed(image[::-1])
    assert len(calls) == 2


def test_embeddings_are_found_on_disk_by_another_predictor(tiny_sam, image, tmp_path):
    first = Predictor(tiny_sam, device="cpu", cache=EmbeddingCache(tmp_path)).embed(image)
    second = Predictor(tiny_sam, device="cpu", cache=EmbeddingCache(tmp_path))
    second._encode = lambda batch: pytest.fail("encoded again")  # type: ignore[method-assign]
    torch.testing.assert_close(second.embed(image).features[0], first.features[0])


def test_refining_passes_the_unthresholded_logits(predictor, embedding):
    prediction = predictor.predict(embedding, PROMPTS["point"])
    refined = prediction.refine(Prompt(points=[[10, 20], [30, 30]], labels=[1, 0]))
    np.testing.assert_array_equal(refined.mask, prediction.low_resolution_logits[prediction.best])
    assert len(predictor.predict(embedding, refined)) == 1
    other = prediction.refine(PROMPTS["point"], index=1)
    np.testing.assert_array_equal(other.mask, prediction.low_resolution_logits[1])


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_of_the_encoder_changes_little(tiny_sam, image, predictor, precision):
    half = Predictor(tiny_sam, device="cpu", precision=precision)
    exact = predictor.embed(image).features[0]
    rough = half.embed(image).features[0]
    assert rough.dtype == torch.float32
    assert (exact - rough).norm() / exact.norm() < 0.03


@pytest.mark.parametrize("name", PROMPTS)
def test_half_precision_of_the_decoder_changes_no_choice(tiny_sam, predictor, embedding, name):
    half = replace(embedding, precision="bfloat16")
    logits, iou = Predictor(tiny_sam, device="cpu", precision="bfloat16").decode(
        half, [PROMPTS[name]], multimask=True
    )
    expected, exact_iou = predictor.decode(embedding, [PROMPTS[name]], multimask=True)
    # Large products alone are made in half: what ranks the masks knows next to nothing of it.
    np.testing.assert_allclose(iou, exact_iou, atol=1e-3)
    assert iou.argmax() == exact_iou.argmax()
    assert 0 < np.linalg.norm(logits - expected) < 0.02 * np.linalg.norm(expected)


def test_precisions_do_not_share_cache_entries(tiny_sam, image):
    cache = EmbeddingCache(disk_bytes=0)
    exact = Predictor(tiny_sam, device="cpu", precision="float32", cache=cache).embed(image)
    rough = Predictor(tiny_sam, device="cpu", precision="bfloat16", cache=cache).embed(image)
    assert (exact.precision, rough.precision) == ("float32", "bfloat16")


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (Prompt(), "empty"),
        (Prompt(points=np.empty((0, 2))), "empty"),
        (Prompt(text="a cell"), "text"),
        (Prompt(points=[[61, 5]]), r"\(61, 5\) lies outside"),
        (Prompt(points=[[-1, 5]]), "outside"),
        (Prompt(boxes=[0, 0, 10, 41]), "outside"),
        (Prompt(mask=np.zeros((41, 60), dtype=bool)), "41 x 60"),
        (Prompt(mask=np.zeros((7, 7), dtype=np.float32)), r"\(7, 7\)"),
    ],
)
def test_bad_prompts_say_what_is_wrong_in_one_line(predictor, embedding, prompt, words):
    with pytest.raises(InvalidPromptError, match=words) as caught:
        predictor.predict(embedding, prompt)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((0, 0), dtype=np.uint8),
        np.zeros((0, 10, 3), dtype=np.uint8),
        np.full((20, 20), np.nan),
        np.zeros((1, 1), dtype=np.uint8),
        np.zeros((1, 20000), dtype=np.uint8),
        np.zeros((20, 20, 5), dtype=np.uint8),
    ],
    ids=["0-sized", "0 high", "NaN", "1x1", "1x20000", "5 channels"],
)
def test_bad_images_say_what_is_wrong_in_one_line(predictor, image):
    with pytest.raises(InvalidImageError) as caught:
        predictor.embed(image)
    assert "\n" not in str(caught.value)


def test_an_embedding_of_other_weights_is_refused(predictor, embedding):
    foreign = replace(embedding, weights_hash="0" * 64)
    with pytest.raises(SamPluginsError, match="embed the image again"):
        predictor.predict(foreign, PROMPTS["point"])


def test_an_empty_batch_of_prompts_has_no_answers(predictor, embedding):
    assert predictor.predict_batch(embedding, []) == []


def test_lite_is_exact_on_a_cpu_unless_told_otherwise():
    assert Predictor("lite", device="cpu").precision == "float32"
    assert Predictor("lite", device="cpu", precision="bfloat16").precision == "bfloat16"
