"""The errors that the public functions raise.

Every message is one line that names the offending value and says what would be accepted, so that a
command line, a napari notification or an HTTP answer can show it as it is.
"""


class SamPluginsError(Exception):
    """Base of all errors raised on purpose by this project."""


class InvalidImageError(SamPluginsError, ValueError):
    """The image cannot be segmented: empty, without a finite value, of a wrong shape or type."""


class InvalidPromptError(SamPluginsError, ValueError):
    """The prompt is empty, malformed or outside the image."""


class CheckpointError(SamPluginsError, ValueError):
    """The checkpoint is corrupt, incomplete, unsafe or of another architecture."""


class CheckpointNotFoundError(SamPluginsError, FileNotFoundError):
    """There is no checkpoint of that name, path or URL."""


class DownloadError(SamPluginsError, OSError):
    """A checkpoint could not be downloaded."""


class CancelledError(SamPluginsError):
    """The caller's ``cancelled`` callback asked to stop."""


class EmbeddingFileError(SamPluginsError, ValueError):
    """The file is no embedding, or a damaged one."""


class InvalidMaskError(SamPluginsError, ValueError):
    """The mask, its run-length encoding or the file it stands in is malformed."""


class AnnotationFileError(InvalidMaskError):
    """The file of masks is damaged, malformed or of another kind than was asked for."""
