"""Settings are checked when they are made; the same effect has the same key."""

import pickle

import numpy as np
import pytest

from sam_plugins.images import Normalization


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "zscore"}, "kind must be one of .*'percentile'.*'zscore'"),
        ({"kind": None}, "kind"),
        ({"percentiles": (5, 5)}, "low one first"),
        ({"percentiles": (99, 1)}, "low one first"),
        ({"percentiles": (-1, 50)}, "0 .. 100"),
        ({"percentiles": (1, 100.5)}, "0 .. 100"),
        ({"percentiles": (1, float("nan"))}, "finite"),
        ({"percentiles": 5}, "two numbers"),
        ({"percentiles": (1, 2, 3)}, "two numbers"),
        ({"percentiles": ("low", "high")}, "two numbers"),
        ({"kind": "limits"}, "belong together"),
        ({"limits": (0, 1)}, "belong together"),
        ({"kind": "limits", "limits": (1, 0)}, "low one first"),
        ({"kind": "limits", "limits": (0, float("inf"))}, "finite"),
        ({"channels": -1}, "from 0 on"),
        ({"channels": (0, 1, 2, 3)}, "one to three"),
        ({"channels": ()}, "one to three"),
        ({"channels": 1.5}, "whole numbers"),
        ({"channels": (0, 1.0, 2)}, "whole numbers"),
        ({"channels": "red"}, "whole numbers"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(fields, words):
    with pytest.raises(ValueError, match=words) as caught:
        Normalization(**fields)
    assert "\n" not in str(caught.value)


def test_numbers_of_all_types_are_taken():
    same = [
        Normalization(kind="limits", limits=limits, channels=channels)
        for limits, channels in [
            ((0, 4095), (0, 1, 2)),
            ([0.0, 4095.0], [0, 1, 2]),
            (np.array([0, 4095], dtype=np.uint16), np.array([0, 1, 2])),
        ]
    ]
    assert same[0] == same[1] == same[2]
    assert len({settings.key() for settings in same}) == 1
    assert len({hash(settings) for settings in same}) == 1
    assert pickle.loads(pickle.dumps(same[2])) == same[0]


def test_one_channel_is_one_channel_however_it_is_said():
    assert Normalization(channels=2) == Normalization(channels=(2,)) == Normalization(channels=[2])
    assert Normalization(channels=np.int64(2)) == Normalization(channels=2)
    assert Normalization(channels=0).chosen == (0,)
    assert Normalization().chosen is None


def test_settings_without_effect_are_not_in_the_key():
    assert Normalization("minmax").key() == Normalization("minmax", percentiles=(5, 95)).key()
    assert Normalization("none").key() == Normalization("none", percentiles=(5, 95)).key()


def test_settings_with_an_effect_are_in_the_key():
    different = [
        Normalization(),
        Normalization(percentiles=(0.2, 99.9)),
        Normalization("percentile"),
        Normalization("minmax"),
        Normalization("none"),
        Normalization("limits", limits=(0, 1)),
        Normalization("limits", limits=(0, 1 + 1e-15)),
        Normalization(channels=0),
        Normalization(channels=(0, 1)),
        Normalization(channels=(0, 1, 2)),
        Normalization(channels=(2, 1, 0)),
        Normalization(channels=12),
        Normalization(channels=(1, 2)),
    ]
    assert len({settings.key() for settings in different}) == len(different)
