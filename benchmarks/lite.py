"""How fast is ``lite`` on this processor: encoding a frame of 512 pixels, one click, one box?"""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import skimage
import torch

from benchmarks.measure import save, table, timed
from sam_plugins.predictor import Predictor
from sam_plugins.prompts import Prompt


def measure(repetitions: int) -> dict[str, Any]:
    """Median times in milliseconds, on a photograph of 512 x 512 pixels."""
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
    times = {name: timed(task, repetitions=repetitions) for name, task in tasks.items()}
    return {"threads": torch.get_num_threads()} | {
        f"{name}, ms": 1000 * each["seconds"] for name, each in times.items()
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    arguments = parser.parse_args(argv)
    row = measure(10 if arguments.quick else 50)
    save("lite", [row])
    print(table([row], list(row)))


if __name__ == "__main__":
    main()
