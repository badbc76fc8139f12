import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sam_plugins.errors import DownloadError, InvalidPromptError, SamPluginsError
from sam_plugins.predictor import Predictor
from sam_plugins.prompts import Prompt
from sam_plugins.text.clip import ClipEncoder, mask_crop, similarity_scores
from sam_plugins.text.finding import TextFinder
from tests.text.tiny_clip import AlignedEncoder, tiny_clip


@pytest.fixture(scope="module")
def clip() -> ClipEncoder:
    return tiny_clip()


def test_vectors_have_length_one_and_do_not_depend_on_the_batch(clip: ClipEncoder) -> None:
    texts = clip.texts(["red", "a much longer text"])
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(clip.texts(["red"])[0], texts[0], atol=1e-5)
    rng = np.random.default_rng(0)
    crops = [rng.integers(0, 256, (n, n, 3), dtype=np.uint8) for n in (5, 40, 32)]
    images = clip.images(crops, batch_size=2)
    assert images.shape == (3, clip.width)
    np.testing.assert_allclose(clip.images(crops[2:])[0], images[2], atol=1e-5)
    assert clip.images([]).shape == (0, clip.width)


def test_crops_are_normalised_as_clip_expects(clip: ClipEncoder) -> None:
    white = clip._pixels(np.full((7, 7, 3), 255, dtype=np.uint8))
    assert white.shape == (3, 32, 32)
    assert white[:, 0, 0].tolist() == pytest.approx([1.9303, 2.0749, 2.1459], abs=1e-3)


def test_any_text_is_encoded_but_one_that_is_too_long(clip: ClipEncoder) -> None:
    assert clip.texts(["细胞", "красный", "?!"]).shape == (3, clip.width)
    with pytest.raises(InvalidPromptError, match=r"10000 characters is too long.*77 tokens"):
        clip.texts(["x" * 10_000])


def test_a_saved_encoder_is_loaded_again(clip: ClipEncoder, tmp_path: Path) -> None:
    clip.model.save_pretrained(tmp_path)
    clip.tokenizer.save_pretrained(tmp_path)
    again = ClipEncoder.load(str(tmp_path))
    np.testing.assert_allclose(again.texts(["a red disc"]), clip.texts(["a red disc"]), atol=1e-5)


def test_what_cannot_be_downloaded_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="cannot get the text encoder 'nobody/no-such-clip'"):
        ClipEncoder.load("nobody/no-such-clip")


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SamPluginsError, match=r"pip install 'sam-plugins\[text\]'"):
        ClipEncoder.load("nobody/no-such-clip")


def test_crops_of_masks() -> None:
    image = np.arange(40 * 60 * 3, dtype=np.uint32).reshape(40, 60, 3).astype(np.uint8)
    mask = np.zeros((40, 60), dtype=bool)
    mask[10:20, 30:50] = True
    tight = mask_crop(image, mask, scale=1, alone=False)
    assert tight.shape == (20, 20, 3)
    np.testing.assert_array_equal(tight, image[5:25, 30:50])
    alone = mask_crop(image, mask, scale=2, alone=True)
    assert alone.shape == (40, 40, 3)
    np.testing.assert_array_equal(alone[15:25, 10:30], image[10:20, 30:50])
    assert not alone[:15].any()
    assert not alone[:, :10].any()


def test_scores_are_against_texts_that_fit_anything() -> None:
    encoder = AlignedEncoder()
    vectors = encoder.texts(["red", "blue", "green"])
    scores = similarity_scores(encoder, vectors, "blue")
    assert scores.argmax() == 1
    assert scores[1] > 0.9
    assert scores[[0, 2]].max() < 0.1


def test_automatic_masks_are_ranked_by_similarity(
    lite: Predictor, discs: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = AlignedEncoder()
    finder = TextFinder(lite, clip=encoder)
    answer = finder.find(discs, Prompt(text="red"))
    assert answer.way == "similarity"
    assert "similarity" in answer.told
    middles = [np.mean(np.nonzero(each.mask()), axis=1)[::-1] for each in answer.records]
    near = [min(np.hypot(*(m - t)) for t in ((45, 50), (120, 40))) for m in middles]
    assert len(near) == 2
    assert max(near) < 4
    # The crops were encoded once: the second question needs the text only.
    monkeypatch.setattr(encoder, "images", None)
    blue = finder.find(discs, Prompt(text="blue"))
    assert len(blue) == 1
    assert np.hypot(*(np.mean(np.nonzero(blue.records[0].mask()), axis=1)[::-1] - (110, 115))) < 4


def test_a_random_clip_answers_without_an_error(
    lite: Predictor, discs: NDArray[np.uint8], clip: ClipEncoder
) -> None:
    answer = TextFinder(lite, clip=clip, threshold=0).find(discs, Prompt(text="anything at all"))
    assert answer.way == "similarity"
    assert len(answer) > 0
    with pytest.raises(InvalidPromptError, match="too long"):
        TextFinder(lite, clip=clip).find(discs, Prompt(text="x" * 10_000))
    with pytest.raises(ValueError, match="threshold"):
        TextFinder(lite, clip=clip, threshold=2)
