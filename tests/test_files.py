"""No file is ever half-written under its final name."""

import os
import threading
from pathlib import Path

import pytest

from sam_plugins.files import atomic_path, visible_files


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_the_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "folder" / "a.png"
    with atomic_path(str(path)) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".png"
        assert temporary.name.startswith(".")
        assert temporary.stat().st_size == 0
        temporary.write_text("complete")
        assert not path.exists()
    assert path.read_text() == "complete"
    assert names(path.parent) == ["a.png"]


def half_written(path, error):
    path.write_text("half")
    raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, OSError])
def test_an_error_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.txt"
    for before in (None, "before"):
        if before is not None:
            path.write_text(before)
        with pytest.raises(error), atomic_path(path) as temporary:
            half_written(temporary, error)
        assert names(tmp_path) == ([] if before is None else ["a.txt"])
        if before is not None:
            assert path.read_text() == before


def test_a_writer_may_replace_or_remove_the_temporary_file(tmp_path):
    path = tmp_path / "a.txt"
    with atomic_path(path) as temporary:
        other = tmp_path / "other"
        other.write_text("renamed onto it")
        other.replace(temporary)
    assert path.read_text() == "renamed onto it"
    with pytest.raises(FileNotFoundError), atomic_path(path) as temporary:
        temporary.unlink()
    assert path.read_text() == "renamed onto it"
    assert names(tmp_path) == ["a.txt"]


def test_long_names_and_names_of_other_alphabets(tmp_path):
    for name in (
        "x" * 251 + ".txt",
        "ж" * 125 + ".png",
        "画像" * 40,
        ".hidden",
        "no suffix",
        "a.b.c",
    ):
        with atomic_path(tmp_path / name) as temporary:
            temporary.write_text(name)
        assert (tmp_path / name).read_text() == name
        (tmp_path / name).unlink()
    assert names(tmp_path) == []


def test_a_folder_of_that_name_is_not_replaced(tmp_path):
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OSError, match=r"a\.txt"), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "a.txt").is_dir()
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_permissions_are_those_that_open_gives(tmp_path):
    for umask in (0o022, 0o077, 0o002):
        before = os.umask(umask)
        try:
            opened = tmp_path / f"opened-{umask}"
            opened.open("w").close()
            with atomic_path(tmp_path / f"atomic-{umask}") as temporary:
                temporary.write_text("new")
        finally:
            os.umask(before)
        atomic = tmp_path / f"atomic-{umask}"
        assert atomic.stat().st_mode == opened.stat().st_mode
    path = tmp_path / "atomic-18"
    path.chmod(0o640)
    with atomic_path(path) as temporary:
        temporary.write_text("newer")
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_a_link_stays_a_link(tmp_path):
    target = tmp_path / "target" / "a.txt"
    target.parent.mkdir()
    target.write_text("before")
    link = tmp_path / "link.txt"
    link.symlink_to(target)
    with atomic_path(link) as temporary:
        temporary.write_text("after")
    assert link.is_symlink()
    assert target.read_text() == "after"
    assert names(target.parent) == ["a.txt"]


def test_a_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with atomic_path("a.txt") as temporary:
        temporary.write_text("complete")
    assert Path("a.txt").read_text() == "complete"


def test_a_reader_sees_one_of_the_writers_whole_files(tmp_path):
    path = tmp_path / "a.txt"
    texts = [letter * 100_000 for letter in "abcd"]
    done = threading.Event()
    seen = set()

    def write(text):
        for _ in range(20):
            with atomic_path(path) as temporary:
                temporary.write_text(text)

    def read():
        while not done.is_set():
            if path.exists():
                seen.add(path.read_text())

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(text,)) for text in texts]
    reader.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert seen
    assert seen <= set(texts)
    assert names(tmp_path) == ["a.txt"]


def test_writers_that_put_a_private_file_there_do_not_make_it_private(tmp_path):
    def write_privately(path):
        other = path.with_name("other")
        other.touch(mode=0o600)
        other.replace(path)

    (tmp_path / "plain").touch()
    with atomic_path(tmp_path / "file") as temporary:
        write_privately(temporary)
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_files_of_a_folder_and_below(tmp_path):
    for name in ("b.json", "a.JSON", "below/c.json", ".hidden.json", ".git/d.json", "e.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.json").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in visible_files(tmp_path, [".json"])]
    assert found == ["a.JSON", "b.json", "below/c.json"]
