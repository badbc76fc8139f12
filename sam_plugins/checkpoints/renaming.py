"""Tables from the names that other projects give to SAM's weights to the official ones, and back.

An entry pairs two names of modules or tensors; everything below a module follows it. ``{}`` stands
for a number, the same on both sides. The official names are those of the released files, which
`sam_plugins.modeling` keeps.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeVar

from sam_plugins.errors import CheckpointError

Layout = Literal["official", "hugging_face", "timm", "mae"]
Value = TypeVar("Value")


@dataclass(frozen=True)
class RenamingTable:
    """Pairs of names, usable in both directions.

    Parameters
    ----------
    pairs : tuple of (str, str)
        Official name, other name. Of several that fit, the longest is taken.
    """

    pairs: tuple[tuple[str, str], ...]

    def to_official(self, name: str) -> str | None:
        """Give the official name of a module or tensor.

        Parameters
        ----------
        name : str
            The other project's name.

        Returns
        -------
        str or None
            None if the table does not know the name.
        """
        return _rename(name, self._to_official)

    def from_official(self, name: str) -> str | None:
        """Give the other project's name of a module or tensor.

        Parameters
        ----------
        name : str
            The official name.

        Returns
        -------
        str or None
            None if the table does not know the name.
        """
        return _rename(name, self._from_official)

    @cached_property
    def _to_official(self) -> list[tuple[re.Pattern[str], str]]:
        return _compile((other, official) for official, other in self.pairs)

    @cached_property
    def _from_official(self) -> list[tuple[re.Pattern[str], str]]:
        return _compile(self.pairs)


def _compile(pairs: Iterable[tuple[str, str]]) -> list[tuple[re.Pattern[str], str]]:
    longest_first = sorted(pairs, key=lambda pair: -len(pair[0]))
    return [
        (re.compile(re.escape(old).replace(r"\{\}", r"(\d+)") + r"(\..+)?"), new)
        for old, new in longest_first
    ]


def _rename(name: str, patterns: list[tuple[re.Pattern[str], str]]) -> str | None:
    for pattern, new in patterns:
        match = pattern.fullmatch(name)
        if match is not None:
            *numbers, rest = match.groups()
            return new.format(*numbers) + (rest or "")
    return None


def _mlp_names(module: str) -> tuple[tuple[str, str], ...]:
    """Three linear layers in a row, which Hugging Face names by their place."""
    places = ("proj_in", "layers.0", "proj_out")
    return tuple((f"{module}.layers.{i}", f"{module}.{place}") for i, place in enumerate(places))


_MATRIX = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
# Hugging Face keeps the matrix twice: for the prompts and for the image.
_HUGGING_FACE_IMAGE_MATRIX = "shared_image_embedding.positional_embedding"
_HUGGING_FACE_PROMPT_MATRIX = "prompt_encoder.shared_embedding.positional_embedding"

HUGGING_FACE = RenamingTable(
    (
        ("image_encoder.pos_embed", "vision_encoder.pos_embed"),
        ("image_encoder.patch_embed.proj", "vision_encoder.patch_embed.projection"),
        ("image_encoder.blocks.{}.norm{}", "vision_encoder.layers.{}.layer_norm{}"),
        ("image_encoder.blocks.{}.attn", "vision_encoder.layers.{}.attn"),
        ("image_encoder.blocks.{}.mlp", "vision_encoder.layers.{}.mlp"),
        ("image_encoder.neck.0", "vision_encoder.neck.conv1"),
        ("image_encoder.neck.1", "vision_encoder.neck.layer_norm1"),
        ("image_encoder.neck.2", "vision_encoder.neck.conv2"),
        ("image_encoder.neck.3", "vision_encoder.neck.layer_norm2"),
        (_MATRIX, _HUGGING_FACE_PROMPT_MATRIX),
        ("prompt_encoder.point_embeddings.{}", "prompt_encoder.point_embed.{}"),
        ("prompt_encoder.not_a_point_embed", "prompt_encoder.not_a_point_embed"),
        ("prompt_encoder.no_mask_embed", "prompt_encoder.no_mask_embed"),
        ("prompt_encoder.mask_downscaling.0", "prompt_encoder.mask_embed.conv1"),
        ("prompt_encoder.mask_downscaling.1", "prompt_encoder.mask_embed.layer_norm1"),
        ("prompt_encoder.mask_downscaling.3", "prompt_encoder.mask_embed.conv2"),
        ("prompt_encoder.mask_downscaling.4", "prompt_encoder.mask_embed.layer_norm2"),
        ("prompt_encoder.mask_downscaling.6", "prompt_encoder.mask_embed.conv3"),
        ("mask_decoder.iou_token", "mask_decoder.iou_token"),
        ("mask_decoder.mask_tokens", "mask_decoder.mask_tokens"),
        ("mask_decoder.transformer", "mask_decoder.transformer"),
        (
            "mask_decoder.transformer.layers.{}.norm{}",
            "mask_decoder.transformer.layers.{}.layer_norm{}",
        ),
        (
            "mask_decoder.transformer.norm_final_attn",
            "mask_decoder.transformer.layer_norm_final_attn",
        ),
        ("mask_decoder.output_upscaling.0", "mask_decoder.upscale_conv1"),
        ("mask_decoder.output_upscaling.1", "mask_decoder.upscale_layer_norm"),
        ("mask_decoder.output_upscaling.3", "mask_decoder.upscale_conv2"),
        *_mlp_names("mask_decoder.output_hypernetworks_mlps.{}"),
        *_mlp_names("mask_decoder.iou_prediction_head"),
    )
)

# timm's ``samvit_*``: the image encoder alone, without a prefix.
TIMM = RenamingTable(
    (
        ("image_encoder.pos_embed", "pos_embed"),
        ("image_encoder.patch_embed", "patch_embed"),
        ("image_encoder.blocks", "blocks"),
        ("image_encoder.blocks.{}.mlp.lin{}", "blocks.{}.mlp.fc{}"),
        ("image_encoder.neck", "neck"),
    )
)

# Masked autoencoders (facebookresearch/mae): the same names, but other shapes and no neck.
# `sam_plugins.checkpoints.mae` fits the shapes.
MAE = RenamingTable(tuple(pair for pair in TIMM.pairs if pair[1] != "neck"))


def detect_layout(names: Iterable[str]) -> Layout:
    """Tell whose names a state dict has.

    Parameters
    ----------
    names : iterable of str
        The state dict's keys.

    Returns
    -------
    str
        ``"official"`` (also MobileSAM's and this project's files), ``"hugging_face"``,
        ``"timm"`` (image encoder alone) or ``"mae"`` (image encoder alone, without neck).

    Raises
    ------
    CheckpointError
        If it is none of them.

    Examples
    --------
    >>> detect_layout(["vision_encoder.pos_embed", "mask_decoder.iou_token.weight"])
    'hugging_face'
    """
    names = set(names)
    parts = {name.partition(".")[0] for name in names}
    if "image_encoder" in parts:
        return "official"
    if "vision_encoder" in parts:
        return "hugging_face"
    if {"patch_embed", "blocks"} <= parts:
        if "neck" in parts:
            return "timm"
        if "cls_token" in names:
            return "mae"
    shown = ", ".join(sorted(names)[:3])
    raise CheckpointError(
        f"this is not a Segment Anything checkpoint: its weights are named {shown}, ..."
    )


def from_hugging_face(state: Mapping[str, Value]) -> dict[str, Value]:
    """Rename a Hugging Face ``SamModel``'s state dict to the official names.

    Parameters
    ----------
    state : mapping of str to Tensor
        Of any of the ViT models, from safetensors or ``pytorch_model.bin``.

    Returns
    -------
    dict of str to Tensor
        The same tensors under the official names. Names that are unknown stay as they are.
    """
    renamed = _renamed(state, HUGGING_FACE.to_official)
    # Safetensors stores a tensor that is shared once, under either of its names.
    image_matrix = renamed.pop(_HUGGING_FACE_IMAGE_MATRIX, None)
    if image_matrix is not None:
        renamed.setdefault(_MATRIX, image_matrix)
    return renamed


def to_hugging_face(state: Mapping[str, Value]) -> dict[str, Value]:
    """Rename an official state dict to the names of a Hugging Face ``SamModel``.

    Parameters
    ----------
    state : mapping of str to Tensor
        Of ``vit_b``, ``vit_l`` or ``vit_h``.

    Returns
    -------
    dict of str to Tensor
        For ``SamModel.load_state_dict(strict=True)``.
    """
    renamed = _renamed(state, HUGGING_FACE.from_official)
    if _HUGGING_FACE_PROMPT_MATRIX in renamed:
        renamed[_HUGGING_FACE_IMAGE_MATRIX] = renamed[_HUGGING_FACE_PROMPT_MATRIX]
    return renamed


def from_timm(state: Mapping[str, Value]) -> dict[str, Value]:
    """Rename the state dict of a timm ``samvit_*`` model to ``image_encoder.*``.

    Parameters
    ----------
    state : mapping of str to Tensor
        With timm's names.

    Returns
    -------
    dict of str to Tensor
        The same tensors; a name that the table does not know stays.
    """
    return _renamed(state, TIMM.to_official)


def to_timm(state: Mapping[str, Value]) -> dict[str, Value]:
    """Give the image encoder of an official state dict under timm's ``samvit_*`` names.

    Parameters
    ----------
    state : mapping of str to Tensor
        With official names; prompt encoder and mask decoder in it are left out.

    Returns
    -------
    dict of str to Tensor
        The same tensors; a name that the table does not know stays.
    """
    encoder = {name: value for name, value in state.items() if name.startswith("image_encoder.")}
    return _renamed(encoder, TIMM.from_official)


def _renamed(state: Mapping[str, Value], rename: Callable[[str], str | None]) -> dict[str, Value]:
    return {rename(name) or name: value for name, value in state.items()}


def strip_prefix(state: Mapping[str, Value]) -> dict[str, Value]:
    """Take off what training programs put before the names, such as ``module.`` or ``sam.``.

    Parameters
    ----------
    state : mapping of str to Tensor
        With or without a prefix.

    Returns
    -------
    dict of str to Tensor
        The model's tensors. What lies beside the prefix (a loss's weights) is left out.

    Examples
    --------
    >>> strip_prefix({"module.image_encoder.pos_embed": 1, "loss.weight": 2})
    {'image_encoder.pos_embed': 1}
    """
    anchor = re.compile(r"(?:.*?\.)??(?=(?:image_encoder|vision_encoder|patch_embed)\.)")
    prefixes = {match[0] for name in state if (match := anchor.match(name))}
    prefix = min(prefixes, key=len, default="")
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
