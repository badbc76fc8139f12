"""Colouring objects by class."""

from __future__ import annotations

from typing import Any

from napari_sam.work import Work


def colour_labels(work: Work, *, by_class: bool) -> None:
    """Colour the objects of an image.

    Parameters
    ----------
    work : Work
        The image.
    by_class : bool
        By class, or one by one as napari does it.
    """
    from napari.utils.colormaps import DirectLabelColormap, label_colormap

    if not by_class:
        work.labels.colormap = label_colormap()
        return
    table: dict[Any, Any] = {None: "gray", 0: "transparent"}
    for _, record in work.objects():
        table[record.id] = [part / 255 for part in work.classes.colour_of(record.class_id)]
    work.labels.colormap = DirectLabelColormap(color_dict=table)
