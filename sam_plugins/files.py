"""Writing files so that none is ever half-written under its final name."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place when the block ends well.

    The temporary file lies in the same folder, so that the final rename is atomic, and keeps the
    suffix of ``path``, because image writers choose the format by it. If the block raises, the
    temporary file is removed and whatever stood at ``path`` before is untouched.

    Parameters
    ----------
    path : path-like
        The final path. Its folder is made if it is missing.

    Yields
    ------
    Path
        An empty file to write to.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with atomic_path(folder / "a.txt") as temporary:
    ...     _ = temporary.write_text("complete")
    >>> [entry.name for entry in folder.iterdir()]
    ['a.txt']
    """
    final = Path(path)
    final.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{final.name}.", suffix=f".partial{final.suffix}", dir=final.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; the final file gets the permissions that open() would give.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)
