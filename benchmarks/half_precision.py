"""What a lower precision changes: automatic masks with and without it, on real photographs.

ViT-B has random weights, and thresholds that a realistic share of its masks passes. A mask is the
same if the other set has one whose IoU with it is at least 0.9. Also how much the embedding and the
masks of a click change.
"""

import argparse
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skimage import data

from benchmarks.engine import photograph, prepare
from benchmarks.measure import save, table
from sam_plugins import AutomaticSettings, Predictor, Prompt, generate, load_model
from sam_plugins.masks import rle

SAME = 0.9
Row = dict[str, Any]
COLUMNS = ["model", "precision", "image", "embedding", "click, IoU", "masks", "changed"]


def changed(exact: Iterable[Any], half: Iterable[Any]) -> tuple[int, float]:
    """How many masks both sets have together, and the share of them that the other has not."""
    first, second = ([record.segmentation for record in each] for each in (exact, half))
    iou = rle.iou(first, second)
    lost = (iou.max(1, initial=0) < SAME).sum() + (iou.max(0, initial=0) < SAME).sum()
    return len(first) + len(second), float(lost / max(len(first) + len(second), 1))


def clicked(predictor: Predictor, embedding: Any) -> np.ndarray:
    """Best masks of a grid of clicks: (N, H, W)."""
    height, width = embedding.frame.image_size
    spots = [
        (x, y) for y in np.linspace(0, height, 8)[1:-1] for x in np.linspace(0, width, 8)[1:-1]
    ]
    prompts = [Prompt(points=np.array([spot])) for spot in spots]
    return np.stack([each.masks[0] for each in predictor.predict_batch(embedding, prompts)])


def compare(
    model: Any, settings: AutomaticSettings, image: np.ndarray, precisions: Sequence[str]
) -> list[Row]:
    """Measure one model on one photograph: a row a precision."""
    exact = Predictor(model, precision="float32")
    (a,) = exact.encode_rgb([image])
    truth, masks = clicked(exact, a), generate(exact, a, settings=settings)
    rows = []
    for precision in precisions:
        half = Predictor(model, precision=precision)
        (b,) = half.encode_rgb([image])
        answer = clicked(half, b)
        iou = (truth & answer).sum((1, 2)) / np.maximum((truth | answer).sum((1, 2)), 1)
        error = torch.linalg.norm(a.features[0] - b.features[0]) / torch.linalg.norm(a.features[0])
        count, share = changed(masks, generate(half, b, settings=settings))
        rows.append(
            {
                "precision": precision,
                "embedding": error.item(),
                "click, IoU": float(iou.mean()),
                "masks": count,
                "changed": share,
            }
        )
    return rows


def main(argv: list[str] | None = None) -> None:
    """Compare the precisions, print the table, save it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one photograph, fewer points")
    quick = parser.parse_args(argv).quick
    images = {"astronaut": data.astronaut()}
    if not quick:
        images.update(coffee=photograph(0.24), cat=data.chelsea(), rocket=data.rocket())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        weights, (iou, stability) = prepare(Path(folder), "vit_b")
        random, lite = load_model(str(weights)), load_model("lite")
        models = {
            "lite": (lite, AutomaticSettings.for_model(lite), ["bfloat16"]),
            "vit_b, random": (
                random,
                # Few points: with random weights they all find the same mask.
                AutomaticSettings(
                    points_per_side=8, pred_iou_thresh=iou, stability_score_thresh=stability
                ),
                ["bfloat16", "int8", "openvino"],
            ),
        }
        for name, (model, settings, precisions) in models.items():
            chosen = replace(settings, points_per_side=8) if quick else settings
            for title, image in images.items():
                for row in compare(model, chosen, image, precisions):
                    rows.append({"model": name, "image": title, **row})
                    print(rows[-1], flush=True)
    save("half_precision", rows)
    print(table(rows, COLUMNS))


if __name__ == "__main__":
    main()
