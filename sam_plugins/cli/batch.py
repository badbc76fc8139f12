"""Segmenting many images one after the other, whatever happens to some of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from sam_plugins.cli.inputs import InputImage, Page, list_pages
from sam_plugins.cli.results import CannotWriteError, Format, ResultFolder, Results
from sam_plugins.cli.terminal import Bars, counted, one_line, progress_bars, say

if TYPE_CHECKING:
    from sam_plugins.automatic import AutomaticSettings
    from sam_plugins.images import Normalization
    from sam_plugins.predictor import Predictor


@dataclass
class Tally:
    """What became of the images of a run.

    Parameters
    ----------
    pages : list of Page
        Those that are complete, in order.
    masks, kept, failed : int
        Masks in all; images that were complete before; images that could not be segmented.
    """

    pages: list[Page] = field(default_factory=list)
    masks: int = 0
    kept: int = 0
    failed: int = 0

    def __str__(self) -> str:
        made = counted(len(self.pages) - self.kept, "image")
        return (
            f"{made} segmented, {self.kept} complete before, {self.failed} failed; "
            f"{counted(self.masks, 'mask')}"
        )


@dataclass(frozen=True)
class Batch:
    """One run over many images.

    Parameters
    ----------
    predictor : Predictor
        The model.
    settings : AutomaticSettings
        How masks are found.
    normalization : Normalization
        How values become colours.
    folder : ResultFolder
        Where they go.
    resume : bool
        Skip what the folder holds already.
    """

    predictor: Predictor
    settings: AutomaticSettings
    normalization: Normalization
    folder: ResultFolder
    resume: bool = False

    def run(self, images: Sequence[InputImage]) -> Tally:
        """Segment all images; report those that cannot be, and go on.

        Parameters
        ----------
        images : sequence of InputImage
            What to segment.

        Returns
        -------
        Tally

        Raises
        ------
        CannotWriteError
            If results cannot be written, for example on a full disk: going on would be in vain.
        """
        tally = Tally()
        self.folder.prepare(images)
        with progress_bars() as bars:
            for count, image in enumerate(images):
                bars.show("Images", count, len(images))
                try:
                    pages = list_pages(image)
                except Exception as error:
                    _report(image.name, error, tally)
                    continue
                for page in pages:
                    self._page(page, tally, bars)
        if Format.COCO in self.folder.formats:
            self.folder.write_coco(tally.pages)
        return tally

    def _page(self, page: Page, tally: Tally, bars: Bars) -> None:
        began = time.perf_counter()
        try:
            results, written = self.folder.load(page) if self.resume else (None, frozenset())
            missing = [each for each in self.folder.formats if each not in written]
            if results is None or missing:
                results = self._complete(page, results, missing, bars)
                seconds = time.perf_counter() - began
                say(f"{page.name}: {counted(len(results.records), 'mask')} in {seconds:.1f} s")
            else:
                tally.kept += 1
        except CannotWriteError:
            raise
        except Exception as error:
            _report(page.name, error, tally)
            return
        tally.pages.append(page)
        tally.masks += len(results.records)

    def _complete(
        self, page: Page, results: Results | None, missing: Sequence[Format], bars: Bars
    ) -> Results:
        """Find the masks unless they are known, and write the formats that are missing."""
        from sam_plugins.automatic import generate
        from sam_plugins.images import Planes, read_image, to_rgb

        source = page.identity()
        pixels = Planes.loaded(
            read_image(page.path, page=page.index), normalization=self.normalization
        )
        if results is None:
            try:
                records = generate(
                    self.predictor,
                    pixels,
                    settings=self.settings,
                    normalization=self.normalization,
                    progress=partial(bars.show, f"Points of {page.name}"),
                )
            finally:
                bars.hide(f"Points of {page.name}")
            results = Results(source, pixels.layout.size, tuple(records))
        self.folder.write(page, results, to_rgb(pixels, normalization=self.normalization), missing)
        return results


def _report(name: str, error: Exception, tally: Tally) -> None:
    say(f"Error: {name}: {one_line(error)}")
    tally.failed += 1
