"""Photographs and micrographs that come with scikit-image, for people to segment."""

from __future__ import annotations

from pathlib import Path

from sam_plugins.files import atomic_path

# Those that lie in scikit-image's package, so that nothing is downloaded.
NAMES = ("coins", "cell", "immunohistochemistry", "astronaut")


def write_images(folder: Path) -> list[Path]:
    """Write the images as PNG files.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    list of Path
        In the order in which people should see them.
    """
    from PIL import Image
    from skimage import data

    paths = [folder / f"{name}.png" for name in NAMES]
    for name, path in zip(NAMES, paths, strict=True):
        with atomic_path(path) as temporary:
            Image.fromarray(getattr(data, name)()).save(temporary)
    return paths
