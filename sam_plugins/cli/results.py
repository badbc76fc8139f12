"""The folder of results of ``segment``: what each image gave, and what is already complete.

For every image there is a record, a JSON file in a hidden folder, with all masks and with what they
were made from and how. It is written last, after the results themselves, so that an image with a
record is complete. The COCO file of the whole run is put together from the records, which is why a
run that was killed and resumed ends with the same files as one that was not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sam_plugins.cli.terminal import one_line
from sam_plugins.errors import SamPluginsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sam_plugins.cli.inputs import InputImage, Page
    from sam_plugins.masks.records import MaskRecord

# Raised when the layout of a record changes, so that older ones are not taken for complete.
RECORD_VERSION = 1

# Temporary files of `sam_plugins.files.atomic_path`, which a killed process cannot remove.
_LEFTOVERS = ".*.partial*"


class Format(StrEnum):
    """What ``segment`` writes."""

    COCO = "coco"
    SA1B = "sa1b"
    LABELS = "labels"
    OVERLAY = "overlay"


_SUFFIXES = {
    Format.SA1B: ".json",
    Format.LABELS: ".labels.tif",
    Format.OVERLAY: ".overlay.png",
}


class CannotWriteError(SamPluginsError):
    """The folder of results takes no more: the disk is full, or it is read-only."""


@dataclass(frozen=True)
class Results:
    """The masks of one image.

    Parameters
    ----------
    source : mapping
        Which file they are of: `Page.identity` from before it was read.
    image_size : tuple of int
        (H, W), in pixels.
    records : tuple of MaskRecord
        May be empty.
    """

    source: Mapping[str, Any]
    image_size: tuple[int, int]
    records: tuple[MaskRecord, ...]


@dataclass(frozen=True)
class Record:
    """What is kept of one complete image.

    Parameters
    ----------
    results : Results
        Its masks.
    formats : tuple of Format
        In which formats they were written.
    made_with : mapping
        See `ResultFolder`.
    """

    results: Results
    formats: tuple[Format, ...]
    made_with: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The record as JSON holds it; it has no times, so that equal work gives equal files."""
        return {
            "record": RECORD_VERSION,
            "made_with": self.made_with,
            "source": self.results.source,
            "formats": self.formats,
            "image_size": self.results.image_size,
            "masks": [mask.as_dict() for mask in self.results.records],
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Record:
        """Read what `as_json` gave.

        Raises
        ------
        ValueError, KeyError, TypeError
            If it is damaged or of another version.
        """
        from sam_plugins.masks.records import MaskRecord

        if saved["record"] != RECORD_VERSION:
            raise ValueError(f"record {saved['record']!r} is not of version {RECORD_VERSION}")
        height, width = saved["image_size"]
        masks = tuple(MaskRecord.from_dict(mask) for mask in saved["masks"])
        return cls(
            results=Results(saved["source"], (height, width), masks),
            formats=tuple(Format(name) for name in saved["formats"]),
            made_with=saved["made_with"],
        )


@dataclass(frozen=True)
class ResultFolder:
    """Where the results of one run go.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    formats : sequence of Format
        What is asked for.
    made_with : mapping
        Model and settings, as JSON holds them; a record made with others is not taken.
    """

    folder: Path
    formats: tuple[Format, ...]
    made_with: Mapping[str, Any]

    @property
    def coco_path(self) -> Path:
        """The one COCO file of the run."""
        return self.folder / "instances.json"

    @property
    def _state(self) -> Path:
        return self.folder / ".sam-plugins"

    def prepare(self, images: Sequence[InputImage]) -> None:
        """Make the folder, and remove what writes that were cut off have left in it.

        Parameters
        ----------
        images : sequence of InputImage
            Those whose results will be written.

        Raises
        ------
        CannotWriteError
            If the folder cannot be made.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_write(error) from error
        names = {Path(image.name).parent for image in images}
        for parent in (
            *(self.folder / name for name in names),
            *(self._state / name for name in names),
        ):
            for path in parent.glob(_LEFTOVERS):
                path.unlink(missing_ok=True)

    def load(self, page: Page) -> tuple[Results | None, frozenset[Format]]:
        """What an earlier run has found in an image, if the image and the settings are the same.

        Parameters
        ----------
        page : Page
            The image.

        Returns
        -------
        results : Results or None
            None too if the record is damaged.
        written : frozenset of Format
            In which formats they are there.
        """
        saved = self._read(page)
        if saved is None or saved.made_with != self.made_with:
            return None, frozenset()
        if saved.results.source != page.identity():
            return None, frozenset()
        return saved.results, frozenset(
            each
            for each in saved.formats
            if each is Format.COCO or self._path(page, each).is_file()
        )

    def write(
        self, page: Page, results: Results, rgb: NDArray[np.uint8], missing: Sequence[Format]
    ) -> None:
        """Write an image's results, and last its record: from then on it is complete.

        Parameters
        ----------
        page : Page
            The image's identity.
        results : Results
            Its masks.
        rgb : ndarray of shape (H, W, 3), uint8
            The image as the model saw it, for the overlay.
        missing : sequence of Format
            Which of the formats are to be written.

        Raises
        ------
        CannotWriteError
            If the folder takes no more.
        """
        path = self._record_path(page)
        try:
            path.unlink(missing_ok=True)
            for each in missing:
                self._write_one(page, results, rgb, each)
            _write_json(path, Record(results, self.formats, self.made_with).as_json())
        except OSError as error:
            raise _cannot_write(error) from error

    def write_coco(self, pages: Sequence[Page]) -> None:
        """Write the COCO file of the run from the records of its images.

        Parameters
        ----------
        pages : sequence of Page
            The complete images, in order.

        Raises
        ------
        CannotWriteError
            If the folder takes no more, or a record was removed meanwhile.
        """
        from sam_plugins.datasets.annotations import AnnotatedImage
        from sam_plugins.datasets.coco import write_coco

        entries = []
        for page in pages:
            saved = self._read(page)
            if saved is None:
                raise CannotWriteError(
                    f"the record of {page.name} is gone: was it removed by another run?"
                )
            results = saved.results
            entries.append(
                AnnotatedImage.from_records(page.name, results.image_size, results.records)
            )
        try:
            write_coco(self.coco_path, entries)
        except OSError as error:
            raise _cannot_write(error) from error

    def _read(self, page: Page) -> Record | None:
        """An image's record; None if there is none, or a damaged one."""
        try:
            return Record.from_json(json.loads(self._record_path(page).read_text("utf-8")))
        except (ValueError, KeyError, TypeError, FileNotFoundError):
            return None

    def _write_one(
        self, page: Page, results: Results, rgb: NDArray[np.uint8], chosen: Format
    ) -> None:
        from sam_plugins.datasets.annotations import AnnotatedImage
        from sam_plugins.datasets.label_images import write_labels
        from sam_plugins.datasets.sa1b import write_sa1b
        from sam_plugins.masks.labels import records_to_labels
        from sam_plugins.masks.overlay import write_overlay

        if chosen is Format.SA1B:
            image = AnnotatedImage.from_records(page.name, results.image_size, results.records)
            write_sa1b(self._path(page, chosen), image)
        elif chosen is Format.LABELS:
            labels = records_to_labels(results.records, results.image_size)
            write_labels(self._path(page, chosen), labels)
        elif chosen is Format.OVERLAY:
            write_overlay(self._path(page, chosen), rgb, results.records)

    def _path(self, page: Page, chosen: Format) -> Path:
        return self.folder / f"{page.name}{_SUFFIXES[chosen]}"

    def _record_path(self, page: Page) -> Path:
        return self._state / f"{page.name}.json"


def _cannot_write(error: OSError) -> CannotWriteError:
    return CannotWriteError(f"cannot write results: {one_line(error)}")


def _write_json(path: Path, content: Any) -> None:
    from sam_plugins.files import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content), encoding="utf-8")
