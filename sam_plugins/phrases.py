"""``Phrase``: what the built-in text tower understands, and how it is read from plain English.

The vocabulary is closed. A text that holds another word, or that contradicts itself, is refused
with a message that says what is understood: nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from types import MappingProxyType

from sam_plugins.errors import InvalidPromptError

# Longer texts are no phrases about an object.
MOST_CHARACTERS = 200

SHAPES = (
    "disc",
    "oval",
    "square",
    "triangle",
    "star",
    "ring",
    "cross",
    "rod",
    "crescent",
    "filament",
    "cell",
)
COLOURS = (
    "red",
    "orange",
    "yellow",
    "green",
    "cyan",
    "blue",
    "purple",
    "pink",
    "white",
    "grey",
    "black",
)
TONES = ("dark", "bright")
TEXTURES = ("plain", "striped", "spotted", "checked")
SIZES = ("large", "small")
RANKS = (
    "largest",
    "smallest",
    "darkest",
    "brightest",
    "leftmost",
    "rightmost",
    "topmost",
    "lowest",
)
PLACES = (
    "left",
    "right",
    "top",
    "bottom",
    "middle",
    "upper left",
    "upper right",
    "lower left",
    "lower right",
)
RELATIONS = ("left of", "right of", "above", "below", "nearest")
COUNTS = ("2", "3", "4", "5", "6")

# In the order of a phrase's `words`.
SLOTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "count": COUNTS,
        "rank": RANKS,
        "size": SIZES,
        "tone": TONES,
        "colour": COLOURS,
        "texture": TEXTURES,
        "shape": SHAPES,
        "place": PLACES,
        "relation": RELATIONS,
    }
)

# What is said in several ways.
_SAME = {
    "shape": {
        "disc": "disk circle dot",
        "oval": "ellipse",
        "square": "box",
        "ring": "donut annulus",
        "cross": "plus",
        "rod": "bar stick",
        "crescent": "moon",
        "filament": "fibre fiber thread",
        "cell": "nucleus nuclei",
    },
    "colour": {"grey": "gray", "cyan": "turquoise teal", "purple": "violet magenta"},
    "tone": {"bright": "light brighter", "dark": "darker"},
    "texture": {
        "plain": "solid smooth uniform",
        "striped": "stripy stripes",
        "spotted": "spotty spots dotted",
        "checked": "checkered chequered checkerboard checks",
    },
    "size": {"large": "big larger bigger", "small": "little tiny smaller"},
    "rank": {
        "largest": "biggest",
        "smallest": "littlest tiniest",
        "brightest": "lightest",
        "topmost": "highest uppermost",
        "lowest": "bottommost lowermost",
    },
    "count": {"2": "two pair", "3": "three", "4": "four", "5": "five", "6": "six"},
}

_PLACE = r"(?:(?:on|at|in|to|near) )?(?:the )?"
_REST = r"(?: (?:side|half|part|corner|edge|of the image|of the picture))*"
# Several words that stand for one; the first that fits counts.
_IDIOMS = tuple(
    (re.compile(rf"\b{pattern}\b"), meaning)
    for pattern, meaning in (
        (r"(?:to|on) the left of(?! the (?:image|picture))|left of(?! the image)", "left_of"),
        (r"(?:to|on) the right of(?! the (?:image|picture))|right of(?! the image)", "right_of"),
        (r"(?:on top of|over)", "above"),
        (r"(?:under|underneath|beneath)", "below"),
        (r"(?:(?:nearest|closest|next) to|near)(?= (?!the (?:left|right|top|bottom)))", "nearest"),
        (rf"{_PLACE}(?:upper|top)[ -]left{_REST}", "upper_left"),
        (rf"{_PLACE}(?:upper|top)[ -]right{_REST}", "upper_right"),
        (rf"{_PLACE}(?:lower|bottom)[ -]left{_REST}", "lower_left"),
        (rf"{_PLACE}(?:lower|bottom)[ -]right{_REST}", "lower_right"),
        (rf"{_PLACE}(?:middle|centre|center){_REST}", "middle"),
        (rf"{_PLACE}(?:left|left-hand){_REST}", "left"),
        (rf"{_PLACE}(?:right|right-hand){_REST}", "right"),
        (rf"{_PLACE}(?:top|upper){_REST}", "top"),
        (rf"{_PLACE}(?:bottom|lower){_REST}", "bottom"),
    )
)
_NOUNS = frozenset(
    ("object", "objects", "thing", "things", "shape", "shapes", "one", "ones", "everything")
)
_FILLERS = frozenset(
    (
        *("the", "a", "an", "all", "every", "each", "any", "some", "of", "that", "which", "is"),
        *("are", "and", "with", "in", "texture", "pattern", "color", "colour", "coloured"),
        *("colored", "please", "find", "segment", "select", "show", "me"),
    )
)


@dataclass(frozen=True)
class Phrase:
    """What is meant, slot by slot; None where nothing was said.

    Parameters
    ----------
    count, rank, size, tone, colour, texture, shape, place, relation : str, optional
        One of `SLOTS` each.
    anchor : Phrase, optional
        What the relation is to.
    """

    count: str | None = None
    rank: str | None = None
    size: str | None = None
    tone: str | None = None
    colour: str | None = None
    texture: str | None = None
    shape: str | None = None
    place: str | None = None
    relation: str | None = None
    anchor: Phrase | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The phrase in a fixed order, one word a slot, whatever way it was said in."""
        said = []
        for name in SLOTS:
            value = getattr(self, name)
            if name == "shape" and value is None:
                value = "object"
            if value is not None:
                said.append(f"{name}:{value}" if name in ("place", "relation") else value)
        return (*said, *(self.anchor.words if self.anchor else ()))

    @property
    def empty(self) -> bool:
        """Whether nothing was said."""
        return all(getattr(self, field.name) is None for field in fields(self))


