"""Edges: matching, thinning, curves, and the command, against independent oracles."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy.optimize import linear_sum_assignment

from sam_plugins.errors import SamPluginsError
from sam_plugins.evaluation.edges import (
    canny,
    count_matches,
    edge_map,
    match_edges,
    measure_edges,
    measure_people,
    read_edge_set,
    score,
    sobel,
)
from sam_plugins.evaluation.edges.thinning import suppress_non_maxima


@settings(max_examples=60, deadline=None)
@given(
    arrays(bool, (12, 15), elements=st.booleans()),
    arrays(bool, (12, 15), elements=st.booleans()),
    st.sampled_from([0.0, 0.06, 0.12, 0.3]),
)
def test_as_many_pairs_as_an_assignment_has(one, other, share):
    ours, theirs = match_edges(one, other, max_distance=share)
    assert not (ours & ~one).any()
    assert not (theirs & ~other).any()
    a, b = np.argwhere(one), np.argwhere(other)
    near = np.linalg.norm(a[:, None] - b[None], axis=-1) <= share * np.hypot(12, 15)
    rows, columns = linear_sum_assignment(near, maximize=True)
    assert ours.sum() == theirs.sum() == near[rows, columns].sum()


def test_pairs_reach_no_farther_than_the_tolerance():
    one, other = np.zeros((2, 300, 400), dtype=bool)  # a diagonal of 500: 3.75 pixels
    one[50, 50] = True
    other[50, 53] = True
    assert match_edges(one, other)[0].sum() == 1
    assert match_edges(one, np.roll(other, 1, axis=1))[0].sum() == 0
    # A path: each pixel gives way to the next, and all are paired.
    one[:], other[:] = False, False
    one[100, 100:200] = other[100, 103:203] = True
    assert match_edges(one, other)[0].sum() == 100


def test_nothing_to_match_and_other_shapes():
    empty, full = np.zeros((8, 9), dtype=bool), np.ones((8, 9), dtype=bool)
    for one, other in ((empty, empty), (empty, full), (full, empty)):
        assert [each.sum() for each in match_edges(one, other)] == [0, 0]
    with pytest.raises(ValueError, match="one shape"):
        match_edges(empty, full.T)


def test_counts_of_several_people_by_hand():
    edges = np.zeros((60, 80))
    edges[10, 10:30], edges[40, 10:50] = 0.9, 0.35
    one, other = np.zeros((2, 60, 80), dtype=bool)
    one[10, 10:30] = True
    other[10, 10:20] = other[50, 10:15] = True
    counts = count_matches(edges, [one, other], thresholds=3)  # 0.25, 0.5, 0.75
    # Found of both people, theirs in all, ours that somebody has, ours.
    assert counts.tolist() == [[30, 35, 20, 60], [30, 35, 20, 20], [30, 35, 20, 20]]
    assert count_matches(edges, [one], thresholds=1).tolist() == [[20, 20, 20, 20]]
    assert count_matches(edges, [], thresholds=1).tolist() == [[0, 0, 0, 20]]


def test_the_four_figures_by_hand():
    # Recall and precision: (1, .5), (.5, 1) of one image; (0, 0), (.4, .8) of the other.
    first = np.array([[10, 10, 10, 20], [5, 10, 5, 5]])
    second = np.array([[0, 10, 0, 20], [4, 10, 4, 5]])
    alone = score([first])
    assert (alone.ods, alone.ois) == pytest.approx((2 / 3, 2 / 3))
    assert alone.r50 == 1
    # The line from (.5, 1) to (1, .5); nothing is known below a recall of one half.
    assert alone.ap == pytest.approx(np.linspace(1, 0.5, 51).sum() / 100)
    both = score([first, second])
    # Summed: recall .45, precision .9 at the second threshold.
    assert both.ods == pytest.approx(2 * 0.45 * 0.9 / 1.35)
    # Best: the first threshold of the first image (ties go there), the second of the second one.
    assert both.ois == pytest.approx(2 * 0.7 * 0.56 / 1.26)


def test_degenerate_figures():
    with pytest.raises(ValueError, match="no images"):
        score([])
    nothing = score([np.zeros((5, 4), dtype=int)])
    assert (nothing.ods, nothing.ois, nothing.ap, nothing.r50) == (0, 0, 0, 0)
    one = count_matches(np.ones((1, 1)), [np.ones((1, 1), dtype=bool)], thresholds=4)
    assert score([one]).ods == 1
    # Precision of one half is never reached.
    assert score([np.array([[1, 10, 1, 100], [2, 10, 2, 100]])]).r50 == 0


def picture():
    image = np.full((80, 100, 3), 60, dtype=np.uint8)
    image[20:60, 30:70] = 200
    return image


@pytest.mark.parametrize("detector", [canny, sobel])
def test_detectors_find_the_outline_of_a_square(detector):
    edges = detector(picture())
    assert edges.shape == (80, 100)
    assert 0 <= edges.min() <= edges.max() <= 1
    outline = np.zeros((80, 100), dtype=bool)
    outline[[20, 59], 30:70] = outline[20:60, [30, 69]] = True
    counts = count_matches(edges, [outline], thresholds=9, max_distance=2.5 / np.hypot(80, 100))
    assert score([counts]).ods > 0.9
    assert not detector(np.full((40, 40, 3), 7, dtype=np.uint8)).any()


def test_ridges_stay_and_slopes_go():
    x = np.arange(60)
    ridge = np.exp(-(((x - 30) / 3.0) ** 2))[None].repeat(50, axis=0)
    thin = suppress_non_maxima(ridge)
    assert (thin[10:40].argmax(axis=1) == 30).all()
    assert np.count_nonzero(thin[25] > 0.01) <= 3
    np.testing.assert_allclose(suppress_non_maxima(ridge.T), thin.T, atol=1e-12)


def test_edges_of_masks_lie_on_outlines(lite):
    image = np.random.default_rng(0).integers(0, 40, (120, 160, 3)).astype(np.uint8)
    y, x = np.ogrid[:120, :160]
    disc = (x - 80) ** 2 + (y - 60) ** 2 < 35**2
    image[disc] += 180
    edges = edge_map(lite, image, points_per_side=4)
    assert edges.shape == (120, 160)
    assert 0 <= edges.min() <= edges.max() <= 1
    distance = np.abs(np.hypot(x - 80, y - 60) - 35)
    strong = edges > 0.5
    assert strong.sum() > 100
    assert np.median(distance[strong]) < 3


@pytest.fixture
def edge_set(tmp_path):
    folder = tmp_path / "edges"
    folder.mkdir()
    rows = []
    for index in range(3):
        Image.fromarray(np.roll(picture(), 3 * index, axis=0)).save(folder / f"{index}.png")
        truth = np.zeros((2, 80, 100), dtype=bool)
        truth[:, [20 + 3 * index, 59 + 3 * index], 30:70] = True
        np.savez(folder / f"{index}.npz", boundaries=truth)
        rows.append({"image": f"{index}.png", "gt": f"{index}.npz"})
    (folder / "index.json").write_text(json.dumps(rows))
    return folder


def test_processes_count_as_one_does(edge_set):
    one, two = (
        list(measure_edges(read_edge_set(edge_set), sobel, thresholds=5, processes=count))
        for count in (1, 2)
    )
    assert [name for name, _ in one] == [name for name, _ in two] == ["0.png", "1.png", "2.png"]
    assert all((a == b).all() for (_, a), (_, b) in zip(one, two, strict=True))


def test_people_who_agree(edge_set):
    counts = [each for _, each in measure_people(read_edge_set(edge_set))]
    assert len(counts) == 6
    assert score(counts).ods == 1
    assert [s.name for s in read_edge_set(edge_set, limit=2)] == ["0.png", "2.png"]


def test_broken_sets_are_named(edge_set, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"index\.json"):
        list(read_edge_set(tmp_path))
    np.savez(edge_set / "1.npz", boundaries=np.zeros((2, 5, 5), dtype=bool))
    with pytest.raises(SamPluginsError, match=r"1\.png"):
        list(read_edge_set(edge_set))
    np.savez(edge_set / "1.npz", other=np.zeros(3))
    with pytest.raises(SamPluginsError, match="row 1"):
        list(read_edge_set(edge_set))


def test_the_command(command, edge_set, tmp_path):
    plot, told = tmp_path / "curves.png", tmp_path / "edges.json"
    arguments = ("--data", edge_set, "--thresholds", 5, "--processes", 1)
    code, out, err = command(
        "edges", *arguments, "--of", "sobel,people", "--plot", plot, "--json", told
    )
    assert (code, err) == (0, "")
    assert "| people | 6 | 1.000 |" in out
    rows = json.loads(told.read_text())["tables"][0]["rows"]
    assert rows[0]["edges"] == "sobel"
    assert rows[0]["published ODS"] == 0.539
    with Image.open(plot) as drawn:
        assert drawn.format == "PNG"
    code, out, _ = command(
        "edges", *arguments, "--of", "model", "--limit", 1, "--points-per-side", 2
    )
    assert code == 0
    assert "| lite | 1 |" in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("--of", "laplace"), "laplace"), (("--plot", "a.jpg"), ".png"), (("--limit", 0), "--limit")],
)
def test_wrong_use(command, edge_set, arguments, named):
    code, out, err = command("edges", "--data", edge_set, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert named in err
