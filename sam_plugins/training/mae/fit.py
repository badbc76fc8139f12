"""Pre-training: from a folder of images to a file with an image encoder."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sam_plugins.files import atomic_path
from sam_plugins.modeling.sam import PIXEL_MEAN, PIXEL_STD
from sam_plugins.training.loop import LoopSettings, Objective, Run, start_fabric
from sam_plugins.training.mae.data import Views, ViewStream
from sam_plugins.training.mae.model import MaskedAutoencoder, MaskedAutoencoderConfig
from sam_plugins.training.mae.patches import random_masks
from sam_plugins.training.optimizer import OptimizerSettings
from sam_plugins.training.same_run import check_same_run

# The batch that the learning rate is told for (arXiv 2111.06377, §A.1; arXiv 1706.02677).
RATED_BATCH = 256


@dataclass(frozen=True)
class PretrainSettings:
    """How an encoder is pre-trained. Numbers are arXiv 2111.06377's (§A.1, table 8).

    Parameters
    ----------
    epochs : int
        How often each image is shown (§4: 800).
    batch : int
        Images to a step, of all processes together (4096).
    accumulate : int
        Parts in which a step's images are computed, to save memory.
    learning_rate : float
        Highest one for 256 images a step; it grows with the batch (1.5e-4).
    weight_decay : float
        Of all weights but biases and norms (0.05).
    betas : tuple of float
        Of AdamW (0.9, 0.95).
    warm_up : float
        Share of the run in which the learning rate rises (40 of 800 epochs).
    precision : str
        ``"32-true"`` or ``"bf16-mixed"``, as Fabric names them.
    seed : int
        Of all that is random.
    report_every : int
        Steps to a line in the log.
    checkpoint_every : int
        Steps between checkpoints.
    workers : int
        Threads that read images.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Notes
    -----
    The learning rate falls to zero by a cosine that begins with the run, not after the warm-up as
    in the paper: it is at most 5 % of the highest rate below the paper's.
    """

    epochs: int = 800
    batch: int = 4096
    accumulate: int = 1
    learning_rate: float = 1.5e-4
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    warm_up: float = 40 / 800
    precision: str = "32-true"
    seed: int = 0
    report_every: int = 20
    checkpoint_every: int = 200
    workers: int = 4

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "accumulate", "report_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.batch % self.accumulate:
            raise ValueError(
                f"batch must be a multiple of accumulate, got {self.batch} and {self.accumulate}"
            )
        if not 0 <= self.warm_up < 1:
            raise ValueError(f"warm_up must lie in [0, 1), got {self.warm_up}")

    def steps(self, images: int) -> int:
        """Count the steps in which each image is shown so many times.

        Parameters
        ----------
        images : int
            How many there are.

        Returns
        -------
        int
            Rounded up: the last step begins another epoch.
        """
        return math.ceil(self.epochs * images / self.batch)

    def optimizer(self, steps: int) -> OptimizerSettings:
        """Give the rules by which the weights move.

        Parameters
        ----------
        steps : int
            Of the whole run.

        Returns
        -------
        OptimizerSettings
        """
        return OptimizerSettings(
            learning_rate=self.learning_rate * self.batch / RATED_BATCH,
            weight_decay=self.weight_decay,
            betas=self.betas,
            layer_decay=1.0,
            undecayed=(),
            warm_up=round(self.warm_up * steps),
            decay="cosine",
        )

    def loop(self, steps: int) -> LoopSettings:
        """Give the settings of the training loop.

        Parameters
        ----------
        steps : int
            Of the whole run.

        Returns
        -------
        LoopSettings
        """
        return LoopSettings(
            steps=steps,
            accumulate=self.accumulate,
            precision=self.precision,
            seed=self.seed,
            report_every=self.report_every,
            checkpoint_every=self.checkpoint_every,
        )


class MaskingObjective(Objective):
    """Masks views at random and gives the loss of their reconstruction.

    Parameters
    ----------
    model : MaskedAutoencoder
        What is trained.
    """

    model: MaskedAutoencoder
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, model: MaskedAutoencoder) -> None:
        super().__init__(model)
        # SAM's, so that the encoder sees later what it saw here.
        for name, values in (("pixel_mean", PIXEL_MEAN), ("pixel_std", PIXEL_STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)

    def forward(self, batch: Views) -> tuple[Tensor, dict[str, float]]:
        """Compute the loss.

        Parameters
        ----------
        batch : Views
            B views, on the CPU or where the model is.

        Returns
        -------
        loss : Tensor of shape (), float32
            See `reconstruction_loss`.
        scores : dict of str to float
            None.
        """
        config, device = self.model.config, self.pixel_mean.device
        generators = [torch.Generator().manual_seed(seed) for seed in batch.seeds.tolist()]
        masked = random_masks(generators, patches=config.patches, visible=config.visible)
        images = (batch.images.to(device).float() - self.pixel_mean) / self.pixel_std
        return self.model(images, masked.to(device)), {}


def pretrain(
    images: Sequence[Path],
    out: str | os.PathLike[str],
    *,
    config: MaskedAutoencoderConfig,
    folder: str | os.PathLike[str],
    settings: PretrainSettings | None = None,
    device: str = "cpu",
    on_report: Callable[[dict[str, float]], object] | None = None,
    stop: Callable[[Run], bool] | None = None,
) -> Run:
    """Pre-train an image encoder, or go on with a run that was stopped.

    Parameters
    ----------
    images : sequence of Path
        From `list_images`; labels are not needed.
    out : path-like
        The safetensors file to write: the encoder with the names of a masked autoencoder's
        weights, for `sam_plugins.checkpoints.load_image_encoder`.
    config : MaskedAutoencoderConfig
        The autoencoder, such as ``SIZES["vit_b"]``.
    folder : path-like
        Of the run: checkpoint and log. With a checkpoint in it the run goes on from there, to the
        weights that it would have reached without a break.
    settings : PretrainSettings, optional
        How; by default as in the paper.
    device : str
        Where. Under ``torchrun`` without a number: each process takes its own.
    on_report : callable, optional
        Called with what is written to the log.
    stop : callable, optional
        Called with the run after each step; True ends it early.

    Returns
    -------
    Run
        With the trained model.

    Raises
    ------
    ValueError
        If there is no image, or the batch cannot be shared by the processes.
    InvalidImageError
        If an image cannot be read. Names the file.
    TrainingDivergedError
        If the loss is not finite; the checkpoint stays as it was.
    SamPluginsError
        If the folder is another run's.
    """
    settings = settings or PretrainSettings()
    stream = ViewStream(images, size=config.image_size, seed=settings.seed)
    fabric = start_fabric(device=device, precision=settings.precision)
    steps = settings.steps(len(images))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        objective = MaskingObjective(MaskedAutoencoder(config))
    run = Run(objective, settings.optimizer(steps), settings.loop(steps), folder, fabric=fabric)
    check_same_run(run, _description(images, config, settings))

    def batches(first: int) -> Iterator[Views]:
        return stream.batches(
            first,
            size=settings.batch // settings.accumulate,
            rank=fabric.global_rank,
            world=fabric.world_size,
            workers=settings.workers,
        )

    run.go(batches, on_report=on_report, stop=stop)
    if fabric.global_rank == 0:
        save_encoder(objective.model, out)
    return run


def save_encoder(model: MaskedAutoencoder, path: str | os.PathLike[str]) -> None:
    """Write the encoder of a masked autoencoder, without the decoder.

    Parameters
    ----------
    model : MaskedAutoencoder
        On any device.
    path : path-like
        A safetensors file; it is replaced only when the new one is complete.

    Raises
    ------
    FloatingPointError
        If a weight is not a finite number.
    """
    from safetensors.torch import save_file

    weights = {
        name: value.detach().cpu().contiguous()
        for name, value in model.state_dict().items()
        if not name.startswith(("decoder_", "mask_token"))
    }
    broken = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if broken:
        raise FloatingPointError(f"{broken[0]} is not finite: {path} is not written")
    with atomic_path(path) as temporary:
        save_file(weights, temporary)


def _description(
    images: Sequence[Path], config: MaskedAutoencoderConfig, settings: PretrainSettings
) -> dict[str, Any]:
    """What decides about the weights."""
    names = "\n".join(path.name for path in images)
    chosen = asdict(settings)
    for name in ("report_every", "checkpoint_every", "workers"):
        del chosen[name]
    return {
        "autoencoder": asdict(config),
        "settings": chosen,
        "images": len(images),
        "names": hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest(),
    }
