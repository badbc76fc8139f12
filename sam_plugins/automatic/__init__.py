"""Automatic masks: settings, grids of points and crops, proposals, selection."""

from sam_plugins.automatic.generator import (
    Proposals,
    generate,
    generate_batch,
    propose,
    select,
)
from sam_plugins.automatic.settings import AutomaticSettings

__all__ = ["AutomaticSettings", "Proposals", "generate", "generate_batch", "propose", "select"]
