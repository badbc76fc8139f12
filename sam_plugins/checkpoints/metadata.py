"""A model's configuration as text, for the metadata of the files that this project writes."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from sam_plugins.errors import CheckpointError
from sam_plugins.modeling.configs import LiteConfig, SamConfig, TinyViTConfig, ViTConfig

# The metadata's "format" in our files.
FORMAT = "sam-plugins"

_ENCODERS: dict[str, type[ViTConfig | TinyViTConfig | LiteConfig]] = {
    "vit": ViTConfig,
    "tiny_vit": TinyViTConfig,
    "lite": LiteConfig,
}


def config_to_json(config: SamConfig) -> str:
    """Write a configuration as JSON; `config_from_json` gives it back exactly.

    Parameters
    ----------
    config : SamConfig
        Any configuration, also one that is not in `CONFIGS`.

    Returns
    -------
    str
        One JSON object, with the names in alphabetical order.

    Examples
    --------
    >>> config = SamConfig("small", ViTConfig(64, 2, 2, (1,)), frame_size=128)
    >>> config_from_json(config_to_json(config)) == config
    True
    """
    kinds = {kind: name for name, kind in _ENCODERS.items()}
    fields = asdict(config)
    fields["encoder"] = {"kind": kinds[type(config.encoder)], **fields["encoder"]}
    return json.dumps(fields, sort_keys=True)


def config_from_json(text: str) -> SamConfig:
    """Read a configuration that `config_to_json` wrote.

    Parameters
    ----------
    text : str
        One JSON object.

    Returns
    -------
    SamConfig
        Equal to the one that was written.

    Raises
    ------
    CheckpointError
        If the text is damaged, or was written by a newer version with fields unknown here.
    """
    try:
        fields = _tuples(json.loads(text))
        encoder = dict(fields.pop("encoder"))
        fields["encoder"] = _ENCODERS[encoder.pop("kind")](**encoder)
        return SamConfig(**fields)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"the checkpoint's configuration cannot be read ({error}): it is damaged or was "
            "written by a newer version of sam-plugins"
        ) from error


def _tuples(value: Any) -> Any:
    """JSON knows only lists; configurations hold tuples, which can be compared and hashed."""
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value
