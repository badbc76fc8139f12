"""``Service``: answers what Label Studio asks, for any number of projects with one model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labelstudio_backend.answering.clicks import ClickMemory
from labelstudio_backend.answering.existing import read_existing, regions_to_fill
from labelstudio_backend.answering.interactive import BoxMemory, image_asked_about
from labelstudio_backend.answering.masks_to_regions import prediction_of, write_regions
from labelstudio_backend.answering.model import Current, ServedModel
from labelstudio_backend.answering.options import ProjectOptions
from labelstudio_backend.answering.projects import Projects
from labelstudio_backend.answering.requests import BadRequestError, PredictRequest, SetupRequest
from labelstudio_backend.answering.task_images import TaskImages
from labelstudio_backend.answering.texts import TextMemory, check_text, score_of
from labelstudio_backend.fetching import decode_image
from labelstudio_backend.protocol.labelling_config import LabellingConfig, read_labelling_config
from labelstudio_backend.protocol.prompting import Asked, read_prompts, read_text
from sam_plugins.errors import SamPluginsError

if TYPE_CHECKING:
    from sam_plugins.embedding import ImageEmbedding

LOGGER = logging.getLogger(__name__)

# What is answered for one task: a prediction, or a list of them.
TaskAnswer = dict[str, Any] | list[Any]
# Gives the context in which to compute; told whether a person waits.
Turns = Callable[[bool], AbstractContextManager[None]]


@contextmanager
def _at_once(urgent: bool) -> Iterator[None]:
    yield


@dataclass
class Service:
    """Everything behind ``/setup`` and ``/predict``.

    Parameters
    ----------
    model : ServedModel
    projects : Projects
    turns : callable
        Bounds how much is computed at once.

    Notes
    -----
    May be shared by threads. What it keeps of requests saves time and changes no answer, except
    for the option ``join_box_and_points``.
    """

    model: ServedModel
    projects: Projects
    turns: Turns = _at_once
    images: TaskImages = field(default_factory=TaskImages)
    clicks: ClickMemory = field(default_factory=ClickMemory)
    boxes: BoxMemory = field(default_factory=BoxMemory)
    texts: TextMemory = field(default_factory=TextMemory)

    def model_version(self, project: str) -> str:
        """Name of the model and of the options with which a project's tasks are annotated.

        Parameters
        ----------
        project : str

        Returns
        -------
        str
            The same before and after a restart, in ``/setup`` and in predictions.
        """
        return _version(self.model.version, self.projects.get(project).options)

    def set_up(self, request: SetupRequest) -> str:
        """Take note of a project.

        Parameters
        ----------
        request : SetupRequest

        Returns
        -------
        str
            The model's version for it.

        Raises
        ------
        BadRequestError
            If its options are malformed.
        """
        self.projects.set_up(request)
        return self.model_version(request.project)

    def predict(self, request: PredictRequest) -> list[TaskAnswer]:
        """Answer prompts, or annotate tasks.

        Parameters
        ----------
        request : PredictRequest

        Returns
        -------
        list
            A prediction for each task; an empty list for a task in which there is nothing to begin
            from.

        Raises
        ------
        SamPluginsError
            If the request's only task cannot be answered. Among several, such a task has the reason
            as ``error`` and no ``result``.

        Notes
        -----
        Label Studio stores each prediction, even an empty one, and never asks for another by the
        same model. So there is none before there is something to predict from, and none after an
        error.
        """
        asked = self._read(request)
        if request.context is not None:
            return [self._answer(asked, request.tasks[0], request.context)]
        if len(request.tasks) == 1:
            return [self._annotate(asked, request.tasks[0])]
        return [self._annotate_safely(asked, task) for task in request.tasks]

    def _read(self, request: PredictRequest) -> _Request:
        """What holds for all tasks of a request."""
        state = self.projects.get(request.project)
        xml = request.label_config or state.label_config
        if not xml:
            raise BadRequestError("the request has no label_config, and the project is not set up")
        return _Request(request.project, read_labelling_config(xml), state.options)

    def embed_task(self, request: PredictRequest, task: Mapping[str, Any]) -> ImageEmbedding:
        """Embed a task's image ahead of time.

        Parameters
        ----------
        request : PredictRequest
            About another task of the same project.
        task : mapping

        Returns
        -------
        ImageEmbedding

        Raises
        ------
        SamPluginsError
            If it cannot be had.
        """
        return self._look(self._read(request), task, None, urgent=False).embedding

    # ---- smart prompts ---------------------------------------------------------------------

    def _answer(
        self, request: _Request, task: Mapping[str, Any], regions: Sequence[Any]
    ) -> dict[str, Any]:
        text = read_text(regions)
        if text is not None and text.strip():
            return self._named(request, task, image_asked_about(regions), text)
        if not regions or text is not None:
            # The last prompt was deleted.
            return prediction_of([], self.model_version(request.project))
        look = self._look(request, task, image_asked_about(regions), urgent=True)
        asked = read_prompts(regions, look.embedding.frame.image_size)
        if request.options.join_box_and_points:
            asked = self.boxes.join(asked, project=request.project, task=task.get("id"))
        with self.turns(True):
            return prediction_of(self._masks(look, asked), look.version)

    def _named(
        self, request: _Request, task: Mapping[str, Any], to_name: str | None, text: str
    ) -> dict[str, Any]:
        """All objects that a text names, as regions."""
        check_text(text)
        to_name, url = _image_of(request, task, to_name)
        current = self.model.current
        data = self.projects.fetcher(request.project).open(url, task=task)
        with self.turns(True):
            answer = self.texts.find(current.predictor, decode_image(data), text)
        regions = [
            region
            for record, match in zip(answer.records, answer.scores, strict=True)
            for region in write_regions(
                record.mask(),
                request.config,
                to_name=to_name,
                label=None,
                score=score_of(record, match),
            )
        ]
        return prediction_of(regions, _version(current.version, request.options))

    # ---- tasks as they are -----------------------------------------------------------------

    def _annotate_safely(self, request: _Request, task: Mapping[str, Any]) -> TaskAnswer:
        try:
            return self._annotate(request, task)
        except SamPluginsError as error:
            LOGGER.warning("task %s of project %s: %s", task.get("id"), request.project, error)
            return {"error": str(error)}

    def _annotate(self, request: _Request, task: Mapping[str, Any]) -> TaskAnswer:
        version = self.model_version(request.project)
        regions = regions_to_fill(task, version)
        if not regions and not request.options.segment_everything:
            return []
        look = self._look(request, task, image_asked_about(regions), urgent=False)
        with self.turns(False):
            if regions:
                asked = read_existing(regions, look.embedding.frame.image_size)
                return prediction_of(self._masks(look, asked), look.version)
            return prediction_of(_everything(look, request.options), look.version)

    # ---- both ------------------------------------------------------------------------------

    def _look(
        self, request: _Request, task: Mapping[str, Any], to_name: str | None, *, urgent: bool
    ) -> _Look:
        """Have the image that is asked about embedded."""
        to_name, url = _image_of(request, task, to_name)
        current = self.model.current
        embedding = self.images.embed(
            current.predictor,
            self.projects.fetcher(request.project),
            url,
            task=task,
            scope=request.project,
            turn=lambda: self.turns(urgent),
        )
        version = _version(current.version, request.options)
        return _Look(current, embedding, request.config, to_name, version)

    def _masks(self, look: _Look, asked: Sequence[Asked]) -> list[dict[str, Any]]:
        """One mask for each object, as regions."""
        found = []
        for each in asked:
            answer = self.clicks.predict(look.current.answers, look.embedding, each.prompt)
            found += write_regions(
                answer.best_mask,
                look.config,
                to_name=look.to_name,
                label=each.label,
                score=float(answer.predicted_iou[answer.best]),
                image_rotation=each.image_rotation,
            )
        return found


@dataclass(frozen=True)
class _Request:
    """What holds for all tasks of a request."""

    project: str
    config: LabellingConfig
    options: ProjectOptions


@dataclass(frozen=True, eq=False)
class _Look:
    """An image that is asked about, and the model that looks at it until the answer is given."""

    current: Current
    embedding: ImageEmbedding
    config: LabellingConfig
    to_name: str
    version: str


def _image_of(request: _Request, task: Mapping[str, Any], to_name: str | None) -> tuple[str, Any]:
    """The name of the image that is asked about, and its address."""
    name, field_name = request.config.image_of(to_name)
    if field_name not in task["data"]:
        raise BadRequestError(f"the task has no field {field_name!r} with its image")
    return name, task["data"][field_name]


def _version(model_version: str, options: ProjectOptions) -> str:
    return f"{model_version}-{options.digest}" if options.digest else model_version


def _everything(look: _Look, options: ProjectOptions) -> list[dict[str, Any]]:
    """The best masks of the whole image, as regions."""
    from sam_plugins.automatic import generate

    predictor = look.current.predictor
    settings = options.automatic(predictor.model)
    records = generate(predictor, look.embedding, settings=settings)
    records = [each for each in records if each.area >= options.min_area]
    records.sort(key=lambda each: -each.predicted_iou)
    return [
        region
        for record in records[: options.max_masks]
        for region in write_regions(
            record.mask(),
            look.config,
            to_name=look.to_name,
            label=options.label,
            score=record.predicted_iou,
        )
    ]
