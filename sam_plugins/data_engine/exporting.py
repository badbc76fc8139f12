"""What people get to work on, and what comes out in the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from sam_plugins.data_engine.engine import Engine
from sam_plugins.data_engine.records import SourceImage, Work
from sam_plugins.datasets.annotations import AnnotatedImage
from sam_plugins.datasets.coco import write_coco
from sam_plugins.datasets.json_files import write_json
from sam_plugins.files import atomic_path
from sam_plugins.images import image_size, read_image

# What Label Studio's local storage calls a file below its root.
LOCAL_FILES = "/data/local-files/?d="

INSTANCES = "instances.json"


def export_to_people(
    engine: Engine, folder: Path, images: Sequence[SourceImage], *, stage: int
) -> list[Path]:
    """Write images for people, with the masks that there are already.

    Parameters
    ----------
    engine : Engine
        The engine.
    folder : Path
        Gets ``images/``, ``instances.json`` (COCO: opens in napari with its masks) and
        ``tasks.json`` (tasks for Label Studio's local storage).
    images : sequence of SourceImage
        Which.
    stage : int
        1: without masks; 2: with those that the model is sure of.

    Returns
    -------
    list of Path
        The copied images.
    """
    annotated, copies = [], []
    for image in images:
        copy = folder / "images" / name_of(image)
        _copy(image, copy)
        copies.append(copy)
        work = engine.state.work(image, stage) if stage > 1 else None
        objects = () if work is None else work.objects
        size = image_size(read_image(image.path, page=image.page)) if work is None else work.size
        annotated.append(AnnotatedImage(name_of(image), size, objects, id=image.id))
    write_coco(folder / INSTANCES, annotated)
    tasks = [
        {"data": {"image": f"{LOCAL_FILES}images/{name_of(image)}", "name": image.name}}
        for image in images
    ]
    write_json(folder / "tasks.json", tasks)
    return copies


def name_of(image: SourceImage) -> str:
    """The name of an image's copy.

    Parameters
    ----------
    image : SourceImage

    Returns
    -------
    str
        Its own name; for a page of several, which is copied alone, with ``.tif`` at the end.
    """
    suffix = Path(image.path).suffix
    return image.name if image.name.endswith(suffix) else f"{image.name}.tif"


def _copy(image: SourceImage, copy: Path) -> None:
    with atomic_path(copy) as temporary:
        if copy.name.endswith(Path(image.path).name):
            shutil.copyfile(image.path, temporary)
            return
        import tifffile

        tifffile.imwrite(temporary, read_image(image.path, page=image.page))


def works(
    engine: Engine, stages: Sequence[int], *, by_people: bool = False
) -> Iterator[tuple[SourceImage, Work]]:
    """The images with masks, each with those of one stage.

    Parameters
    ----------
    engine : Engine
        The engine.
    stages : sequence of int
        The first of these that an image is complete in counts.
    by_people : bool
        Only what people have made or looked at.

    Yields
    ------
    image : SourceImage
    work : Work
    """
    complete = {
        stage: {
            image
            for image, (source, _) in engine.state.done(stage).items()
            if source == "person" or not by_people
        }
        for stage in stages
    }
    for image in engine.state.images():
        stage = next((each for each in stages if image.id in complete[each]), None)
        work = None if stage is None else engine.state.work(image, stage)
        if work is not None:
            yield image, work
