"""How good is ``lite`` on real images? Writes the figures of its model card.

``python -m benchmarks.model_card --data DIR``: DIR has one folder a set, as for ``sam-plugins
evaluate prompts``; sets that are not there are left out.
"""

import argparse
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import sam_plugins.checkpoints
from benchmarks.measure import save
from sam_plugins.automatic import AutomaticSettings, generate
from sam_plugins.evaluation.baselines import filled_ellipse, flood
from sam_plugins.evaluation.clicks import box_of, centre_of, iou
from sam_plugins.evaluation.prompts import Protocol, measure
from sam_plugins.evaluation.sets import read_set
from sam_plugins.evaluation.thresholds import matches
from sam_plugins.predictor import Predictor

CARD = Path(sam_plugins.checkpoints.__file__).parent / "data" / "lite.md"
START, END = "<!-- figures -->", "<!-- end of figures -->"

# Whose other images were trained on; then sets that are new to the model.
GROUPS = {
    "trained on other images": ("dsb2018_bbbc038", "emps"),
    "scientific, unseen": (
        *("usiigaci_t98g", "miccai_histology", "wbc_parts", "ppdls_cvppp_a1", "isbi2012_em"),
        "vnc_sstem",
    ),
    "photographs": ("grabcut50", "davis2016_val", "weizmann_horses", "coco_panoptic", "carparts"),
    "other": ("fib25_volume",),
}

COLUMNS = {
    "click": "1 click",
    "click_oracle": "best of 3",
    "clicks3": "3 clicks",
    "clicks5": "5 clicks",
    "box": "box",
    "box_single": "box, single mask",
    "flood": "flood",
    "ellipse": "ellipse",
}


def measure_set(predictor: Predictor, folder: Path, limit: int) -> dict[str, Any]:
    """Mean IoU of each column over the objects of a set, and what the correlation needs."""
    samples = list(read_set(folder, limit=limit))
    protocol = Protocol(clicks=(1, 3, 5), boxes=True)
    scores = list(measure(predictor, samples, protocol=protocol))
    truths = [(sample, mask) for sample in samples for mask in sample.masks]
    simple = {
        "flood": [iou(flood(s.image, centre_of(m)[0]), m) for s, m in truths],
        "ellipse": [iou(filled_ellipse(box_of(m), m.shape), m) for s, m in truths],
    }
    row = {name: float(np.mean(values)) for name, values in simple.items()}
    for column in COLUMNS:
        if column not in row:
            row[column] = float(np.mean([each.masks[column].iou for each in scores]))
    return row | {
        "objects": len(scores),
        "true": [each.masks["click"].iou for each in scores],
        "predicted": [each.predicted_iou["click"] for each in scores],
    }


def automatic(predictor: Predictor, folders: Sequence[Path]) -> dict[str, float]:
    """Precision and recall of automatic masks by default, on one image of each set."""
    defaults = AutomaticSettings.for_model(predictor.model)
    samples = (s for folder in folders for s in islice(read_set(folder, limit=10**6), 1))
    rows = [matches(generate(predictor, s.image, settings=defaults), s) for s in samples]
    return dict(zip(("masks", "precision", "recall"), np.mean(rows, axis=0).tolist(), strict=True))


def table(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Markdown lines: the groups with their means, each followed by its sets."""
    lines = [
        "| set | objects | " + " | ".join(COLUMNS.values()) + " |",
        "|---|---|" + "---|" * len(COLUMNS),
    ]

    def line(name: str, members: list[dict[str, Any]]) -> str:
        means = [np.mean([row[column] for row in members]) for column in COLUMNS]
        count = sum(row["objects"] for row in members)
        return f"| {name} | {count} | " + " | ".join(f"{mean:.2f}" for mean in means) + " |"

    for group, names in GROUPS.items():
        members = {name: rows[name] for name in names if name in rows}
        if len(members) > 1:
            lines.append(line(f"**{group}**", list(members.values())))
        lines += [line(name, [row]) for name, row in members.items()]
    return [*lines, line("**mean over sets**", list(rows.values()))]


def report(rows: dict[str, dict[str, Any]], found: dict[str, float]) -> str:
    """The card's section."""
    true = np.concatenate([row["true"] for row in rows.values()])
    predicted = np.concatenate([row["predicted"] for row in rows.values()])
    within = [np.corrcoef(row["true"], row["predicted"])[0, 1] for row in rows.values()]
    pooled = np.corrcoef(true, predicted)[0, 1]
    lines = [
        *table(rows),
        "",
        f"The predicted IoU correlates with the true one by {pooled:.2f} over all objects",
        f"({min(within):.2f} to {max(within):.2f} within a set), after one click; on average it is",
        f"{predicted.mean():.2f}, the true one {true.mean():.2f}.",
        "",
        "Automatic masks with the default settings, on one image of each set:",
        f"{found['masks']:.0f} masks an image, {found['precision']:.0%} of them an object of the",
        f"truth at an IoU of one half, {found['recall']:.0%} of the objects found.",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and write results and card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=40, help="objects a set")
    parser.add_argument("--quick", action="store_true", help="five objects a set, nothing written")
    arguments = parser.parse_args(argv)
    predictor = Predictor("lite", device="cpu")
    names = [name for names in GROUPS.values() for name in names]
    folders = [arguments.data / name for name in names if (arguments.data / name).is_dir()]
    limit = 5 if arguments.quick else arguments.limit
    rows = {folder.name: measure_set(predictor, folder, limit) for folder in folders}
    found = automatic(predictor, folders)
    text = report(rows, found)
    print(text)
    if not arguments.quick:
        save("model-card", [{"set": name} | row for name, row in rows.items()] + [found])
        before, rest = CARD.read_text(encoding="utf-8").split(START)
        _, after = rest.split(END)
        CARD.write_text(f"{before}{START}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
