"""A project's labelling config: which image is shown, and which controls take which labels."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from sam_plugins.errors import SamPluginsError

# Tags whose regions hold a mask, the most exact first, with the type of their regions.
MASK_TAGS = {
    "BrushLabels": "brushlabels",
    "BitmaskLabels": "bitmasklabels",
    "PolygonLabels": "polygonlabels",
    "EllipseLabels": "ellipselabels",
    "RectangleLabels": "rectanglelabels",
    "Brush": "brush",
    "Bitmask": "bitmask",
    "Polygon": "polygon",
    "Ellipse": "ellipse",
    "Rectangle": "rectangle",
}

# A config is some kilobytes; this is far beyond any.
MOST_CHARACTERS = 1_000_000
# Each control's labels are looked for in all that is in it.
MOST_TAGS, MOST_CONTROLS = 20_000, 200


class LabellingConfigError(SamPluginsError, ValueError):
    """A labelling config cannot be read, or shows no image, or has no place for masks."""


@dataclass(frozen=True)
class Control:
    """A tag that takes regions.

    Parameters
    ----------
    name : str
        The regions' ``from_name``.
    to_name : str
        The image's name.
    tag : str
        For example ``"BrushLabels"``.
    labels : tuple of str
        What it offers; empty for a tag without labels.
    smart : bool
        Whether people prompt with it.
    """

    name: str
    to_name: str
    tag: str
    labels: tuple[str, ...]
    smart: bool

    @property
    def region_type(self) -> str:
        """The ``type`` of its regions, which is also their key of labels."""
        return MASK_TAGS.get(self.tag, self.tag.lower())


@dataclass(frozen=True)
class LabellingConfig:
    """What of a labelling config matters to masks.

    Parameters
    ----------
    images : dict of str to str
        Names of the images, with the field of a task that holds each.
    controls : tuple of Control
        In the order of the config.
    """

    images: dict[str, str]
    controls: tuple[Control, ...]

    def image_of(self, to_name: str | None = None) -> tuple[str, str]:
        """Find an image.

        Parameters
        ----------
        to_name : str, optional
            Its name; the first one if omitted.

        Returns
        -------
        name, field : str
            The image's name and the task's field that holds its address.

        Raises
        ------
        LabellingConfigError
            If there is no such image.
        """
        name = next(iter(self.images)) if to_name is None else to_name
        if name not in self.images:
            raise LabellingConfigError(f"the labelling config shows no image {name!r}")
        return name, self.images[name]

    def output_for(self, label: str | None, to_name: str) -> tuple[Control, str | None]:
        """Choose where a mask goes.

        Parameters
        ----------
        label : str or None
            The prompt's.
        to_name : str
            The image's name.

        Returns
        -------
        control : Control
            The most exact one that has the label, those that people do not prompt with first.
        label : str or None
            The label there: the prompt's, or the only one that there is, or none.

        Raises
        ------
        LabellingConfigError
            If no control takes masks of this image.
        """
        order = list(MASK_TAGS)
        fitting = [
            each for each in self.controls if each.to_name == to_name and each.tag in MASK_TAGS
        ]
        if not fitting:
            raise LabellingConfigError(
                f"the labelling config has no place for masks of {to_name!r}: add for example "
                f'<BrushLabels name="masks" toName="{to_name}">'
            )

        def rank(control: Control) -> tuple[bool, bool, int]:
            box = control.tag in ("RectangleLabels", "Rectangle")
            # A smart rectangle is a prompt rather than an answer; a smart brush is both.
            return label not in control.labels, control.smart and box, order.index(control.tag)

        control = min(fitting, key=rank)
        if label in control.labels:
            return control, label
        return control, control.labels[0] if len(control.labels) == 1 else None


def read_labelling_config(xml: str) -> LabellingConfig:
    """Read a labelling config.

    Parameters
    ----------
    xml : str
        As the project has it.

    Returns
    -------
    LabellingConfig

    Raises
    ------
    LabellingConfigError
        If it cannot be read, or shows no image.
    """
    if not isinstance(xml, str) or len(xml) > MOST_CHARACTERS:
        raise LabellingConfigError(f"a labelling config has at most {MOST_CHARACTERS} characters")
    # Entities are how a small text becomes a large one; Label Studio's configs have none.
    if "<!doctype" in xml.lower() or "<!entity" in xml.lower():
        raise LabellingConfigError("the labelling config has a document type or entities")
    try:
        root = ElementTree.fromstring(xml)
    # Half of a character is no XML either.
    except (ElementTree.ParseError, UnicodeError) as error:
        raise LabellingConfigError(f"the labelling config cannot be read: {error}") from error
    tags = list(itertools.islice(root.iter(), MOST_TAGS + 1))
    if len(tags) > MOST_TAGS:
        raise LabellingConfigError(f"the labelling config has more than {MOST_TAGS} tags")
    images = {
        each.get("name", ""): each.get("value", "").removeprefix("$")
        for each in root.iter("Image")
        if each.get("name")
    }
    if not images:
        raise LabellingConfigError("the labelling config shows no image")
    controls = [each for each in tags if each.get("toName") in images]
    if len(controls) > MOST_CONTROLS:
        raise LabellingConfigError(f"the labelling config has more than {MOST_CONTROLS} controls")
    return LabellingConfig(images, tuple(map(_control, controls)))


def _control(element: Element) -> Control:
    named = (each.get("alias") or each.get("value") for each in element.iter("Label"))
    labels = tuple(name for name in named if name)
    return Control(
        name=element.get("name", ""),
        to_name=element.get("toName", ""),
        tag=element.tag,
        labels=labels,
        smart=element.get("smart", "").lower() == "true",
    )
