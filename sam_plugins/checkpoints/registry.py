"""The models that can be had by name: where each comes from and how it is recognised."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from sam_plugins.checkpoints.locations import embedded_path, models_directory
from sam_plugins.errors import CheckpointNotFoundError


@dataclass(frozen=True)
class ModelEntry:
    """One model of the registry.

    Parameters
    ----------
    name : str
        What users call it.
    url : str or None
        Where it is downloaded from; None if it ships inside the package.
    bytes : int or None
        Exact size of the file; None if the file ships inside the package.
    sha256 : str or None
        SHA-256 of the file, in hexadecimal; None if the file ships inside the package, whose
        installer checked it.
    licence : str
        SPDX identifier of the weights' licence.
    config : str
        Name of the architecture in `sam_plugins.modeling.CONFIGS`.
    description : str
        One line for lists.
    """

    name: str
    url: str | None
    bytes: int | None
    sha256: str | None
    licence: str
    config: str
    description: str

    @property
    def file_name(self) -> str:
        """Name of the file in the cache folder or in the package's data."""
        return f"{self.name}.safetensors" if self.url is None else self.url.rpartition("/")[2]

    @property
    def size(self) -> int | None:
        """Size in bytes, measured if the file ships inside the package; None if it is absent."""
        if self.url is not None:
            return self.bytes
        path = self.path()
        return path.stat().st_size if path.is_file() else None

    @property
    def present(self) -> bool:
        """Whether the model can be loaded without a download, from the default cache folder."""
        return self.is_present()

    def path(self, cache_dir: str | os.PathLike[str] | None = None) -> Path:
        """Where the file lies, or would lie once it was downloaded.

        Parameters
        ----------
        cache_dir : path-like, optional
            In place of `cache_directory`.

        Returns
        -------
        Path
            In the package for a model that ships with it, otherwise in the folder of downloaded
            models.
        """
        if self.url is None:
            return embedded_path(self.file_name)
        return models_directory(cache_dir) / self.file_name

    def is_present(self, cache_dir: str | os.PathLike[str] | None = None) -> bool:
        """Whether the file is there, complete.

        Parameters
        ----------
        cache_dir : path-like, optional
            In place of `cache_directory`.

        Returns
        -------
        bool
            Whether a file of the registered length is there; its hash is not computed.
        """
        path = self.path(cache_dir)
        return path.is_file() and self.bytes in (None, path.stat().st_size)


# Sizes and hashes as published with the files and seen alike in several independent projects; the
# names of Meta's files carry the first digits of their MD5 as well.
_META = "https://dl.fbaipublicfiles.com/segment_anything/"
_MOBILE_SAM = "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights/"

REGISTRY: Mapping[str, ModelEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            ModelEntry(
                name="lite",
                url=None,
                bytes=None,
                sha256=None,
                licence="Apache-2.0",
                config="lite",
                description="Small model of this project; ships inside the package, works offline",
            ),
            ModelEntry(
                name="vit_b",
                url=_META + "sam_vit_b_01ec64.pth",
                bytes=375_042_383,
                sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
                licence="Apache-2.0",
                config="vit_b",
                description="Segment Anything, ViT-B",
            ),
            ModelEntry(
                name="vit_l",
                url=_META + "sam_vit_l_0b3195.pth",
                bytes=1_249_524_607,
                sha256="3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
                licence="Apache-2.0",
                config="vit_l",
                description="Segment Anything, ViT-L",
            ),
            ModelEntry(
                name="vit_h",
                url=_META + "sam_vit_h_4b8939.pth",
                bytes=2_564_550_879,
                sha256="a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
                licence="Apache-2.0",
                config="vit_h",
                description="Segment Anything, ViT-H",
            ),
            ModelEntry(
                name="vit_t",
                url=_MOBILE_SAM + "mobile_sam.pt",
                bytes=40_728_226,
                sha256="6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
                licence="Apache-2.0",
                config="vit_t",
                description="MobileSAM, TinyViT",
            ),
        )
    }
)


def list_models() -> list[ModelEntry]:
    """Give the models that can be had by name.

    Returns
    -------
    list of ModelEntry
        The default first.

    Examples
    --------
    >>> [entry.name for entry in list_models()]
    ['lite', 'vit_b', 'vit_l', 'vit_h', 'vit_t']
    """
    return list(REGISTRY.values())


def find_entry(name: str) -> ModelEntry:
    """Give the registry's entry of that name.

    Parameters
    ----------
    name : str
        Such as ``"lite"`` or ``"vit_b"``.

    Returns
    -------
    ModelEntry
        Where the model comes from and how it is recognised.

    Raises
    ------
    CheckpointNotFoundError
        If there is none; the message lists the names.
    """
    if name not in REGISTRY:
        raise CheckpointNotFoundError(
            f"there is no model {name!r}: use one of {', '.join(REGISTRY)}, or the path or URL of "
            "a checkpoint"
        )
    return REGISTRY[name]
