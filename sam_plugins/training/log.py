"""The log of a run: a line of JSON each time it reports, in the order of its steps."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from sam_plugins.files import atomic_path

LOG = "log.jsonl"


def append_row(path: Path, row: Mapping[str, float]) -> None:
    """Write one more line.

    Parameters
    ----------
    path : Path
        The log; made if it is missing.
    row : mapping
        Numbers by name, ``step`` among them.
    """
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def cut_log(path: Path, step: int) -> None:
    """Leave what led to a step: lines after it are of steps that are done again.

    Parameters
    ----------
    path : Path
        The log, which may be missing. A line that a killed run did not finish is left out.
    step : int
        Where the run goes on; 0 for a run that begins anew.
    """
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            number = json.loads(line)["step"]
        except ValueError:
            continue
        if number <= step:
            kept.append(line + "\n")
    with atomic_path(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")


def mean_of(records: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Average records that may lack some of the names.

    Parameters
    ----------
    records : sequence of mapping
        Numbers by name.

    Returns
    -------
    dict of str to float
        For each name the mean over the records that have it.

    Examples
    --------
    >>> mean_of([{"loss": 1.0}, {"loss": 3.0, "last": 0.5}])
    {'loss': 2.0, 'last': 0.5}
    """
    names = dict.fromkeys(name for record in records for name in record)
    return {
        name: math.fsum(record[name] for record in records if name in record)
        / sum(name in record for record in records)
        for name in names
    }
