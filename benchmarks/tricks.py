"""What each trick brings: the same task with and without it, in turns in one process.

ViT-B and TinyViT with random weights, and ``lite``. The difference is the norm of what changes in
the result, over the norm of the result.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np
import skimage
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks import fresh_memory
from benchmarks.engine import photograph
from benchmarks.measure import save, table
from benchmarks.tools import click_points
from sam_plugins import Predictor, Prompt
from sam_plugins.devices import choose_precision
from sam_plugins.masks import streaming
from sam_plugins.modeling import (
    build_sam,
    cpu,
    image_encoder,
    lite,
    lite_decoder,
    mask_decoder,
    relative_attention,
    tiny_vit,
    tiny_vit_convolutions,
    two_way_transformer,
)
from sam_plugins.modeling.kernels import processor, upscaling, vit
from sam_plugins.modeling.kernels.bfloat16 import layers as bfloat16_layers
from sam_plugins.modeling.kernels.bfloat16 import two_way as bfloat16_two_way
from sam_plugins.modeling.kernels.bfloat16 import upscaling as bfloat16_upscaling
from sam_plugins.modeling.kernels.bfloat16 import vit as bfloat16_vit

COLUMNS = ["trick", "task", "without, ms", "with, ms", "times faster", "difference"]


@dataclass(frozen=True)
class Trick:
    """A way to be faster, and how to do without.

    ``off`` are attributes that are replaced: owner, name, value. ``used`` tells whether this
    machine makes use of it at all.
    """

    name: str
    task: str
    off: tuple[tuple[Any, str, Any], ...]
    used: Callable[[], bool] = lambda: True


def _fused(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def _by_one_thread(parts: Iterable[Any], work: Callable[[Any], None]) -> None:
    work(iter(parts))


def _leaves_bfloat16_to_pytorch() -> bool:
    return not processor.multiplies_bfloat16()


def _is_exact_by_default() -> bool:
    return choose_precision(torch.device("cpu")) == "float32"


TRICKS = (
    Trick(
        "bias folded into the queries",
        "encode, bfloat16",
        ((relative_attention, "_attend_folded", relative_attention._attend_in_pieces),),
        used=_leaves_bfloat16_to_pytorch,
    ),
    Trick(
        "a row of windows after the other",
        "encode, bfloat16",
        ((image_encoder, "by_stripes", lambda function, x, size: function(x)),),
        used=_leaves_bfloat16_to_pytorch,
    ),
    Trick(
        "blocks by own kernels",
        "encode, bfloat16",
        ((bfloat16_vit, "suits", lambda *_: False),),
        used=processor.multiplies_bfloat16,
    ),
    Trick(
        "blocks by own kernels",
        "encode, float32",
        ((vit, "suits", lambda *_: False),),
        used=processor.suited,
    ),
    Trick(
        "attention piece by piece",
        "encode, float32",
        ((relative_attention, "PAIRS_AT_ONCE", 2**40),),
        used=lambda: not processor.suited(),
    ),
    Trick(
        "matrices multiplied by oneDNN",
        "encode, float32",
        ((cpu, "_suits_onednn", lambda x, weight: False),),
        used=lambda: cpu._has_onednn() and not processor.suited(),
    ),
    Trick(
        "the image's part computed once",
        "click",
        ((mask_decoder.MaskDecoder, "_keep", lambda *_: None),),
    ),
    Trick(
        "that, and few tokens taken through the projections of many",
        "click",
        (
            (mask_decoder.MaskDecoder, "_keep", lambda *_: None),
            (two_way_transformer.Attention, "is_wrapped", lambda _: True),
        ),
    ),
    Trick(
        "masks upscaled by own kernels",
        "click",
        ((upscaling, "suits", lambda *_: False),),
        used=processor.suited,
    ),
    Trick(
        "masks made by several threads",
        "click",
        ((streaming, "share", _by_one_thread),),
    ),
    Trick(
        "image tokens by own kernels",
        "click, bfloat16",
        ((bfloat16_two_way, "suits", lambda *_: False),),
        used=processor.multiplies_bfloat16,
    ),
    Trick(
        "image tokens by own kernels",
        "16 clicks, bfloat16",
        ((bfloat16_two_way, "suits", lambda *_: False),),
        used=processor.multiplies_bfloat16,
    ),
    Trick(
        "masks upscaled in bfloat16",
        "click, bfloat16",
        ((Predictor, "_autocast", lambda *_, **__: nullcontext()),),
    ),
    Trick(
        "masks upscaled by own kernels",
        "click, bfloat16",
        ((bfloat16_upscaling, "suits", lambda *_: False),),
        used=processor.multiplies_bfloat16,
    ),
    Trick(
        "bottlenecks by rows",
        "encode, vit_t",
        ((tiny_vit_convolutions, "ROWS", 2**20),),
        used=lambda: not (processor.suited() and _is_exact_by_default()),
    ),
    Trick(
        "layers by own kernels",
        "encode, vit_t",
        ((processor, "suited", lambda: False),),
        used=lambda: processor.suited() and _is_exact_by_default(),
    ),
    Trick(
        "attention and MLPs by own kernels",
        "encode, vit_t",
        ((bfloat16_layers, "suits", lambda *_: False),),
        used=processor.multiplies_bfloat16,
    ),
    Trick(
        "attention in windows by its parts",
        "encode, vit_t",
        ((tiny_vit, "_attend", _fused),),
        used=lambda: _leaves_bfloat16_to_pytorch() and not _is_exact_by_default(),
    ),
    Trick("both levels in one call", "click, lite", ((lite, "FEW_PROMPTS", 0),)),
    Trick(
        "maps added and activated in place",
        "64 clicks, lite",
        ((lite_decoder, "runs_eagerly_on_cpu", lambda _: False),),
    ),
)


def tasks() -> dict[str, tuple[Callable[[], Any], int]]:
    """What this machine can be measured with, and how often: each gives an array."""
    torch.manual_seed(0)
    model, image = build_sam("vit_b"), photograph(2.16)
    half, exact = Predictor(model), Predictor(model, precision="float32")
    tiny = Predictor(build_sam("vit_t"))
    small, astronaut = Predictor("lite", device="cpu"), skimage.data.astronaut()
    (embedding,) = exact.encode_rgb([image])
    same = replace(embedding, precision=half.precision)
    (small_embedding,) = small.encode_rgb([astronaut])
    click = Prompt(points=np.array([[400.0, 240.0]]))
    clicks = [Prompt(points=point[None]) for point in click_points(image, 16)]
    small_clicks = [Prompt(points=point[None]) for point in click_points(astronaut, 64)]

    def encode(predictor: Predictor) -> Any:
        return predictor.encode_rgb([image])[0].features[0].float().numpy()

    def ask(predictor: Predictor, about: Any) -> Any:
        answer = predictor.predict(about, click)
        return answer.masks, answer.low_resolution_logits

    def ask_all(predictor: Predictor, about: Any, prompts: list[Prompt] = clicks) -> Any:
        answers = predictor.predict_batch(about, prompts)
        return np.stack([answer.low_resolution_logits for answer in answers])

    ways = {
        "encode, bfloat16": (lambda: encode(half), 3),
        "encode, float32": (lambda: encode(exact), 3),
        "encode, vit_t": (lambda: encode(tiny), 9),
        "click": (lambda: ask(exact, embedding)[1], 40),
        "click, bfloat16": (lambda: ask(half, same)[1], 40),
        "16 clicks, bfloat16": (lambda: ask_all(half, same), 9),
        "click, lite": (lambda: ask(small, small_embedding)[1], 40),
        "64 clicks, lite": (lambda: ask_all(small, small_embedding, small_clicks), 9),
    }
    if half.precision == "float32":  # the default where a processor has no bfloat16
        ways = {task: way for task, way in ways.items() if not task.endswith("bfloat16")}
    return ways


def measure(trick: Trick, work: Callable[[], Any], repetitions: int) -> dict[str, Any]:
    """Medians of both ways."""
    spent: dict[str, list[float]] = {"with": [], "without": []}
    results = {}
    for repetition in range(repetitions + 1):
        for way, times in spent.items():
            patches = [mock.patch.object(*each) for each in trick.off] if way == "without" else []
            for patch in patches:
                patch.start()
            if "click" in trick.task:
                work()  # what is kept of the image may be of another kind
            began = time.perf_counter()
            results[way] = work()
            took = time.perf_counter() - began
            for patch in patches:
                patch.stop()
            if repetition:  # the first warms up
                times.append(1000 * took)
    off, on = (statistics.median(spent[way]) for way in ("without", "with"))
    change = np.linalg.norm(results["with"] - results["without"])
    return {
        "trick": trick.name,
        "task": trick.task,
        "without, ms": off,
        "with, ms": on,
        "times faster": off / on,
        "difference": float(change / np.linalg.norm(results["without"])),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all tricks, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one repetition")
    arguments = parser.parse_args(argv)
    ways = tasks()
    rows = []
    for trick in (each for each in TRICKS if each.task in ways and each.used()):
        work, repetitions = ways[trick.task]
        rows.append(measure(trick, work, 1 if arguments.quick else repetitions))
        print(rows[-1], flush=True)
    rows += fresh_memory.rows(turns=1 if arguments.quick else 12)
    save("tricks", rows)
    print(table(rows, COLUMNS))


if __name__ == "__main__":
    main()
