"""``sam-plugins finetune``: a model of one's own from a few labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sam_plugins.cli import options
from sam_plugins.cli.terminal import progress_bars, say
from sam_plugins.cli.usage import wrong_use


def finetune(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A folder with images/ and masks/ (label images of the same names), or a COCO "
            "file.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="The model to write, .safetensors."),
    ],
    source: Annotated[
        str,
        typer.Option("--from", metavar="NAME|PATH|URL", help="The model to begin with."),
    ] = "lite",
    mode: Annotated[
        str,
        typer.Option(
            metavar="M",
            help="decoder (the encoder stays, images are encoded once: fast), adapters (low-rank "
            "changes of the encoder too) or whole.",
        ),
    ] = "decoder",
    minutes: Annotated[float, typer.Option(metavar="N", min=0, help="Time to train.")] = 10.0,
    steps: Annotated[
        int, typer.Option(metavar="N", min=1, help="Images to train on, at most.")
    ] = 100_000,
    validation: Annotated[
        float, typer.Option(metavar="P", help="Share of the images that is held out.")
    ] = 0.2,
    learning_rate: Annotated[
        float | None, typer.Option(metavar="R", help="By default one that suits the mode.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of all that is random.")] = 0,
    report: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the report goes; by default beside the model."),
    ] = None,
    device: options.Device = "auto",
) -> None:
    """Train a model on labelled images, and measure it on some that are held out.

    The result can be used wherever a model's name can: --model my.safetensors.

    \b
    Examples:
      sam-plugins finetune my-cells/ --out my.safetensors
      sam-plugins finetune annotations.json --from vit_b --mode adapters --out my.safetensors
    """
    if out.suffix != ".safetensors":
        raise typer.BadParameter(f"{out} must end with .safetensors", param_hint="--out")
    from sam_plugins.checkpoints import load_model, save_model
    from sam_plugins.datasets.labelled import read_labelled
    from sam_plugins.devices import choose_device
    from sam_plugins.training.finetuning import FinetuneSettings
    from sam_plugins.training.finetuning import finetune as run
    from sam_plugins.training.finetuning.report import write_report
    from sam_plugins.training.loop import TrainingDivergedError

    with wrong_use():
        settings = FinetuneSettings(
            mode=mode,  # type: ignore[arg-type]
            minutes=minutes,
            steps=steps,
            validation=validation,
            learning_rate=learning_rate,
            seed=seed,
        )
        images = read_labelled(data)
    with progress_bars(in_bytes=True) as bars:
        model = load_model(
            source,
            device=str(choose_device(device)),
            progress=lambda done, total: bars.show(source, done, total),
        )
    model.name = out.stem
    folder = report or out.with_name(f"{out.stem}-report")
    # What cannot be written to is better known now than after the training.
    for place in (out.parent, folder):
        place.mkdir(parents=True, exist_ok=True)
    try:
        outcome = run(model, images, settings, folder=folder, on_progress=say)
    except (TrainingDivergedError, KeyboardInterrupt):
        # Not to the model's own place: what an earlier run left there may be better.
        best = folder / "best.safetensors"
        save_model(model, best)
        say(f"Wrote {best} with the best weights until then.")
        raise
    save_model(model, out)
    write_report(outcome, folder, source=source, result=out.name)
    say(f"Wrote {out} and {folder / 'report.md'}.")
