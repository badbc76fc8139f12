"""``sam-plugins train-text``: text prompts the paper's way, from labelled images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sam_plugins.cli import options
from sam_plugins.cli.terminal import progress_bars, say
from sam_plugins.cli.usage import wrong_use


def train_text(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA",
            help="A folder with images/ and masks/ (label images of the same names), or a COCO "
            "file. No texts are needed.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", help="The file to write, .safetensors."),
    ],
    model: options.Model = "vit_b",
    text_encoder: Annotated[
        str | None,
        typer.Option(
            "--text-encoder",
            metavar="NAME|DIR",
            help="A CLIP or SigLIP of Hugging Face; by default the paper's.",
            show_default=False,
        ),
    ] = None,
    tune: Annotated[
        str,
        typer.Option(
            metavar="T",
            help="projection (it alone) or prompts (and the prompt encoder).",
        ),
    ] = "prompts",
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Images to train on.")] = 1000,
    least_area: Annotated[
        float,
        typer.Option(metavar="P", help="Smaller masks are left out: share of the frame."),
    ] = 0.0095,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of all that is random.")] = 0,
    device: options.Device = "auto",
) -> None:
    """Train text prompts: CLIP vectors of masks' crops as prompts for these masks.

    \b
    Example:
      sam-plugins train-text my-images/ --model vit_b --out text.safetensors
    """
    if out.suffix != ".safetensors":
        raise typer.BadParameter(f"{out} must end with .safetensors", param_hint="--out")
    if tune not in ("projection", "prompts"):
        raise typer.BadParameter(f"{tune!r} is not projection or prompts", param_hint="--tune")
    from sam_plugins.datasets.labelled import read_labelled
    from sam_plugins.text.clip import DEFAULT_CLIP, ClipEncoder
    from sam_plugins.text.trained import TextTrained
    from sam_plugins.training.text.fit import TextFitSettings, fit_text

    with wrong_use():
        settings = TextFitSettings(steps=steps, tune=tune, least_area=least_area, seed=seed)
        images = read_labelled(data)
    predictor = options.load_predictor(model, device=device, use_disk=False)
    encoder = ClipEncoder.load(text_encoder or DEFAULT_CLIP, device=str(predictor.device))
    trained = TextTrained(predictor.model, encoder)
    with progress_bars() as bars, wrong_use():
        losses = fit_text(
            trained, images, settings, progress=lambda step, _: bars.show("steps", step, steps)
        )
    trained.save(out)
    say(f"Wrote {out}: loss {losses[0]:.3f} at first, {losses[-1]:.3f} at last.")
