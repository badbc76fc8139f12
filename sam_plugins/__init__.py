"""Segment Anything for scientists and annotators: encode an image once, prompt it many times.

The public names are loaded when they are first used, so that importing this package takes
milliseconds and does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam_plugins.automatic import AutomaticSettings, Proposals, generate, propose, select
    from sam_plugins.cache import EmbeddingCache
    from sam_plugins.checkpoints import list_models, load_model
    from sam_plugins.embedding import ImageEmbedding
    from sam_plugins.errors import SamPluginsError
    from sam_plugins.images import Normalization, read_image
    from sam_plugins.masks.records import MaskRecord
    from sam_plugins.prediction import Prediction
    from sam_plugins.predictor import Predictor
    from sam_plugins.prompts import Prompt

__version__ = "0.1.0"

_HOME = {
    "AutomaticSettings": "automatic",
    "EmbeddingCache": "cache",
    "ImageEmbedding": "embedding",
    "MaskRecord": "masks.records",
    "Normalization": "images",
    "Prediction": "prediction",
    "Predictor": "predictor",
    "Prompt": "prompts",
    "Proposals": "automatic",
    "SamPluginsError": "errors",
    "generate": "automatic",
    "list_models": "checkpoints",
    "load_model": "checkpoints",
    "propose": "automatic",
    "read_image": "images",
    "select": "automatic",
}

__all__ = [
    "AutomaticSettings",
    "EmbeddingCache",
    "ImageEmbedding",
    "MaskRecord",
    "Normalization",
    "Prediction",
    "Predictor",
    "Prompt",
    "Proposals",
    "SamPluginsError",
    "generate",
    "list_models",
    "load_model",
    "propose",
    "read_image",
    "select",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
