"""Images of tasks as bytes: from Label Studio, local folders, the web, storages, the task itself.

What a task names is untrusted. `ImageFetcher.open` asks for nothing in a private network and reads
no file that the person who runs the server did not name, sends the token to Label Studio alone, and
gives only images of a usual format and size.
"""

from labelstudio_backend.fetching.content import ALLOWED_FORMATS, ImageHeader, check_image
from labelstudio_backend.fetching.decoding import decode_image
from labelstudio_backend.fetching.errors import (
    BadURLError,
    FetchError,
    ImageNotFoundError,
    RefusedAddressError,
    TokenRefusedError,
    TooLargeError,
    UnsupportedFormatError,
)
from labelstudio_backend.fetching.images import ImageFetcher
from labelstudio_backend.fetching.settings import FetchSettings
from labelstudio_backend.fetching.tokens import TokenKind, TokenSource, token_kind

__all__ = [
    "ALLOWED_FORMATS",
    "BadURLError",
    "FetchError",
    "FetchSettings",
    "ImageFetcher",
    "ImageHeader",
    "ImageNotFoundError",
    "RefusedAddressError",
    "TokenKind",
    "TokenRefusedError",
    "TokenSource",
    "TooLargeError",
    "UnsupportedFormatError",
    "check_image",
    "decode_image",
    "token_kind",
]
