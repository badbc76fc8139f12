"""Graphs give what the function gives; on a CPU they are acted out (see `recorder`)."""

from __future__ import annotations

import threading
import warnings

import numpy as np
import pytest
import torch

from sam_plugins import Predictor, Prompt
from sam_plugins.modeling import graphs
from sam_plugins.modeling.graphs import Graphs, padded_count
from tests.modeling.recorder import act_as_cuda


class Function:
    """A function of tensors that counts its calls."""

    __name__ = "function"

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x, y=None, *, times=1):
        self.calls += 1
        z = torch.zeros_like(x)
        for _ in range(times):
            z += x.sin() if y is None else x * y
        return z, z.flatten()[:1]


def plain(*given, **options):
    return Function()(*given, **options)


def same(found, expected):
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.fixture
def acted(monkeypatch):
    act_as_cuda(monkeypatch)
    with torch.inference_mode():
        yield


@pytest.mark.usefixtures("acted")
def test_the_second_call_records_and_later_ones_replay():
    function, kept = Function(), Graphs(4)
    answers, calls = [], []
    inputs = [torch.randn(3, 4) for _ in range(5)]
    for x in inputs:
        answers.append(kept.run(function, x))
        calls.append(function.calls)
    assert calls == [1, 3, 3, 3, 3]
    # Also the earlier answers, which later calls have not changed.
    for x, answer in zip(inputs, answers, strict=True):
        assert same(answer, plain(x))


@pytest.mark.usefixtures("acted")
def test_each_form_has_its_own_graph():
    function, kept = Function(), Graphs(9)
    forms = [
        ((torch.randn(3, 4),), {}),
        ((torch.randn(3, 4),), {"times": 2}),
        ((torch.randn(3, 4), torch.randn(4)), {}),
        ((torch.randn(3, 4), None), {}),
        ((torch.randn(2, 4),), {}),
        ((torch.randn(3, 4, dtype=torch.float64),), {}),
    ]
    for _ in range(3):
        for given, options in forms:
            assert same(kept.run(function, *given, **options), plain(*given, **options))
    assert function.calls == 3 * len(forms)

    def other(x):
        return (x + 1,)

    (x,) = forms[0][0]
    assert [same(kept.run(other, x), (x + 1,)) for _ in range(3)] == [True] * 3


@pytest.mark.usefixtures("acted")
def test_the_forms_used_last_are_kept():
    function, kept = Function(), Graphs(2)
    a, b, c = (torch.randn(size) for size in (1, 2, 3))
    for x in (a, a, b, b, a, c, c):
        assert same(kept.run(function, x), plain(x))
    assert function.calls == 9
    kept.run(function, a)
    assert function.calls == 9
    kept.run(function, b)  # dropped when c came
    assert function.calls == 10


@pytest.mark.usefixtures("acted")
@pytest.mark.parametrize("at_the_end", [False, True])
def test_spent_memory_is_told_and_all_graphs_given_up(monkeypatch, at_the_end):
    function, kept = Function(), Graphs(4)
    x = torch.randn(3)
    for _ in range(3):
        kept.run(function, x)

    def spent(*given):
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        finally:
            if at_the_end:
                raise RuntimeError("the recording was not finished")

    with monkeypatch.context() as patch:
        patch.setattr(graphs, "Recording", spent)
        y = torch.randn(4)
        kept.run(function, y)
        with pytest.raises(torch.OutOfMemoryError):
            kept.run(function, y)
    calls = function.calls
    for _ in range(3):
        assert same(kept.run(function, x), plain(x))
    assert function.calls == calls + 3


@pytest.mark.usefixtures("acted")
def test_threads_share_graphs():
    kept, wrong = Graphs(4), []

    def work(seed):
        generator = torch.Generator().manual_seed(seed)
        with torch.inference_mode():
            for _ in range(20):
                x = torch.randn(2 + seed % 2, generator=generator)
                if not same(kept.run(plain, x), plain(x)):
                    wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.usefixtures("acted")
@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x[x > 0],),
        lambda x: (x * x.sum().item(),),
        lambda x: (x + x.new_tensor([1.0, 2.0, 3.0]),),
    ],
)
def test_what_cannot_be_recorded_is_called_with_a_warning(function):
    kept, x = Graphs(4), torch.randn(3)
    assert same(kept.run(function, x), function(x))
    with pytest.warns(RuntimeWarning, match="without CUDA graphs: .* cannot be recorded"):
        assert same(kept.run(function, x), function(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for each in (x, x + 1):
            assert same(kept.run(function, each), function(each))


@pytest.mark.parametrize("most", [0, 4])
def test_elsewhere_the_function_is_just_called(most):
    function, kept = Function(), Graphs(most)
    x = torch.randn(3, requires_grad=True)
    for count in (1, 2, 3):
        kept.run(function, x)[0].sum().backward()
        with torch.inference_mode():
            assert same(kept.run(function, x), plain(x))
        assert function.calls == 2 * count


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 9, 33, 64])
def test_padded_counts_are_few(count):
    assert padded_count(count) in (1, 2, 4, 8, 16, 32, 64)
    assert count <= padded_count(count) < 2 * count


