"""``sam-plugins export``: a model as ONNX files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sam_plugins.cli import options
from sam_plugins.cli.terminal import progress_bars, say


def export(
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Where the two files go.")
    ],
    model: options.Model = "vit_b",
    single_mask: Annotated[
        bool, typer.Option("--single-mask", help="Let the decoder give one mask a prompt.")
    ] = False,
) -> None:
    """Write a model's image encoder and mask decoder as ONNX files.

    The decoder's inputs and outputs are those of segment-anything's own export, so that its browser
    demo takes it. Of lite the encoder alone can be written.

    \b
    Example:
      sam-plugins export --model vit_b --out onnx/
    """
    from sam_plugins.checkpoints import load_model
    from sam_plugins.export import OPSET, export_decoder, export_encoder
    from sam_plugins.modeling.configs import LiteConfig

    with progress_bars(in_bytes=True) as bars:
        loaded = load_model(model, progress=lambda done, total: bars.show(model, done, total))
    encoder, decoder = (out / f"{loaded.name}-{part}.onnx" for part in ("encoder", "decoder"))
    export_encoder(loaded, encoder)
    say(f"Wrote {encoder} (opset {OPSET}).")
    if isinstance(loaded.config.encoder, LiteConfig):
        say("The decoder of lite cannot be exported.")
        return
    export_decoder(loaded, decoder, single_mask=single_mask)
    say(f"Wrote {decoder} (opset {OPSET}).")
