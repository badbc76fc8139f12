"""Files: writing them so that none is ever half-written under its final name; listing them."""

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place when the block ends well.

    The temporary file lies in the same folder, so that the final rename is atomic, and keeps the
    suffix of ``path``, because image writers choose the format by it. If the block raises, the
    temporary file is removed and whatever stood at ``path`` before is untouched. Permissions are
    those that ``open`` would give: those of the file that is replaced, or of a new one. If ``path``
    is a link, it stays one, and what it points to is replaced.

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
    final = Path(os.path.realpath(path))
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = _create_beside(final)
    mode = temporary.stat().st_mode
    try:
        yield temporary
        # Some writers put a private file of their own in its place.
        temporary.chmod(mode)
        with suppress(FileNotFoundError):
            shutil.copymode(final, temporary)
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def visible_files(folder: str | os.PathLike[str], suffixes: Sequence[str]) -> list[Path]:
    """List the files of a folder and of the folders below.

    Parameters
    ----------
    folder : path-like
        Where to look.
    suffixes : sequence of str
        How names may end, in small letters; capitals are taken for the same.

    Returns
    -------
    list of Path
        Sorted. What begins with a dot, or lies in a folder that does, is left out.
    """
    base = Path(folder)
    return [
        path
        for path in sorted(base.rglob("*"))
        if path.name.lower().endswith(tuple(suffixes))
        and not any(part.startswith(".") for part in path.relative_to(base).parts)
        and path.is_file()
    ]


def _create_beside(final: Path) -> Path:
    """Make an empty hidden file that no other process has, in the folder of ``final``."""
    while True:
        # A part of the name tells a person whose it was; the whole might make it too long a name.
        name = f".{final.name[:32]}.{secrets.token_hex(4)}.partial{final.suffix}"
        temporary = final.with_name(name)
        try:
            # Not by tempfile, whose files are private: these become what others may read.
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            continue
        return temporary
