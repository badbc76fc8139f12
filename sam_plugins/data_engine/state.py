"""``State``: what a data engine knows, in one SQLite file that survives being killed.

Whatever belongs together is written in one transaction: an image's masks and that they are
complete, a round's model and its scores. A process that is killed between two of them has lost what
it was just computing, and nothing else.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sam_plugins.data_engine.records import EngineError, Round, Source, SourceImage, Work
from sam_plugins.datasets.annotations import AnnotatedObject

# Raised when the tables change.
VERSION = 1

# Seconds that a command waits while another one writes.
WAIT = 60.0

_TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE images (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, path TEXT NOT NULL, page INTEGER NOT NULL,
    held_out INTEGER NOT NULL
);
CREATE TABLE done (
    image INTEGER NOT NULL, stage INTEGER NOT NULL, source TEXT NOT NULL, made_with TEXT NOT NULL,
    height INTEGER NOT NULL, width INTEGER NOT NULL, PRIMARY KEY (image, stage)
);
CREATE TABLE masks (
    image INTEGER NOT NULL, stage INTEGER NOT NULL, number INTEGER NOT NULL, source TEXT NOT NULL,
    counts TEXT NOT NULL, class TEXT NOT NULL, predicted_iou REAL, stability_score REAL,
    points TEXT NOT NULL, crop TEXT, clicks INTEGER, seconds REAL,
    PRIMARY KEY (image, stage, number)
);
CREATE TABLE failures (
    image INTEGER NOT NULL, stage INTEGER NOT NULL, message TEXT NOT NULL,
    PRIMARY KEY (image, stage)
);
CREATE TABLE rounds (
    number INTEGER PRIMARY KEY, model TEXT NOT NULL, masks INTEGER NOT NULL, scores TEXT NOT NULL
);
"""


