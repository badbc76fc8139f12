"""For those who run Label Studio's own ML SDK: our answers as a subclass of its base class.

``SamBackend`` is made when it is first asked for, so that importing this package needs no SDK.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labelstudio_backend.stock.backend import SamBackend

__all__ = ["SamBackend"]


def __getattr__(name: str) -> Any:
    if name != "SamBackend":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from labelstudio_backend.stock.backend import SamBackend

    return SamBackend
