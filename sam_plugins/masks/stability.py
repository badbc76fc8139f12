"""How little a mask changes when its threshold moves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def stability_score(
    logits: NDArray[np.floating], *, threshold: float = 0.0, offset: float = 1.0
) -> NDArray[Any]:
    """IoU of a mask cut a little above and a little below its threshold (paper, §B).

    Parameters
    ----------
    logits : ndarray of shape (..., H, W)
        Unthresholded masks.
    threshold : float
        Logits above it are foreground.
    offset : float
        How far above and below, in logits.

    Returns
    -------
    ndarray of shape (...), float64
        1 is perfectly stable. A mask that is empty at both cuts scores 0.

    Examples
    --------
    >>> stability_score(np.array([[3.0, 0.5], [-3.0, 2.0]])).item() == 2 / 3
    True
    """
    high = (logits > threshold + offset).sum(axis=(-2, -1), dtype=np.int64)
    low = (logits > threshold - offset).sum(axis=(-2, -1), dtype=np.int64)
    return np.divide(high, low, out=np.zeros(np.shape(low)), where=low > 0)
