"""``sam-plugins engine``: people, the model and the images, round after round."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sam_plugins.cli import options
from sam_plugins.cli.engine_stages import add_stages
from sam_plugins.cli.terminal import counted, say
from sam_plugins.cli.usage import wrong_use

if TYPE_CHECKING:
    from sam_plugins.data_engine import SourceImage

engine = typer.Typer(rich_markup_mode=None)

Folder = Annotated[Path, typer.Argument(metavar="ENGINE", help="The engine's folder.")]


@engine.callback(invoke_without_command=True)
def about(context: typer.Context) -> None:
    """A data engine: people label, the model learns, the model labels.

    \b
    Example:
      sam-plugins engine init work photos/
      sam-plugins engine stage1-export work to-label
      sam-plugins engine stage1-import work to-label/instances.json
      sam-plugins engine retrain work
      sam-plugins engine stage3 work
      sam-plugins engine export work dataset
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(2)


@engine.command()
def init(
    folder: Folder,
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES", help="Image files, and folders of them.")
    ],
    model: options.Model = "lite",
    rounds: Annotated[
        int, typer.Option(metavar="N", help="The model is retrained at most so often.")
    ] = 6,
    masks: Annotated[
        int, typer.Option(metavar="N", help="New masks by people before each retraining.")
    ] = 200,
    mode: Annotated[
        str, typer.Option(metavar="M", help="What learns: decoder, adapters or whole.")
    ] = "decoder",
    minutes: Annotated[float, typer.Option(metavar="N", help="Time to train in a round.")] = 10.0,
    steps: Annotated[
        int, typer.Option(metavar="N", help="Images to train on in a round, at most.")
    ] = 100_000,
    held_out: Annotated[
        float, typer.Option(metavar="P", help="Share of the images that is never trained on.")
    ] = 0.2,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of all that is random.")] = 0,
) -> None:
    """Set up a data engine over images, which stay where they are."""
    from sam_plugins.data_engine import Engine, EngineSettings

    with wrong_use():
        settings = EngineSettings(
            model=model,
            rounds=rounds,
            masks_per_round=masks,
            mode=mode,
            minutes=minutes,
            steps=steps,
            held_out=held_out,
            seed=seed,
        )
    found = _images(images)
    Engine.create(folder, found, settings)
    say(f"{counted(len(found), 'image')}: {folder}")


def _images(paths: list[Path]) -> list[SourceImage]:
    from sam_plugins.cli.inputs import find_images, list_pages, no_images
    from sam_plugins.cli.terminal import one_line
    from sam_plugins.data_engine import SourceImage

    found = []
    for image in find_images(paths):
        try:
            pages = list_pages(image)
        except Exception as error:
            say(f"Error: {image.name}: {one_line(error)}")
            continue
        found += [SourceImage(page.name, str(page.path), page.index) for page in pages]
    if not found:
        raise no_images(paths)
    return found


@engine.command()
def status(folder: Folder) -> None:
    """Show what there is and what is to be done next."""
    from rich.table import Table

    from sam_plugins.cli.terminal import show_table
    from sam_plugins.data_engine import Engine
    from sam_plugins.data_engine.retraining import due

    opened = Engine.open(folder)
    images = opened.state.images()
    typer.echo(f"{counted(len(images), 'image')}; model: {opened.model}")
    stages = Table("stage", "made by", "masks", "images", "clicks a mask", "seconds a mask")
    for stage, source, masks, count, clicks, seconds in opened.state.totals():
        stages.add_row(
            *(str(stage), source, str(masks), str(count)),
            *("" if each is None else f"{each:.1f}" for each in (clicks, seconds)),
        )
    show_table(stages)
    rounds = Table("round", "masks", "IoU 1 click", "3 clicks", "box", "model")
    for each in opened.state.rounds():
        after = each.scores["after"]
        scores = (f"{after[name]:.3f}" for name in ("click", "clicks3", "box"))
        rounds.add_row(str(each.number), str(each.masks), *scores, each.model)
    show_table(rounds)
    names = {image.id: image.name for image in images}
    for stage in (2, 3):
        for image, message in opened.state.failures(stage).items():
            typer.echo(f"stage {stage} failed: {names[image]}: {message}")
    reason = due(opened)
    typer.echo("Time to retrain." if reason is None else f"No round is due: {reason}.")


@engine.command()
def stage1_export(
    folder: Folder,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to write.")],
    count: Annotated[int, typer.Option(metavar="N", min=1, help="Images, at most.")] = 20,
) -> None:
    """Write the next images for people to label, for napari and Label Studio."""
    from sam_plugins.data_engine import Engine
    from sam_plugins.data_engine.exporting import export_to_people

    opened = Engine.open(folder)
    images = opened.waiting(1, count=count)
    export_to_people(opened, out, images, stage=1)
    say(f"{counted(len(images), 'image')} to label: {out}")


@engine.command()
def stage1_import(
    folder: Folder,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="A COCO, SA-1B or GeoJSON file, a label image, a folder of these, or the napari "
            "plugin's folder of sessions.",
        ),
    ],
    stage: Annotated[
        int, typer.Option(metavar="N", min=1, max=2, help="2 for what stage2 has prefilled.")
    ] = 1,
) -> None:
    """Take over what people made, with the clicks and the time it took where that is known."""
    from sam_plugins.data_engine import Engine
    from sam_plugins.data_engine.importing import import_work, read_work

    opened = Engine.open(folder)
    if not source.exists():
        raise typer.BadParameter(f"there is nothing at {source}", param_hint="IN")
    with opened.alone():
        done = import_work(opened, read_work(source, opened), stage=stage)
    for name in done.unknown:
        say(f"Error: {name}: no image of this engine has that name")
    say(
        f"{counted(done.masks, 'mask')} by people and {done.kept} prefilled, on "
        f"{counted(done.images, 'image')}"
    )
    if done.unknown:
        raise typer.Exit(1)


@engine.command()
def retrain(
    folder: Folder,
    force: Annotated[
        bool, typer.Option("--force", help="Also if the number of new masks is not reached.")
    ] = False,
) -> None:
    """Train the model on all that people have labelled, if it is time for that."""
    from sam_plugins.data_engine import Engine, retraining

    opened = Engine.open(folder)
    with opened.alone():
        reason = retraining.due(opened)
        if reason is not None and not force:
            say(f"No round is due: {reason}.")
            return
        finished = retraining.retrain(opened, on_progress=say)
    say(f"Round {finished.number}: {opened.folder / finished.model}")


add_stages(engine)
