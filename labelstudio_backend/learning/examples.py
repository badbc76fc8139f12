"""``ExampleStore``: accepted masks with their images, a file a task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from labelstudio_backend.fetching import check_image
from labelstudio_backend.protocol.masks import RegionMask
from sam_plugins.datasets.annotations import (
    DEFAULT_CLASS,
    AnnotatedImage,
    AnnotatedObject,
    ObjectClass,
)
from sam_plugins.datasets.coco import read_coco, write_coco
from sam_plugins.files import atomic_path
from sam_plugins.masks import rle


class ExampleStore:
    """The training data of one project.

    Parameters
    ----------
    folder : Path
        Has ``images`` and ``tasks``, a COCO file for each task. A task counts once its COCO file
        is there, which is written last: what is killed before leaves nothing that is used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, task: int, image: bytes, masks: Sequence[RegionMask]) -> None:
        """Keep a task's accepted masks, in place of those before.

        Parameters
        ----------
        task : int
        image : bytes
            The image's file.
        masks : sequence of RegionMask
            At least one.
        """
        suffix = check_image(image).format.lower()
        file = self.folder / "images" / f"{task}.{suffix}"
        if not file.is_file() or file.stat().st_size != len(image):
            with atomic_path(file) as temporary:
                temporary.write_bytes(image)
        objects = tuple(
            AnnotatedObject(number, rle.encode(each.mask), each.label or DEFAULT_CLASS)
            for number, each in enumerate(masks, start=1)
        )
        names = dict.fromkeys(each.class_name for each in objects)
        height, width = masks[0].mask.shape
        classes = tuple(ObjectClass(name) for name in names)
        write_coco(
            self._file(task),
            [AnnotatedImage(file.name, (height, width), objects, classes, id=task)],
        )

    def remove(self, task: int) -> None:
        """Forget a task; nothing happens if it is not there.

        Parameters
        ----------
        task : int
        """
        self._file(task).unlink(missing_ok=True)
        for image in (self.folder / "images").glob(f"{task}.*"):
            image.unlink(missing_ok=True)

    def tasks(self) -> list[int]:
        """Tasks with accepted masks."""
        files = (self.folder / "tasks").glob("*.json")
        return sorted(int(file.stem) for file in files if file.stem.isdigit())

    def collect(self, path: Path) -> int:
        """Write everything as one COCO file, with the images in ``images`` beside it.

        Parameters
        ----------
        path : Path
            In the store's folder.

        Returns
        -------
        int
            How many images.

        Raises
        ------
        AnnotationFileError
            If a file is damaged.
        """
        images = []
        for task in self.tasks():
            for image in read_coco(self._file(task)):
                plain = tuple(replace(each, id=None) for each in image.objects)
                classes = tuple(replace(each, id=None) for each in image.classes)
                images.append(replace(image, id=task, objects=plain, classes=classes))
        write_coco(path, images)
        return len(images)

    def _file(self, task: int) -> Path:
        return self.folder / "tasks" / f"{task}.json"
