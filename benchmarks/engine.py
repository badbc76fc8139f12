"""Encoding, one click, 64 clicks and automatic masks with ViT-B or others, beside the peers.

Random weights, the same for all; real photographs. Thresholds of the automatic masks are set to
quantiles of the scores, so that as many candidates survive as with trained weights (a third by
predicted IoU, half of these by stability). Each figure is the median over processes that take
turns; memory is the peak above what the process held when the model and image were loaded.
"""

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import (
    FOLDER_VARIABLE,
    forget_peak,
    in_child,
    machine,
    peak_mb,
    resident_mb,
    results_of,
    save,
    table,
    timed,
)
from benchmarks.tools import OWN_TOOLS, TOOLS, able_tools

TASKS = ("encode", "click", "clicks", "streamed", "automatic")
REPETITIONS = {"encode": 3, "click": 9, "clicks": 2, "streamed": 2, "automatic": 1}
# The peers give all masks at once.
OWN_TASKS = ("streamed",)


def photograph(megapixels: float) -> np.ndarray:
    """The coffee photograph of scikit-image at about the given size: (H, W, 3), uint8."""
    from PIL import Image
    from skimage import data

    image = Image.fromarray(data.coffee())
    scale = (megapixels * 1e6 / (image.width * image.height)) ** 0.5
    size = round(image.width * scale), round(image.height * scale)
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


def prepare(folder: Path, name: str) -> tuple[Path, tuple[float, float]]:
    """Write a model's random weights; find thresholds that a realistic share of masks passes."""
    import torch

    from sam_plugins import AutomaticSettings, Predictor, propose
    from sam_plugins.modeling import build_sam

    torch.manual_seed(0)
    model = build_sam(name)
    weights = folder / f"{name}.pth"
    torch.save(model.state_dict(), weights)
    everything = AutomaticSettings(
        points_per_side=8, pred_iou_thresh=-1e9, stability_score_thresh=0
    )
    found = propose(Predictor(model), photograph(0.24), settings=everything).candidates[0]
    iou = float(np.quantile(found.predicted_iou, 0.65))
    stability = float(np.median(found.stability[found.predicted_iou > iou]))
    return weights, (iou, stability)


def child(arguments: argparse.Namespace) -> None:
    """Measure one tool on one task and print JSON."""
    image = photograph(arguments.megapixels)
    tool = TOOLS[arguments.tool](arguments.weights, image, tuple(arguments.thresholds))
    before = resident_mb()
    if arguments.task in ("click", "clicks", "streamed"):
        tool.encode()
        forget_peak()  # the encoder's
    work = getattr(tool, arguments.task)
    slow = arguments.task == "automatic"
    result = timed(work, repetitions=arguments.repetitions, warm_up=0 if slow else 1)
    print(json.dumps({**result, "peak_mb": peak_mb(), "added_mb": peak_mb() - before}))


def _other_tasks(name: str, tasks: list[str]) -> list[dict[str, Any]]:
    """Earlier results, on this kind of machine, of tasks that are not measured now."""
    path = results_of(name)
    earlier = json.loads(path.read_text()) if path.exists() else {"rows": []}
    kept = [row for row in earlier["rows"] if row["task"] not in tasks]
    if kept and earlier["machine"] != machine():
        raise ValueError(
            f"{path} is of another machine: measure all tasks, or name another folder by "
            f"{FOLDER_VARIABLE}"
        )
    return kept


def main(argv: list[str] | None = None) -> None:
    """Run the tools in turns, print the table, save it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--tools", nargs="+", choices=list(TOOLS), default=able_tools())
    parser.add_argument("--model", default="vit_b", help="the peers know SAM's own alone")
    parser.add_argument("--megapixels", type=float, default=2.16)
    parser.add_argument("--name", default="engine", help="of the file in benchmarks/results")
    parser.add_argument("--tool", choices=list(TOOLS), help=argparse.SUPPRESS)
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--weights", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--thresholds", type=float, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--repetitions", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.tool:
        child(arguments)
        return
    kept, rows = _other_tasks(arguments.name, arguments.tasks), []
    with tempfile.TemporaryDirectory() as folder:
        weights, thresholds = prepare(Path(folder), arguments.model)
        for task in arguments.tasks:
            turns = 1 if arguments.quick or task == "automatic" else arguments.turns
            able = [t for t in arguments.tools if t in OWN_TOOLS or task not in OWN_TASKS]
            found: dict[str, list[dict[str, float]]] = {tool: [] for tool in able}
            for _ in range(turns):
                for tool in able:
                    options = {
                        "--tool": [tool],
                        "--task": [task],
                        "--weights": [str(weights)],
                        "--thresholds": [str(value) for value in thresholds],
                        "--megapixels": [str(arguments.megapixels)],
                        "--repetitions": [str(REPETITIONS[task])],
                    }
                    flat = [part for key, values in options.items() for part in (key, *values)]
                    found[tool].append(in_child("benchmarks.engine", flat))
            for tool, results in found.items():
                median = {
                    key: statistics.median(result[key] for result in results) for key in results[0]
                }
                rows.append({"task": task, "tool": tool, **median})
                print(json.dumps(rows[-1]), flush=True)
    reference = {row["task"]: row for row in rows if row["tool"] == "segment-anything"}
    reference["streamed"] = reference.get("clicks", {})
    for row in rows:
        if reference.get(row["task"]):
            row["speed-up"] = reference[row["task"]]["seconds"] / row["seconds"]
    save(arguments.name, kept + rows)
    columns = ["task", "tool", "seconds", "cpu_seconds", "peak_mb", "added_mb", "speed-up"]
    print(table(rows, columns))


if __name__ == "__main__":
    main()
