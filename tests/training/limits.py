"""A disk that takes no more, without one: files that may not grow."""

import resource
from contextlib import contextmanager


@contextmanager
def no_room_beyond(size):
    """Writing beyond so many bytes of a file fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
