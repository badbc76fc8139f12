from html.parser import HTMLParser

from sam_plugins.cli.contact_sheet import Picture, Row, contact_sheet


class Reader(HTMLParser):
    """Collects images and checks that every element is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.images.append(dict(attrs))
        elif tag not in ("meta", "link"):
            self.open.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src") and value]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


def test_every_picture_is_shown_once_with_its_caption() -> None:
    rows = [
        Row("one", "3 masks", [Picture("one/image.png", "image"), Picture("one/b.png", "masks")]),
        Row("two", "no masks", [Picture("two/image.png", "image")]),
    ]
    reader = read(contact_sheet("Results", "Of today", rows))
    assert [image["src"] for image in reader.images] == [
        "one/image.png",
        "one/b.png",
        "two/image.png",
    ]
    assert [image["alt"] for image in reader.images] == ["image", "masks", "image"]
    assert reader.open == []
    assert "3 masks" in reader.text
    assert "no masks" in reader.text


def test_names_are_escaped() -> None:
    row = Row("<script>", 'a & "b"', [Picture('x "y"/#1.png', "<i>")])
    page = contact_sheet("t", "u", [row])
    reader = read(page)
    assert "<script>" not in page
    assert "<script>" in reader.text
    assert reader.images[0]["src"] == "x%20%22y%22/%231.png"
    assert reader.images[0]["alt"] == "<i>"


def test_nothing_is_fetched_from_elsewhere() -> None:
    page = contact_sheet("t", "u", [Row("a", "b", [Picture("a.png", "c")])])
    assert read(page).links == ["a.png", "a.png"]
    assert "http" not in page
