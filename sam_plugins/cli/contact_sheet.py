"""A page that shows results side by side: one HTML file, nothing fetched from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.15rem; margin: 0 0 .25rem; }
p { margin: .25rem 0 1rem; }
article { border-top: 1px solid #8886; padding: 1.25rem 0; }
.row { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); }
figure { margin: 0; }
img { background: #8882; border-radius: 4px; display: block; width: 100%; }
figcaption { font-size: .875rem; opacity: .8; padding-top: .25rem; }
"""


@dataclass(frozen=True)
class Picture:
    """One picture of the sheet.

    Parameters
    ----------
    path : str
        Relative to the page, with forward slashes.
    caption : str
        Stands under the picture and in its place where pictures are not shown.
    """

    path: str
    caption: str


@dataclass(frozen=True)
class Row:
    """What is shown of one image.

    Parameters
    ----------
    title, text : str
        Above the pictures.
    pictures : sequence of Picture
        Side by side.
    """

    title: str
    text: str
    pictures: Sequence[Picture]


def contact_sheet(title: str, text: str, rows: Sequence[Row]) -> str:
    """Make the page.

    Parameters
    ----------
    title, text : str
        At the head of the page.
    rows : sequence of Row
        One below the other.

    Returns
    -------
    str
        HTML, to be written as UTF-8.

    Examples
    --------
    >>> row = Row("a & b", "two", [Picture("a b/image.png", "image")])
    >>> page = contact_sheet("Results", "Of today.", [row])
    >>> '<img src="a%20b/image.png" alt="image"' in page, "a &amp; b" in page
    (True, True)
    """
    body = "\n".join(_row(row) for row in rows)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n<p>{escape(text)}</p>\n{body}\n</body>\n</html>\n"
    )


def _row(row: Row) -> str:
    figures = "\n".join(_figure(picture) for picture in row.pictures)
    return (
        f"<article>\n<h2>{escape(row.title)}</h2>\n<p>{escape(row.text)}</p>\n"
        f'<div class="row">\n{figures}\n</div>\n</article>'
    )


def _figure(picture: Picture) -> str:
    caption = escape(picture.caption)
    return (
        f'<figure><a href="{quote(picture.path)}">'
        f'<img src="{quote(picture.path)}" alt="{caption}" loading="lazy"></a>'
        f"<figcaption>{caption}</figcaption></figure>"
    )
