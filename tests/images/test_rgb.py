"""Any image to 8-bit RGB, against numpy, scikit-image and what must hold for every image."""

import tracemalloc

import numpy as np
import pytest
import skimage.exposure
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from sam_plugins.errors import InvalidImageError
from sam_plugins.images import Normalization, to_rgb
from sam_plugins.images import scaling as scaling_module

INTEGERS = ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"]
FLOATS = ["f2", "f4", "f8", np.longdouble]
KINDS = [Normalization(), Normalization("percentile"), Normalization("minmax")]


@st.composite
def gray_images(draw, dtypes=("?", *INTEGERS, "f2", "f4", "f8", ">u2", ">f4", ">i8")):
    """2D arrays of all dtypes with the extremes of each; floats with NaN and infinities."""
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    return draw(arrays.arrays(dtype, shape))


def has_finite_value(image):
    return image.dtype.kind != "f" or np.isfinite(image).any()


@given(image=gray_images(), normalization=st.sampled_from(KINDS))
@settings(max_examples=150, deadline=None)
@pytest.mark.filterwarnings("error")
def test_every_image_becomes_8_bit_rgb_and_stays_itself(image, normalization):
    before = image.copy()
    image.flags.writeable = False
    if not has_finite_value(image):
        with pytest.raises(InvalidImageError, match="no finite value"):
            to_rgb(image, normalization=normalization)
        return
    rgb = to_rgb(image, normalization=normalization)
    assert rgb.shape == (*image.shape, 3)
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    assert (rgb == rgb[..., :1]).all()
    np.testing.assert_array_equal(image, before)


@given(image=gray_images(), normalization=st.sampled_from(KINDS))
@settings(max_examples=100, deadline=None)
def test_greater_values_are_never_darker(image, normalization):
    if not has_finite_value(image):
        return
    gray = to_rgb(image, normalization=normalization)[..., 0].ravel()
    values = image.ravel()
    known = values == values  # NaN has no order
    order = np.argsort(values[known], kind="stable")
    assert (np.diff(gray[known][order].astype(int)) >= 0).all()
    assert (gray[~known] == 0).all()
    ends = values[np.isfinite(values)] if image.dtype.kind == "f" else values
    if normalization.kind == "minmax" and float(ends.max()) > float(ends.min()):
        assert gray[values == ends.min()].max() == 0
        assert gray[values == ends.max()].min() == 255


@given(image=gray_images(), normalization=st.sampled_from(KINDS))
@settings(max_examples=100, deadline=None)
def test_the_layout_does_not_matter(image, normalization):
    if not has_finite_value(image):
        return
    expected = to_rgb(image, normalization=normalization)
    wide = np.zeros((image.shape[0] * 2, image.shape[1] * 3), dtype=image.dtype)
    wide[::2, ::-3] = image
    versions = {
        "swapped bytes": image.astype(image.dtype.newbyteorder()),
        "Fortran": np.asfortranarray(image),
        "strided": wide[::2, ::-3],
        "last axis of one": image[..., None],
        "stacked last": np.stack([image] * 3, axis=-1),
        "last and strided": np.stack([image] * 4, axis=-1)[..., :3],
        "with alpha": np.stack([image] * 3 + [np.zeros_like(image)], axis=-1),
    }
    # One row or column of one, three or four pixels would be taken for channels.
    if image.shape[1] not in (1, 3, 4):
        versions["first axis of one"] = image[None]
        versions["stacked first"] = np.stack([image] * 3)
        versions["first with alpha"] = np.stack([image] * 3 + [np.zeros_like(image)])
        versions["more axes"] = np.stack([image] * 3)[None, None]
    for name, version in versions.items():
        actual = to_rgb(version, normalization=normalization)
        np.testing.assert_array_equal(actual, expected, err_msg=name)


