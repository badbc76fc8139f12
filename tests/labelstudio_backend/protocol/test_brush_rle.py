"""Brush masks: the same bytes as Label Studio's converter, and back; bombs are refused."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from labelstudio_backend.protocol.brush_rle import CHANNELS, decode, encode
from labelstudio_backend.sample import find_label_studio
from sam_plugins.errors import InvalidMaskError, SamPluginsError

masks = arrays.arrays(bool, st.tuples(st.integers(1, 30), st.integers(1, 30)))


def written_out(mask):
    """The code bit by bit, as a text of zeros and ones."""
    values = np.repeat(mask.ravel(), CHANNELS)
    bits = f"{values.size:032b}" + "00111" + "0010" + "0011" + "0111" + "1111"
    index = 0
    while index < len(values):
        stop = index
        while stop < len(values) and values[stop] == values[index]:
            stop += 1
        left = stop - index
        while left:
            length = min(left, 65536)
            kind, width = next((k, w) for k, w in enumerate((3, 4, 8, 16)) if length <= 2**w)
            bits += f"1{kind:02b}{length - 1:0{width}b}{255 * int(values[index]):08b}"
            left -= length
        index = stop
    bits += "0" * (8 - len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


@given(masks)
def test_the_bytes_are_those_of_the_format_and_decode_to_the_mask(mask):
    code = encode(mask)
    assert code == written_out(mask)
    assert np.array_equal(decode(code, mask.shape), mask)


@pytest.mark.parametrize("fill", [False, True])
def test_runs_longer_than_a_block(fill):
    mask = np.full((300, 400), fill)
    mask[150, 200] = not fill
    code = encode(mask)
    assert code == written_out(mask)
    assert np.array_equal(decode(code, mask.shape), mask)


def random_masks(count):
    """Blobs, noise and stripes of all sizes."""
    rng = np.random.default_rng(0)
    for number in range(count):
        height, width = rng.integers(1, 200, 2)
        noise = rng.random((height, width))
        if number % 3 == 1:
            noise = ndimage.gaussian_filter(noise, 4)
        if number % 3 == 2:
            noise = np.broadcast_to(noise[:, :1], noise.shape)
        yield noise > np.quantile(noise, rng.random())


def test_the_converter_of_label_studio_agrees():
    try:
        python = find_label_studio().with_name("python")
    except SamPluginsError as error:
        pytest.skip(str(error))
    cases = list(random_masks(60))
    asked = [[mask.shape, mask.astype(int).ravel().tolist(), encode(mask)] for mask in cases]
    done = subprocess.run(
        [python, Path(__file__).with_name("converter.py")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=True,
    )
    for mask, (code, pixels) in zip(cases, json.loads(done.stdout), strict=True):
        assert encode(mask) == code
        assert np.array_equal(decode(code, mask.shape), mask)
        assert np.array_equal(np.reshape(pixels, mask.shape) > 0, mask)


@given(masks, st.data())
def test_literals_are_read_too(mask, data):
    """Label Studio's page writes short stretches as literals."""
    values = 255 * np.repeat(mask.ravel(), CHANNELS).astype(int)
    bits = f"{values.size:032b}" + "00111" + "0010" + "0011" + "0111" + "1111"
    at = 0
    while at < len(values):
        length = min(data.draw(st.integers(1, 16)), len(values) - at)
        bits += f"001{length - 1:04b}" + "".join(f"{v:08b}" for v in values[at : at + length])
        at += length
    bits += "0" * (-len(bits) % 8)
    code = [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
    assert np.array_equal(decode(code, mask.shape), mask)


def test_a_trailing_byte_may_be_missing():
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:5, 3:6] = True
    code = encode(mask)
    assert code[-1] == 0 or len(code) % 8
    assert np.array_equal(decode(code[:-1] if code[-1] == 0 else code, mask.shape), mask)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ([], "at least 7 bytes"),
        ([1, 2, 3], "at least 7 bytes"),
        ([0.5] * 20, "list of bytes"),
        ([256] * 20, "from 0 to 255"),
        ([-1] * 20, "from 0 to 255"),
        ([255] * 20, "not one of 8 x 8"),
        (encode(np.ones((9, 8), dtype=bool)), "72 pixels is not one of 8 x 8"),
        (encode(np.eye(8, dtype=bool))[:12], "ends before"),
    ],
)
def test_what_is_no_mask_of_the_image_is_refused(code, message):
    with pytest.raises(InvalidMaskError, match=message):
        decode(code, (8, 8))
