"""What each set gains over another model (paper, Figure 9a)."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sam_plugins.errors import SamPluginsError
from sam_plugins.evaluation.prompts import ObjectScores
from sam_plugins.evaluation.rendering import Table
from sam_plugins.evaluation.tables import summary_of

Means = Mapping[str, Mapping[str, float]]


def read_scores(path: str | os.PathLike[str]) -> dict[str, dict[str, float]]:
    """Read mean IoUs of another model.

    Parameters
    ----------
    path : path-like
        What ``sam-plugins evaluate prompts --json`` writes; or a JSON object with, for each set,
        an object of columns (``click``, ``clicks3``, ...) and mean IoUs: another program's.

    Returns
    -------
    dict of str to dict of str to float
        By set, then by column.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    SamPluginsError
        If it is neither.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if "objects" in content:
            content = {name: each["means"]["iou"] for name, each in content["sets"].items()}
        return {
            str(name): {str(column): float(value) for column, value in means.items()}
            for name, means in content.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SamPluginsError(f"{path} holds no scores of sets: {error!r}") from error


def gain_table(results: Mapping[str, Sequence[ObjectScores]], other: Means) -> Table:
    """Subtract another model's mean IoU.

    Parameters
    ----------
    results : mapping of str to sequence of ObjectScores
        By set; at least one object each.
    other : mapping of str to mapping of str to float
        From `read_scores`.

    Returns
    -------
    Table
        Columns that both have; sets that the other lacks are left out. The note counts the sets
        that gain after one click.
    """
    ours = {name: summary_of(scores).means["iou"] for name, scores in results.items()}
    shared = [name for name in ours if name in other]
    columns = [
        column
        for column in dict.fromkeys(x for name in shared for x in ours[name])
        if any(column in other[name] for name in shared)
    ]
    gains = {
        name: [_gain(ours[name].get(column), other[name].get(column)) for column in columns]
        for name in shared
    }
    better = sum(each[0] is not None and each[0] > 0 for each in gains.values() if each)
    rows = [(name, *each) for name, each in gains.items()]
    first = columns[0] if columns else "click"
    note = f"{first} is better on {better} of {len(rows)} sets. SAM over RITM (paper): 16 of 23."
    return Table("Mean IoU less the other's", ("set", *columns), tuple(rows), note)


def _gain(ours: float | None, theirs: float | None) -> float | None:
    return None if ours is None or theirs is None else ours - theirs