def _dictionary() -> Mapping[str, tuple[str, str]]:
    """Slot and value of each word, of its synonyms and their plurals."""
    known: dict[str, tuple[str, str]] = {}
    for slot, values in SLOTS.items():
        for value in values:
            others = _SAME.get(slot, {}).get(value, "").split()
            for word in (value.replace(" ", "_"), *others):
                known.setdefault(word, (slot, value))
                if slot == "shape":
                    known.setdefault(
                        word + ("es" if word.endswith(("s", "x")) else "s"), (slot, value)
                    )
    return MappingProxyType(known)


_KNOWN = _dictionary()


def understood() -> str:
    """Say in one line which words are understood.

    Returns
    -------
    str
    """
    parts = (
        f"shapes ({', '.join(SHAPES)}, object)",
        f"colours ({', '.join(COLOURS)})",
        f"{', '.join(TONES)}",
        f"{', '.join(TEXTURES)}",
        f"{', '.join(SIZES)}",
        f"{', '.join(RANKS)}",
        "two to six",
        "on the left, right, top, bottom, middle, in a corner",
        "left of, right of, above, below, nearest to",
    )
    return "; ".join(parts)


def parse(text: str) -> Phrase:
    """Read a phrase.

    Parameters
    ----------
    text : str
        Plain English, such as ``"the largest dark cell"``. Upper and lower case, articles and the
        plural make no difference.

    Returns
    -------
    Phrase

    Raises
    ------
    InvalidPromptError
        If a word is not understood, or if the phrase is too long, says nothing, or says two
        things at once. The message tells what is understood.

    Examples
    --------
    >>> parse("the red striped discs on the left").words
    ('red', 'striped', 'disc', 'place:left')
    >>> parse("a star above the largest ring").anchor
    Phrase(count=None, rank='largest', size=None, tone=None, colour=None, texture=None, \
shape='ring', place=None, relation=None, anchor=None)
    """
    if len(text) > MOST_CHARACTERS:
        raise InvalidPromptError(
            f"the text has {len(text)} characters: the built-in text tower understands phrases "
            f"of at most {MOST_CHARACTERS}, such as 'the largest dark cell'"
        )
    plain = " ".join(re.sub(r"[^\w\s-]", " ", text.lower()).split())
    for pattern, meaning in _IDIOMS:
        plain = pattern.sub(meaning, plain)
    words = plain.split()
    known = _KNOWN.keys() | _NOUNS | _FILLERS
    unknown = list(dict.fromkeys(word for word in words if word not in known))
    if unknown or not any(character.isalnum() for character in text):
        named = ", ".join(repr(word[:30]) for word in unknown[:5]) or repr(text[:30])
        raise InvalidPromptError(
            f"the built-in text tower does not understand {named}; it understands {understood()}"
        )
    return _phrase(words)


def _phrase(words: list[str]) -> Phrase:
    """The phrase that known words make; a relation begins a second one."""
    phrase, named = Phrase(), False
    for index, word in enumerate(words):
        if word in _NOUNS:
            named = True
        if word not in _KNOWN:
            continue
        slot, value = _KNOWN[word]
        before = getattr(phrase, slot)
        if before is not None and before != value:
            raise InvalidPromptError(
                f"the text says both {before!r} and {value!r}: one {slot} can be asked for at once"
            )
        phrase = replace(phrase, **{slot: value})  # type: ignore[arg-type]
        if slot == "relation":
            anchor = _phrase(words[index + 1 :])
            if anchor.relation or anchor.place or anchor.count:
                raise InvalidPromptError(
                    "after a relation one object can be named, without a number, a place or "
                    "a further relation: such as 'discs above the red star'"
                )
            return replace(phrase, anchor=anchor)
    if phrase.empty and not named:
        raise InvalidPromptError(
            f"the text names nothing to look for; the built-in text tower understands "
            f"{understood()}"
        )
    return phrase
