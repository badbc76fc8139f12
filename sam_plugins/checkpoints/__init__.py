"""Checkpoints: which there are, downloading, loading and saving them.

Nothing here runs code that is stored in a checkpoint: pickled files are read with
``weights_only=True``, and what this package writes is safetensors. The names below are loaded when
they are first used, so that importing this package imports neither torch nor pooch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sam_plugins.checkpoints.downloading import download
    from sam_plugins.checkpoints.encoders import load_image_encoder
    from sam_plugins.checkpoints.hashing import hash_weights
    from sam_plugins.checkpoints.loading import load_model
    from sam_plugins.checkpoints.locations import cache_directory, translations_directory
    from sam_plugins.checkpoints.reading import load_state_dict_file
    from sam_plugins.checkpoints.registry import REGISTRY, ModelEntry, list_models
    from sam_plugins.checkpoints.saving import save_model

_HOME = {
    "REGISTRY": "registry",
    "ModelEntry": "registry",
    "cache_directory": "locations",
    "download": "downloading",
    "hash_weights": "hashing",
    "list_models": "registry",
    "load_image_encoder": "encoders",
    "load_model": "loading",
    "load_state_dict_file": "reading",
    "save_model": "saving",
    "translations_directory": "locations",
}

__all__ = [
    "REGISTRY",
    "ModelEntry",
    "cache_directory",
    "download",
    "hash_weights",
    "list_models",
    "load_image_encoder",
    "load_model",
    "load_state_dict_file",
    "save_model",
    "translations_directory",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
