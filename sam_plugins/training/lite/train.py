"""Run a recipe: part after part, each from where it was killed, then write the model."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader

from sam_plugins.checkpoints import load_model, save_model
from sam_plugins.errors import SamPluginsError
from sam_plugins.modeling import CONFIGS
from sam_plugins.modeling.lite import LiteSam, build_lite
from sam_plugins.training.lite.calibration import CalibrationObjective
from sam_plugins.training.lite.objective import LiteObjective
from sam_plugins.training.lite.recipe import Part
from sam_plugins.training.lite.samples import Batch, Crops
from sam_plugins.training.lite.scenes import make_scenes
from sam_plugins.training.lite.views import Annotated, read_folder
from sam_plugins.training.loop import Objective, Run, start_fabric
from sam_plugins.training.same_run import check_same_run

logger = logging.getLogger(__name__)

# Every tenth image of each set is never trained on, to measure with.
HELD_OUT = (10, 3)

WEIGHTS = "lite.safetensors"


def train_lite(
    parts: Sequence[Part],
    out: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    init: str | os.PathLike[str] | None = None,
    device: str = "cpu",
    workers: int = 1,
    part_bytes: int | None = None,
    compiled: bool = False,
) -> Path:
    """Train the small model by a recipe.

    A run that was killed goes on, when it is called again, from the last checkpoint of the part
    that it was in. Under ``torchrun`` each process takes its share of each batch.

    Parameters
    ----------
    parts : sequence of Part
        The recipe; see `read_recipe`.
    out : path-like
        Folder with a folder a part, and what comes out: ``lite.safetensors``.
    data : path-like, optional
        Folder with one folder a real data set; without it, procedural scenes are all there is.
    init : path-like, optional
        A small model, by name or path, that the first part begins with; else random weights.
    device : str
        A torch device.
    workers : int
        Processes that make batches.
    part_bytes : int, optional
        Largest size of a checkpoint's files.
    compiled : bool
        Compile the model, which pays on a GPU.

    Returns
    -------
    Path
        The model file: averaged weights, in half precision.

    Raises
    ------
    SamPluginsError
        If ``init`` is another kind of model, ``out`` holds a run with other parts or data, or a
        weight has become too large for half precision.
    FileNotFoundError
        If ``data`` has none of the sets, or a set has no image.
    TrainingDivergedError
        If a loss is not finite; the last checkpoint stays.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    fabric = start_fabric(device=device)
    torch.manual_seed(parts[0].seed)
    model = _begin(init)
    for part in parts:
        logger.info(f"part {part.name}: {part.steps} steps")
        crops = _crops(part, data, out, fabric)
        objective: Objective = LiteObjective(model, part)
        if part.kind == "calibration":
            objective = CalibrationObjective(model)
        run = Run(
            objective,
            part.optimizer_settings(),
            part.loop_settings(part_bytes=part_bytes),
            out / part.name,
            fabric=fabric,
        )
        check_same_run(run, {**asdict(part), "real data": sorted(crops.real)})
        if compiled:
            model.image_encoder.compile()
            model.mask_decoder.compile(dynamic=True)

        def batches(first: int, crops: Crops = crops, last: int = part.steps) -> Iterator[Batch]:
            return iter(
                DataLoader(
                    crops,
                    batch_size=None,
                    sampler=range(first, last),
                    num_workers=workers,
                    prefetch_factor=4 if workers else None,
                    pin_memory=fabric.device.type == "cuda",
                )
            )

        run.go(batches)
        model = run.model.requires_grad_(True)  # type: ignore[assignment]
    path = out / WEIGHTS
    if not fabric.global_rank:
        write_model(model, path)
    return path


def _begin(init: str | os.PathLike[str] | None) -> LiteSam:
    if init is None:
        return build_lite(CONFIGS["lite"])
    model = load_model(init)
    if not isinstance(model, LiteSam):
        raise SamPluginsError(f"{init} is not a small model: it has a {model.config.name} encoder")
    return model


def _crops(part: Part, data: str | os.PathLike[str] | None, out: Path, fabric: Any) -> Crops:
    real = {} if data is None else _real(part, Path(data))
    with fabric.rank_zero_first():  # one process makes the scenes, the others open them
        scenes = make_scenes(out, count=part.scenes, size=part.scene_size, seed=part.seed)
    return Crops(real, scenes, part, process=fabric.global_rank, processes=fabric.world_size)


def _real(part: Part, data: Path) -> dict[str, list[Annotated]]:
    names = [name for name in part.real_weights if (data / name).is_dir()]
    missing = sorted(set(part.real_weights).difference(names))
    if missing and not names:
        raise FileNotFoundError(f"there is none of the folders {', '.join(missing)} in {data}")
    if missing:
        logger.warning(f"part {part.name} goes without {', '.join(missing)}: not in {data}")
    return {name: read_folder(data / name, keep_every=HELD_OUT) for name in names}


def write_model(model: LiteSam, path: str | os.PathLike[str]) -> None:
    """Write a trained model in half precision.

    Parameters
    ----------
    model : LiteSam
        Not changed.
    path : path-like
        The safetensors file.

    Raises
    ------
    SamPluginsError
        If a weight is not finite or too large for half precision.
    """
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value.half()).all():
            raise SamPluginsError(f"{name} has values that half precision cannot hold")
    save_model(model.eval().cpu(), path, dtype=torch.float16)
