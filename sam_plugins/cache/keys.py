"""The name under which an embedding is kept."""

from __future__ import annotations

import hashlib
import re

from sam_plugins.embedding import FORMAT

# What may stand in the name of a file on every platform, and leads to no other folder.
_KEY = re.compile(r"[0-9A-Za-z_-]{1,128}")


def embedding_key(
    *,
    content_key: str,
    weights_hash: str,
    normalization_key: str,
    frame_size: int,
    precision: str,
) -> str:
    """Name under which an embedding is kept: whatever changes the embedding changes the name.

    Parameters
    ----------
    content_key : str
        Identity of the image's content.
    weights_hash : str
        Identity of the model's weights.
    normalization_key : str
        How the image's values are normalised.
    frame_size : int
        Side of the model's frame, in pixels.
    precision : str
        In which the encoder runs.

    Returns
    -------
    str
        40 hexadecimal digits.

    Examples
    --------
    >>> a = embedding_key(content_key="a", weights_hash="w", normalization_key="n",
    ...                   frame_size=1024, precision="float32")
    >>> b = embedding_key(content_key="a", weights_hash="w", normalization_key="n",
    ...                   frame_size=1024, precision="bfloat16")
    >>> len(a), a == b
    (40, False)
    """
    # The length before each part keeps ("ab", "c") and ("a", "bc") apart. The file format is a
    # part as well, so that two versions of this package do not replace each other's entries.
    parts = [FORMAT, content_key, weights_hash, normalization_key, str(frame_size), precision]
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def check_key(key: str) -> str:
    """Give the key back if it can be the name of a file.

    Parameters
    ----------
    key : str
        A key, mostly from `embedding_key`.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If it is empty, too long, or holds anything but ASCII letters, digits, ``_`` and ``-``.
    """
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise ValueError(
            f"the key {key!r} must be 1 to 128 ASCII letters, digits, '_' or '-': see embedding_key"
        )
    return key
