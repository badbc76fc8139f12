"""The training loop for everything that is trained here, on Lightning Fabric.

A run is a function of its settings and its data: the batch of each step depends on the seed and the
step alone, and all that is random in a step is seeded by it. A run that was killed goes on from its
last checkpoint to the same weights. Under ``torchrun`` each process takes its share of each batch.
"""

from __future__ import annotations

import copy
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sam_plugins.errors import SamPluginsError
from sam_plugins.training.checkpoint import read_checkpoint, save_state, write_checkpoint
from sam_plugins.training.log import LOG, append_row, cut_log, mean_of
from sam_plugins.training.optimizer import OptimizerSettings, build_optimizer, set_learning_rate

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
BAD_BATCH = "bad-batch.pt"

# As Fabric names them.
PRECISIONS = ("32-true", "bf16-mixed")


@dataclass(frozen=True)
class LoopSettings:
    """How long and how a run goes.

    Parameters
    ----------
    steps : int
        Optimizer steps in all.
    accumulate : int
        Batches to one step; their gradients are averaged.
    clip : float, optional
        Largest norm of the gradient.
    ema : float, optional
        Decay of the averaged weights; None keeps no average.
    precision : str
        ``"32-true"`` or ``"bf16-mixed"``, as Fabric names them. Half precision is not among them:
        it needs the gradients to be scaled.
    seed : int
        Of all that is random.
    report_every : int
        Steps to a line in the log.
    checkpoint_every : int, optional
        Steps between checkpoints, the last step having one too; None writes none at all.
    part_bytes : int, optional
        Largest size of a checkpoint's files; see `write_checkpoint`.

    Raises
    ------
    ValueError
        If the precision is another word.
    """

    steps: int
    accumulate: int = 1
    clip: float | None = None
    ema: float | None = None
    precision: str = "32-true"
    seed: int = 0
    report_every: int = 20
    checkpoint_every: int | None = 100
    part_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}: use one of {PRECISIONS}")


