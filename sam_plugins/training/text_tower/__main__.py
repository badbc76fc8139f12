"""Train the text tower: ``python -m sam_plugins.training.text_tower --out DIR``."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from sam_plugins.training.text_tower.examples import make_examples
from sam_plugins.training.text_tower.train import Recipe, train_tower


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments, make scenes and train.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.
    """
    recipe = Recipe()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/text_tower"))
    parser.add_argument("--examples", type=int, default=4500, help="scenes that are made first")
    parser.add_argument("--steps", type=int, default=recipe.steps)
    parser.add_argument("--scenes", type=int, default=recipe.scenes, help="a batch")
    parser.add_argument("--threads", type=int, default=1, help="never more than are free")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(arguments.threads)
    logging.info("making %d scenes", arguments.examples)
    train_tower(
        make_examples(range(arguments.examples)),
        arguments.out,
        recipe=Recipe(steps=arguments.steps, scenes=arguments.scenes),
    )


if __name__ == "__main__":
    main()
