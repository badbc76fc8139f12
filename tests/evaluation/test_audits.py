"""Quality, fairness, geography, ambiguity: by hand, against scipy, and their commands."""

import csv
import json

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from sam_plugins.datasets.annotations import AnnotatedImage, AnnotatedObject
from sam_plugins.datasets.coco import write_coco
from sam_plugins.errors import SamPluginsError
from sam_plugins.evaluation.ambiguity import Answer, ambiguity_table, answer_of, read_nested
from sam_plugins.evaluation.clicks import iou, random_click, random_error
from sam_plugins.evaluation.fairness import (
    fairness_table,
    geography_table,
    interval_of,
    measure_groups,
    read_people,
)
from sam_plugins.evaluation.quality import pair_ious, quality_table, shares_above
from sam_plugins.masks import rle


def coco_file(path, masks):
    objects = tuple(
        AnnotatedObject(label=number, segmentation=rle.encode(mask), class_name="x", id=number)
        for number, mask in masks.items()
    )
    write_coco(path, [AnnotatedImage("a.png", (40, 50), objects, ())])
    return path


def box(x0, y0, x1, y1):
    mask = np.zeros((40, 50), dtype=bool)
    mask[y0:y1, x0:x1] = True
    return mask


def test_pairs_are_compared(command, tmp_path):
    first = {1: box(0, 0, 10, 10), 2: box(20, 0, 30, 10), 3: box(3, 3, 4, 4), 4: box(0, 0, 2, 2)}
    second = {1: box(0, 0, 10, 10), 2: box(20, 2, 30, 10), 3: box(30, 30, 31, 31)}
    one, two = (
        coco_file(tmp_path / name, masks) for name, masks in (("a.json", first), ("b.json", second))
    )
    ious, unpaired = pair_ious(one, two)
    assert ious == pytest.approx([iou(first[number], second[number]) for number in (1, 2, 3)])
    assert unpaired == 1
    assert shares_above(ious) == pytest.approx((1 / 3, 2 / 3))
    code, out, _ = command("quality", one, two)
    assert code == 0
    assert "| ours | 3 | 1 | 0.600 | 0.333 | 0.667 |" in out
    assert command("quality", one, tmp_path / "missing.json")[0] == 2


def test_no_pairs():
    assert shares_above([]) == (None, None)
    assert quality_table(np.empty(0), 2).rows[0] == ("ours", 0, 2, None, None, None)


def test_random_points_are_where_they_should_be():
    rng = np.random.default_rng(0)
    truth, predicted = box(5, 5, 15, 15), box(10, 5, 20, 15)
    for _ in range(30):
        x, y = random_click(truth, rng)
        assert truth[int(y), int(x)]
        (x, y), label = random_error(predicted, truth, rng)
        assert (truth ^ predicted)[int(y), int(x)]
        assert label == truth[int(y), int(x)]
    assert random_error(truth, truth, rng)[1] == 1
    assert random_click(box(7, 9, 8, 10), rng) == (7.5, 9.5)
    with pytest.raises(ValueError, match="empty"):
        random_click(box(0, 0, 0, 0), rng)


def test_the_interval_is_scipys():
    values = np.random.default_rng(1).random(80)
    low, high = interval_of(values)
    expected = stats.bootstrap((values,), np.mean, method="percentile", rng=3).confidence_interval
    assert (low, high) == pytest.approx(tuple(expected), abs=0.01)
    assert interval_of([0.5]) == (0.5, 0.5)
    with pytest.raises(ValueError, match="no value"):
        interval_of([])


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_groups_are_measured_apart(command, lite, make_set, tmp_path):
    folder = make_set()
    rows = [
        {"image": "0.png", "mask": "0_mask.png", "label": 1, "size": "small", "place": "left"},
        {"image": "0.png", "mask": "0_mask.png", "label": 2, "size": "large", "place": ""},
        {"image": "1.png", "mask": "1_mask.png", "label": 2, "size": "large", "place": ""},
        {"image": "1.png", "mask": "1_mask.png", "label": 9, "size": "none", "place": ""},
    ]
    path = write_csv(folder / "groups.csv", rows)
    people = read_people(path)
    measured = list(measure_groups(lite, people, folder))
    assert len(measured) == 3  # there is no label 9
    assert all(0 <= value <= 1 for _, ious in measured for value in ious.values())
    assert all(set(ious) == {1, 3} for _, ious in measured)
    table = fairness_table(measured)
    assert [row[:3] for row in table.rows] == [
        ("place", "left", 1),
        ("size", "large", 2),
        ("size", "small", 1),
    ]
    large = [ious[1] for person, ious in measured if person.groups["size"] == "large"]
    assert table.rows[1][3] == pytest.approx(np.mean(large))
    code, out, _ = command("fairness", "--groups", path)
    assert code == 0
    assert "| size | large | 2 |" in out
    assert fairness_table([]).rows == ()


