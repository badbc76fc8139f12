"""How fast is ``lite`` on this processor: encoding, one click, one box, automatic masks?

On a photograph of 512 pixels, the model's own frame, and on one of 1024.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import skimage
import torch
from PIL import Image

from benchmarks.measure import save, table, timed
from sam_plugins import generate
from sam_plugins.predictor import Predictor
from sam_plugins.prompts import Prompt

SIDES = (512, 1024)


def measure(side: int, repetitions: int, automatic: int) -> dict[str, Any]:
    """Median times in milliseconds, on a photograph of ``side`` x ``side`` pixels."""
    predictor = Predictor("lite", device="cpu")
    photograph = Image.fromarray(skimage.data.astronaut())
    image = np.asarray(photograph.resize((side, side), Image.Resampling.BICUBIC))
    (embedding,) = predictor.encode_rgb([image])
    unit = side / 512
    click = Prompt(points=unit * np.array([[200.0, 120.0]]))
    first = predictor.predict(embedding, click)
    both = unit * np.array([[200.0, 120.0], [300.0, 300.0]])
    second = first.refine(Prompt(points=both, labels=[1, 0]))
    box = Prompt(boxes=unit * np.array([[150.0, 40.0, 300.0, 210.0]]))

    def all_masks() -> Any:
        predictor.cache.clear()
        return generate(predictor, image)

    tasks = {
        "encode": lambda: predictor.encode_rgb([image]),
        "click": lambda: predictor.predict(embedding, click).best_mask,
        "second click": lambda: predictor.predict(embedding, second).best_mask,
        "box": lambda: predictor.predict(embedding, box).best_mask,
    }
    times = {name: timed(task, repetitions=repetitions) for name, task in tasks.items()}
    times["automatic, 32 x 32 points"] = timed(all_masks, repetitions=automatic)
    return {"side": side, "threads": torch.get_num_threads()} | {
        f"{name}, ms": 1000 * each["seconds"] for name, each in times.items()
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    arguments = parser.parse_args(argv)
    repetitions = (10, 1) if arguments.quick else (50, 3)
    rows = [measure(side, *repetitions) for side in SIDES]
    save("lite", rows)
    print(table(rows, list(rows[0])))


if __name__ == "__main__":
    main()
