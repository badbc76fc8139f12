"""What a click, and an encoding by ``lite``, take in a process that has just begun.

There the C library gives memory back that a next click takes anew, unless `reuse_memory` prevents
it. A process for each way, in turns: what was freed before changes what happens after.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks.engine import photograph
from benchmarks.measure import in_child, timed
from sam_plugins import ImageEmbedding, Predictor, Prompt, embedder
from sam_plugins.modeling import build_sam

NAME = "memory used again"
TASKS = ("click", "encode, lite")


def times() -> dict[str, float]:
    """Medians in milliseconds, of a click about an embedding that was there, and of ``lite``."""
    torch.manual_seed(0)
    predictor = Predictor(build_sam("vit_b"), precision="float32")
    image = photograph(2.16)
    frame = predictor.frame_of((image.shape[0], image.shape[1]))
    features = torch.randn(1, 256, 64, 64)
    embedding = ImageEmbedding((features,), frame, predictor.model.name, predictor.weights_hash)
    click = Prompt(points=np.array([[400.0, 240.0]]))
    lite = Predictor("lite", device="cpu")
    works = (lambda: predictor.predict(embedding, click), lambda: lite.encode_rgb([image]))
    return {
        task: 1000 * timed(work, repetitions=25, warm_up=3)["seconds"]
        for task, work in zip(TASKS, works, strict=True)
    }


def rows(turns: int) -> list[dict[str, Any]]:
    """Both ways, as rows of the table of tricks."""
    found: dict[str, list[dict[str, Any]]] = {"with": [], "without": []}
    for _ in range(turns):
        for way, results in found.items():
            results.append(in_child("benchmarks.fresh_memory", [way]))
    medians = {
        (way, task): statistics.median(each[task] for each in results)
        for way, results in found.items()
        for task in TASKS
    }
    return [
        {
            "trick": NAME,
            "task": task,
            "without, ms": medians["without", task],
            "with, ms": medians["with", task],
            "times faster": medians["without", task] / medians["with", task],
            "difference": 0.0,  # the same computation
        }
        for task in TASKS
    ]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure one way, in this process, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=("with", "without"))
    if parser.parse_args(argv).way == "without":
        mock.patch.object(embedder, "reuse_memory").start()
    print(json.dumps(times()))


if __name__ == "__main__":
    main()
