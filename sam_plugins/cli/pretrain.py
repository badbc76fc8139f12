"""``sam-plugins pretrain``: an image encoder of one's own, from images without labels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sam_plugins.cli import options
from sam_plugins.cli.terminal import counted, say
from sam_plugins.cli.usage import wrong_use

if TYPE_CHECKING:
    import torch


def pretrain(
    images: Annotated[
        Path,
        typer.Argument(metavar="IMAGES", help="A folder of images, searched with those below it."),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="The encoder to write, .safetensors."),
    ],
    encoder: Annotated[
        str, typer.Option(metavar="NAME", help="Its size: vit_b, vit_l or vit_h.")
    ] = "vit_b",
    epochs: Annotated[
        int, typer.Option(metavar="N", min=1, help="How often each image is shown.")
    ] = 800,
    batch: Annotated[
        int,
        typer.Option(metavar="N", min=1, help="Images to a step; the learning rate follows it."),
    ] = 256,
    accumulate: Annotated[
        int, typer.Option(metavar="N", min=1, help="Parts of a step, to save memory.")
    ] = 1,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of all that is random.")] = 0,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Checkpoint and log; a run that was stopped goes on from there. By default "
            "beside the encoder.",
        ),
    ] = None,
    device: options.Device = "auto",
    precision: Annotated[
        str, typer.Option("--precision", metavar="P", help="auto, float32 or bfloat16.")
    ] = "auto",
) -> None:
    """Pre-train an image encoder on images without labels, as a masked autoencoder.

    SAM's own encoder began like that. The same command goes on with a run that was stopped; under
    torchrun it uses several GPUs. In Python, sam_plugins.checkpoints.load_image_encoder puts the
    result into a model, to be trained further.

    \b
    Examples:
      sam-plugins pretrain my-images/ --out encoder.safetensors
      torchrun --nproc-per-node 8 -m sam_plugins pretrain my-images/ --out encoder.safetensors
    """
    if out.suffix != ".safetensors":
        raise typer.BadParameter(f"{out} must end with .safetensors", param_hint="--out")
    from sam_plugins.devices import choose_device
    from sam_plugins.training.mae import PretrainSettings, list_images
    from sam_plugins.training.mae import pretrain as train
    from sam_plugins.training.mae.model import SIZES

    if encoder not in SIZES:
        raise typer.BadParameter(
            f"{encoder!r} is not one of {', '.join(SIZES)}", param_hint="--encoder"
        )
    with wrong_use("--device"):
        chosen = choose_device(device)
    with wrong_use("IMAGES"):
        paths = list_images(images)
    with wrong_use():
        settings = PretrainSettings(
            epochs=epochs,
            batch=batch,
            accumulate=accumulate,
            seed=seed,
            precision=_fabric_precision(chosen, precision),
        )
    folder = run_dir or out.with_name(f"{out.stem}-run")
    steps = settings.steps(len(paths))
    if _speaks():
        say(f"{counted(len(paths), 'image')}, {counted(steps, 'step')}; the run is in {folder}.")
    train(
        paths,
        out,
        config=SIZES[encoder],
        folder=folder,
        settings=settings,
        device=str(chosen),
        on_report=lambda row: say(f"step {row['step']}/{steps}: loss {row['loss']:.4f}"),
    )
    if _speaks():
        say(f"Wrote {out}.")


def _fabric_precision(device: torch.device, precision: str) -> str:
    from sam_plugins.devices import choose_precision

    names = {"float32": "32-true", "bfloat16": "bf16-mixed"}
    chosen = choose_precision(device, precision)
    if chosen not in names:
        raise ValueError(f"--precision must be auto, float32 or bfloat16, got {precision!r}")
    return names[chosen]


def _speaks() -> bool:
    """Of the processes that torchrun starts one speaks for all."""
    return os.environ.get("RANK", "0") == "0"
