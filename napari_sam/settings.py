"""The user's preferences: from napari's page of them, or the same defaults where it has none."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

# What the plugin is called in its manifest.
PLUGIN = "sam-plugins"


@dataclass(frozen=True)
class ModelPreferences:
    """Which model, and where it runs.

    Parameters
    ----------
    name : str
        See ``sam-plugins models``.
    device : str
        As for `sam_plugins.Predictor`.
    """

    name: str = "lite"
    device: str = "auto"


@dataclass(frozen=True)
class CachePreferences:
    """Whether image embeddings are kept on disk.

    Parameters
    ----------
    enabled : bool
        Keep them.
    max_gb : float
        Bound of their size, in 10^9 bytes.
    """

    enabled: bool = True
    max_gb: float = 10.0

    @property
    def disk_bytes(self) -> int:
        """The bound for `sam_plugins.EmbeddingCache`; 0 keeps nothing."""
        return int(self.max_gb * 1e9) if self.enabled else 0


@dataclass(frozen=True)
class AnnotationPreferences:
    """How objects are committed.

    Parameters
    ----------
    overlap : str
        ``"keep"``, ``"overwrite"`` or ``"background"``.
    one_object_per_click : bool
        Every click commits.
    min_area : int
        Smaller regions are dropped, in pixels.
    fill_holes : bool
        Holes are filled.
    """

    overlap: str = "keep"
    one_object_per_click: bool = False
    min_area: int = 0
    fill_holes: bool = False


@dataclass(frozen=True)
class Preferences:
    """All preferences, in the groups of the manifest.

    Parameters
    ----------
    model : ModelPreferences
        Which model.
    cache : CachePreferences
        What is kept.
    annotation : AnnotationPreferences
        How objects are committed.
    """

    model: ModelPreferences = ModelPreferences()
    cache: CachePreferences = CachePreferences()
    annotation: AnnotationPreferences = AnnotationPreferences()


def read_preferences() -> Preferences:
    """The preferences as they are now.

    Returns
    -------
    Preferences
        The defaults where napari has no page for plugins (before 0.9) or does not know this one.
    """
    chosen = _chosen()
    if chosen is None:
        return Preferences()
    return Preferences(
        model=ModelPreferences(**_group(chosen.model, ModelPreferences)),
        cache=CachePreferences(**_group(chosen.cache, CachePreferences)),
        annotation=AnnotationPreferences(**_group(chosen.annotation, AnnotationPreferences)),
    )


def _chosen() -> Any:
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    return get_plugin_settings().get(PLUGIN)


def _group(chosen: Any, kind: type) -> dict[str, Any]:
    return {field.name: getattr(chosen, field.name) for field in fields(kind)}
