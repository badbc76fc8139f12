"""Classes of objects: their names, numbers and colours."""

from __future__ import annotations

from typing import Any

from qtpy.QtGui import QColor, QIcon, QPixmap

from sam_plugins.datasets.annotations import DEFAULT_CLASS
from sam_plugins.masks.overlay import colours

# Classes that get a colour of their own before colours begin anew.
DISTINCT = 64


class Classes:
    """Classes by number, from 1; the first is the one that nobody named."""

    def __init__(self) -> None:
        self.names: list[str] = [DEFAULT_CLASS]
        self._palette = colours(DISTINCT)

    def number_of(self, name: str) -> int:
        """The number of a class, which is new if its name is.

        Parameters
        ----------
        name : str
            Empty for the class that nobody named.

        Returns
        -------
        int
        """
        name = name.strip() or DEFAULT_CLASS
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name) + 1

    def name_of(self, number: int) -> str:
        """The name of a class.

        Parameters
        ----------
        number : int
            From 1.

        Returns
        -------
        str
            Made up if nobody named it.
        """
        return self.names[number - 1] if 1 <= number <= len(self.names) else f"class {number}"

    def colour_of(self, number: int) -> tuple[int, int, int]:
        """The colour of a class.

        Parameters
        ----------
        number : int
            From 1.

        Returns
        -------
        tuple of int
            Red, green, blue; 0 to 255.
        """
        red, green, blue = (int(part) for part in self._palette[(number - 1) % DISTINCT])
        return red, green, blue

    def icon(self, number: int) -> QIcon:
        """A patch of a class's colour.

        Parameters
        ----------
        number : int

        Returns
        -------
        QIcon
        """
        patch = QPixmap(12, 12)
        patch.fill(QColor(*self.colour_of(number)))
        return QIcon(patch)

    def describe(self) -> list[dict[str, Any]]:
        """All classes, as a labels layer's metadata holds them.

        Returns
        -------
        list of dict
        """
        return [
            {"name": name, "color": self.colour_of(number), "id": number}
            for number, name in enumerate(self.names, start=1)
        ]
