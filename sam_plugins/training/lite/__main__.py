"""Train ``lite``: ``python -m sam_plugins.training.lite --data DIR --out DIR``."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from sam_plugins.errors import SamPluginsError
from sam_plugins.training.lite.recipe import RECIPE, Part, read_recipe
from sam_plugins.training.lite.train import train_lite


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments and train.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.
    """
    parser = argparse.ArgumentParser("python -m sam_plugins.training.lite", description=__doc__)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--data", type=Path, help="folder with one folder a real data set")
    parser.add_argument("--out", type=Path, default=Path("runs/lite"))
    parser.add_argument("--init", help="a small model to begin with, by name or path")
    parser.add_argument("--parts", help="names of the parts to run, separated by commas")
    parser.add_argument("--scale", type=_size, default=1.0, help="of the steps and scenes")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=1, help="processes that make batches")
    parser.add_argument("--part-mb", type=_size, help="largest size of a checkpoint's files")
    parser.add_argument("--compile", action="store_true", help="compile the model, for a GPU")
    parser.add_argument("--threads", type=int, help="processor threads; never more than are free")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        parts = _chosen(read_recipe(arguments.recipe), arguments.parts)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    try:
        train_lite(
            [part.scaled(arguments.scale) for part in parts],
            arguments.out,
            data=arguments.data,
            init=arguments.init,
            device=arguments.device,
            workers=arguments.workers,
            part_bytes=None if arguments.part_mb is None else int(1e6 * arguments.part_mb),
            compiled=arguments.compile,
        )
    except (SamPluginsError, OSError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")


def _chosen(parts: Sequence[Part], names: str | None) -> list[Part]:
    """The parts of a recipe that are asked for."""
    known = [part.name for part in parts]
    wanted = known if names is None else names.split(",")
    unknown = sorted(set(wanted).difference(known))
    if unknown:
        raise ValueError(f"no part {unknown[0]!r} in {', '.join(known)}")
    return [part for part in parts if part.name in wanted]


def _size(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError
    return value


if __name__ == "__main__":
    main()
