"""The stages of ``sam-plugins engine`` in which the model works, and what comes out."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sam_plugins.cli import options
from sam_plugins.cli.terminal import counted, progress_bars, say
from sam_plugins.cli.usage import wrong_use

if TYPE_CHECKING:
    from sam_plugins.automatic import AutomaticSettings
    from sam_plugins.data_engine import Engine, SourceImage
    from sam_plugins.data_engine.automatic import Tally
    from sam_plugins.data_engine.finding import Recipe
    from sam_plugins.data_engine.workers import Workers

Folder = Annotated[Path, typer.Argument(metavar="ENGINE", help="The engine's folder.")]
WorkerCount = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=0,
        help="Processes on this machine, each with a model; 0: no other process.  "
        "[default: one a core, 0 with a GPU or without dask]",
        show_default=False,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="A dask scheduler, whose workers see images and model under the same paths.",
    ),
]
Threads = Annotated[int, typer.Option(metavar="N", min=1, help="Processor threads of each worker.")]
Points = Annotated[
    int | None, typer.Option(metavar="N", help="A grid of N x N points.  [default: 32]")
]
IouThreshold = Annotated[
    float | None,
    typer.Option(metavar="F", help="Least predicted IoU.  [default: the model's own]"),
]
Stability = Annotated[
    float | None,
    typer.Option(metavar="F", help="Least stability score.  [default: the model's own]"),
]


def stage2(
    folder: Folder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    count: Annotated[int, typer.Option(metavar="N", min=1, help="Images, at most.")] = 20,
    pred_iou_thresh: IouThreshold = None,
    stability_score_thresh: Stability = None,
    points_per_side: Points = None,
    detector: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:NAME",
            help="A function that takes an image (H, W, 3) and gives boxes (N, 4), xyxy: their "
            "masks are filled in as well.",
        ),
    ] = None,
    workers: WorkerCount = None,
    scheduler: Scheduler = None,
    threads: Threads = 1,
    device: options.Device = "auto",
) -> None:
    """Fill in the masks that the model is sure of, and write the images for people to add the rest.

    What comes back is taken over by stage1-import --stage 2.
    """
    from sam_plugins.data_engine import Engine
    from sam_plugins.data_engine.exporting import export_to_people
    from sam_plugins.data_engine.finding import load_detector

    with wrong_use("--detector"):
        if detector is not None:
            load_detector(detector)
    changes = {
        "points_per_side": points_per_side,
        "pred_iou_thresh": pred_iou_thresh,
        "stability_score_thresh": stability_score_thresh,
    }
    opened = Engine.open(folder)
    images = opened.waiting(2, count=count)
    recipe = _recipe(opened, changes, sa1b=False, detector=detector, threads=threads, device=device)
    with opened.alone():
        tally = _run(opened, recipe, images, 2, _workers(workers, scheduler, recipe))
        failed = opened.state.failures(2)
        export_to_people(opened, out, [each for each in images if each.id not in failed], stage=2)
    _conclude(tally, str(out))


def stage3(
    folder: Folder,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Images, at most.")] = None,
    pred_iou_thresh: IouThreshold = None,
    stability_score_thresh: Stability = None,
    points_per_side: Points = None,
    crop_layers: Annotated[
        int | None, typer.Option(metavar="N", help="Layers of crops.  [default: 2]")
    ] = None,
    workers: WorkerCount = None,
    scheduler: Scheduler = None,
    threads: Threads = 1,
    device: options.Device = "auto",
) -> None:
    """Find the masks of all images without people, as those of SA-1B were found.

    Called again after it was stopped or killed, it goes on. The masks do not depend on who found
    them: one process, several, or several machines.
    """
    from sam_plugins.data_engine import Engine

    changes = {
        "points_per_side": points_per_side,
        "pred_iou_thresh": pred_iou_thresh,
        "stability_score_thresh": stability_score_thresh,
        "crop_n_layers": crop_layers,
    }
    opened = Engine.open(folder)
    recipe = _recipe(opened, changes, sa1b=True, detector=None, threads=threads, device=device)
    images = opened.state.images()[:limit]
    with opened.alone():
        tally = _run(opened, recipe, images, 3, _workers(workers, scheduler, recipe))
    _conclude(tally, str(folder))


def export(
    folder: Folder,
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="A folder for SA-1B's layout, or a COCO file (.json)."),
    ],
    stages: Annotated[
        str,
        typer.Option(
            "--stages", metavar="N[,N...]", help="Of each image, the masks of the first of these."
        ),
    ] = "3,2,1",
    shards: Annotated[
        bool, typer.Option("--tar", help="Tar files in place of folders of files.")
    ] = False,
    per_shard: Annotated[
        int, typer.Option(metavar="N", min=1, help="Images in a folder or tar file.")
    ] = 1000,
    short_side: Annotated[
        int, typer.Option(metavar="N", min=0, help="Larger images are shortened; 0: none is.")
    ] = 1500,
) -> None:
    """Write the dataset: SA-1B's layout with images, or one COCO file without."""
    from sam_plugins.data_engine import Engine
    from sam_plugins.data_engine.dataset import export_coco, export_sa1b

    try:
        chosen = tuple(int(each) for each in stages.split(","))
    except ValueError:
        chosen = ()
    if not chosen or not set(chosen) <= {1, 2, 3}:
        raise typer.BadParameter(f"{stages!r} is not of 1, 2 and 3", param_hint="--stages")
    opened = Engine.open(folder)
    if out.suffix == ".json":
        count = export_coco(opened, out, stages=chosen)
    else:
        with progress_bars() as bars:
            count = export_sa1b(
                opened,
                out,
                stages=chosen,
                tar=shards,
                per_shard=per_shard,
                short_side=short_side or None,
                progress=lambda done, total: bars.show("Images", done, total),
            )
    say(f"{counted(count, 'image')}: {out}")


