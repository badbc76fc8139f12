"""Options that several commands have, and the predictor that they choose."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from sam_plugins.cli.terminal import progress_bars
from sam_plugins.cli.usage import wrong_use

if TYPE_CHECKING:
    from sam_plugins.images import Normalization
    from sam_plugins.predictor import Predictor

Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|PATH|URL",
        help="A model's name (see sam-plugins models) or a checkpoint of your own.",
    ),
]
Device = Annotated[
    str, typer.Option("--device", metavar="D", help="auto, cpu, cuda, cuda:N or mps.")
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="P",
        help="Of the image encoder: auto, float32, bfloat16, float16; for ViTs on a CPU: int8, "
        "openvino.",
    ),
]
NoCache = Annotated[
    bool,
    typer.Option("--no-cache", help="Neither read nor keep image embeddings on the disk."),
]
Channels = Annotated[
    str | None,
    typer.Option(
        "--channels",
        metavar="C[,C[,C]]",
        help="Which channels to see, from 0: one as gray, three as red, green and blue. Needed for "
        "images with other than 1, 3 or 4 channels.",
    ),
]


def normalization_of(channels: str | None) -> Normalization:
    """How images are normalised, with the channels that were chosen.

    Parameters
    ----------
    channels : str or None
        As given: ``"2"`` or ``"0,1,0"``.

    Returns
    -------
    Normalization

    Raises
    ------
    typer.BadParameter
        If these are not one to three whole numbers from 0.
    """
    from sam_plugins.images import Normalization

    if channels is None:
        return Normalization()
    with wrong_use("--channels"):
        try:
            chosen = tuple(int(part) for part in channels.split(","))
        except ValueError:
            raise ValueError(f"{channels!r} is not C or C,C,C, for example 0,1,0") from None
        return Normalization(channels=chosen)


def load_predictor(
    model: str, *, device: str = "auto", precision: str = "auto", use_disk: bool = True
) -> Predictor:
    """Load a model, downloading it if need be with a progress bar.

    Parameters
    ----------
    model, device, precision : str
        As for `Predictor`.
    use_disk : bool
        Keep embeddings on the disk and find them there.

    Returns
    -------
    Predictor

    Raises
    ------
    typer.BadParameter
        If there is no such model, device or precision.
    CheckpointError, DownloadError
        If the model cannot be loaded.
    """
    from sam_plugins.cache import EmbeddingCache
    from sam_plugins.checkpoints import REGISTRY
    from sam_plugins.devices import choose_device, choose_precision
    from sam_plugins.errors import CheckpointNotFoundError, SamPluginsError
    from sam_plugins.predictor import Predictor

    with wrong_use("--device"):
        chosen = choose_device(device)
    with wrong_use("--precision"):
        choose_precision(chosen, precision)
    cache = EmbeddingCache() if use_disk else EmbeddingCache(disk_bytes=0)
    with progress_bars(in_bytes=True) as bars:
        try:
            return Predictor(
                model,
                device=device,
                precision=precision,
                cache=cache,
                progress=partial(bars.show, f"Downloading {model}"),
            )
        except CheckpointNotFoundError as error:
            if model in REGISTRY:
                raise
            raise typer.BadParameter(str(error), param_hint="--model") from error
        except SamPluginsError:
            raise
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--precision") from error
