"""The written report of a fine-tuning: a table, curves, and all numbers."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from sam_plugins.errors import SamPluginsError
from sam_plugins.files import atomic_path
from sam_plugins.training.finetuning.finetune import Outcome

NAMES = {"click": "1 click", "clicks3": "3 clicks", "box": "box"}


def markdown_of(outcome: Outcome, *, source: str, result: str) -> str:
    """Write the outcome as Markdown.

    Parameters
    ----------
    outcome : Outcome
        From `finetune`.
    source, result : str
        The model before, and the file with the model after.

    Returns
    -------
    str
        With the last line ended.
    """
    lines = [
        f"# {result}, fine-tuned from {source}",
        "",
        f"Mean IoU on {len(outcome.held_out)} images held out; trained on {len(outcome.trained)}.",
        "",
        "| prompt | before | after |",
        "|---|---|---|",
    ]
    before, after = asdict(outcome.before), asdict(outcome.after)
    lines += [f"| {NAMES[x]} | {before[x]:.3f} | {after[x]:.3f} |" for x in NAMES]
    kept = f"after {outcome.after.step} training images ({outcome.after.seconds:.0f} s)"
    lines += [
        "",
        f"The weights are those {kept}."
        if outcome.after.step
        else "Nothing was better than before.",
        "",
        "![Curves](curves.png)",
        "",
        f"Held out: {', '.join(outcome.held_out)}.",
    ]
    return "\n".join(lines) + "\n"


def draw_curves(outcome: Outcome, path: Path) -> None:
    """Draw the loss and the IoU on the images held out.

    Parameters
    ----------
    outcome : Outcome
        From `finetune`.
    path : Path
        The PNG file to write.

    Raises
    ------
    SamPluginsError
        If the extra ``train`` is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SamPluginsError(
            'curves need the extra "train": pip install "sam-plugins[train]"'
        ) from error
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    FigureCanvasAgg(figure)
    loss, score = figure.subplots(1, 2)
    loss.plot([step for step, _ in outcome.losses], [value for _, value in outcome.losses])
    loss.set(xlabel="training images", ylabel="loss", title="Loss")
    steps = [each.step for each in outcome.validations]
    for name, label in NAMES.items():
        values = [getattr(each, name) for each in outcome.validations]
        score.plot(steps, values, marker=".", label=label)
    score.axvline(outcome.after.step, color="gray", linestyle=":", label="kept")
    score.set(xlabel="training images", ylabel="mean IoU", title="Images held out", ylim=(0, 1))
    score.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def write_report(outcome: Outcome, folder: Path, *, source: str, result: str) -> None:
    """Write ``report.md``, ``report.json`` and ``curves.png``.

    Parameters
    ----------
    outcome : Outcome
        From `finetune`.
    folder : Path
        Made if it is missing.
    source, result : str
        See `markdown_of`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    draw_curves(outcome, folder / "curves.png")
    for name, content in (
        ("report.json", json.dumps(asdict(outcome), indent=2) + "\n"),
        ("report.md", markdown_of(outcome, source=source, result=result)),
    ):
        with atomic_path(folder / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
