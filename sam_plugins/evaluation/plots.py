"""Plots of results, as the bytes of PNG files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sam_plugins.errors import SamPluginsError

if TYPE_CHECKING:
    from sam_plugins.evaluation.edges.curves import Counts

# F-measures of the lines behind curves of precision and recall.
LEVELS = (0.2, 0.4, 0.6, 0.8)


def new_figure(width: float = 6.0, height: float = 4.0) -> Any:
    """Make an empty figure that needs no window.

    Parameters
    ----------
    width, height : float
        In inches, of 100 pixels each.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SamPluginsError
        If matplotlib is not installed; names the extra that brings it.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SamPluginsError(
            "plots need matplotlib, which needs an extra: pip install 'sam-plugins[train]'"
        ) from error
    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def png_of(figure: Any) -> bytes:
    """Draw a figure.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        From `new_figure`.

    Returns
    -------
    bytes
        A PNG file.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def precision_recall(counted: Mapping[str, Sequence[Counts]]) -> bytes:
    """Draw precision against recall, a curve a source; a dot where there is one threshold only.

    Parameters
    ----------
    counted : mapping of str to sequence of ndarray of shape (T, 4)
        As for `edge_table`.

    Returns
    -------
    bytes
        A PNG file.
    """
    from sam_plugins.evaluation.edges.curves import rates

    figure = new_figure(5.5, 5)
    axes = figure.subplots()
    recall = np.linspace(0.01, 1, 200)
    for level in LEVELS:
        precision = level * recall / np.maximum(2 * recall - level, 1e-9)
        inside = (precision > 0) & (precision <= 1) & (2 * recall > level)
        axes.plot(recall[inside], precision[inside], color="0.85", linewidth=0.8, zorder=0)
        axes.text(1.0, level / (2 - level), f"F {level:g}", color="0.6", fontsize=7)
    for source, counts in counted.items():
        if counts:
            found, right = rates(np.sum(counts, axis=0))
            kept = (found > 0) | (right > 0)
            axes.plot(found[kept], right[kept], "o" if len(found) == 1 else "-", label=source)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.06), ylim=(0, 1))
    axes.legend(loc="lower left")
    return png_of(figure)


def bars(
    values: Mapping[str, float],
    *,
    label: str,
    intervals: Mapping[str, tuple[float, float]] | None = None,
) -> bytes:
    """Draw one horizontal bar a name.

    Parameters
    ----------
    values : mapping of str to float
        From the top down.
    label : str
        What the values are.
    intervals : mapping of str to (float, float), optional
        Low and high of each.

    Returns
    -------
    bytes
        A PNG file.
    """
    figure = new_figure(7, 0.9 + 0.3 * len(values))
    axes = figure.subplots()
    places = np.arange(len(values))[::-1]
    heights = np.array(list(values.values()), dtype=float)
    errors: NDArray[np.float64] | None = None
    if intervals is not None:
        lows, highs = np.array([intervals[name] for name in values]).reshape(-1, 2).T
        errors = np.maximum([heights - lows, highs - heights], 0)
    colors = ["#2a78b8" if height >= 0 else "#c7603b" for height in heights]
    axes.barh(places, heights, xerr=errors, color=colors, height=0.7, capsize=3)
    axes.axvline(0, color="0.3", linewidth=0.8)
    axes.set_yticks(places, list(values))
    axes.set(xlabel=label)
    return png_of(figure)