class State:
    """The tables of one data engine.

    Parameters
    ----------
    path : path-like
        The SQLite file, made by `create`.

    Raises
    ------
    EngineError
        If there is no such file, or it is of another version.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise EngineError(f"there is no data engine in {self.path.parent}: begin with init")
        try:
            version = self.about("version")
        except sqlite3.DatabaseError as error:
            raise EngineError(f"{self.path} is no data engine's state: {error}") from error
        if version != str(VERSION):
            raise EngineError(f"{self.path} is of version {version}, this is version {VERSION}")

    @classmethod
    def create(
        cls, path: str | os.PathLike[str], images: Sequence[SourceImage], about: Mapping[str, str]
    ) -> State:
        """Make the file, complete or not at all.

        Parameters
        ----------
        path : path-like
            The file.
        images : sequence of SourceImage
            In the order in which people get them.
        about : mapping
            What is kept beside them.

        Returns
        -------
        State

        Raises
        ------
        EngineError
            If there is one already, or two images have one name.
        """
        final = Path(path)
        if final.exists():
            raise EngineError(f"there is a data engine in {final.parent} already")
        if len({image.name for image in images}) < len(images):
            raise EngineError("two images have the same name")
        from sam_plugins.files import atomic_path

        rows = [
            (number, each.name, each.path, each.page, int(each.held_out))
            for number, each in enumerate(images, start=1)
        ]
        known = {**about, "version": str(VERSION)}
        with (
            atomic_path(final) as temporary,
            closing(sqlite3.connect(temporary)) as connection,
            connection,
        ):
            connection.executescript(_TABLES)
            connection.executemany("INSERT INTO images VALUES (?, ?, ?, ?, ?)", rows)
            connection.executemany("INSERT INTO about VALUES (?, ?)", known.items())
        return cls(final)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection whose changes are all kept, or none if the block raises."""
        with closing(sqlite3.connect(self.path, timeout=WAIT)) as connection, connection:
            yield connection

    def about(self, name: str) -> str | None:
        """What was kept beside the images.

        Parameters
        ----------
        name : str
            Under which name.

        Returns
        -------
        str or None
            None if nothing is.
        """
        with self._open() as tables:
            row = tables.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def images(self) -> list[SourceImage]:
        """All images, in order."""
        with self._open() as tables:
            rows = tables.execute(
                "SELECT name, path, page, id, held_out FROM images ORDER BY id"
            ).fetchall()
            return [SourceImage(*row) for row in rows]

    def done(self, stage: int) -> dict[int, tuple[Source, str]]:
        """The images that are complete in a stage.

        Parameters
        ----------
        stage : int
            1, 2 or 3.

        Returns
        -------
        dict of int to (str, str)
            By the image's id: who has seen it last, and what the masks were made with.
        """
        with self._open() as tables:
            rows = tables.execute(
                "SELECT image, source, made_with FROM done WHERE stage = ?", (stage,)
            )
            return {image: (source, made_with) for image, source, made_with in rows}

    def put(self, work: Work, *, stage: int, source: Source, made_with: str = "") -> None:
        """Keep an image's masks in place of those that it had in this stage: it is complete.

        Parameters
        ----------
        work : Work
            The masks.
        stage : int
            1, 2 or 3.
        source : str
            Who has seen the image last.
        made_with : str
            What the masks depend on, if the model made them.
        """
        image = work.image.id
        rows = [
            (image, stage, number, by, *_columns(each))
            for number, (each, by) in enumerate(
                zip(work.objects, work.sources, strict=True), start=1
            )
        ]
        with self._open() as tables:
            self._forget(tables, image, stage)
            tables.executemany(f"INSERT INTO masks VALUES ({', '.join('?' * 12)})", rows)
            done = (image, stage, source, made_with, *work.size)
            tables.execute("INSERT INTO done VALUES (?, ?, ?, ?, ?, ?)", done)

    def fail(self, image: int, *, stage: int, message: str) -> None:
        """Keep why an image has no masks in a stage.

        Parameters
        ----------
        image : int
            Its id.
        stage : int
            1, 2 or 3.
        message : str
            Why.
        """
        with self._open() as tables:
            self._forget(tables, image, stage)
            tables.execute("INSERT INTO failures VALUES (?, ?, ?)", (image, stage, message))

    @staticmethod
    def _forget(tables: sqlite3.Connection, image: int, stage: int) -> None:
        for table in ("masks", "done", "failures"):
            tables.execute(f"DELETE FROM {table} WHERE image = ? AND stage = ?", (image, stage))

    def failures(self, stage: int) -> dict[int, str]:
        """Why images have no masks in a stage.

        Parameters
        ----------
        stage : int
            1, 2 or 3.

        Returns
        -------
        dict of int to str
            By the image's id.
        """
        with self._open() as tables:
            rows = tables.execute("SELECT image, message FROM failures WHERE stage = ?", (stage,))
            return dict(rows.fetchall())

    def work(self, image: SourceImage, stage: int) -> Work | None:
        """An image's masks in a stage.

        Parameters
        ----------
        image : SourceImage
            Which image.
        stage : int
            1, 2 or 3.

        Returns
        -------
        Work or None
            None if it is not complete.
        """
        key = (image.id, stage)
        with self._open() as tables:
            done = tables.execute(
                "SELECT height, width FROM done WHERE image = ? AND stage = ?", key
            ).fetchone()
            rows = tables.execute(
                "SELECT number, source, counts, class, predicted_iou, stability_score, points, "
                "crop, clicks, seconds FROM masks WHERE image = ? AND stage = ? ORDER BY number",
                key,
            ).fetchall()
        if done is None:
            return None
        size = (int(done[0]), int(done[1]))
        objects = tuple(_object_of(row, size) for row in rows)
        return Work(image, size, objects, tuple(row[1] for row in rows))

    def totals(self) -> list[tuple[int, str, int, int, float | None, float | None]]:
        """By stage and source: masks, images, mean clicks and mean seconds a mask."""
        with self._open() as tables:
            return tables.execute(
                "SELECT stage, source, COUNT(*), COUNT(DISTINCT image), AVG(clicks), AVG(seconds) "
                "FROM masks GROUP BY stage, source ORDER BY stage, source"
            ).fetchall()

    def masks_by_people(self) -> int:
        """How many masks people have made."""
        with self._open() as tables:
            found = tables.execute("SELECT COUNT(*) FROM masks WHERE source = 'person'").fetchone()
        return int(found[0])

    def rounds(self) -> list[Round]:
        """All rounds, in order."""
        with self._open() as tables:
            rows = tables.execute("SELECT number, model, masks, scores FROM rounds ORDER BY number")
            return [Round(row[0], row[1], row[2], json.loads(row[3])) for row in rows]

    def add_round(self, finished: Round) -> None:
        """Keep a round whose model is written.

        Parameters
        ----------
        finished : Round
            With a new number.
        """
        row = (finished.number, finished.model, finished.masks, json.dumps(finished.scores))
        with self._open() as tables:
            tables.execute("INSERT INTO rounds VALUES (?, ?, ?, ?)", row)


def _columns(each: AnnotatedObject) -> tuple[Any, ...]:
    return (
        each.segmentation["counts"],
        each.class_name,
        each.predicted_iou,
        each.stability_score,
        json.dumps(each.point_coords),
        None if each.crop_box is None else json.dumps(each.crop_box),
        each.clicks,
        each.seconds,
    )


def _object_of(row: Sequence[Any], size: tuple[int, int]) -> AnnotatedObject:
    number, _, counts, name, predicted_iou, stability, points, crop, clicks, seconds = row
    return AnnotatedObject(
        label=number,
        segmentation={"size": list(size), "counts": counts},
        class_name=name,
        predicted_iou=predicted_iou,
        stability_score=stability,
        point_coords=tuple((x, y) for x, y in json.loads(points)),
        crop_box=None if crop is None else tuple(json.loads(crop)),
        clicks=clicks,
        seconds=seconds,
    )
