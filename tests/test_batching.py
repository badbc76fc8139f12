"""Many images in one call, many threads in one batch: the answers of asking one by one."""

import threading

import numpy as np
import pytest
import torch

from sam_plugins import Predictor, Prompt
from sam_plugins.batching import PromptBatcher
from sam_plugins.errors import InvalidPromptError
from sam_plugins.modeling import CONFIGS, build_sam
from sam_plugins.prediction import Prediction


def picture(seed, height, width):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((-(-height // 6), -(-width // 8), 1), np.uint8))[:height, :width]


@pytest.fixture(scope="module", params=["lite", "vit_t"])
def predictor(request):
    if request.param == "lite":
        return Predictor("lite", device="cpu", precision="float32")
    torch.manual_seed(0)
    return Predictor(build_sam(CONFIGS["vit_t"]), device="cpu", precision="float32")


@pytest.fixture(scope="module")
def embeddings(predictor):
    sizes = ((240, 320), (400, 260), (300, 300))
    return [predictor.embed(picture(n, *size)) for n, size in enumerate(sizes)]


def prompts(predictor, embedding):
    first = predictor.predict(embedding, Prompt(points=[[50, 60]]))
    mask = np.zeros(embedding.frame.image_size, bool)
    mask[20:90, 30:120] = True
    return [
        Prompt(points=[[100, 80]]),
        Prompt(points=[[100, 80], [20, 30]], labels=[1, 0]),
        Prompt(boxes=[[10, 20, 90, 110]]),
        Prompt(boxes=[[5, 5, 240, 230]], points=[[100, 80]]),
        Prompt(mask=mask),
        first.refine(Prompt(points=[[50, 60]])),
    ]


def same(one: Prediction, other: Prediction):
    assert one.frame == other.frame
    scale = max(1.0, np.abs(other.low_resolution_logits).max())
    np.testing.assert_allclose(
        one.low_resolution_logits, other.low_resolution_logits, atol=1e-4 * scale, rtol=1e-3
    )
    np.testing.assert_allclose(one.predicted_iou, other.predicted_iou, atol=1e-4)


@pytest.mark.parametrize("multimask", [None, True, False])
def test_prompts_about_several_images_equal_one_by_one(predictor, embeddings, multimask):
    questions = [(e, prompt) for e in embeddings for prompt in prompts(predictor, e)]
    order = np.random.default_rng(0).permutation(len(questions))
    mixed = [questions[index] for index in order]
    together = predictor.predict_many(mixed, multimask=multimask)
    for (embedding, prompt), answer in zip(mixed, together, strict=True):
        same(answer, predictor.predict(embedding, prompt, multimask=multimask))


def test_no_question_has_no_answer(predictor):
    assert predictor.predict_many([]) == []


def test_many_threads_get_their_own_answers_in_few_calls(predictor, embeddings):
    calls = []

    class Counting:
        check = staticmethod(predictor.check)

        @staticmethod
        def predict_many(questions, multimask=None):
            calls.append(len(questions))
            return predictor.predict_many(questions, multimask=multimask)

    batcher = PromptBatcher(Counting(), seconds=0.05)
    answers = {}
    start = threading.Barrier(12)

    def ask(number):
        embedding = embeddings[number % len(embeddings)]
        prompt = Prompt(points=[[20 + 10 * number, 40 + 5 * number]])
        start.wait()
        answers[number] = (embedding, prompt, batcher.predict(embedding, prompt))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(calls) == 12
    assert len(calls) < 12
    for embedding, prompt, answer in answers.values():
        same(answer, predictor.predict(embedding, prompt))


def test_a_bad_prompt_harms_nobody_else(predictor, embeddings):
    batcher = PromptBatcher(predictor, seconds=0.05)
    good, bad = Prompt(points=[[20, 30]]), Prompt(mask=np.zeros((7, 7), np.float32))
    outcomes = {}
    start = threading.Barrier(3)

    def ask(name, prompt):
        start.wait()
        try:
            outcomes[name] = batcher.predict(embeddings[0], prompt)
        except InvalidPromptError as error:
            outcomes[name] = error

    cases = {"good": good, "logits": bad, "outside": Prompt(points=[[9999, 1]])}
    threads = [threading.Thread(target=ask, args=case) for case in cases.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert isinstance(outcomes["logits"], InvalidPromptError)
    assert isinstance(outcomes["outside"], InvalidPromptError)
    same(outcomes["good"], predictor.predict(embeddings[0], good))
