"""Draw results for the documentation; `benchmarks.pages` does it."""

from pathlib import Path
from typing import Any

from benchmarks.measure import read

# What a bar is called: the file of results, what its row must say, the goal.
BARS: dict[str, tuple[str, dict[str, str], float | None]] = {
    "encode, ViT-B": ("engine", {"tool": "sam-plugins", "task": "encode"}, 5.5),
    "encode, ViT-B, float32": ("engine", {"tool": "sam-plugins float32", "task": "encode"}, 2.7),
    "encode, TinyViT": ("tiny_vit", {"tool": "ours, default"}, 3.5),
    "one click": ("engine", {"tool": "sam-plugins", "task": "click"}, 3),
    "64 clicks": ("engine", {"tool": "sam-plugins", "task": "clicks"}, 6),
    "automatic masks": ("engine", {"tool": "sam-plugins", "task": "automatic"}, 6),
    "logits to a mask": (
        "postprocessing",
        {"tool": "sam-plugins", "masks": "smooth", "image": "2 MP"},
        20,
    ),
}


def speed_ups(folder: str = "") -> dict[str, float]:
    """How many times faster than its peer each task is, of those that were measured."""
    found = {}
    for name, (file, wanted, _) in BARS.items():
        for row in read(f"{folder}/{file}".lstrip("/")):
            if wanted.items() <= row.items() and row.get("speed-up"):
                found[name] = row["speed-up"]
    return found


def draw(kinds: dict[str, str], path: Path) -> None:
    """Draw times faster, one colour for each kind of processor, and the goals.

    Parameters
    ----------
    kinds : dict of str to str
        Name of a kind of processor to its folder of results.
    path : Path
        Of the picture, an SVG.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    height = 0.8 / len(kinds)
    for index, (kind, folder) in enumerate(kinds.items()):
        found = speed_ups(folder)
        places = [list(BARS).index(name) + index * height for name in found]
        bars = axes.barh(places, list(found.values()), height, label=kind)
        axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
    goals: list[Any] = [goal for _, _, goal in BARS.values()]
    rows = [index + 0.4 - height / 2 for index in range(len(BARS))]
    axes.scatter(goals, rows, marker="|", s=300, color="black", label="goal")
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.set_yticks(rows, list(BARS))
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 3, 5, 10, 20], ["1", "2", "3", "5", "10", "20"])
    axes.minorticks_off()
    axes.set_xlabel("times faster than the peer, in the same run")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside upper center", ncols=len(kinds) + 1)
    # Without a date and with fixed names, so that the same results give the same file.
    with rc_context({"svg.hashsalt": "sam-plugins", "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})
