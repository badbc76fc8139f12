"""``ImageEmbedding``: what the encoder made of one image, with all that identifies it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam_plugins.errors import EmbeddingFileError
from sam_plugins.files import atomic_path
from sam_plugins.frames import Frame

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FORMAT = "sam-plugins embedding 1"

# Under which the description stands in the file's metadata.
METADATA_KEY = "embedding"


@dataclass(frozen=True, eq=False)
class ImageEmbedding:
    """Feature maps of one image, and what they were made of and with.

    Parameters
    ----------
    features : tuple of Tensor
        Feature maps with a batch axis of 1, the image embedding (1, C, h, w) first.
    frame : Frame
        How the image lies in the model's frame.
    model_name : str
        Of the model that made it.
    weights_hash : str
        Of that model's weights: only a model with the same weights can use the embedding.
    content_key : str
        Identity of the image's content.
    normalization_key : str
        How its values were normalised.
    precision : str
        In which the encoder ran: see `sam_plugins.devices.choose_precision`.
    """

    features: tuple[Tensor, ...]
    frame: Frame
    model_name: str
    weights_hash: str
    content_key: str = ""
    normalization_key: str = ""
    precision: str = "float32"

    @property
    def nbytes(self) -> int:
        """Memory that the feature maps take, in bytes."""
        return sum(feature.numel() * feature.element_size() for feature in self.features)

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) of the original image, in pixels."""
        return self.frame.image_size

    def to(self, device: torch.device | str) -> ImageEmbedding:
        """The same embedding on another device; itself if it is there already.

        Parameters
        ----------
        device : torch.device or str
            Where the feature maps shall be.

        Returns
        -------
        ImageEmbedding
        """
        return self._with_features(tuple(feature.to(device) for feature in self.features))

    def compact(self) -> ImageEmbedding:
        """The same embedding, holding on to no more memory than `nbytes`; mostly itself.

        A feature map cut out of a batch keeps the whole batch in memory; here it gets its own.

        Returns
        -------
        ImageEmbedding
        """
        return self._with_features(
            tuple(
                feature.clone()
                if feature.untyped_storage().nbytes() > feature.numel() * feature.element_size()
                else feature
                for feature in self.features
            )
        )

    def _with_features(self, features: tuple[Tensor, ...]) -> ImageEmbedding:
        if all(new is old for new, old in zip(features, self.features, strict=True)):
            return self
        return replace(self, features=features)

    def save(self, path: str | os.PathLike[str], *, key: str = "") -> None:
        """Write the embedding to one safetensors file, whole or not at all.

        Parameters
        ----------
        path : path-like
            The file. Its folder is made if it is missing.
        key : str
            A name that is kept in the file, for `load` to check.

        Raises
        ------
        OSError
            If the file cannot be written; what stood there before is untouched then.
        """
        from safetensors.torch import save

        tensors = {
            # safetensors refuses tensors that share memory, hence clone.
            f"features.{index}": feature.detach().cpu().contiguous().clone()
            for index, feature in enumerate(self.features)
        }
        description = self._description() | {"key": key}
        description["checksum"] = _checksum(description, tensors)
        # One entry, since safetensors writes several in any order: equal embeddings, equal files.
        content = save(tensors, {METADATA_KEY: json.dumps(description)})
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)

    def _description(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "image_size": self.frame.image_size,
            "frame_size": self.frame.frame_size,
            "low_resolution_stride": self.frame.low_resolution_stride,
            "model_name": self.model_name,
            "weights_hash": self.weights_hash,
            "content_key": self.content_key,
            "normalization_key": self.normalization_key,
            "precision": self.precision,
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, key: str | None = None) -> ImageEmbedding:
        """Read an embedding that `save` wrote; its feature maps are on the CPU.

        Parameters
        ----------
        path : path-like
            The file.
        key : str, optional
            The name under which it must have been saved.

        Returns
        -------
        ImageEmbedding

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        EmbeddingFileError
            If the file is damaged, truncated, something else, or was saved under another name.
        OSError
            If the file cannot be read.
        """
        name = Path(path).name
        try:
            # Read whole and not mapped: a mapped file cannot be replaced on Windows, and one that
            # is cut short while it is mapped ends the process.
            content = Path(path).read_bytes()
        except FileNotFoundError:
            raise FileNotFoundError(f"there is no embedding at {os.fspath(path)}") from None
        told, tensors = _parse(content, name)
        if told.pop("format", None) != FORMAT:
            raise EmbeddingFileError(f"{name} is no embedding file of this version")
        if told.pop("checksum", None) != _checksum({"format": FORMAT} | told, tensors):
            raise EmbeddingFileError(f"{name} is damaged: its checksum does not agree")
        try:
            saved_key = told.pop("key")
            height, width = told.pop("image_size")
            frame = Frame(
                (height, width), told.pop("frame_size"), told.pop("low_resolution_stride")
            )
            features = tuple(tensors[f"features.{index}"] for index in range(len(tensors)))
            embedding = cls(features=features, frame=frame, **told)
        except (KeyError, TypeError, ValueError) as error:
            raise EmbeddingFileError(f"{name} is no embedding: its description is wrong") from error
        if key is not None and saved_key != key:
            raise EmbeddingFileError(f"{name} holds another embedding than its name says")
        return embedding


def _parse(content: bytes, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and the tensors in a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        tensors = load(content)
        # As the format has it: the header's length in 8 bytes, then the header as JSON.
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
        told = json.loads(metadata.get(METADATA_KEY, "{}"))
    except (SafetensorError, KeyError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise EmbeddingFileError(f"{name} is damaged or no embedding: {reason}") from error
    return told if isinstance(told, dict) else {}, tensors


def _checksum(description: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """Digest of all that is in the file; safetensors itself notices no changed values."""
    import torch

    digest = hashlib.blake2b(json.dumps(description, sort_keys=True).encode(), digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
