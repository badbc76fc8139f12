"""``sam-plugins evaluate proposals`` and ``instances``: objects of COCO and LVIS files."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sam_plugins.cli import options
from sam_plugins.cli.evaluate import output
from sam_plugins.cli.terminal import progress_bars
from sam_plugins.cli.usage import wrong_use

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Annotations = Annotated[
    Path,
    typer.Option("--annotations", metavar="FILE.json", help="A COCO or LVIS file of objects."),
]
Images = Annotated[Path, typer.Option("--images", metavar="DIR", help="The folder of its images.")]
Limit = Annotated[
    int | None, typer.Option("--limit", metavar="N", min=1, help="Images, at most; the first.")
]


def proposals(
    annotations: Annotations,
    images: Images,
    model: options.Model = "lite",
    limit: Limit = None,
    points_per_side: Annotated[
        int, typer.Option(metavar="N", min=1, help="Of the grid of points.")
    ] = 64,
    most: Annotated[int, typer.Option(metavar="N", min=1, help="Masks an image.")] = 1000,
    json_file: output.JsonFile = None,
    device: options.Device = "auto",
) -> None:
    """Measure how many objects are among 1000 automatic masks: recall by size and frequency.

    \b
    Example:
      sam-plugins evaluate proposals --annotations lvis_v1_val.json --images val2017
    """
    from sam_plugins.evaluation.coco_files import find_images, read_annotations
    from sam_plugins.evaluation.proposals import proposal_table, proposals_of, recalls_of

    with wrong_use("--annotations"):
        known = read_annotations(annotations)
    numbers = list(known.files)[:limit]
    paths = find_images(known, images, numbers)
    predictor = options.load_predictor(model, device=device, use_disk=False)
    found = []
    with progress_bars() as bars:
        for done, number in enumerate(numbers, 1):
            image = _image(paths[number])
            found += proposals_of(
                predictor, image, number, points_per_side=points_per_side, most=most
            )
            bars.show("proposals", done, len(numbers))
    truths = [each for each in known.truths if each.image in set(numbers)]
    recalls = recalls_of(truths, found, frequency=known.frequency, most=most)
    settings = output.settings_of(
        predictor, images=len(numbers), points_per_side=points_per_side, most=most
    )
    output.show([proposal_table({model: recalls})], json_file=json_file, settings=settings)


def instances(
    annotations: Annotations,
    images: Images,
    boxes: Annotated[
        Path,
        typer.Option(metavar="FILE.json", help="A detector's boxes, as a COCO results file."),
    ],
    model: options.Model = "lite",
    limit: Limit = None,
    refine: Annotated[
        bool, typer.Option("--refine/--no-refine", help="Ask again with the best mask's logits.")
    ] = True,
    json_file: output.JsonFile = None,
    device: options.Device = "auto",
) -> None:
    """Turn a detector's boxes into masks, and measure their average precision.

    A file of LVIS is measured by its federated rule.

    \b
    Example:
      sam-plugins evaluate instances --annotations instances_val2017.json --images val2017 \\
          --boxes detections.json
    """
    from dataclasses import replace

    from sam_plugins.evaluation.coco_files import find_images, read_annotations, read_detections
    from sam_plugins.evaluation.instances import instance_table, masks_of_boxes, precision_of

    with wrong_use("--annotations"):
        known = read_annotations(annotations)
    by_image = defaultdict(list)
    with wrong_use("--boxes"):
        for each in read_detections(boxes):
            by_image[each.image].append(each)
    numbers = list(known.files)[:limit]
    paths = find_images(known, images, numbers)
    predictor = options.load_predictor(model, device=device, use_disk=False)
    found = []
    with progress_bars() as bars:
        for done, number in enumerate(numbers, 1):
            if by_image[number]:
                image = _image(paths[number])
                found += masks_of_boxes(predictor, image, by_image[number], refine=refine)
            bars.show("instances", done, len(numbers))
    measured = replace(known, truths=[x for x in known.truths if x.image in set(numbers)])
    table = instance_table({model: precision_of(measured, found)})
    settings = output.settings_of(predictor, images=len(numbers), boxes=str(boxes), refine=refine)
    output.show([table], json_file=json_file, settings=settings)


def _image(path: Path) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"))
