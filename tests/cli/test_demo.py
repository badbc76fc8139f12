import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sam_plugins.cli.examples import EXAMPLES, Example, draw_prompt, image_folder
from sam_plugins.prompts import Prompt

Command = Callable[..., Any]


class Links(HTMLParser):
    """Collects what a page links to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src") and value]


def test_writes_pictures_masks_and_a_page_that_shows_them(
    command: Command, model_path: Path, tmp_path: Path
) -> None:
    from pycocotools.coco import COCO

    out = tmp_path / "demo"
    options = ("--out", out, "--model", model_path, "--points-per-side", 2)
    outcome = command("demo", *options)
    assert outcome.code == 0, outcome.err
    for example in EXAMPLES:
        assert f" {example.name} " in outcome.out
        size = Image.open(image_folder() / example.file).size
        for name in ("image", "automatic", "prompted"):
            assert Image.open(out / example.name / f"{name}.png").size == size
    coco = COCO(str(out / "instances.json"))
    assert len(coco.getImgIds()) == len(EXAMPLES)
    links = Links()
    links.feed((out / "index.html").read_text(encoding="utf-8"))
    assert len(links.found) == 2 * 3 * len(EXAMPLES)
    assert all((out / link).is_file() for link in links.found)
    for image in json.loads((out / "instances.json").read_text())["images"]:
        assert (out / image["file_name"]).is_file()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_examples_ship_with_scikit_image_and_are_prompted_inside(example: Example) -> None:
    width, height = Image.open(image_folder() / example.file).size
    example.prompt().check_inside((height, width))
    assert not example.prompt().empty


def test_hints_are_named() -> None:
    assert Example("a.png", "", "", points=((1, 2, 1),)).hint == "a point"
    both = Example("a.png", "", "", points=((1, 2, 1), (1, 2, 0)), boxes=((0, 0, 1, 1),))
    assert both.hint == "2 points and a box"


def test_prompts_are_drawn_where_they_are() -> None:
    gray = np.full((60, 80, 3), 128, dtype=np.uint8)
    prompt = Prompt(
        points=np.float32([[10, 20], [70, 50]]),
        labels=np.array([1, 0]),
        boxes=np.float32([[30, 10, 50, 40]]),
    )
    drawn = draw_prompt(gray, prompt)
    assert (gray == 128).all()
    red, green, blue = drawn[20, 10].tolist()
    assert green > max(red, blue)
    red, green, blue = drawn[50, 70].tolist()
    assert red > max(green, blue)
    assert (drawn[10, 30:51] != 128).all()
    assert (drawn[25, 40] == 128).all()
