"""What an engine knows of one image, and of one round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sam_plugins.datasets.annotations import AnnotatedImage, AnnotatedObject
from sam_plugins.errors import SamPluginsError

Source = Literal["person", "model"]


class EngineError(SamPluginsError):
    """The data engine cannot do this: no engine there, an unknown image, nothing to learn from."""


@dataclass(frozen=True)
class SourceImage:
    """One image of an engine.

    Parameters
    ----------
    name : str
        What it is called in all files, such as ``"plate1/a.png"``.
    path : str
        Where it is.
    page : int
        Which page of a file with several, from 0.
    id : int
        Its number, from 1 in the order in which people get the images.
    held_out : bool
        Whether no round is trained on it.
    """

    name: str
    path: str
    page: int = 0
    id: int = 0
    held_out: bool = False

    def identity(self) -> str:
        """What tells whether the file is still the one that was read."""
        status = Path(self.path).stat()
        return f"{self.page} {status.st_size} {status.st_mtime_ns}"


@dataclass(frozen=True)
class Work:
    """The masks of one image in one stage.

    Parameters
    ----------
    image : SourceImage
        Of which image.
    size : tuple of int
        (H, W) of the image, in pixels.
    objects : tuple of AnnotatedObject
        The masks, labelled from 1; may be none.
    sources : sequence of str
        Of each, whether a person or the model made it.
    """

    image: SourceImage
    size: tuple[int, int]
    objects: tuple[AnnotatedObject, ...]
    sources: Sequence[Source]

    def annotated(self, file_name: str | None = None) -> AnnotatedImage:
        """The masks as an annotated image.

        Parameters
        ----------
        file_name : str, optional
            By default the image's name.

        Returns
        -------
        AnnotatedImage
        """
        return AnnotatedImage(
            file_name or self.image.name, self.size, self.objects, id=self.image.id
        )


@dataclass(frozen=True)
class Round:
    """One time that the model was retrained.

    Parameters
    ----------
    number : int
        From 1.
    model : str
        The checkpoint, relative to the engine's folder.
    masks : int
        Masks by people that there were then.
    scores : dict
        Of the images held out, before and after; see `Outcome`.
    """

    number: int
    model: str
    masks: int
    scores: Mapping[str, Any]
