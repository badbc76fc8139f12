"""``Normalization``: how an image's values become 8 bits."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any, Literal, get_args

Kind = Literal["auto", "percentile", "minmax", "limits", "none"]

# Two values in a thousand saturate at each end. The upper end is the one that the CARE and
# StarDist family normalises fluorescence images with; together they are close to the 0.35 % of
# ImageJ's "Enhance Contrast". Hot pixels are far fewer, small bright objects mostly more.
DEFAULT_PERCENTILES = (0.2, 99.8)

# Raised when the same settings come to give other 8-bit values: embeddings that were cached under
# the old key are then computed anew.
_VERSION = 1


@dataclass(frozen=True)
class Normalization:
    """How values become 8-bit RGB.

    Parameters
    ----------
    kind : {"auto", "percentile", "minmax", "limits", "none"}
        - ``"auto"``: 8-bit values stay as they are, bool becomes 0 and 255, all others go by
          percentiles (floats between 0 and 1 too: many that are meant so fill a part of it only).
        - ``"percentile"``: from the low to the high percentile of the finite values.
        - ``"minmax"``: from the least to the greatest finite value.
        - ``"limits"``: from a given low to a given high value, such as a viewer's contrast limits.
        - ``"none"``: values are 0 .. 255 already; others are refused.
    percentiles : tuple of float
        Low and high, 0 .. 100, for ``"auto"`` and ``"percentile"``.
    limits : tuple of float, optional
        Low and high, for ``"limits"``.
    channels : int or tuple of int, optional
        Which channels to see, counted from 0: one (seen as gray), two (as red and green) or three
        (as red, green and blue). One may be repeated: ``(0, 1, 0)`` shows two stains as magenta and
        green. If omitted, an image must have 1, 3 or 4 channels; the fourth, alpha, is dropped.

    Raises
    ------
    ValueError
        If a field is not as described.

    Notes
    -----
    The limits hold for all chosen channels together, so that their proportions, that is the
    colours, stay. In every kind but ``"none"`` values beyond the limits saturate, -inf becomes 0
    and +inf 255; NaN becomes 0. A constant image becomes 0.

    Examples
    --------
    >>> Normalization().key()
    'v1 auto 0.2 99.8'
    >>> Normalization(kind="limits", limits=(100, 4000), channels=2).key()
    'v1 limits 100.0 4000.0 channels 2'
    >>> Normalization(kind="limits", limits=(5, 5))
    Traceback (most recent call last):
        ...
    ValueError: limits must be two finite numbers, the low one first, got (5, 5)
    """

    kind: Kind = "auto"
    percentiles: tuple[float, float] = DEFAULT_PERCENTILES
    limits: tuple[float, float] | None = None
    channels: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            accepted = ", ".join(repr(kind) for kind in get_args(Kind))
            raise ValueError(f"kind must be one of {accepted}, got {self.kind!r}")
        percentiles = _pair(self.percentiles, "percentiles")
        if percentiles[0] < 0 or percentiles[1] > 100:
            raise ValueError(f"percentiles must lie in 0 .. 100, got {self.percentiles!r}")
        object.__setattr__(self, "percentiles", percentiles)
        if (self.limits is not None) != (self.kind == "limits"):
            raise ValueError(
                "limits and the kind 'limits' belong together, got "
                f"limits={self.limits!r} and kind={self.kind!r}"
            )
        if self.limits is not None:
            object.__setattr__(self, "limits", _pair(self.limits, "limits"))
        object.__setattr__(self, "channels", _channels(self.channels))

    @property
    def chosen(self) -> tuple[int, ...] | None:
        """The chosen channels as a tuple of one to three, or None if none was chosen."""
        return (self.channels,) if isinstance(self.channels, int) else self.channels

    def key(self) -> str:
        """Text that is the same for settings with the same effect, on every machine."""
        words = [f"v{_VERSION}", self.kind]
        if self.kind in ("auto", "percentile"):
            words += [repr(value) for value in self.percentiles]
        if self.limits is not None:
            words += [repr(value) for value in self.limits]
        if self.chosen is not None:
            words += ["channels", *(str(channel) for channel in self.chosen)]
        return " ".join(words)


def _pair(value: Any, name: str) -> tuple[float, float]:
    """Two finite numbers, the lower first."""
    try:
        low, high = (float(number) for number in value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be two numbers (low, high), got {value!r}") from error
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"{name} must be two finite numbers, the low one first, got {value!r}")
    return low, high


def _channels(value: Any) -> int | tuple[int, ...] | None:
    """One channel as an int, two or three as a tuple."""
    if value is None:
        return None
    try:
        given = tuple(value) if hasattr(value, "__len__") else (value,)
        indices = tuple(operator.index(channel) for channel in given)
    except TypeError as error:
        raise ValueError(f"channels must be whole numbers, got {value!r}") from error
    if len(indices) not in (1, 2, 3) or min(indices) < 0:
        raise ValueError(f"channels must be one to three numbers from 0 on, got {value!r}")
    return indices[0] if len(indices) == 1 else indices
