"""Does fine-tuning help? Twenty labelled images of a kind that ``lite`` finds hard, ten minutes.

The images are procedural lettering, a small part of what ``lite`` was trained on; as many others
are held out to measure on.
"""

import argparse
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from benchmarks.measure import save, table
from sam_plugins.checkpoints import load_model
from sam_plugins.datasets.labelled import LEAST_PIXELS, LabelledImage
from sam_plugins.datasets.procedural import scene
from sam_plugins.masks import rle
from sam_plugins.training.finetuning import FinetuneSettings, finetune
from sam_plugins.training.finetuning.validation import validate

KIND = "lettering"
IMAGES = 20
SIZE = 384

# The objects measured on the images held out.
OBJECTS = 200


def labelled(first: int) -> list[LabelledImage]:
    """Images number ``first`` and up."""
    found = []
    for index in range(first, first + IMAGES):
        made = scene(np.random.default_rng([77, index]), SIZE, kind=KIND)
        labels = made.labels[1]
        ids, areas = np.unique(labels[labels > 0], return_counts=True)
        objects = tuple(rle.encode(labels == i) for i in ids[areas >= LEAST_PIXELS])
        found.append(LabelledImage(f"{KIND} {index}", made.image, objects))
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Measure before and after, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one minute")
    parser.add_argument("--model", default="lite")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--modes", nargs="+", default=["decoder"])
    arguments = parser.parse_args(argv)
    minutes = 1.0 if arguments.quick else arguments.minutes
    held_out = labelled(100)
    rows = []
    for mode in arguments.modes:
        model = load_model(arguments.model)
        before = validate(model, held_out, most=OBJECTS)
        settings = FinetuneSettings(mode=mode, minutes=minutes)
        outcome = finetune(model, labelled(0), settings, on_progress=print)
        after = validate(model, held_out, most=OBJECTS)
        for when, found in (("before", before), ("after", after)):
            row = {"mode": mode, "minutes": minutes, "images": outcome.after.step, "when": when}
            rows.append(
                row | {k: v for k, v in asdict(found).items() if k not in row and k != "step"}
            )
    save("finetuning", rows)
    print(table(rows, ["mode", "minutes", "images", "when", "click", "clicks3", "box"]))


if __name__ == "__main__":
    main()