PROMPTS = {
    "point": lambda i: Prompt(points=[[10 + i, 20]]),
    "points": lambda i: Prompt(points=[[10, 20], [30, 30 - i]], labels=[1, 0]),
    "box": lambda i: Prompt(boxes=[5, 5 + i, 30, 35]),
    "point and box": lambda i: Prompt(points=[[10, 20 + i]], boxes=[5, 5, 30, 35]),
    "mask": lambda i: Prompt(mask=np.eye(40, 60, i, dtype=bool)),
}


@pytest.fixture
def predictors(tiny_sam, monkeypatch):
    """Without graphs, and with those that are acted out."""
    act_as_cuda(monkeypatch)
    made = [Predictor(tiny_sam, device="cpu", precision="float32") for _ in range(2)]
    made[1].cuda_graphs, made[1]._graphs = True, Graphs(12)
    monkeypatch.setattr(Predictor, "prompts_per_batch", 64)
    return made


@pytest.mark.parametrize("kind", PROMPTS)
def test_prompts_are_padded_and_answered_by_graphs(predictors, kind):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)
    embeddings = [predictors[0].embed(image) for image in images]
    # 5 and 6 share the form of 8; the third time it is replayed.
    for number, count in enumerate((5, 6, 7, 3, 1, 8)):
        prompts = [PROMPTS[kind](number + each) for each in range(count)]
        for embedding in embeddings:
            plain, graphed = (
                each.decode(embedding, prompts, multimask=True) for each in predictors
            )
            for ours, theirs in zip(graphed, plain, strict=True):
                assert ours.shape == theirs.shape
                np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    # And each about an image of its own.
    for _ in range(3):
        questions = [(embeddings[i % 2], PROMPTS[kind](i)) for i in range(3)]
        plain, graphed = (each.predict_many(questions) for each in predictors)
        for ours, theirs in zip(graphed, plain, strict=True):
            np.testing.assert_allclose(
                ours.low_resolution_logits, theirs.low_resolution_logits, rtol=1e-4, atol=1e-5
            )
    recorded = predictors[1]._graphs._recorded.values()
    assert sum(each is not None for each in recorded) >= 3


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_images_are_encoded_by_graphs(predictors, precision):
    for each in predictors:
        each.precision = precision
    rng = np.random.default_rng(0)
    for _ in range(3):
        for count in (1, 3):
            images = list(rng.integers(0, 256, (count, 40, 60, 3), dtype=np.uint8))
            plain, graphed = (each.encode_rgb(images) for each in predictors)
            for ours, theirs in zip(graphed, plain, strict=True):
                torch.testing.assert_close(ours.features, theirs.features, rtol=1e-4, atol=1e-5)
    assert all(predictors[1]._graphs._recorded.values())


def test_a_decoder_that_looks_at_values_is_not_recorded(monkeypatch):
    act_as_cuda(monkeypatch)
    predictor = Predictor("lite", device="cpu")
    predictor.cuda_graphs, predictor._graphs = True, Graphs(12)
    embedding = predictor.embed(np.zeros((40, 60), np.uint8))
    recorded = len(predictor._graphs._recorded)
    for _ in range(3):
        predictor.predict_batch(embedding, [PROMPTS["box"](i) for i in range(3)])
    assert len(predictor._graphs._recorded) == recorded == 1


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("kind", PROMPTS)
def test_graphs_on_a_gpu(tiny_sam, kind):
    import copy

    plain, graphed = (
        Predictor(copy.deepcopy(tiny_sam), device="cuda", cuda_graphs=on) for on in (False, True)
    )
    rng = np.random.default_rng(0)
    for number in range(4):
        images = list(rng.integers(0, 256, (2, 40, 60, 3), dtype=np.uint8))
        pairs = list(zip(graphed.encode_rgb(images), plain.encode_rgb(images), strict=True))
        for ours, theirs in pairs:
            torch.testing.assert_close(ours.features, theirs.features, rtol=1e-2, atol=1e-2)
        prompts = [PROMPTS[kind](number + each) for each in range(3)]
        answers = [each.decode(pairs[0][1], prompts, multimask=True) for each in (graphed, plain)]
        for ours, theirs in zip(*answers, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)
    assert any(graphed._graphs._recorded.values())
    assert not plain._graphs._recorded
