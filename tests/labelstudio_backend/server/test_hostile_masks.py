"""Masks in requests that are bombs: a few bytes that stand for gigabytes, or for nothing."""

import numpy as np
import pytest
import requests

from labelstudio_backend.protocol.brush_rle import decode
from tests.labelstudio_backend.server.conftest import png, question
from tests.labelstudio_backend.server.test_hostile import GOOD, post, refused


@pytest.fixture(scope="module")
def warm(url):
    """The server, once it has answered."""
    requests.post(f"{url}/predict", json=GOOD, timeout=60).raise_for_status()
    return url


def brush(rle, **more):
    value = {"format": "rle", "rle": rle, "brushlabels": ["Cell"]}
    return {
        **{"id": "m", "type": "brushlabels", "from_name": "masks", "to_name": "image"},
        **{"original_width": 384, "original_height": 303, "image_rotation": 0},
        **{"value": value, **more},
    }


HEADER = [255, 255, 255, 255, 57, 27]
BRUSHES = {
    "a text": brush("abc"),
    "null": brush(None),
    "empty": brush([]),
    "texts": brush(["a"] * 50),
    "floats": brush([0.5] * 50),
    "negative": brush([-1] * 50),
    "too large bytes": brush([300] * 50),
    "nested": brush([[1]] * 50),
    "four thousand million values": brush([*HEADER, 255, 255, 255, 255, 128]),
    "ends early": brush([0, 0, 72, 0, 57, 27, 255]),
    "another word size": brush([0, 0, 0, 8, 255, 255, 255, 255]),
    "zeros": brush([0] * 100_000),
    "a size out of proportion": brush([0] * 50, original_width=10**6, original_height=10**6),
    "a negative size": brush([0] * 50, original_width=-5, original_height=5),
    "no size at all": brush([0] * 50, original_width=0, original_height=0),
}


@pytest.mark.parametrize("name", BRUSHES)
def test_masks_that_are_bombs(warm, name):
    refused(*post(warm, "/predict", json=question(BRUSHES[name])))


def runs(height, width):
    """The code of a mask that is all foreground: 27 bits for 65536 values."""
    bits = f"{4 * height * width:032b}{7:05b}"
    bits += "".join(f"{length - 1:04b}" for length in (3, 4, 8, 16))
    bits += ("111" + "1" * 16 + "1" * 8) * (4 * height * width // 65536)
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def test_the_bombs_are_masks():
    assert decode(runs(2048, 1024), (2048, 1024)).all()


@pytest.mark.parametrize(("side", "count"), [(16384, 1), (8192, 1), (1024, 400)])
def test_few_bytes_do_not_fill_the_memory(warm, side, count):
    masks = [brush(runs(side, side), original_width=side, original_height=side)] * count
    line = png(np.zeros((1, 5000), np.uint8))
    refused(*post(warm, "/predict", json=question(*masks, image=line)))
