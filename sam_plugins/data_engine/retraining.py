"""Rounds: the model is trained further on all that people have labelled so far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from sam_plugins.data_engine.engine import Engine
from sam_plugins.data_engine.exporting import works
from sam_plugins.data_engine.records import EngineError, Round
from sam_plugins.datasets.labelled import LEAST_PIXELS, LabelledImage
from sam_plugins.images import Planes, read_image, to_rgb
from sam_plugins.masks import rle

MODELS = "models"


def due(engine: Engine) -> str | None:
    """Whether it is time for another round.

    Parameters
    ----------
    engine : Engine
        The engine.

    Returns
    -------
    str or None
        None if it is; else why not, for people.
    """
    rounds = engine.state.rounds()
    settings = engine.settings
    if len(rounds) >= settings.rounds:
        return f"all {settings.rounds} rounds are done"
    masks = engine.state.masks_by_people()
    new = masks - (rounds[-1].masks if rounds else 0)
    if new < settings.masks_per_round:
        return f"{new} new masks by people, a round needs {settings.masks_per_round}"
    return None


def retrain(engine: Engine, *, on_progress: Callable[[str], object] | None = None) -> Round:
    """Train the newest model further, on all images that people have labelled.

    Parameters
    ----------
    engine : Engine
        The engine.
    on_progress : callable, optional
        Called with one line at a time.

    Returns
    -------
    Round
        It is kept, with its model and its report. What is killed before leaves the engine as it
        was.

    Raises
    ------
    EngineError
        If there are too few labelled images.
    """
    from sam_plugins.checkpoints import load_model, save_model
    from sam_plugins.training.finetuning import FinetuneSettings, finetune

    trained, held_out = labelled(engine, held_out=False), labelled(engine, held_out=True)
    if len(trained) + len(held_out) < 2 or not trained:
        raise EngineError("two labelled images or more are needed, one of them not held out")
    settings = engine.settings
    number = len(engine.state.rounds()) + 1
    masks = engine.state.masks_by_people()
    model, source = load_model(engine.model), engine.model
    model.name = f"round-{number:03d}"
    file = f"{MODELS}/{model.name}.safetensors"
    outcome = finetune(
        model,
        trained,
        FinetuneSettings(
            mode=settings.mode,  # type: ignore[arg-type]
            minutes=settings.minutes,
            steps=settings.steps,
            seed=settings.seed + number,
        ),
        held_out=held_out,
        folder=engine.folder / MODELS / f"{model.name}-report",
        on_progress=on_progress,
    )
    save_model(model, engine.folder / file)
    finished = Round(
        number,
        file,
        masks,
        {
            "from": source,
            "before": asdict(outcome.before),
            "after": asdict(outcome.after),
            "trained": len(outcome.trained),
            "held_out": len(outcome.held_out),
        },
    )
    engine.state.add_round(finished)
    return finished


def labelled(engine: Engine, *, held_out: bool) -> list[LabelledImage]:
    """The images that people have labelled, as training takes them.

    Parameters
    ----------
    engine : Engine
        The engine.
    held_out : bool
        Those that are held out, or the others.

    Returns
    -------
    list of LabelledImage
        Without images that have no object that is large enough.
    """
    found = []
    # The later stage has all masks of an image.
    for image, work in works(engine, (2, 1), by_people=True):
        if image.held_out != held_out:
            continue
        objects = tuple(
            each.segmentation
            for each in work.objects
            if rle.area(each.segmentation) >= LEAST_PIXELS
        )
        if objects:
            pixels = to_rgb(Planes.loaded(read_image(image.path, page=image.page)))
            found.append(LabelledImage(image.name, pixels, objects))
    return found
