"""Scientific images: reading files, and turning values of any kind into what a model sees.

A model sees 8-bit RGB. `read_image` brings a file into memory without losing bit depth, `to_rgb`
maps any array to (H, W, 3), uint8, as a `Normalization` says, and `content_key` tells whether two
images are the same one.

Axes
----
An image is (H, W), (H, W, C) or (C, H, W). For three axes the channels' is found by these rules,
in this order, unless ``channel_axis`` names it:

1. the last axis, if its length is 1, 3 or 4;
2. the first axis, if its length is 1, 3 or 4;
3. the first or the last axis, if it is shorter than both other axes.

One channel is gray, three are RGB, four are RGBA, of which alpha is dropped, as it is for those
who use the reference. Another number of channels needs a choice by ``Normalization(channels=...)``,
also two, which may be gray with alpha or two stains: a guess would give wrong masks in silence.
Leading axes of length 1 are dropped from arrays of more than three axes.
"""

from sam_plugins.images.content import content_key
from sam_plugins.images.normalization import Normalization
from sam_plugins.images.planes import Planes, image_size
from sam_plugins.images.reading import count_pages, read_image
from sam_plugins.images.rgb import to_rgb

__all__ = [
    "Normalization",
    "Planes",
    "content_key",
    "count_pages",
    "image_size",
    "read_image",
    "to_rgb",
]
