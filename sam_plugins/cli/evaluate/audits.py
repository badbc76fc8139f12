"""``sam-plugins evaluate quality``, ``fairness``, ``geography`` and ``ambiguity``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sam_plugins.cli import options
from sam_plugins.cli.evaluate import output
from sam_plugins.cli.terminal import progress_bars
from sam_plugins.cli.usage import wrong_use

if TYPE_CHECKING:
    from sam_plugins.evaluation.ambiguity import Answer


def quality(
    automatic: Annotated[Path, typer.Argument(metavar="AUTOMATIC.json", help="A COCO file.")],
    corrected: Annotated[
        Path, typer.Argument(metavar="CORRECTED.json", help="Another; the same annotation ids.")
    ],
    json_file: output.JsonFile = None,
) -> None:
    """Compare automatic masks with their corrections: the share with an IoU above 90 and 75 %.

    \b
    Example:
      sam-plugins evaluate quality automatic.json corrected.json
    """
    from sam_plugins.evaluation.quality import pair_ious, quality_table

    with wrong_use():
        pairs = pair_ious(automatic, corrected)
    settings = output.settings_of(None, automatic=str(automatic), corrected=str(corrected))
    output.show([quality_table(*pairs)], json_file=json_file, settings=settings)


def fairness(
    groups: Annotated[
        Path,
        typer.Option(
            metavar="FILE.csv",
            help="Columns image, mask, label (the object's value in the mask), and one for each "
            "attribute; paths are relative to the file.",
        ),
    ],
    model: options.Model = "lite",
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the random points.")] = 0,
    json_file: output.JsonFile = None,
    device: options.Device = "auto",
) -> None:
    """Measure groups apart: mean IoU after one and three random points, with 95 % intervals.

    \b
    Example:
      sam-plugins evaluate fairness --groups people.csv
    """
    from sam_plugins.evaluation.fairness import fairness_table, measure_groups, read_people

    with wrong_use("--groups"):
        people = read_people(groups)
    predictor = options.load_predictor(model, device=device, use_disk=False)
    measured = []
    with progress_bars() as bars:
        for each in measure_groups(predictor, people, groups.parent, seed=seed):
            measured.append(each)
            bars.show("fairness", len(measured), len(people))
    settings = output.settings_of(predictor, groups=str(groups), seed=seed)
    output.show([fairness_table(measured)], json_file=json_file, settings=settings)


def geography(
    images: Annotated[
        Path, typer.Argument(metavar="IMAGES.csv", help="Columns image, country; maybe masks.")
    ],
    countries: Annotated[
        Path, typer.Argument(metavar="COUNTRIES.csv", help="Columns country, region, income.")
    ],
    json_file: output.JsonFile = None,
) -> None:
    """Count images by region and by income of their country.

    \b
    Example:
      sam-plugins evaluate geography images.csv countries.csv
    """
    from sam_plugins.evaluation.fairness import geography_table

    with wrong_use():
        table = geography_table(images, countries)
    output.show([table], json_file=json_file, settings=output.settings_of(None))


def ambiguity(
    data: output.Data,
    more: output.More = None,
    model: options.Model = "lite",
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="Parts a set, at most.")] = 60,
    least: Annotated[
        float,
        typer.Option("--iou", metavar="P", min=0, max=1, help="From which on a mask is right."),
    ] = 0.75,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the choice of parts.")] = 0,
    json_file: output.JsonFile = None,
    device: options.Device = "auto",
) -> None:
    """Click on parts: is one of the three masks the whole, and one the part?

    \b
    Example:
      sam-plugins evaluate ambiguity --data wbc_parts carparts
    """
    from sam_plugins.evaluation.ambiguity import ambiguity_table, answer_of, read_nested

    sets = output.sets_of([*data, *(more or [])])
    predictor = options.load_predictor(model, device=device, use_disk=False)
    answers: dict[str, list[Answer]] = {}
    with progress_bars() as bars:
        for name, folder in sets.items():
            answers[name] = []
            for nested in read_nested(folder, limit=limit, seed=seed):
                answers[name].append(answer_of(predictor, nested))
                bars.show(name, len(answers[name]), limit)
    settings = output.settings_of(predictor, limit=limit, iou=least, seed=seed)
    output.show([ambiguity_table(answers, least=least)], json_file=json_file, settings=settings)