@given(data=st.data(), normalization=st.sampled_from([*KINDS, Normalization("none")]))
@settings(max_examples=60, deadline=None)
def test_channels_first_equals_channels_last_and_chosen_channels(data, normalization):
    dtype = data.draw(st.sampled_from(["u1", "u2", "i4", "f4"]))
    if normalization.kind == "none":
        dtype = "u1"
    stack = data.draw(
        arrays.arrays(dtype, (5, 6, 7), elements={"allow_nan": False, "allow_infinity": False})
        if dtype == "f4"
        else arrays.arrays(dtype, (5, 6, 7))
    )
    channels = data.draw(st.permutations(range(5)))[:3]
    chosen = Normalization(normalization.kind, channels=channels)
    expected = to_rgb(np.stack([stack[c] for c in channels], axis=-1), normalization=normalization)
    for image, axis in (
        (stack, None),
        (stack, 0),
        (np.moveaxis(stack, 0, -1), None),
        (np.moveaxis(stack, 0, 1), 1),
        (np.ascontiguousarray(np.moveaxis(stack, 0, 1)), 1),
        (stack[None], 1),
    ):
        actual = to_rgb(image, normalization=chosen, channel_axis=axis)
        np.testing.assert_array_equal(actual, expected)


def test_repeated_and_fewer_channels():
    stack = np.random.default_rng(0).integers(0, 255, (5, 6, 7)).astype(np.uint8)
    magenta_green = to_rgb(stack, normalization=Normalization(channels=(3, 1, 3)))
    np.testing.assert_array_equal(magenta_green, np.stack(stack[[3, 1, 3]], axis=-1))
    two = to_rgb(stack, normalization=Normalization(channels=(4, 0)))
    black = np.zeros((6, 7), dtype=np.uint8)
    np.testing.assert_array_equal(two, np.stack([stack[4], stack[0], black], axis=-1))
    one = to_rgb(stack, normalization=Normalization(channels=2))
    np.testing.assert_array_equal(one, np.stack([stack[2]] * 3, axis=-1))


@pytest.mark.parametrize("shape", [(17, 23), (3, 17, 23), (4, 17, 23), (17, 23, 3), (17, 23, 4)])
@pytest.mark.parametrize("kind", ["auto", "none"])
def test_8_bits_are_unchanged(shape, kind):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    rgb = to_rgb(image, normalization=Normalization(kind))
    last = image if image.ndim == 2 or shape[-1] in (3, 4) else np.moveaxis(image, 0, -1)
    expected = np.stack([image] * 3, axis=-1) if image.ndim == 2 else last[..., :3]
    np.testing.assert_array_equal(rgb, expected)
    assert np.shares_memory(rgb, image) == (shape == (17, 23, 3))


def test_bool_is_black_and_white():
    image = np.random.default_rng(0).random((8, 9)) > 0.5
    for kind in ("auto", "none", "minmax", "percentile"):
        gray = to_rgb(image, normalization=Normalization(kind))[..., 0]
        np.testing.assert_array_equal(gray, np.where(image, 255, 0))
    assert (to_rgb(np.ones((4, 5), dtype=bool)) == 255).all()


@pytest.mark.parametrize("dtype", [*INTEGERS, *FLOATS])
@pytest.mark.parametrize("percentiles", [(0.2, 99.8), (1, 99), (0, 100), (2.5, 60)])
def test_percentiles_are_numpy_s_and_scaling_is_scikit_image_s(dtype, percentiles):
    rng = np.random.default_rng(0)
    values = rng.gamma(2.0, 20.0, (60, 70, 3))
    image = values.clip(-100, 120).astype(dtype)
    bounds = np.percentile(image.astype(np.float64), percentiles, method="inverted_cdf")
    expected = skimage.exposure.rescale_intensity(
        image.astype(np.float64), in_range=tuple(bounds), out_range=(0.0, 255.0)
    )
    actual = to_rgb(image, normalization=Normalization("percentile", percentiles=percentiles))
    assert np.abs(actual - expected).max() <= 0.5 + 1e-3
    if np.dtype(dtype) != np.uint8:
        default = to_rgb(image, normalization=Normalization(percentiles=percentiles))
        np.testing.assert_array_equal(default, actual)


def test_floats_between_0_and_1_are_stretched_as_all_floats_are():
    image = np.linspace(0.2, 0.4, 10_000).reshape(100, 100)
    gray = to_rgb(image)[..., 0]
    assert gray.min() == 0
    assert gray.max() == 255
    np.testing.assert_array_equal(gray, to_rgb(image * 1024.0)[..., 0])


