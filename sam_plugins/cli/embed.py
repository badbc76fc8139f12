"""``sam-plugins embed``: encode images beforehand, so that the first click on each is quick."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from sam_plugins.cli import options
from sam_plugins.cli.inputs import find_images, list_pages, no_images
from sam_plugins.cli.terminal import counted, megabytes, one_line, progress_bars, say


def embed(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Image files, and folders of them.")
    ],
    model: options.Model = "lite",
    channels: options.Channels = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
) -> None:
    """Encode images beforehand, into the cache on the disk.

    There predict, segment, napari and Label Studio find them, so that the first click on an image
    is answered at once.

    \b
    Example:
      sam-plugins embed photos/ --model vit_b
    """
    normalization = options.normalization_of(channels)
    images = find_images(paths)
    if not images:
        raise no_images(paths)
    from sam_plugins.cache import EmbeddingCache
    from sam_plugins.images import read_image

    predictor = options.load_predictor(model, device=device, precision=precision)
    began = time.perf_counter()
    embedded = failed = 0
    with progress_bars() as bars:
        for count, image in enumerate(images):
            bars.show("Images", count, len(images))
            try:
                for page in list_pages(image):
                    start = time.perf_counter()
                    pixels = read_image(page.path, page=page.index)
                    embedding = predictor.embed(pixels, normalization=normalization)
                    spent = time.perf_counter() - start
                    say(f"{page.name}: {spent:.2f} s, {megabytes(embedding.nbytes)}")
                    embedded += 1
            except Exception as error:
                failed += 1
                say(f"Error: {image.name}: {one_line(error)}")
    seconds = time.perf_counter() - began
    usage = megabytes(EmbeddingCache().disk_usage())
    say(f"{counted(embedded, 'image')} embedded in {seconds:.1f} s; the cache holds {usage}.")
    if failed:
        raise typer.Exit(1)
