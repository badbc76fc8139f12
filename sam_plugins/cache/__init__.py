"""Embeddings kept in memory and on disk, so that no image is encoded twice."""

from sam_plugins.cache.cache import CacheStatistics, EmbeddingCache
from sam_plugins.cache.keys import embedding_key

__all__ = ["CacheStatistics", "EmbeddingCache", "embedding_key"]
