"""Keys: whatever changes the embedding changes the name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sam_plugins.cache import embedding_key
from sam_plugins.cache.keys import check_key

PARTS = st.fixed_dictionaries(
    {
        "content_key": st.text("ab:1\n", max_size=3),
        "weights_hash": st.text("ab:1\n", max_size=3),
        "normalization_key": st.text("ab:1\n", max_size=3),
        "frame_size": st.integers(1, 20),
        "precision": st.text("ab:1\n", max_size=3),
    }
)


@given(PARTS, PARTS)
def test_different_parts_give_different_keys(one, other):
    assert (embedding_key(**one) == embedding_key(**other)) == (one == other)


def test_parts_are_not_run_together():
    same = {"normalization_key": "n", "frame_size": 1024, "precision": "float32"}
    assert embedding_key(content_key="ab", weights_hash="c", **same) != embedding_key(
        content_key="a", weights_hash="bc", **same
    )


@given(PARTS)
def test_a_key_can_name_a_file(parts):
    key = embedding_key(**parts)
    assert len(key) == 40
    assert set(key) <= set("0123456789abcdef")
    assert check_key(key) == key


@pytest.mark.parametrize(
    "key", ["", "../up", "a/b", "a\\b", "a.b", "ä", "a" * 129, "a\n", "C:a", 7]
)
def test_keys_that_cannot_name_a_file_are_refused(key):
    with pytest.raises(ValueError, match="the key"):
        check_key(key)
