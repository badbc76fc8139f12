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
        In which the encoder ran: ``"float32"``, ``"bfloat16"`` or ``"float16"``.
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
        """
        import torch

        target = torch.device(device)
        if all(feature.device == target for feature in self.features):
            return self
        return replace(self, features=tuple(feature.to(target) for feature in self.features))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the embedding to one safetensors file, whole or not at all.

        Parameters
        ----------
        path : path-like
            The file.
        """
        from safetensors.torch import save

        tensors = {
            f"features.{index}": feature.detach().cpu().contiguous()
            for index, feature in enumerate(self.features)
        }
        metadata = {
            "format": FORMAT,
            "checksum": _checksum(tensors),
            "embedding": json.dumps(self._description()),
        }
        with atomic_path(path) as temporary:
            temporary.write_bytes(save(tensors, metadata))

    def _description(self) -> dict[str, Any]:
        return {
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
    def load(cls, path: str | os.PathLike[str]) -> ImageEmbedding:
        """Read an embedding that `save` wrote; its feature maps are on the CPU.

        Parameters
        ----------
        path : path-like
            The file.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        EmbeddingFileError
            If the file is damaged, truncated, or something else.
        """
        from safetensors import SafetensorError, safe_open

        name = Path(path).name
        if not Path(path).is_file():
            raise FileNotFoundError(f"there is no embedding at {os.fspath(path)}")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            raise EmbeddingFileError(f"{name} is damaged or no embedding: {error}") from error
        if metadata.get("format") != FORMAT:
            raise EmbeddingFileError(f"{name} is no embedding file of this version")
        if metadata.get("checksum") != _checksum(tensors):
            raise EmbeddingFileError(f"{name} is damaged: its checksum does not agree")
        try:
            told = json.loads(metadata["embedding"])
            size = told.pop("image_size")
            frame = Frame(
                (int(size[0]), int(size[1])),
                told.pop("frame_size"),
                told.pop("low_resolution_stride"),
            )
            features = tuple(tensors[f"features.{index}"] for index in range(len(tensors)))
            return cls(features=features, frame=frame, **told)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise EmbeddingFileError(f"{name} is damaged: its description is wrong") from error


def _checksum(tensors: dict[str, Tensor]) -> str:
    import torch

    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(memoryview(tensors[name].reshape(-1).view(torch.uint8).numpy()))
    return digest.hexdigest()
