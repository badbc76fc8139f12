"""Write the figures in ``results/`` into the documentation: ``python -m benchmarks.pages``.

A table stands between ``<!-- results: NAME -->`` and ``<!-- end -->``; NAME is one of `TABLES`, or
one of these in a folder: ``avx2/engine``.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import RESULTS, Rows, read
from benchmarks.plots import draw

PAGE = RESULTS.parents[1] / "docs" / "benchmarks.md"
PICTURE = PAGE.parent / "images" / "times-faster.svg"
# Kinds of processors, and the folder of each one's results.
PROCESSORS = {"AMX, bfloat16": "amx", "avx512_bf16, bfloat16": "", "AVX2, float32": "avx2"}
BLOCK = re.compile(r"(<!-- results: ([\w/-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
TASKS = {
    "encode": "encode an image",
    "click": "one click, three masks",
    "clicks": "64 clicks, three masks each",
    "streamed": "64 clicks, one mask after the other",
    "automatic": "automatic masks, 32 x 32 points",
}


def seconds(value: float) -> str:
    """A time, in the unit that suits it."""
    return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s"


def times(row: dict[str, Any]) -> str:
    """How many times faster than the reference, where that was measured."""
    return f"{row['speed-up']:.1f}" if row.get("speed-up") else ""


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def engine(rows: Rows) -> str:
    """ViT-B beside the peers."""
    head = ["task", "tool", "time", "processor time", "memory", "times faster"]
    return markdown(
        head,
        [
            [
                TASKS[row["task"]],
                row["tool"],
                seconds(row["seconds"]),
                seconds(row["cpu_seconds"]),
                f"{row['added_mb']:.0f} MB",
                times(row),
            ]
            for row in sorted(rows, key=lambda row: list(TASKS).index(row["task"]))
        ],
    )


def postprocessing(rows: Rows) -> str:
    """From logits to masks."""
    head = ["masks", "image", "tool", "a mask", "memory", "times faster"]
    return markdown(
        head,
        [
            [
                row["masks"],
                row["image"],
                row["tool"],
                f"{row['ms_a_mask']:.1f} ms",
                f"{row['added_mb']:.0f} MB",
                times(row),
            ]
            for row in rows
        ],
    )


def lite(rows: Rows) -> str:
    """The shipped model by itself."""
    tasks = [name.removesuffix(", ms") for name in rows[0] if name.endswith(", ms")]
    head = ["photograph", *tasks]
    return markdown(
        head,
        [
            [f"{row['side']} x {row['side']}", *(seconds(row[f"{t}, ms"] / 1000) for t in tasks)]
            for row in rows
        ],
    )


def tricks(rows: Rows) -> str:
    """What each trick brings."""
    head = ["trick", "task", "without", "with", "times faster", "difference in the result"]
    return markdown(
        head,
        [
            [
                row["trick"],
                row["task"],
                seconds(row["without, ms"] / 1000),
                seconds(row["with, ms"] / 1000),
                f"{row['times faster']:.2f}",
                f"{row['difference']:.1g}" if row["difference"] else "none",
            ]
            for row in rows
        ],
    )


def tiny_vit(rows: Rows) -> str:
    """MobileSAM's encoder beside timm's."""
    return markdown(
        ["encode an image", "time", "times faster", "error"],
        [
            [
                row["tool"],
                seconds(row["seconds"]),
                times(row),
                f"{row['error']:.1g}" if row["error"] else "none",
            ]
            for row in rows
        ],
    )


def half_precision(rows: Rows) -> str:
    """What lower precisions change."""
    head = [
        "model",
        "precision",
        "photograph",
        "embedding",
        "clicks, mean IoU",
        "masks of both sets",
        "changed",
    ]
    return markdown(
        head,
        [
            [
                row["model"],
                row["precision"],
                row["image"],
                f"{100 * row['embedding']:.2f} %",
                f"{row['click, IoU']:.3f}",
                f"{row['masks']}",
                f"{100 * row['changed']:.1f} %",
            ]
            for row in rows
        ],
    )


def runtimes(rows: Rows) -> str:
    """ViT-B in other runtimes."""
    return markdown(
        ["part", "tool", "time", "error"],
        [
            [
                row["part"],
                row["tool"],
                seconds(row["seconds"]),
                f"{row['error']:.1g}" if row["error"] else "none",
            ]
            for row in rows
        ],
    )


TABLES: dict[str, Callable[[Rows], str]] = {
    "engine": engine,
    "tiny_vit": tiny_vit,
    "half_precision": half_precision,
    "runtimes": runtimes,
    "postprocessing": postprocessing,
    "lite": lite,
    "tricks": tricks,
}


def filled(text: str) -> str:
    """A page with its tables made anew."""

    def fill(found: re.Match[str]) -> str:
        table = TABLES[found[2].rpartition("/")[2]]
        return found[1] + table(read(found[2])) + found[3]

    return BLOCK.sub(fill, text)


def main(page: Path = PAGE) -> None:
    """Rewrite the page, and draw its picture."""
    page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
    draw(PROCESSORS, PICTURE)


if __name__ == "__main__":
    main()