class Objective(nn.Module):
    """What a run makes small: called with a batch, it gives a loss and scores to report.

    Parameters
    ----------
    model : nn.Module
        What is trained.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model


class TrainingDivergedError(SamPluginsError, FloatingPointError):
    """The loss or the gradient is not finite; the last checkpoint is as it was."""


def start_fabric(*, device: str = "cpu", precision: str = "32-true") -> Any:
    """Start Fabric: one process, or, under ``torchrun``, one of several.

    Parameters
    ----------
    device : str
        A torch device, without a number under ``torchrun``.
    precision : str
        See `LoopSettings`.

    Returns
    -------
    lightning_fabric.Fabric

    Raises
    ------
    SamPluginsError
        If the extra ``train`` is not installed.
    """
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies import DDPStrategy
    except ImportError as error:
        raise SamPluginsError(
            'training needs the extra "train": pip install "sam-plugins[train]"'
        ) from error
    # It tells at each start which precision it uses.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    kind, _, number = device.partition(":")
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    devices: Any = processes if kind == "cpu" or processes > 1 or not number else [int(number)]
    fabric = Fabric(
        accelerator={"cuda": "gpu"}.get(kind, kind),
        devices=devices,
        num_nodes=int(os.environ.get("GROUP_WORLD_SIZE", "1")),
        # Not every prompt touches every weight.
        strategy=DDPStrategy(find_unused_parameters=True) if "WORLD_SIZE" in os.environ else "auto",
        precision=precision,
    )
    fabric.launch()
    return fabric


class Run:
    """One objective, its optimizer and its averaged weights, in a folder.

    Parameters
    ----------
    objective : Objective
        Called with a batch, it gives the loss (a scalar) and a dict of scores.
    optimizer_settings : OptimizerSettings
        How the weights move.
    settings : LoopSettings
        How long.
    folder : path-like
        Where the checkpoint and the log are written; made if it is missing.
    fabric : lightning_fabric.Fabric, optional
        From `start_fabric`; by default one process on the CPU.

    Attributes
    ----------
    step : int
        Steps done.
    averaged : nn.Module or None
        The model with averaged weights.
    """

    def __init__(
        self,
        objective: Objective,
        optimizer_settings: OptimizerSettings,
        settings: LoopSettings,
        folder: str | os.PathLike[str],
        *,
        fabric: Any = None,
    ) -> None:
        self.fabric = fabric or start_fabric(precision=settings.precision)
        self.objective = objective
        self.settings = settings
        self.optimizer_settings = optimizer_settings
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.step = 0
        objective.to(self.fabric.device)
        self.averaged: nn.Module | None = None
        if settings.ema is not None:
            self.averaged = copy.deepcopy(objective.model).eval()
        optimizer = build_optimizer(objective, optimizer_settings)
        self.module, self.optimizer = self.fabric.setup(objective, optimizer)

    @property
    def checkpoint(self) -> Path:
        """Where the run goes on from."""
        return self.folder / CHECKPOINT

    @property
    def model(self) -> nn.Module:
        """What is wanted of the run: the averaged model, or the model itself."""
        return self.averaged if self.averaged is not None else self.objective.model

    def go(
        self,
        batches: Callable[[int], Iterator[Any]],
        *,
        on_report: Callable[[dict[str, float]], object] | None = None,
        stop: Callable[[Run], bool] | None = None,
    ) -> None:
        """Train until the last step, from the checkpoint in the folder if there is one.

        Parameters
        ----------
        batches : callable
            Called with the number of the first batch; gives an endless iterator of batches from
            there. Batch number n must depend on n alone. Under ``torchrun`` it gives this
            process's share.
        on_report : callable, optional
            Called with what is written to the log.
        stop : callable, optional
            Called with this run after each step; True ends it early.

        Raises
        ------
        TrainingDivergedError
            If a loss is not finite; the batch is saved beside the checkpoint, which stays.
        """
        if self.checkpoint.exists():
            self.load()
        if not self.fabric.global_rank:
            cut_log(self.folder / LOG, self.step)
        stream = batches(self.step * self.settings.accumulate)
        recent: list[dict[str, float]] = []
        start = time.monotonic()
        while self.step < self.settings.steps:
            recent.append(self._step(stream))
            done = self.step == self.settings.steps
            if self.step % self.settings.report_every == 0 or done:
                self._report(recent, time.monotonic() - start, on_report)
                recent = []
            stopped = stop is not None and stop(self)
            every = self.settings.checkpoint_every
            if every is not None and (self.step % every == 0 or done or stopped):
                self.save()
            if stopped:
                return

    def _step(self, stream: Iterator[Any]) -> dict[str, float]:
        settings, count = self.settings, self.settings.accumulate
        # All randomness of a step comes from its number: a resumed run repeats it.
        torch.manual_seed(hash((settings.seed, self.step, self.fabric.global_rank)) % 2**63)
        rate = set_learning_rate(
            self.optimizer, self.optimizer_settings, step=self.step, steps=settings.steps
        )
        self.objective.train()
        self.optimizer.zero_grad(set_to_none=True)
        records: list[Mapping[str, float]] = []
        for part in range(count):
            batch = next(stream)
            waits = part + 1 < count and self.fabric.world_size > 1
            with self.fabric.no_backward_sync(self.module) if waits else nullcontext():
                loss, scores = self.module(batch)
                self._check(loss, batch, "loss")
                self.fabric.backward(loss / count)
            records.append({"loss": float(loss.detach()), **scores})
        if settings.clip is not None:
            norm = self.fabric.clip_gradients(
                self.module, self.optimizer, max_norm=settings.clip, error_if_nonfinite=False
            )
            self._check(norm, batch, "gradient's norm")
        self.optimizer.step()
        self.step += 1
        self._average()
        return {**mean_of(records), "learning_rate": rate}

    def _check(self, value: Tensor, batch: Any, what: str) -> None:
        if torch.isfinite(value):
            return
        path = self.folder / BAD_BATCH
        message = f"the {what} is {value.item()} at step {self.step}: "
        try:
            save_state(path, batch)
            message += f"the batch is in {path}"
        except OSError as error:  # the first mistake is the one to tell of
            message += f"the batch cannot be saved ({error})"
        if self.checkpoint.exists():
            message += f", the last good weights are in {self.checkpoint}"
        raise TrainingDivergedError(message)

    @torch.no_grad()
    def _average(self) -> None:
        if self.averaged is None or self.settings.ema is None:
            return
        # A young average forgets faster, or the first weights would stay in it for long.
        decay = min(self.settings.ema, (1 + self.step) / (10 + self.step))
        current = self.objective.model.state_dict()
        for name, value in self.averaged.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(current[name].to(value.dtype), 1 - decay)
            else:
                value.copy_(current[name])

    def _report(
        self,
        recent: Sequence[Mapping[str, float]],
        seconds: float,
        on_report: Callable[[dict[str, float]], object] | None,
    ) -> None:
        if self.fabric.global_rank:
            return
        row = {"step": self.step, "seconds": round(seconds, 1), **mean_of(recent)}
        logger.info(" ".join(f"{name} {value:.4g}" for name, value in row.items()))
        append_row(self.folder / LOG, row)
        if on_report is not None:
            on_report(row)

    def save(self) -> None:
        """Write the checkpoint, whole or not at all.

        Raises
        ------
        OSError
            If it cannot be written, for example to a full disk; the last one stays then.
        """
        if self.fabric.global_rank:
            return
        state = {
            "model": self.objective.model.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "steps": self.settings.steps,
        }
        write_checkpoint(self.checkpoint, state, part_bytes=self.settings.part_bytes)

    def load(self) -> None:
        """Go on from the checkpoint in the folder.

        Raises
        ------
        SamPluginsError
            If it is of another model or another kind of run.
        """
        state = read_checkpoint(self.checkpoint, device=self.fabric.device)
        try:
            self.objective.model.load_state_dict(state["model"])
            if self.averaged is not None:
                self.averaged.load_state_dict(state["averaged"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise SamPluginsError(
                f"{self.checkpoint} is of another run ({type(error).__name__}: "
                f"{str(error).splitlines()[0]}): choose another folder or delete it"
            ) from error
