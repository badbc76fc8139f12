"""What a person does with kept objects from the table; an undo takes it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_sam.camera import look_at
from sam_plugins.regions import Plane
from sam_plugins.session import ObjectRecord

if TYPE_CHECKING:
    from napari_sam.controller import Controller


def show_object(controller: Controller, plane: Plane, record: ObjectRecord) -> None:
    """Show an object: its slice, in the middle of the view.

    Parameters
    ----------
    controller : Controller
        Whose viewer.
    plane : tuple of int or None
        The slice.
    record : ObjectRecord
        The object.
    """
    work = controller.work
    if work is not None and work.labels is not None:
        work.labels.selected_label = record.id
        look_at(controller.viewer, work, plane, record.box, zoom=True)


def delete_object(controller: Controller, plane: Plane, record: ObjectRecord) -> None:
    """Make an object background again.

    Parameters
    ----------
    controller : Controller
        Whose image.
    plane : tuple of int or None
        The slice.
    record : ObjectRecord
        The object.
    """
    work = controller.work
    if work is not None and record.id in work.session(plane).objects:
        work.session(plane).delete(record.id)
        controller.recheck_soon()
        controller.show()


def set_class(controller: Controller, plane: Plane, record: ObjectRecord, name: str) -> None:
    """Give an object another class.

    Parameters
    ----------
    controller : Controller
        Whose image.
    plane : tuple of int or None
        The slice.
    record : ObjectRecord
        The object.
    name : str
        The class.
    """
    work = controller.work
    if work is not None and record.id in work.session(plane).objects:
        work.session(plane).set_class(record.id, controller.classes.number_of(name))
        controller.recheck_soon()
        controller.show()