def test_a_mask_of_another_size_is_refused(lite, tmp_path):
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    Image.fromarray(np.ones((30, 60), np.uint8)).save(tmp_path / "a_mask.png")
    (tmp_path / "people.csv").write_text("image,mask,label,age\na.png,a_mask.png,1,old\n")
    people = read_people(tmp_path / "people.csv")
    with pytest.raises(SamPluginsError, match=r"a_mask\.png has the shape \(30, 60\)"):
        list(measure_groups(lite, people, tmp_path))


def test_tables_of_groups_that_are_wrong(tmp_path):
    with pytest.raises(SamPluginsError, match="label"):
        read_people(write_csv(tmp_path / "a.csv", [{"image": "a", "mask": "b"}]))
    wrong = write_csv(tmp_path / "b.csv", [{"image": "a", "mask": "b", "label": "c"}])
    with pytest.raises(SamPluginsError, match="row 1"):
        read_people(wrong)


def test_where_images_come_from(command, tmp_path):
    countries = write_csv(
        tmp_path / "countries.csv",
        [
            {"country": "KEN", "region": "Africa", "income": "middle"},
            {"country": "FRA", "region": "Europe", "income": "high"},
        ],
    )
    images = write_csv(
        tmp_path / "images.csv",
        [
            {"image": "1", "country": "fra", "masks": "10"},
            {"image": "2", "country": "FRA", "masks": "30"},
            {"image": "3", "country": "KEN", "masks": ""},
            {"image": "4", "country": "?", "masks": "1"},
        ],
    )
    rows = {row[0]: row[1:] for row in geography_table(images, countries).rows}
    assert rows["Europe"] == (1, 2, 40, 0.5, 0.498, 0.342)
    assert rows["Africa"][:4] == (1, 1, 0, 0.25)
    assert rows["high income"][:4] == (1, 2, 40, 0.5)
    assert rows["unknown"][:4] == (1, 1, 1, 0.25)
    assert command("geography", images, countries)[0] == 0
    empty = tmp_path / "empty.csv"
    empty.write_text("image,country\n")
    assert geography_table(empty, countries).rows == ()


def test_answers_by_hand():
    both = Answer(whole=(0.9, 0.1, 0.5), part=(0.2, 0.8, 0.5), ranked=0)
    misranked = Answer(whole=(0.9, 0.1, 0.5), part=(0.2, 0.3, 0.5), ranked=2)
    neither = Answer(whole=(0.1,) * 3, part=(0.2,) * 3, ranked=1)
    table = ambiguity_table({"a": [both, misranked, neither], "none": []})
    ((name, clicks, whole, part, every, ranked, first, best),) = table.rows
    assert (name, clicks) == ("a", 3)
    assert (whole, part, every, ranked) == pytest.approx((2 / 3, 1 / 3, 1 / 3, 1 / 2))
    assert (first, best) == pytest.approx(((0.9 + 0.5 + 0.2) / 3, (0.9 + 0.9 + 0.2) / 3))
    assert ambiguity_table({"a": [neither]}).rows[0][5] is None


def test_parts_and_their_wholes(command, lite, tmp_path):
    folder = tmp_path / "wbc_parts"
    folder.mkdir()
    labels = np.zeros((80, 100), dtype=np.uint8)
    y, x = np.ogrid[:80, :100]
    labels[(x - 50) ** 2 + (y - 40) ** 2 < 30**2] = 1
    labels[(x - 50) ** 2 + (y - 40) ** 2 < 12**2] = 2
    Image.fromarray((labels * 90).astype(np.uint8)).save(folder / "a.png")
    Image.fromarray(labels).save(folder / "a_mask.png")
    (folder / "index.json").write_text(json.dumps([{"image": "a.png", "mask": "a_mask.png"}]))
    (nested,) = read_nested(folder)
    assert (nested.whole == (labels > 0)).all()
    assert (nested.part == (labels == 2)).all()
    answer = answer_of(lite, nested)
    assert len(answer.whole) == len(answer.part) == 3
    code, out, _ = command("ambiguity", "--data", folder)
    assert code == 0
    assert "| wbc_parts | 1 |" in out


def test_objects_beside_each_other_are_parts_of_all(make_set):
    pairs = list(read_nested(make_set(), limit=3))
    assert len(pairs) == 3
    for pair in pairs:
        assert pair.part.sum() < pair.whole.sum()
        assert not (pair.part & ~pair.whole).any()
