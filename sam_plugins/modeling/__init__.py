"""The networks: tensors in, tensors out. No files, no devices chosen, no images as arrays."""

from sam_plugins.modeling.build import build_sam
from sam_plugins.modeling.configs import CONFIGS, LiteConfig, SamConfig, TinyViTConfig, ViTConfig
from sam_plugins.modeling.sam import Sam

__all__ = ["CONFIGS", "LiteConfig", "Sam", "SamConfig", "TinyViTConfig", "ViTConfig", "build_sam"]
