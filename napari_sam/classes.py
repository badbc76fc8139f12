"""Classes and their colours."""

from __future__ import annotations

from typing import Any

from qtpy.QtGui import QColor, QIcon, QPixmap

from sam_plugins.masks.overlay import colours
from sam_plugins.session import Session

# Classes that get a colour of their own before colours begin anew.
DISTINCT = 64

WITHOUT_CLASS = "#9e9e9e"


class ClassColours:
    """One colour a class, in the order in which classes appeared."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._palette = colours(DISTINCT)
        self._painted: list[Any] = []

    def colour_of(self, name: str) -> str:
        """The colour of a class.

        Parameters
        ----------
        name : str
            The class; gray if it is empty.

        Returns
        -------
        str
            ``"#rrggbb"``.
        """
        if not name:
            return WITHOUT_CLASS
        if name not in self._names:
            self._names.append(name)
        red, green, blue = self._palette[self._names.index(name) % DISTINCT]
        return f"#{red:02x}{green:02x}{blue:02x}"

    def icon(self, name: str) -> QIcon:
        """A patch of a class's colour.

        Parameters
        ----------
        name : str

        Returns
        -------
        QIcon
        """
        patch = QPixmap(12, 12)
        patch.fill(QColor(self.colour_of(name)))
        return QIcon(patch)

    def paint(self, labels: Any, session: Session, *, by_class: bool) -> None:
        """Colour the objects of a layer.

        Parameters
        ----------
        labels : napari.layers.Labels
            The layer.
        session : Session
            Its objects.
        by_class : bool
            By class, or one by one as napari does it.
        """
        from napari.utils.colormaps import DirectLabelColormap, label_colormap

        if not by_class:
            if labels in self._painted:
                self._painted.remove(labels)
                labels.colormap = label_colormap()
            return
        if labels not in self._painted:
            self._painted.append(labels)
        table: dict[int | None, str] = {None: WITHOUT_CLASS, 0: "transparent"}
        for identifier, found in session.objects.items():
            table[identifier] = self.colour_of(found.class_name)
        labels.colormap = DirectLabelColormap(color_dict=table)
