"""How fast is ``lite`` on this processor: encoding a frame of 512 pixels, one click, one box?"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import skimage
import torch

from benchmarks.measure import machine
from sam_plugins.predictor import Predictor
from sam_plugins.prompts import Prompt

RESULTS = Path(__file__).parent / "results" / "lite.json"


def milliseconds(task, repetitions: int) -> float:
    """Median time of a task, after one run to warm up."""
    task()
    times = []
    for _ in range(repetitions):
        start = perf_counter()
        task()
        times.append(perf_counter() - start)
    return 1000 * median(times)


def measure(repetitions: int) -> dict[str, float]:
    """Median times in milliseconds, each from a photograph of 512 x 512 pixels."""
    predictor = Predictor("lite", device="cpu")
    image = skimage.data.astronaut()
    (embedding,) = predictor.encode_rgb([image])
    click = Prompt(points=np.array([[200.0, 120.0]]))
    first = predictor.predict(embedding, click)
    second = first.refine(Prompt(points=np.array([[200.0, 120.0], [300.0, 300.0]]), labels=[1, 0]))
    box = Prompt(boxes=np.array([[150.0, 40.0, 300.0, 210.0]]))
    tasks = {
        "encode": lambda: predictor.encode_rgb([image]),
        "click": lambda: predictor.predict(embedding, click).best_mask,
        "second click": lambda: predictor.predict(embedding, second).best_mask,
        "box": lambda: predictor.predict(embedding, box).best_mask,
    }
    return {name: round(milliseconds(task, repetitions), 2) for name, task in tasks.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    arguments = parser.parse_args(argv)
    found = measure(10 if arguments.quick else 50)
    result = {"machine": machine(), "threads": torch.get_num_threads(), "milliseconds": found}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for name, value in found.items():
        print(f"{name:14} {value:8.1f} ms")


if __name__ == "__main__":
    main()
