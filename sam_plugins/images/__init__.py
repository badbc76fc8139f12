"""Images as scientists have them: reading files, normalising values, telling images apart."""

from sam_plugins.images.content import content_key
from sam_plugins.images.normalization import Normalization
from sam_plugins.images.planes import image_size
from sam_plugins.images.reading import count_pages, read_image
from sam_plugins.images.rgb import to_rgb

__all__ = ["Normalization", "content_key", "count_pages", "image_size", "read_image", "to_rgb"]
