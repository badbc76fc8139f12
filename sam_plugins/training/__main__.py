"""Train ``lite``: ``python -m sam_plugins.training --recipe FILE --data DIR --out DIR``."""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, astuple
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from sam_plugins.devices import choose_device
from sam_plugins.files import atomic_path
from sam_plugins.modeling import CONFIGS
from sam_plugins.modeling.lite import build_lite
from sam_plugins.training.fit import Scores, Trainer
from sam_plugins.training.recipe import Recipe, read_recipe
from sam_plugins.training.samples import Batch, CropSource
from sam_plugins.training.scenes import make_scenes
from sam_plugins.training.views import read_folder

logger = logging.getLogger("sam_plugins.training")

# Every tenth image of each set is never trained on, to measure with.
HELD_OUT = (10, 3)
SECONDS_BETWEEN_REPORTS = 30
SECONDS_BETWEEN_CHECKPOINTS = 60


def save_checkpoint(path: Path, trainer: Trainer, seconds: float) -> None:
    """Write everything that a run needs to go on."""
    state = {
        "model": trainer.model.state_dict(),
        "averaged": trainer.averaged.state_dict(),
        "optimizer": trainer.optimizer.state_dict(),
        "steps": trainer.steps,
        "images": trainer.images,
        "seconds": seconds,
    }
    with atomic_path(path) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path, trainer: Trainer) -> float:
    """Go on from a checkpoint; gives the seconds trained before."""
    state = torch.load(path, weights_only=True, map_location=trainer.model.device)
    trainer.model.load_state_dict(state["model"])
    trainer.averaged.load_state_dict(state["averaged"])
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.steps, trainer.images = state["steps"], state["images"]
    return float(state["seconds"])


def batches(
    recipe: Recipe, data: Path | None, out: Path, stage: int, step: int
) -> DataLoader[Batch]:
    """Stream of batches of one stage, made by a process of its own."""
    _, size, batch_size = recipe.stages[stage]
    names = [name for name in recipe.real_weights if data is not None and (data / name).is_dir()]
    real = {
        name: read_folder(data / name, keep_every=HELD_OUT) for name in names if data is not None
    }
    scenes = make_scenes(out.parent, count=recipe.scenes, size=recipe.scene_size, seed=recipe.seed)
    source = CropSource(
        real,
        recipe.real_weights,
        scenes,
        real_share=recipe.real_share,
        collage_share=recipe.collage_share,
        objects=recipe.objects,
        size=size,
        batch_size=batch_size,
        level_weights=recipe.level_weights,
        seed=(recipe.seed, stage, step),
    )
    return DataLoader(source, batch_size=None, num_workers=1, prefetch_factor=4)


def train(
    recipe: Recipe,
    *,
    data: Path | None,
    out: Path,
    minutes: float,
    device: str,
    init: Path | None = None,
) -> Trainer:
    """Train for a number of minutes in all.

    Goes on from the checkpoint in ``out``, if there is one; else begins with the averaged weights
    of the checkpoint ``init``, if given.
    """
    torch.manual_seed(recipe.seed)
    rounds_rng = np.random.default_rng(recipe.seed)
    model = build_lite(CONFIGS["lite"]).to(choose_device(device))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if init is not None:
        state = torch.load(init, weights_only=True, map_location=model.device)
        model.load_state_dict(state["averaged"])
    trainer = Trainer(model, recipe)
    checkpoint = out / "checkpoint.pt"
    before = load_checkpoint(checkpoint, trainer) if checkpoint.exists() else 0.0
    start = reported = saved = time.monotonic()
    stage, stream, recent = -1, None, list[Scores]()
    while (seconds := before + time.monotonic() - start) < 60 * minutes:
        progress = seconds / (60 * minutes)
        now = recipe.stage_at(progress)[0]
        if now != stage or stream is None:
            stage = now
            stream = iter(batches(recipe, data, out, stage, trainer.steps))
        batch = next(stream).to(model.device)
        rounds = int(rounds_rng.choice(recipe.rounds))
        recent.append(trainer.step(batch, rounds=rounds, progress=progress))
        if time.monotonic() - reported > SECONDS_BETWEEN_REPORTS:
            report(trainer, recent, seconds, out)
            reported, recent = time.monotonic(), []
        if time.monotonic() - saved > SECONDS_BETWEEN_CHECKPOINTS:
            save_checkpoint(checkpoint, trainer, seconds)
            saved = time.monotonic()
    save_checkpoint(checkpoint, trainer, before + time.monotonic() - start)
    return trainer


def report(trainer: Trainer, recent: Sequence[Scores], seconds: float, out: Path) -> None:
    """Log the mean of the last scores and append it to ``log.jsonl``."""
    mean = Scores(*np.mean([astuple(scores) for scores in recent], axis=0).tolist())
    row = {"steps": trainer.steps, "images": trainer.images, "seconds": seconds, **asdict(mean)}
    logger.info(" ".join(f"{name} {value:.4g}" for name, value in row.items()))
    with (out / "log.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).parent / "recipes" / "lite.toml"
    parser.add_argument("--recipe", type=Path, default=default)
    parser.add_argument("--data", type=Path, help="folder with one folder a real data set")
    parser.add_argument("--out", type=Path, default=Path("runs/lite"))
    parser.add_argument("--init", type=Path, help="another run's checkpoint.pt, to begin with")
    parser.add_argument("--minutes", type=float, default=75)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="processor threads; never more than are free")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    recipe = read_recipe(arguments.recipe)
    train(
        recipe,
        data=arguments.data,
        out=arguments.out,
        minutes=arguments.minutes,
        device=arguments.device,
        init=arguments.init,
    )


if __name__ == "__main__":
    main()
