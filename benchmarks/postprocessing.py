"""From low-resolution logits to runs, boxes and stability scores, beside the reference's way.

The same logits, and results that are compared before they are timed: smooth masks, as a trained
model gives them, and noise, the worst case.
"""

import argparse
import json
import sys
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks import peers
from benchmarks.measure import in_child, peak_mb, resident_mb, save, table, timed
from sam_plugins.frames import Frame

SIZES = {"0.2 MP": (427, 640), "2 MP": (1200, 1800), "12 MP": (3000, 4000)}
MASKS = 24


def logits_of(kind: str) -> NDArray[np.float32]:
    """Random logits (MASKS, 256, 256): smooth ones or noise."""
    from scipy import ndimage

    noise = np.random.default_rng(0).normal(0, 6, (MASKS, 256, 256)).astype(np.float32)
    if kind == "noise":
        return noise
    smooth = ndimage.gaussian_filter(noise, (0, 12, 12))
    return (smooth / smooth.std() * 6).astype(np.float32)


def ours(logits: NDArray[np.float32], size: tuple[int, int]) -> Any:
    """Give boxes, stability scores and runs by `sam_plugins.masks.streaming`."""
    from sam_plugins.masks.streaming import summarize

    summaries = summarize(logits, Frame(size, 1024, 4), threads=torch.get_num_threads())
    return summaries.boxes, summaries.stability, summaries.rles


def reference(logits: NDArray[np.float32], size: tuple[int, int]) -> Any:
    """Give the same by the functions that the reference's mask generator calls."""
    peers.prepare()
    from segment_anything.utils import amg

    frame = Frame(size, 1024, 4)
    masks = frame.upsample(torch.from_numpy(logits))
    stability = amg.calculate_stability_score(masks, 0.0, 1.0)
    masks = masks > 0
    rles = [amg.coco_encode_rle(rle) for rle in amg.mask_to_rle_pytorch(masks)]
    return amg.batched_mask_to_box(masks).numpy(), stability.numpy(), rles


TOOLS = {"sam-plugins": ours, "segment-anything": reference}


def check(logits: NDArray[np.float32], size: tuple[int, int]) -> None:
    """Stop if the two ways do not give the same."""
    mine, theirs = ours(logits, size), reference(logits, size)
    np.testing.assert_array_equal(mine[0], theirs[0])
    np.testing.assert_allclose(mine[1], theirs[1], atol=1e-6)
    if [rle["counts"] for rle in mine[2]] != [rle["counts"] for rle in theirs[2]]:
        raise AssertionError("the runs differ")


def main(argv: list[str] | None = None) -> None:
    """Compare, then time each tool in a process of its own; print and save the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the middle size")
    parser.add_argument("--tool", choices=list(TOOLS), help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=["smooth", "noise"], help=argparse.SUPPRESS)
    parser.add_argument("--size", choices=list(SIZES), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.tool:
        logits, size = logits_of(arguments.kind), SIZES[arguments.size]
        TOOLS[arguments.tool](logits[:2], size)
        before = resident_mb()
        result = timed(lambda: TOOLS[arguments.tool](logits, size), repetitions=3)
        sys.stdout.write(json.dumps({**result, "added_mb": peak_mb() - before}) + "\n")
        return
    rows = []
    for kind in ("smooth", "noise"):
        for name in ["2 MP"] if arguments.quick else SIZES:
            check(logits_of(kind)[:4], SIZES[name])
            for tool in TOOLS:
                options = ["--tool", tool, "--kind", kind, "--size", name]
                result = in_child("benchmarks.postprocessing", options)
                per_mask = {"ms_a_mask": 1000 * result["seconds"] / MASKS}
                rows.append({"masks": kind, "image": name, "tool": tool, **per_mask, **result})
            rows[-2]["speed-up"] = rows[-1]["seconds"] / rows[-2]["seconds"]
    save("postprocessing", rows)
    sys.stdout.write(
        table(rows, ["masks", "image", "tool", "ms_a_mask", "added_mb", "speed-up"]) + "\n"
    )


if __name__ == "__main__":
    main()
