"""What the bytes of an image may be; checked by their header, before anything is decoded."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from PIL import Image

from labelstudio_backend.fetching.errors import TooLargeError, UnsupportedFormatError

# What browsers show of what Label Studio takes, and of that what is pixels: no SVG, no PDF.
ALLOWED_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
# By the first bytes: a file that begins otherwise, such as a page or an archive with an image
# behind it, is refused although a decoder might find the image.
_BEGINNINGS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"RIFF": "WEBP",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
}


@dataclass(frozen=True)
class ImageHeader:
    """What an image says of itself.

    Parameters
    ----------
    format : str
        One of `ALLOWED_FORMATS`.
    width, height : int
        Pixels, as stored: before any rotation that EXIF tells.
    """

    format: str
    width: int
    height: int


def check_image(
    data: bytes, *, max_bytes: int = 100_000_000, max_pixels: int = 100_000_000
) -> ImageHeader:
    """Check an image by its header; none of its pixels are decoded.

    Parameters
    ----------
    data : bytes
        The whole file.
    max_bytes, max_pixels : int
        How large it may be.

    Returns
    -------
    ImageHeader

    Raises
    ------
    UnsupportedFormatError
        If it is empty, no image, of another format than `ALLOWED_FORMATS`, or its header is
        damaged.
    TooLargeError
        If it is too large.

    Examples
    --------
    >>> stream = io.BytesIO()
    >>> Image.new("RGB", (4, 3)).save(stream, "PNG")
    >>> check_image(stream.getvalue())
    ImageHeader(format='PNG', width=4, height=3)
    """
    if len(data) > max_bytes:
        raise TooLargeError(f"the image has {len(data)} bytes, more than {max_bytes}")
    begins = next((name for start, name in _BEGINNINGS.items() if data.startswith(start)), None)
    if begins is None:
        raise UnsupportedFormatError(
            f"{_described(data)}: expected an image, one of {', '.join(ALLOWED_FORMATS)}"
        )
    try:
        with warnings.catch_warnings():
            # Pillow only warns of what is larger than its own limit: ours is checked below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=[begins]) as opened:
                width, height = opened.size
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"the image has more than {max_pixels} pixels") from error
    # Decoders meet damaged files with errors of every kind.
    except Exception as error:
        raise UnsupportedFormatError(f"the image is no {begins} or a damaged one") from error
    if width * height > max_pixels:
        raise TooLargeError(
            f"the image is {width} x {height}, which is more than {max_pixels} pixels"
        )
    return ImageHeader(begins, width, height)


def _described(data: bytes) -> str:
    if not data:
        return "the file is empty"
    if data.lstrip()[:1] == b"<":
        return "the file is a page or a drawing (HTML, XML, SVG)"
    return f"the file begins with {data[:8]!r}"