def test_a_few_hot_pixels_do_not_darken_the_image():
    rng = np.random.default_rng(0)
    image = rng.normal(1000, 50, (300, 300)).astype(np.uint16)
    clean = to_rgb(image)[..., 0].astype(int)
    image[rng.integers(0, 300, 20), rng.integers(0, 300, 20)] = 65535
    assert np.abs(to_rgb(image)[..., 0] - clean).mean() < 3


def test_few_spots_on_a_constant_ground_are_still_seen():
    image = np.full((200, 200), 7, dtype=np.uint16)
    image[50, 60:63] = 5000  # 3 of 40 000 pixels, beyond both percentiles
    gray = to_rgb(image)[..., 0]
    assert (gray[50, 60:63] == 255).all()
    assert gray.sum() == 3 * 255


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["auto", "percentile", "minmax"])
@pytest.mark.parametrize("value", [0, 1, 200])
@pytest.mark.parametrize("dtype", ["u2", "i8", "f4"])
def test_a_constant_image_is_black(kind, value, dtype):
    image = np.full((5, 6), value, dtype=dtype)
    assert not to_rgb(image, normalization=Normalization(kind)).any()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", ["auto", "minmax"])
@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("i8", np.iinfo("i8").min, np.iinfo("i8").max),
        ("u8", 0, np.iinfo("u8").max),
        ("i8", 2**62, 2**62 + 2**20),
        ("i4", np.iinfo("i4").min, np.iinfo("i4").max),
        ("f4", np.finfo("f4").min, np.finfo("f4").max),
        ("f8", np.finfo("f8").min, np.finfo("f8").max),
        ("f8", 0.0, np.finfo("f8").smallest_subnormal * 2),
        ("f4", 0.0, np.finfo("f4").smallest_subnormal * 2),
        ("f8", 1e300, 1.0000001e300),
        ("f2", np.finfo("f2").min, np.finfo("f2").max),
    ],
)
def test_extreme_ranges(kind, dtype, low, high):
    image = np.array([[low, high]], dtype=dtype)
    middle = (image[0, 0] // 2 + image[0, 1] // 2) if image.dtype.kind != "f" else image.mean()
    if image.dtype.kind == "f" and not np.isfinite(middle):
        middle = image[0, 0] / 2 + image[0, 1] / 2
    image = np.array([[low, middle, high]], dtype=dtype)
    gray = to_rgb(image, normalization=Normalization(kind))[0, :, 0]
    assert gray.tolist()[::2] == [0, 255]
    assert abs(int(gray[1]) - 127) <= 1


@pytest.mark.filterwarnings("error")
def test_outliers_beyond_the_range_of_floats_saturate():
    image = np.full((40, 50), 5.0)
    image[::2] = -1e308
    image[0, 0] = 1.7e308
    gray = to_rgb(image, normalization=Normalization("percentile", percentiles=(1, 99)))[..., 0]
    assert gray[0, 0] == 255
    assert (gray[1] == 255).all()
    assert (gray[2] == 0).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_nan_is_black_and_infinities_saturate(dtype):
    image = np.linspace(0, 1, 64, dtype=dtype).reshape(8, 8)
    clean = to_rgb(image)[..., 0]
    image[2, 2:5] = [np.nan, np.inf, -np.inf]
    gray = to_rgb(image)[..., 0]
    assert gray[2, 2:5].tolist() == [0, 255, 0]
    others = np.isfinite(image)
    assert np.abs(gray[others].astype(int) - clean[others]).max() <= 1
    with pytest.raises(InvalidImageError, match="no finite value"):
        to_rgb(np.full((4, 5), np.nan, dtype=dtype))
    with pytest.raises(InvalidImageError, match="no finite value"):
        to_rgb(
            np.full((4, 5), np.inf, dtype=dtype),
            normalization=Normalization("limits", limits=(0, 1)),
        )


def test_limits_are_kept_to():
    image = np.array([[0, 100, 2050, 4000, 65535]], dtype=np.uint16)
    limits = Normalization("limits", limits=(100, 4000))
    assert to_rgb(image, normalization=limits)[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    # Also for 8 bits, whose values "auto" leaves.
    narrow = Normalization("limits", limits=(50, 101))
    eight = np.array([[0, 50, 60, 101, 255]], dtype=np.uint8)
    assert to_rgb(eight, normalization=narrow)[0, :, 0].tolist() == [0, 0, 50, 255, 255]


def test_none_takes_only_what_fits():
    none = Normalization("none")
    image = np.array([[0, 7, 255]], dtype=np.int32)
    assert to_rgb(image, normalization=none)[0, :, 0].tolist() == [0, 7, 255]
    floats = np.array([[0.4, 7.5, 255.0, np.nan]])
    assert to_rgb(floats, normalization=none)[0, :, 0].tolist() == [0, 8, 255, 0]
    for wrong in ([[0, 256]], [[-1, 255]], [[0.0, np.inf]]):
        with pytest.raises(InvalidImageError, match="does not fit 8 bits"):
            to_rgb(np.array(wrong), normalization=none)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 5), dtype=complex), "complex128"),
        (np.array([["a", "b"]]), "cannot be segmented"),
        (np.array([[{}, {}]]), "object"),
        (np.zeros((4, 5), dtype="datetime64[s]"), "datetime64"),
        (np.zeros((4, 5), dtype=[("r", "u1")]), "cannot be segmented"),
        (np.zeros((0, 5)), "empty"),
        (5.0, "two axes"),
        (None, "cannot be segmented|must be an array"),
        ("no/such.png", "cannot be segmented|must be an array"),
        ([[1, 2], [3]], "must be an array"),
    ],
)
def test_what_is_no_image_is_refused_in_one_line(image, words):
    with pytest.raises(InvalidImageError, match=words) as caught:
        to_rgb(image)
    assert "\n" not in str(caught.value)


