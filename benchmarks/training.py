"""Does training work at all? ``lite`` from nothing, on procedural scenes, for some minutes.

A smoke test of the whole pipeline: after ten minutes on one core the masks of held-out scenes must
be better than a filled ellipse (boxes) and a flood fill (clicks).
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.measure import save, table
from sam_plugins.datasets.procedural import scene
from sam_plugins.evaluation.baselines import filled_ellipse, flood
from sam_plugins.evaluation.clicks import box_of, centre_of, iou
from sam_plugins.evaluation.prompts import Protocol, measure
from sam_plugins.evaluation.sets import Sample
from sam_plugins.predictor import Predictor
from sam_plugins.training.lite.recipe import read_recipe
from sam_plugins.training.lite.scenes import make_scenes
from sam_plugins.training.lite.train import train_lite
from sam_plugins.training.log import LOG

# Steps of the recipe's first part to find out how fast this machine is.
TRIAL_STEPS = 50
SCENES = 800

# Objects of fewer pixels are not measured.
LEAST_AREA = 60


def held_out(count: int, *, size: int = 256, objects: int = 3) -> list[Sample]:
    """Scenes that no recipe trains on: their seeds are out of its reach."""
    samples = []
    for index in range(count):
        rng = np.random.default_rng([10**6, index])
        made = scene(rng, size)
        labels = made.labels[1]
        ids, areas = np.unique(labels[labels > 0], return_counts=True)
        chosen = rng.permutation(ids[areas >= LEAST_AREA])[:objects]
        if len(chosen):
            nothing = np.zeros(labels.shape, dtype=bool)
            samples.append(Sample(made.kind, made.image, [labels == i for i in chosen], nothing))
    return samples


def train(folder: Path, minutes: float) -> tuple[Path, int]:
    """Run the recipe's first part alone, with as many steps as there is time for: model, steps."""
    start = time.monotonic()
    # First prompts alone are measured, so that they alone are trained, in many small steps.
    part = replace(
        read_recipe()[0],
        scenes=SCENES,
        real_weights={},
        rounds=(1,),
        # The encoder's work teaches more with more objects a crop.
        objects=8,
        box_share=0.35,
        batch=8,
        least=0.03,
        ema=0.99,
    )
    make_scenes(folder, count=part.scenes, size=part.scene_size, seed=part.seed)
    train_lite([replace(part, name="trial", steps=TRIAL_STEPS)], folder)
    # As the run itself counts: without the start of the processes that make batches.
    log = (folder / "trial" / LOG).read_text(encoding="utf-8").splitlines()
    seconds = json.loads(log[-1])["seconds"] / TRIAL_STEPS
    steps = max(1, round((60 * minutes - (time.monotonic() - start)) / seconds))
    return train_lite([replace(part, steps=steps)], folder), steps


def main(argv: Sequence[str] | None = None) -> None:
    """Train, measure, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one minute")
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args(argv)
    minutes = 1.0 if arguments.quick else arguments.minutes
    with tempfile.TemporaryDirectory() as folder:
        model, steps = train(Path(folder), minutes)
        predictor = Predictor(model, device="cpu")
    samples = held_out(60)
    scores = list(measure(predictor, samples, protocol=Protocol(clicks=(1,), boxes=True)))
    truths = [(sample, mask) for sample in samples for mask in sample.masks]
    simple = {
        "flood": [iou(flood(s.image, centre_of(m)[0]), m) for s, m in truths],
        "ellipse": [iou(filled_ellipse(box_of(m), m.shape), m) for s, m in truths],
    }
    row = {
        "minutes": minutes,
        "steps": steps,
        "objects": len(scores),
        "click": float(np.mean([each.masks["click"].iou for each in scores])),
        # A flood fill is one piece by nature.
        "click, piece under it": float(np.mean([each.masks["click_piece"].iou for each in scores])),
        "flood": float(np.mean(simple["flood"])),
        "box": float(np.mean([each.masks["box"].iou for each in scores])),
        "ellipse": float(np.mean(simple["ellipse"])),
    }
    save("training", [row])
    print(table([row], list(row)))


if __name__ == "__main__":
    main()
