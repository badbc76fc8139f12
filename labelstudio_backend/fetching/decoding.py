"""From an image's bytes to its pixels, as a browser shows them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from numpy.typing import NDArray


def decode_image(data: bytes) -> NDArray[Any]:
    """Decode an image that `check_image` let pass.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    ndarray of shape (H, W) or (H, W, C)
        In the file's own depth, oriented by its EXIF data: Label Studio's coordinates mean that.

    Raises
    ------
    InvalidImageError
        If it is damaged.
    """
    from sam_plugins.images import read_image

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "image"
        file.write_bytes(data)
        return read_image(file)
