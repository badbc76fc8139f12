"""``sam-plugins evaluate text``: how well text prompts are answered, by kind of caption."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sam_plugins.cli import options
from sam_plugins.cli.terminal import progress_bars


def text(
    scenes: Annotated[
        int, typer.Option(metavar="N", min=2, help="Procedural scenes that are asked about.")
    ] = 40,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the scenes.")] = 0,
    seen_words: Annotated[
        bool,
        typer.Option(
            "--seen-words", help="Ask combinations of words of training, not those held out."
        ),
    ] = False,
    tower: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A text tower in place of the one that ships."),
    ] = None,
    model: options.Model = "lite",
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write every caption's scores there."),
    ] = None,
    device: options.Device = "auto",
) -> None:
    """Measure text prompts on procedural scenes: first mask's IoU and F1 by kind of caption.

    Every caption holds a pair of words that no caption of training held. Each is also asked about
    another scene: the columns "shuffled" tell what is reached without the right words.

    \b
    Example:
      sam-plugins evaluate text --scenes 40 --json text.json
    """
    from sam_plugins.checkpoints.tower import load_tower
    from sam_plugins.evaluation.text import measure_text, text_table
    from sam_plugins.text.finding import TextFinder

    loaded = None if tower is None else load_tower(tower)
    predictor = options.load_predictor(model, device=device, use_disk=False)
    with progress_bars() as bars:
        scores = measure_text(
            TextFinder(predictor, tower=loaded),
            scenes=scenes,
            seed=seed,
            words="seen" if seen_words else "held out",
            progress=lambda done, total: bars.show("scenes", done, total),
        )
    typer.echo(text_table(scores), nl=False)
    if json_file is not None:
        from sam_plugins.files import atomic_path

        content = {"scenes": scenes, "seed": seed, "captions": [asdict(each) for each in scores]}
        with atomic_path(json_file) as temporary:
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