def add_stages(group: typer.Typer) -> None:
    """Add these commands to the group.

    Parameters
    ----------
    group : typer.Typer
        ``sam-plugins engine``.
    """
    for command in (stage2, stage3, export):
        group.command()(command)


def _recipe(
    opened: Engine,
    changes: dict[str, Any],
    *,
    sa1b: bool,
    detector: str | None,
    threads: int,
    device: str,
) -> Recipe:
    from sam_plugins.automatic import AutomaticSettings
    from sam_plugins.checkpoints import load_model
    from sam_plugins.data_engine.finding import Recipe
    from sam_plugins.devices import choose_device

    with wrong_use("--device"):
        choose_device(device)
    given = {name: value for name, value in changes.items() if value is not None}
    with wrong_use():
        AutomaticSettings(**given)
    # Here and not on the workers: a model that must be downloaded is downloaded once.
    with progress_bars(in_bytes=True) as bars:
        model = load_model(
            opened.model, progress=lambda done, total: bars.show("Downloading", done, total)
        )
    own = AutomaticSettings.for_model(model)
    settings = _sa1b(own) if sa1b else own
    return Recipe(
        opened.model,
        replace(settings, **given),
        detector=detector,
        device=device,
        threads=threads,
    )


def _sa1b(own: AutomaticSettings) -> AutomaticSettings:
    """The paper's settings, with the thresholds that suit the model's own scores."""
    return replace(
        type(own).sa1b(),
        pred_iou_thresh=own.pred_iou_thresh,
        stability_score_thresh=own.stability_score_thresh,
    )


def _workers(count: int | None, scheduler: str | None, recipe: Recipe) -> Workers:
    from importlib.util import find_spec

    from sam_plugins.data_engine.workers import Workers
    from sam_plugins.devices import choose_device

    if count is None:
        alone = choose_device(recipe.device).type != "cpu" or find_spec("distributed") is None
        count = 0 if alone else max(1, (os.cpu_count() or 1) // recipe.threads)
    return Workers(count, scheduler)


def _run(
    opened: Engine,
    recipe: Recipe,
    images: list[SourceImage],
    stage: int,
    workers: Workers,
) -> Tally:
    from sam_plugins.data_engine.automatic import find_masks

    try:
        with progress_bars() as bars:
            return find_masks(
                opened.state,
                recipe,
                images,
                stage=stage,
                workers=workers,
                progress=lambda done, total: bars.show("Images", done, total),
                report=lambda name, why: say(f"Error: {name}: {why}"),
            )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "Interrupted: complete images are kept, the same command goes on."
        ) from None


def _conclude(tally: Tally, where: str) -> None:
    say(
        f"{counted(tally.done, 'image')} done, {tally.kept} complete before, {tally.failed} "
        f"failed; {counted(tally.masks, 'mask')}: {where}"
    )
    if tally.failed:
        raise typer.Exit(1)
