"""Drop-in for the reference package: its names, signatures and results on this engine.

An existing script changes one import line::

    from sam_plugins.compat import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry

Everything runs in float32 here, as it does there.
"""

from sam_plugins.compat.automatic_mask_generator import SamAutomaticMaskGenerator
from sam_plugins.compat.build_sam import (
    build_sam,
    build_sam_vit_b,
    build_sam_vit_h,
    build_sam_vit_l,
    sam_model_registry,
)
from sam_plugins.compat.predictor import SamPredictor
from sam_plugins.compat.utils.transforms import ResizeLongestSide

__all__ = [
    "ResizeLongestSide",
    "SamAutomaticMaskGenerator",
    "SamPredictor",
    "build_sam",
    "build_sam_vit_b",
    "build_sam_vit_h",
    "build_sam_vit_l",
    "sam_model_registry",
]
