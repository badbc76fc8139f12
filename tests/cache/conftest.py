"""Small embeddings for the tests of the cache."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from sam_plugins import ImageEmbedding
from sam_plugins.frames import Frame


def make_embedding(number: int = 0, kibibytes: int = 1) -> ImageEmbedding:
    """An embedding of that size whose values are all ``number``."""
    values = torch.full((1, kibibytes, 16, 16), float(number))
    return ImageEmbedding((values,), Frame((60, 80), 128), "tiny", "w", content_key=str(number))


@pytest.fixture(scope="session")
def make() -> Callable[..., ImageEmbedding]:
    return make_embedding
