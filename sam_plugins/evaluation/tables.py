"""From the scores of objects to means over sets, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from sam_plugins.evaluation.prompts import MEASURES, ObjectScores

LAST_ROW = "mean over sets"


@dataclass(frozen=True)
class Summary:
    """Means over the objects of a set, or over sets.

    Parameters
    ----------
    images, objects : int
        How many there are.
    means : dict of str to dict of str to float
        By measure (``"iou"``, ``"dice"``, ``"boundary_f"``), then by column.
    correlation : float or None
        Pearson's, between the predicted and the true IoU of the mask after one click; None where
        there is none.
    """

    images: int
    objects: int
    means: dict[str, dict[str, float]]
    correlation: float | None


def correlation_of(scores: Sequence[ObjectScores]) -> float | None:
    """Correlate the predicted IoU after one click with the true one.

    Parameters
    ----------
    scores : sequence of ObjectScores
        Of one set or of several.

    Returns
    -------
    float or None
        Pearson's coefficient; None if one click was not measured or if either IoU is the same for
        all objects.
    """
    pairs = [
        (each.predicted_iou["click"], each.masks["click"].iou)
        for each in scores
        if "click" in each.masks
    ]
    if not pairs or np.ptp(pairs, axis=0).min() == 0:
        return None
    return float(np.corrcoef(np.array(pairs).T)[0, 1])


def summary_of(scores: Sequence[ObjectScores]) -> Summary:
    """Average the scores of a set.

    Parameters
    ----------
    scores : sequence of ObjectScores
        At least one.

    Returns
    -------
    Summary
    """
    means = {
        measure: {
            column: float(np.mean([getattr(each.masks[column], measure) for each in scores]))
            for column in scores[0].masks
        }
        for measure in MEASURES
    }
    images = len({each.image for each in scores})
    return Summary(images, len(scores), means, correlation_of(scores))


def mean_over_sets(summaries: Sequence[Summary]) -> Summary:
    """Average sets, each with the same weight whatever its number of objects.

    Parameters
    ----------
    summaries : sequence of Summary
        At least one.

    Returns
    -------
    Summary
        Images and objects are added up; sets without a correlation are left out of its mean.
    """
    means = {
        measure: {
            column: float(np.mean([each.means[measure][column] for each in summaries]))
            for column in summaries[0].means[measure]
        }
        for measure in MEASURES
    }
    known = [each.correlation for each in summaries if each.correlation is not None]
    return Summary(
        images=sum(each.images for each in summaries),
        objects=sum(each.objects for each in summaries),
        means=means,
        correlation=float(np.mean(known)) if known else None,
    )


def markdown_of(results: Mapping[str, Sequence[ObjectScores]]) -> str:
    """Write results as Markdown: a table for each measure, the mean over sets last.

    Parameters
    ----------
    results : mapping of str to sequence of ObjectScores
        By set; at least one set, each with at least one object.

    Returns
    -------
    str
        Several lines, the last one ended.
    """
    rows = {name: summary_of(scores) for name, scores in results.items()}
    rows[LAST_ROW] = mean_over_sets(list(rows.values()))
    blocks = []
    for measure, title in MEASURES.items():
        columns = list(rows[LAST_ROW].means[measure])
        head = ["set", "images", "objects", *columns]
        lines = [f"Mean {title}" if measure == "iou" else title, ""]
        # How well IoU is predicted stands beside the IoU.
        further = ["correlation"] if measure == "iou" and "click" in columns else []
        lines += ["| " + " | ".join([*head, *further]) + " |"]
        lines += ["|---" * len([*head, *further]) + "|"]
        for name, row in rows.items():
            cells = [name, str(row.images), str(row.objects)]
            cells += [_number(row.means[measure][column]) for column in columns]
            cells += [_number(row.correlation) for _ in further]
            lines.append("| " + " | ".join(cells) + " |")
        blocks.append("\n".join(lines) + "\n")
    pooled = correlation_of([each for scores in results.values() for each in scores])
    if pooled is not None:
        blocks.append(
            "Correlation of predicted and true IoU after one click, "
            f"all {rows[LAST_ROW].objects} objects pooled: {pooled:.3f}\n"
        )
    return "\n".join(blocks)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def json_of(
    results: Mapping[str, Sequence[ObjectScores]], *, settings: Mapping[str, object]
) -> dict[str, object]:
    """Collect everything that was measured, as JSON holds it.

    Parameters
    ----------
    results : mapping of str to sequence of ObjectScores
        By set; at least one set, each with at least one object.
    settings : mapping of str to object
        With what it was measured; values that JSON can hold.

    Returns
    -------
    dict of str to object
        ``"settings"``; ``"sets"``, a summary each; ``"mean_over_sets"``, their mean;
        ``"pooled_correlation"``, over all objects; ``"objects"``, a list.
    """
    summaries = {name: summary_of(scores) for name, scores in results.items()}
    return {
        "settings": dict(settings),
        "sets": {name: asdict(summary) for name, summary in summaries.items()},
        "mean_over_sets": asdict(mean_over_sets(list(summaries.values()))),
        "pooled_correlation": correlation_of([x for scores in results.values() for x in scores]),
        "objects": [
            {"set": name, **each.as_dict()} for name, scores in results.items() for each in scores
        ],
    }
