"""From a training run's checkpoint to a model file: the averaged weights, in half precision."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from sam_plugins.checkpoints import save_model
from sam_plugins.modeling.configs import CONFIGS
from sam_plugins.modeling.lite import LiteSam, build_lite


def read_averaged(checkpoint: Path) -> LiteSam:
    """Build the model with the averaged weights of a run that `sam_plugins.training` made.

    Parameters
    ----------
    checkpoint : Path
        The run's ``checkpoint.pt``.

    Returns
    -------
    LiteSam
        In evaluation mode, on the CPU.

    Raises
    ------
    ValueError
        If a weight is not finite or too large for half precision.
    """
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")
    model = build_lite(CONFIGS["lite"])
    model.load_state_dict(state["averaged"])
    for name, value in model.state_dict().items():
        if value.is_floating_point() and not torch.isfinite(value.half()).all():
            raise ValueError(f"{name} in {checkpoint} has values that half precision cannot hold")
    return model.eval()


def main(argv: Sequence[str] | None = None) -> None:
    """Read the arguments and write the model.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="the run's checkpoint.pt")
    parser.add_argument("out", type=Path, help="the safetensors file to write")
    arguments = parser.parse_args(argv)
    save_model(read_averaged(arguments.checkpoint), arguments.out, dtype=torch.float16)


if __name__ == "__main__":
    main()
