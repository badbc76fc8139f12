import pytest

from sam_plugins.errors import InvalidPromptError
from sam_plugins.phrases import SLOTS, Phrase, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the largest dark cell", Phrase(rank="largest", tone="dark", shape="cell")),
        ("Red striped discs", Phrase(colour="red", texture="striped", shape="disc")),
        ("discs that are red and striped.", Phrase(colour="red", texture="striped", shape="disc")),
        ("discs with stripes", Phrase(texture="striped", shape="disc")),
        ("filaments on the left", Phrase(shape="filament", place="left")),
        ("cells in the upper left corner", Phrase(shape="cell", place="upper left")),
        ("the stars at the bottom right of the image", Phrase(shape="star", place="lower right")),
        ("two big grey circles", Phrase(count="2", size="large", colour="grey", shape="disc")),
        ("everything", Phrase()),
        ("bright objects", Phrase(tone="bright")),
        ("the large bright nuclei", Phrase(size="large", tone="bright", shape="cell")),
        (
            "rings above the star",
            Phrase(shape="ring", relation="above", anchor=Phrase(shape="star")),
        ),
        (
            "the disc closest to the largest ring",
            Phrase(shape="disc", relation="nearest", anchor=Phrase(rank="largest", shape="ring")),
        ),
        (
            "rods to the left of the blue cross",
            Phrase(shape="rod", relation="left of", anchor=Phrase(colour="blue", shape="cross")),
        ),
    ],
)
def test_reads(text: str, expected: Phrase) -> None:
    assert parse(text) == expected


def test_every_word_of_the_vocabulary_is_read_back() -> None:
    for slot, values in SLOTS.items():
        for value in values:
            if slot == "relation":
                text = "disc closest to a star" if value == "nearest" else f"disc {value} a star"
            elif slot == "place":
                text = f"disc in the {value}"
            else:
                text = value
            assert getattr(parse(text), slot) == value, text


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a wheel", "'wheel'"),
        ("细胞", "'细胞'"),
        ("красные диски", "'красные'"),
        ("asdf qwer zxcv", "'asdf', 'qwer', 'zxcv'"),
        ("?!", "'?!'"),
        ("red discs and blue rings", "both 'red' and 'blue'"),
        ("the", "names nothing"),
        ("discs above the star on the left of the ring", "after a relation"),
        ("x" * 10_000, "10000 characters"),
        ("cell " * 2000, "characters"),
    ],
)
def test_what_is_not_understood_is_said(text: str, named: str) -> None:
    with pytest.raises(InvalidPromptError) as caught:
        parse(text)
    message = str(caught.value)
    assert named in message
    assert "\n" not in message
    assert len(message) < 900
