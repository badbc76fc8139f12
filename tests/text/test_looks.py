import numpy as np
import pytest

from sam_plugins.text.looks import CROP, looks_of


def test_measures_of_a_rectangle() -> None:
    image = np.full((100, 200, 3), (200, 100, 50), dtype=np.uint8)
    mask = np.zeros((100, 200), dtype=bool)
    mask[20:40, 50:100] = True
    image[mask] = (255, 0, 0)
    measures = looks_of(image, [mask]).measures[0]
    x, y, log_area, width, height, filling = measures[:6]
    assert (x, y) == pytest.approx((75 / 200, 30 / 100))
    assert np.exp(log_area) == pytest.approx(1000 / 20000)
    assert (width, height, filling) == pytest.approx((0.25, 0.2, 1.0))
    assert measures[9:12] == pytest.approx([1, 0, 0])
    assert measures[13] == pytest.approx(350 / 3 / 255, abs=1e-3)  # the brightness around
    assert measures[14:17] == pytest.approx([0, 0, 0])


def test_crops_show_the_mask_also_at_the_border() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
    corner, dot, all_of_it = (np.zeros((60, 80), dtype=bool) for _ in range(3))
    corner[:10, :10] = True
    dot[30, 40] = True
    all_of_it[:] = True
    looks = looks_of(image, [corner, dot, all_of_it])
    assert looks.crops.shape == (3, 4, CROP, CROP)
    shares = looks.crops[:, 3].mean(axis=(1, 2)) / 255
    assert shares[0] == pytest.approx((10 / 12) ** 2, abs=0.1)
    assert 0 < shares[1] < 0.03
    # The image fills 80 x 60 of a square of 96 a side.
    assert shares[2] == pytest.approx(80 * 60 / 96**2, abs=0.05)
    assert np.isfinite(looks.measures).all()


def test_no_masks() -> None:
    assert len(looks_of(np.zeros((5, 5, 3), dtype=np.uint8), [])) == 0
