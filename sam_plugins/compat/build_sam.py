"""Building models by the reference's names."""

from __future__ import annotations

import os
from collections.abc import Callable

from sam_plugins.checkpoints import load_model
from sam_plugins.errors import CheckpointError
from sam_plugins.modeling import build_sam as build_by_name
from sam_plugins.modeling.sam import Sam


def _build(name: str, checkpoint: str | os.PathLike[str] | None) -> Sam:
    if checkpoint is None:
        return build_by_name(name)
    model = load_model(checkpoint)
    if model.config.name != name:
        raise CheckpointError(
            f"{os.fspath(checkpoint)} holds a {model.config.name} model, not a {name} model: "
            f"use sam_model_registry[{model.config.name!r}]"
        )
    return model


def build_sam_vit_h(checkpoint: str | os.PathLike[str] | None = None) -> Sam:
    """Build SAM with the ViT-H encoder.

    Parameters
    ----------
    checkpoint : path-like, optional
        A checkpoint file of that architecture; random weights if omitted.

    Returns
    -------
    Sam
        On the CPU, in evaluation mode.
    """
    return _build("vit_h", checkpoint)


def build_sam_vit_l(checkpoint: str | os.PathLike[str] | None = None) -> Sam:
    """Build SAM with the ViT-L encoder.

    Parameters
    ----------
    checkpoint : path-like, optional
        See `build_sam_vit_h`.

    Returns
    -------
    Sam
    """
    return _build("vit_l", checkpoint)


def build_sam_vit_b(checkpoint: str | os.PathLike[str] | None = None) -> Sam:
    """Build SAM with the ViT-B encoder.

    Parameters
    ----------
    checkpoint : path-like, optional
        See `build_sam_vit_h`.

    Returns
    -------
    Sam
    """
    return _build("vit_b", checkpoint)


def build_sam_vit_t(checkpoint: str | os.PathLike[str] | None = None) -> Sam:
    """Build SAM with MobileSAM's TinyViT encoder.

    Parameters
    ----------
    checkpoint : path-like, optional
        See `build_sam_vit_h`.

    Returns
    -------
    Sam
    """
    return _build("vit_t", checkpoint)


def build_lite(checkpoint: str | os.PathLike[str] | None = None) -> Sam:
    """Build the small model that ships with this package, with its weights.

    Parameters
    ----------
    checkpoint : path-like, optional
        Other weights for it; the shipped ones if omitted.

    Returns
    -------
    Sam
    """
    return load_model("lite") if checkpoint is None else _build("lite", checkpoint)


build_sam = build_sam_vit_h

sam_model_registry: dict[str, Callable[..., Sam]] = {
    "default": build_sam_vit_h,
    "vit_h": build_sam_vit_h,
    "vit_l": build_sam_vit_l,
    "vit_b": build_sam_vit_b,
    "vit_t": build_sam_vit_t,
    "lite": build_lite,
}
