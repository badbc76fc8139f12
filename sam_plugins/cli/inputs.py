"""Which images are meant: files and folders in, named images out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

# What is looked for in folders. A file that is named itself is tried whatever its suffix.
IMAGE_SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".npy", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
# A folder of this suffix is one image.
FOLDER_SUFFIX = ".zarr"
# Our own images, which would otherwise be found again where results lie among the images.
RESULT_SUFFIXES = (".labels.tif", ".overlay.png")


@dataclass(frozen=True, order=True)
class InputImage:
    """One image file and the name of its results.

    Parameters
    ----------
    name : str
        Path relative to the folder that all given paths have in common, with forward slashes. It
        keeps the suffix, so that ``a.png`` and ``a.tif`` have different names.
    path : Path
        Where it is.
    """

    name: str
    path: Path


@dataclass(frozen=True)
class Page:
    """One image to be segmented: a file, or one page of a file that has several.

    Parameters
    ----------
    name : str
        Of its results: the file's name, and for a page of several ``.p0003``, counted from 0.
    path : Path
        The file.
    index : int
        The page, from 0.
    """

    name: str
    path: Path
    index: int = 0

    def identity(self) -> dict[str, Any]:
        """What tells whether the file is still the one that was read, as JSON holds it."""
        paths = [self.path]
        if self.path.is_dir():
            paths += sorted(self.path.rglob("*"))
        found = [path.stat() for path in paths]
        return {
            "page": self.index,
            "bytes": sum(status.st_size for status in found),
            "modified": max(status.st_mtime_ns for status in found),
        }


def list_pages(image: InputImage) -> list[Page]:
    """List the pages of an image file: one, but for stacks and animations.

    Parameters
    ----------
    image : InputImage
        The file.

    Returns
    -------
    list of Page

    Raises
    ------
    InvalidImageError, FileNotFoundError
        If the file cannot be read.
    """
    from sam_plugins.images import count_pages

    count = count_pages(image.path)
    if count == 1:
        return [Page(image.name, image.path)]
    return [Page(f"{image.name}.p{index:04d}", image.path, index) for index in range(count)]


def no_images(paths: Sequence[Path]) -> typer.BadParameter:
    """The error for folders in which there is nothing to do."""
    folders = ", ".join(str(path) for path in paths)
    suffixes = " ".join(sorted({*IMAGE_SUFFIXES, FOLDER_SUFFIX}))
    return typer.BadParameter(f"no image in {folders} (looked for {suffixes})", param_hint="PATH")


def find_images(paths: Sequence[Path]) -> list[InputImage]:
    """List the image files among files and, recursively, folders.

    Parameters
    ----------
    paths : sequence of Path
        Folders are searched for files with `IMAGE_SUFFIXES` and for zarr folders; what begins with
        a dot is left out, and so are label images and overlays that an earlier run has written.
        Other paths are taken as they are, also if nothing is there: reading them tells why they
        cannot be read.

    Returns
    -------
    list of InputImage
        Each file once, in the order of the given paths, sorted within a folder.

    Examples
    --------
    >>> [image.name for image in find_images([Path("a/x.png"), Path("b/x.png")])]
    ['a/x.png', 'b/x.png']
    """
    found: dict[Path, None] = {}
    roots = []
    for path in paths:
        absolute = Path(os.path.abspath(path))
        if absolute.is_dir() and absolute.suffix.lower() != FOLDER_SUFFIX:
            roots.append(absolute)
            found.update(dict.fromkeys(_in_folder(absolute)))
        else:
            roots.append(absolute.parent)
            found[absolute] = None
    base = _common_folder(roots)
    return [InputImage(_name(path, base), path) for path in found]


def _in_folder(folder: Path) -> Iterable[Path]:
    for parent, folders, files in os.walk(folder):
        images = [name for name in folders if name.lower().endswith(FOLDER_SUFFIX)]
        images += [name for name in files if Path(name.lower()).suffix in IMAGE_SUFFIXES]
        for name in sorted(images):
            if not name.startswith(".") and not name.lower().endswith(RESULT_SUFFIXES):
                yield Path(parent, name)
        # What is left here is searched next.
        folders[:] = sorted(set(folders).difference(images))
        folders[:] = [name for name in folders if not name.startswith(".")]


def _common_folder(folders: Sequence[Path]) -> Path | None:
    try:
        return Path(os.path.commonpath(folders))
    except ValueError:  # on different drives
        return None


def _name(path: Path, base: Path | None) -> str:
    if base is not None:
        return path.relative_to(base).as_posix()
    drive = path.drive.strip(":\\/").replace("\\", "_")
    return Path(drive, *path.parts[1:]).as_posix()
