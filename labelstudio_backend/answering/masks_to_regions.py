"""From predictions to what Label Studio shows."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelstudio_backend.protocol.labelling_config import LabellingConfig
from labelstudio_backend.protocol.regions import regions_of

# How Label Studio's page names regions.
ID_BYTES = 6


def write_regions(
    mask: NDArray[np.bool_],
    config: LabellingConfig,
    *,
    to_name: str,
    label: str | None,
    score: float,
    image_rotation: float = 0.0,
) -> list[dict[str, Any]]:
    """Write one object's mask in the form that the project wants.

    Parameters
    ----------
    mask : ndarray of shape (H, W), bool
    config : LabellingConfig
    to_name : str
        The image's name.
    label : str, optional
        The prompt's.
    score : float
        Predicted IoU.
    image_rotation : float
        As the prompt had it.

    Returns
    -------
    list of dict
        Empty for an empty mask.
    """
    if not mask.any():
        return []
    control, label = config.output_for(label, to_name)
    return regions_of(
        mask,
        control,
        label,
        score=round(min(max(score, 0.0), 1.0), 4),
        region_id=secrets.token_hex(ID_BYTES),
        image_rotation=image_rotation,
    )


def prediction_of(regions: Sequence[dict[str, Any]], model_version: str) -> dict[str, Any]:
    """One task's answer.

    Parameters
    ----------
    regions : sequence of dict
    model_version : str

    Returns
    -------
    dict
        Its score is the mean of the regions' scores, 0 without any.
    """
    scores = [float(region["score"]) for region in regions]
    return {
        "result": list(regions),
        "score": round(float(np.mean(scores)), 4) if scores else 0.0,
        "model_version": model_version,
    }
