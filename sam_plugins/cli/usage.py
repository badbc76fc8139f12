"""What was said wrongly on the command line, as opposed to work that failed: exit code 2, not 1."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from sam_plugins.cli.terminal import one_line


@contextmanager
def wrong_use(hint: str | None = None) -> Iterator[None]:
    """Turn a ValueError or FileNotFoundError of the block into one of wrong use.

    Parameters
    ----------
    hint : str, optional
        The option that is wrong, such as ``"--point"``.

    Raises
    ------
    typer.BadParameter
        With the error's message.
    """
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise typer.BadParameter(one_line(error), param_hint=hint) from error


def parse_point(text: str) -> tuple[float, float, int]:
    """Read ``X,Y`` or ``X,Y,LABEL``.

    Parameters
    ----------
    text : str
        Coordinates in pixels of the image; the label is 1 (foreground, the default) or
        0 (background).

    Returns
    -------
    tuple
        (x, y, label).

    Raises
    ------
    ValueError
        If it is not of that form. Whether the label is known is checked by `Prompt`.

    Examples
    --------
    >>> parse_point("120,80"), parse_point("120.5,80,0")
    ((120.0, 80.0, 1), (120.5, 80.0, 0))
    """
    parts = text.split(",")
    try:
        if len(parts) not in (2, 3):
            raise ValueError
        label = int(parts[2]) if len(parts) == 3 else 1
        return float(parts[0]), float(parts[1]), label
    except ValueError:
        raise ValueError(f"{text!r} is not X,Y or X,Y,LABEL, for example 120,80,1") from None


def parse_box(text: str) -> tuple[float, float, float, float]:
    """Read ``X0,Y0,X1,Y1``, in pixels of the image.

    Raises
    ------
    ValueError
        If it is not of that form. The order of the corners is checked by `Prompt`.

    Examples
    --------
    >>> parse_box("10,20,110,90")
    (10.0, 20.0, 110.0, 90.0)
    """
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{text!r} is not X0,Y0,X1,Y1, for example 10,20,110,90") from None
    return x0, y0, x1, y1
