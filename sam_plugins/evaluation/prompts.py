"""How good are the masks after clicks and boxes?

``python -m sam_plugins.evaluation.prompts --data DIR --model lite``: the single-point protocol of
the paper (§7.1) and boxes, mean IoU for each set.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sam_plugins.evaluation.baselines import filled_ellipse, flood
from sam_plugins.evaluation.clicks import box_of, centre_of, iou, next_click
from sam_plugins.evaluation.sets import Sample, read_set
from sam_plugins.masks.regions import regions_at
from sam_plugins.prediction import Prediction
from sam_plugins.predictor import Predictor
from sam_plugins.prompts import Prompt

if TYPE_CHECKING:
    from sam_plugins.embedding import ImageEmbedding


@dataclass(frozen=True)
class ObjectScores:
    """IoU of the masks of one object.

    Parameters
    ----------
    click : float
        After one click at its centre, of the mask with the highest predicted IoU.
    click_piece : float
        The same, only the connected piece under the click.
    click_best : float
        Of the best of the three masks.
    clicks3, clicks5 : float
        After two and four more clicks, each in the middle of the largest error.
    box : float
        The single mask for the tight box.
    box_ranked : float
        Of the three masks for that box, the one with the highest predicted IoU.
    flood, ellipse : float
        Without a model: a flood fill from the click, the ellipse in the box.
    predicted : float
        The predicted IoU of the mask that ``click`` is about.
    """

    click: float
    click_piece: float
    click_best: float
    clicks3: float
    clicks5: float
    box: float
    box_ranked: float
    flood: float
    ellipse: float
    predicted: float


def measure_object(
    predictor: Predictor, embedding: ImageEmbedding, sample: Sample, truth: NDArray[np.bool_]
) -> ObjectScores:
    """Prompt for one object of an embedded image, and compare.

    Parameters
    ----------
    predictor : Predictor
        With the model to measure.
    embedding : ImageEmbedding
        Of the sample's image.
    sample : Sample
        The image.
    truth : ndarray of shape (H, W), bool
        One of the sample's masks.

    Returns
    -------
    ObjectScores
        IoU after clicks, after a box, and of what needs no model.
    """

    def score(mask: NDArray[np.bool_]) -> float:
        return iou(mask, truth, sample.ignore)

    point, _ = centre_of(truth & ~sample.ignore)
    prompt = Prompt(points=np.array([point], dtype=np.float32))
    first = predictor.predict(embedding, prompt, multimask=True)
    masks = first.masks
    after = _correct(predictor, embedding, sample, truth, point, first)
    box = box_of(truth)
    boxed = Prompt(boxes=np.array([box], dtype=np.float32))
    ranked = predictor.predict(embedding, boxed, multimask=True)
    return ObjectScores(
        click=score(masks[first.best]),
        click_piece=score(regions_at(masks[first.best], [point])),
        click_best=max(score(mask) for mask in masks),
        clicks3=after[1],
        clicks5=after[3],
        box=score(predictor.predict(embedding, boxed, multimask=False).best_mask),
        box_ranked=score(ranked.best_mask),
        flood=score(flood(sample.image, point)),
        ellipse=score(filled_ellipse(box, truth.shape)),
        predicted=float(first.predicted_iou[first.best]),
    )


def _correct(
    predictor: Predictor,
    embedding: ImageEmbedding,
    sample: Sample,
    truth: NDArray[np.bool_],
    point: tuple[float, float],
    prediction: Prediction,
    clicks: int = 4,
) -> list[float]:
    """IoU after each of some corrective clicks, each with the last mask as a prompt."""
    scores = []
    points, labels = [point], [1]
    for _ in range(clicks):
        point, label = next_click(prediction.best_mask, truth, sample.ignore)
        points, labels = [*points, point], [*labels, label]
        hints = Prompt(points=np.array(points, dtype=np.float32), labels=np.array(labels))
        asked = prediction.refine(hints)
        prediction = predictor.predict(embedding, asked, multimask=False)
        scores.append(iou(prediction.best_mask, truth, sample.ignore))
    return scores


def measure(predictor: Predictor, samples: Iterable[Sample]) -> list[ObjectScores]:
    """Prompt for all objects of some images.

    Parameters
    ----------
    predictor : Predictor
        With the model to measure.
    samples : iterable of Sample
        Images with their objects; each is embedded once.

    Returns
    -------
    list of ObjectScores
        One an object, in order.
    """
    scores = []
    for sample in samples:
        embedding = predictor.embed(sample.image)
        scores += [measure_object(predictor, embedding, sample, mask) for mask in sample.masks]
    return scores


def mean_scores(scores: Sequence[ObjectScores]) -> dict[str, float]:
    """Average the scores of some objects.

    Parameters
    ----------
    scores : sequence of ObjectScores
        At least one.

    Returns
    -------
    dict of str to float
        ``"objects"``, their number; the mean of each field; and ``"correlation"``, Pearson's,
        between the predicted and the true IoU after one click.
    """
    table = np.array([list(asdict(each).values()) for each in scores])
    names = [each.name for each in fields(ObjectScores)]
    means = dict(zip(names, table.mean(axis=0).tolist(), strict=True))
    predicted, true = table[:, names.index("predicted")], table[:, names.index("click")]
    spread = predicted.std() * true.std()
    product = ((predicted - predicted.mean()) * (true - true.mean())).mean()
    return {"objects": len(scores), **means, "correlation": float(product / max(spread, 1e-12))}


def table_of(results: dict[str, dict[str, float]]) -> str:
    """Write results as a Markdown table, the mean over sets last.

    Parameters
    ----------
    results : dict of str to dict
        By set, what `mean_scores` gives. At least one set.

    Returns
    -------
    str
        Several lines, the last one ended.
    """
    columns = list(next(iter(results.values())))
    rows = [*results.items()]
    mean = {name: float(np.mean([row[name] for row in results.values()])) for name in columns}
    rows.append(("mean over sets", {**mean, "objects": sum(row["objects"] for _, row in rows)}))
    lines = [f"| set | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows:
        cells = [f"{row[x]:.0f}" if x == "objects" else f"{row[x]:.3f}" for x in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, and write a table to the standard output.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of sets")
    parser.add_argument("--model", default="lite", help="a model's name or checkpoint")
    parser.add_argument("--limit", type=int, default=60, help="objects a set, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the choice of objects")
    parser.add_argument("--json", type=Path, help="also write the results here")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args(argv)
    predictor = Predictor(arguments.model, device=arguments.device)
    results = {}
    for folder in arguments.data:
        samples = read_set(folder, limit=arguments.limit, seed=arguments.seed)
        scores = measure(predictor, samples)
        if scores:
            results[folder.name] = mean_scores(scores)
    if not results:
        parser.error("none of these sets has an object that is large enough")
    sys.stdout.write(table_of(results))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
