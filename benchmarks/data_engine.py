"""Does the data engine help? All three stages with a simulated annotator on labelled images.

``python -m benchmarks.data_engine --data DIR``, where DIR has ``images`` and ``masks``. The loop
begins with a small model that has seen procedural scenes alone, for some minutes: the paper's began
with a model of public datasets (§4), and ``lite`` may have been trained on the images.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.measure import RESULTS, save, table
from benchmarks.training import train
from sam_plugins.data_engine import EngineSettings
from sam_plugins.data_engine.annotator import Annotator
from sam_plugins.data_engine.simulation import Plan, simulate, sources_of
from sam_plugins.datasets.labelled import read_labelled
from sam_plugins.files import atomic_path

PICTURE = RESULTS.parents[1] / "docs" / "images" / "data-engine.png"
COLUMNS = [
    "when", "labelled", "masks", "clicks", "iou", "painted", "given_clicks", "prefilled",
    "recall", "precision",
]  # fmt: skip


def plan_of(arguments: argparse.Namespace, model: str) -> Plan:
    """The plan that the arguments ask for."""
    quick = arguments.quick
    engine = EngineSettings(
        model=model,
        rounds=arguments.rounds + 1,
        minutes=30,
        held_out=1 / 3,
        steps=4 if quick else arguments.steps,
    )
    return Plan(
        rounds=arguments.rounds,
        images=2 if quick else arguments.images,
        objects=2 if quick else arguments.objects,
        unseen=2 if quick else arguments.unseen,
        measured=2 if quick else 6,
        annotator=Annotator(most_clicks=4 if quick else 10),
        engine=engine,
    )


def sample_of(data: Path, folder: Path, count: int) -> Path:
    """A folder with some of the images: reading all of them would take longer than the rest."""
    names = sorted(path.name for path in (data / "images").iterdir())
    for name in random.Random(3).sample(names, min(count, len(names))):
        image = data / "images" / name
        mask = next((data / "masks").glob(f"{image.stem}.*"))
        for path in (image, mask):
            place = folder / path.parent.name / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.resolve())
    return folder


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Clicks a mask and IoU over the rounds, on images never seen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    clicks, quality = figure.subplots(1, 2)
    when = [row["when"] for row in rows]
    clicks.plot(when, [row["clicks"] for row in rows], marker="o", label="images never seen")
    given = [row["given_clicks"] for row in rows]
    clicks.plot(when[1:], given[1:], marker=".", linestyle=":", label="images of this round")
    clicks.set(ylabel="clicks a mask", title="Clicks until IoU 0.9", ylim=(0, None))
    clicks.legend()
    quality.plot(when, [row["iou"] for row in rows], marker="o", label="IoU after one click")
    quality.plot(when, [row["painted"] for row in rows], marker=".", label="share to be painted")
    quality.set(title="Images never seen", ylim=(0, 1))
    quality.legend()
    for axes in (clicks, quality):
        axes.tick_params(axis="x", rotation=30)
        axes.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def main(argv: Sequence[str] | None = None) -> None:
    """Simulate, and write the figures and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with images and masks")
    parser.add_argument("--limit", type=int, default=60, help="images of the folder to use")
    parser.add_argument("--model", help="to begin with, in place of one trained for this")
    parser.add_argument("--minutes", type=float, default=8, help="to train it")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--objects", type=int, default=6)
    parser.add_argument("--unseen", type=int, default=10)
    parser.add_argument("--steps", type=int, default=200, help="of training in a round")
    parser.add_argument("--threads", type=int, help="processor threads")
    parser.add_argument("--quick", action="store_true", help="a minute: nothing is learned")
    arguments = parser.parse_args(argv)
    if arguments.data is None:
        print("needs --data DIR: left out")
        return
    if arguments.threads:
        import torch

        torch.set_num_threads(arguments.threads)
    began = time.perf_counter()
    rows = []
    with tempfile.TemporaryDirectory() as temporary:
        model = arguments.model or str(
            train(Path(temporary, "model"), 1.0 if arguments.quick else arguments.minutes)[0]
        )
        plan = plan_of(arguments, model)
        data = sample_of(arguments.data, Path(temporary, "data"), arguments.limit)
        truth = {image.name: image for image in read_labelled(data)}
        made = simulate(sources_of(data), truth, Path(temporary, "engine"), plan, on_progress=print)
        for row in made:
            rows.append(asdict(row) | {"seconds": round(time.perf_counter() - began)})
            print(rows[-1], flush=True)
            if not arguments.quick:
                save("data-engine", rows)
                draw(rows, PICTURE)
    print(table(rows, COLUMNS))


if __name__ == "__main__":
    main()
