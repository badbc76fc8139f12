"""Both levels against a plain model of what 'used longest ago goes first' means."""

from __future__ import annotations

import shutil
import tempfile
from collections import OrderedDict
from pathlib import Path

import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sam_plugins import EmbeddingCache, ImageEmbedding
from sam_plugins.cache.disk import HEADER_BYTES
from sam_plugins.frames import Frame

KEYS = st.sampled_from(["a", "b", "c", "d", "e"])
KIBIBYTES = st.sampled_from([1, 2, 3, 13])
# What empties the cache must be rare, or nothing is ever evicted.
RARELY = st.integers(0, 9).map(lambda draw: draw == 9)


def embedding_of(number: int, kibibytes: int) -> ImageEmbedding:
    values = torch.full((1, kibibytes, 16, 16), float(number))
    return ImageEmbedding((values,), Frame((60, 80), 128), "tiny", "w")


class Level:
    """An ordered list of (key, number, size), least recently used first."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.entries: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def use(self, key: str) -> None:
        if key in self.entries:
            self.entries.move_to_end(key)

    def put(self, key: str, number: int, size: int, *, fits: bool) -> None:
        self.entries.pop(key, None)
        if fits:
            self.entries[key] = number, size
        while self.total() > self.bound:
            self.entries.popitem(last=False)

    def total(self) -> int:
        return sum(size for _, size in self.entries.values())


class CacheMachine(RuleBasedStateMachine):
    @initialize(
        memory=st.sampled_from([5 << 10, 7 << 10, 0]),
        disk=st.sampled_from([10 << 10, 20 << 10, 0]),
    )
    def begin(self, memory: int, disk: int) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.cache = EmbeddingCache(self.folder / "c", memory_bytes=memory, disk_bytes=disk)
        self.memory, self.disk = Level(memory), Level(disk)
        self.sizes: dict[str, tuple[int, int]] = {}
        self.number = 0

    def expected(self, key: str) -> int | None:
        """The number of the embedding that the key must give, after noting its use."""
        if key in self.memory.entries:
            self.memory.use(key)
            self.disk.use(key)
            return self.memory.entries[key][0]
        if key in self.disk.entries:
            number = self.disk.entries[key][0]
            self.disk.use(key)
            size = self.sizes[key][0]
            self.memory.put(key, number, size, fits=size <= self.memory.bound)
            return number
        return None

    def note_put(self, key: str, embedding: ImageEmbedding) -> None:
        embedding.save(self.folder / "alone", key=key)
        in_file = (self.folder / "alone").stat().st_size
        size = embedding.nbytes
        self.sizes[key] = size, in_file
        self.memory.put(key, self.number, size, fits=size <= self.memory.bound)
        self.disk.put(key, self.number, in_file, fits=size + HEADER_BYTES <= self.disk.bound)

    @rule(key=KEYS, kibibytes=KIBIBYTES)
    def put(self, key: str, kibibytes: int) -> None:
        self.number += 1
        embedding = embedding_of(self.number, kibibytes)
        self.cache.put(key, embedding)
        self.note_put(key, embedding)

    @rule(key=KEYS)
    def get(self, key: str) -> None:
        found = self.cache.get(key)
        expected = self.expected(key)
        assert (None if found is None else found.features[0].max().item()) == expected

    @rule(key=KEYS, kibibytes=KIBIBYTES)
    def get_or_compute(self, key: str, kibibytes: int) -> None:
        expected = self.expected(key)
        computed = []
        if expected is None:
            self.number += 1

        def compute() -> ImageEmbedding:
            computed.append(embedding_of(self.number, kibibytes))
            return computed[-1]

        found = self.cache.get_or_compute(key, compute)
        assert len(computed) == (expected is None)
        assert found.features[0].max().item() == (self.number if expected is None else expected)
        if expected is None:
            self.note_put(key, computed[0])

    @rule(rarely=RARELY)
    def forget_memory(self, rarely: bool) -> None:
        """As when another process opens the same folder."""
        if not rarely:
            return
        self.cache = EmbeddingCache(
            self.folder / "c", memory_bytes=self.memory.bound, disk_bytes=self.disk.bound
        )
        self.memory.entries.clear()

    @rule(rarely=RARELY)
    def clear(self, rarely: bool) -> None:
        if not rarely:
            return
        self.cache.clear()
        self.memory.entries.clear()
        self.disk.entries.clear()

    @invariant()
    def usage_is_known_and_bounded(self) -> None:
        assert self.cache.memory_usage() == self.memory.total() <= self.memory.bound
        assert self.cache.disk_usage() == self.disk.total() <= self.disk.bound
        on_disk = EmbeddingCache(self.folder / "c", disk_bytes=self.disk.bound)
        assert {key for key in "abcde" if key in on_disk} == set(self.disk.entries)
        in_memory = {key for key in "abcde" if key in self.cache._memory}
        assert in_memory == set(self.memory.entries)
        for key in "abcde":
            assert (key in self.cache) == (key in {*self.disk.entries, *self.memory.entries})

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


TestBounds = CacheMachine.TestCase
TestBounds.settings = settings(max_examples=20, stateful_step_count=50, deadline=None)
