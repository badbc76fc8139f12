"""``Normalization``: how the values of an image become 8 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Kind = Literal["auto", "percentile", "minmax", "limits", "none"]


@dataclass(frozen=True)
class Normalization:
    """How the values of an image become 8-bit RGB.

    Parameters
    ----------
    kind : str
        ``"auto"``: 8-bit and boolean values as they are, all others as by ``"percentile"``.
        ``"percentile"``: between two percentiles of the finite values.
        ``"minmax"``: between the least and the greatest finite value.
        ``"limits"``: between two given values, such as a viewer's contrast limits.
        ``"none"``: 8-bit and boolean values as they are; others are an error.
    percentiles : tuple of float
        Low and high, in 0 .. 100. The defaults are those of CSBDeep and StarDist, at which a few
        hot or dead pixels do not matter.
    limits : tuple of float, optional
        Low and high value, for ``"limits"``.
    channels : int or tuple of int, optional
        Which channels to show: one as gray, two as red and green, three as red, green and blue.
        By default a gray image is gray, three channels are RGB, and a fourth, alpha, is dropped.

    Raises
    ------
    ValueError
        If a field is out of its range.

    Notes
    -----
    All channels are mapped alike, so that colours keep their balance.

    Examples
    --------
    >>> Normalization(kind="limits", limits=(0, 4095)).key()
    'limits:0.0:4095.0:None'
    """

    kind: Kind = "auto"
    percentiles: tuple[float, float] = (1.0, 99.8)
    limits: tuple[float, float] | None = None
    channels: int | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"unknown normalization {self.kind!r}: use one of {get_args(Kind)}")
        low, high = self.percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(f"percentiles must rise in 0 .. 100, got {self.percentiles}")
        if self.kind == "limits":
            if self.limits is None:
                raise ValueError("the normalization 'limits' needs limits=(low, high)")
            if not (np.isfinite(self.limits).all() and self.limits[0] < self.limits[1]):
                raise ValueError(f"limits must be finite and rise, got {self.limits}")
        if isinstance(self.channels, tuple | list):
            object.__setattr__(self, "channels", tuple(int(each) for each in self.channels))
            if not 1 <= len(self.channels) <= 3:  # type: ignore[arg-type]
                raise ValueError(f"1 to 3 channels can be shown, got {self.channels}")

    def key(self) -> str:
        """Text that is the same for normalisations that do the same."""
        details: tuple[object, ...] = ()
        if self.kind in ("auto", "percentile"):
            details = tuple(float(value) for value in self.percentiles)
        elif self.kind == "limits" and self.limits is not None:
            details = tuple(float(value) for value in self.limits)
        return ":".join(str(part) for part in (self.kind, *details, self.channels))
