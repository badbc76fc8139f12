"""Fine-tuning any model on somebody's own labelled images."""

from sam_plugins.training.finetuning.finetune import FinetuneSettings, Outcome, finetune

__all__ = ["FinetuneSettings", "Outcome", "finetune"]