def test_lists_and_pictures_are_images():
    values = [[0, 1000], [2000, 4000]]
    np.testing.assert_array_equal(to_rgb(values), to_rgb(np.array(values)))
    rgb = np.random.default_rng(0).integers(0, 256, (6, 7, 3)).astype(np.uint8)
    np.testing.assert_array_equal(to_rgb(Image.fromarray(rgb)), rgb)
    palette = Image.fromarray(rgb).quantize(8)
    np.testing.assert_array_equal(to_rgb(palette), np.asarray(palette.convert("RGB")))


def test_large_images_are_sampled_evenly_and_always_alike(monkeypatch):
    rng = np.random.default_rng(1)
    image = rng.gamma(2.0, 500.0, (700, 900)).astype(np.uint16)
    image[:, ::2] += 3000  # a structure that a regular sample would meet in one phase
    exact = to_rgb(image).astype(int)
    monkeypatch.setattr(scaling_module, "MAX_SAMPLED_PIXELS", 40_000)
    sampled = to_rgb(image)
    np.testing.assert_array_equal(sampled, to_rgb(image.copy()))
    assert np.abs(sampled - exact).max() <= 12
    assert np.abs(sampled - exact).mean() <= 4
    np.testing.assert_array_equal(to_rgb(np.stack([image] * 3)), sampled)


@pytest.mark.parametrize(
    ("size", "sampled"),
    [
        ((100, 200), (100, 200)),
        ((1024, 1024), (1024, 1024)),
        ((20, 10_000_000), (20, 52_428)),
        ((10_000_000, 20), (52_428, 20)),
        ((1, 10_000_000), (1, 1_048_576)),
        ((2048, 2048), (1024, 1024)),
        ((40_000, 10_000), (2048, 512)),
    ],
)
def test_sampled_pixels_are_bounded(size, sampled):
    rows, columns = scaling_module._sampled_size(*size)
    assert rows * columns <= scaling_module.MAX_SAMPLED_PIXELS
    assert rows <= size[0]
    assert columns <= size[1]
    # At least in the order of what an ideal split would give.
    assert rows * columns >= sampled[0] * sampled[1] * 0.9


@pytest.mark.parametrize("dtype", ["u2", "f4", "f8"])
@pytest.mark.parametrize("first", [True, False])
def test_no_float_copy_of_the_image_is_made(dtype, first):
    image = np.random.default_rng(0).integers(0, 4096, (1000, 1500, 3)).astype(dtype)
    image = np.moveaxis(image, -1, 0).copy() if first else image
    to_rgb(image[:50])  # imports and caches
    tracemalloc.start()
    rgb = to_rgb(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The sample of at most a million pixels, in the image's type, and twice while it is sorted.
    sample = scaling_module.MAX_SAMPLED_PIXELS * 3 * image.dtype.itemsize * 2
    assert peak < max(rgb.nbytes, sample) + 8e6
