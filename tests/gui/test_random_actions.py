"""500 random actions with real events: nothing raises, objects are what a simple model says."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from napari.layers import Image, Labels
from napari.utils.notifications import NotificationSeverity, notification_manager
from qtpy.QtCore import Qt

from sam_plugins.images import Normalization
from sam_plugins.session import ArrayTarget, Overlap, Session
from sam_plugins.session.store import journals_in
from tests.gui.canvas import ALT, CONTROL, RIGHT, SHIFT, click, drag, keep_room, press

pytestmark = [pytest.mark.gui, pytest.mark.timeout(900)]

ACTIONS = 500


class Model:
    """The labels as they must be: a copy for each commit, and how many prompts were said since."""

    def __init__(self, shape):
        self.labels = np.zeros(shape, np.uint16)
        self.highest = 0
        self.steps = []  # "say", or the labels before a commit

    def say(self):
        self.steps.append("say")

    def commit(self, cutout, editing, overlap):
        """What N does to the labels."""
        if cutout is None or not cutout.area:
            return
        mask = cutout.whole(self.labels.shape)
        others = (self.labels != 0) & (self.labels != (editing or 0)) & mask
        if overlap is Overlap.BACKGROUND and others.any():
            return
        mine = mask if overlap is Overlap.OVERWRITE else mask & ~others
        if not mine.any():
            return
        self.steps.append(self.labels)
        self.labels = self.labels.copy()
        identifier = editing
        if identifier is None:
            self.highest += 1
            identifier = self.highest
        self.labels[self.labels == identifier] = 0
        self.labels[mine] = identifier

    def undo(self):
        if self.steps:
            step = self.steps.pop()
            if not isinstance(step, str):
                self.labels = step


class Person:
    """Does something at random, and tells the model."""

    def __init__(self, window, rng, shape):
        self.window, self.rng, self.shape = window, rng, shape
        self.models = {}
        self.foreign = Labels(np.full(shape, 3, np.uint16), name="foreign")
        window.viewer.add_layer(self.foreign)
        window.idle()
        window.controller.activate()

    @property
    def model(self):
        return self.models.setdefault(self.window.controller.work.image.name[0], Model(self.shape))

    def spot(self):
        return tuple(self.rng.uniform(5, side - 5) for side in self.shape)

    def ready(self):
        self.window.idle()
        self.window.controller.activate()

    def positive(self):
        click(self.window.viewer, self.spot())
        self.model.say()

    def negative(self):
        how = [{"button": RIGHT}, {"modifier": ALT}][self.rng.integers(2)]
        click(self.window.viewer, self.spot(), **how)
        self.model.say()

    def box(self):
        first = self.spot()
        second = tuple(
            np.clip(value + self.rng.uniform(25, 60), 0, side - 2)
            for value, side in zip(first, self.shape, strict=True)
        )
        before = self.window.session.prompts
        drag(self.window.viewer, [first, second], steps=2)
        if self.window.session.prompts != before:
            self.model.say()

    def scribble(self):
        before = self.window.session.prompts
        drag(self.window.viewer, [self.spot(), self.spot()], modifier=SHIFT, steps=3)
        if self.window.session.prompts != before:
            self.model.say()

    def take_up(self):
        had, before = not self.window.session.prompts.empty, self.window.session.prompts
        click(self.window.viewer, self.spot(), modifier=CONTROL)
        if self.window.session.prompts != before:
            if had:
                self.model.say()
            self.model.say()

    def keep(self):
        session = self.window.session
        if session.waiting:
            self.window.mask()
        self.model.commit(session.cutout, session.editing, self.window.controller.options.overlap)
        press(self.window.viewer, "n")

    def undo(self):
        press(self.window.viewer, "u")
        self.model.undo()

    def drop(self):
        had = not self.window.session.prompts.empty
        press(self.window.viewer, Qt.Key.Key_Escape)
        if had:
            self.model.say()

    def other_keys(self):
        press(self.window.viewer, "qwhjwh"[self.rng.integers(6)])
        self.window.controller.positive = True

    def rename(self):
        layers = self.window.viewer.layers
        layer = layers[int(self.rng.integers(len(layers)))]
        if not isinstance(layer, Image):
            layer.name = f"renamed {self.rng.integers(100)}"

    def remove_ours(self):
        role = ("prompts", "boxes", "preview")[self.rng.integers(3)]
        layer = self.window.controller.layers.get(role)
        self.window.viewer.layers.remove(self.window.viewer.layers[layer.name])

    def change_image(self):
        images = [layer for layer in self.window.viewer.layers if isinstance(layer, Image)]
        self.window.controller.set_image(images[int(self.rng.integers(len(images)))])

    def change_options(self):
        kind = ("auto", "percentile", "minmax")[self.rng.integers(3)]
        self.window.controller.set_options(
            normalization=Normalization(kind=kind),
            overlap=list(Overlap)[self.rng.integers(3)],
        )

    def move_layers(self):
        layers = self.window.viewer.layers
        layers.move(int(self.rng.integers(len(layers))), int(self.rng.integers(len(layers))))

    def check(self):
        window = self.window
        keep_room(window.viewer)
        assert (self.foreign.data == 3).all()
        work = window.controller.work
        painted = np.zeros(self.shape) if work.labels is None else work.labels.data
        assert np.array_equal(painted, self.model.labels)
        for record in window.session.objects.values():
            assert record.area == int((painted == record.id).sum())
        errors = [
            each
            for each in notification_manager.records
            if each.severity >= NotificationSeverity.ERROR
        ]
        assert not errors, errors[0]


WEIGHTS = {
    "positive": 10, "negative": 4, "box": 6, "scribble": 2, "take_up": 3, "keep": 10, "undo": 8,
    "drop": 2, "other_keys": 4, "rename": 1, "remove_ours": 2, "change_image": 1,
    "change_options": 1, "move_layers": 1,
}  # fmt: skip


def restored(window, folder, tmp_path):
    """What the journal of a folder brings back, on empty labels."""
    copy = shutil.copytree(folder, tmp_path / "copy", dirs_exist_ok=True)
    ((_, path),) = journals_in(copy).items()
    labels = np.zeros((303, 384), np.uint16)
    session = Session.restore(ArrayTarget(labels), path)
    session.close()
    return session, labels


def test_random_actions(open_widget, coins, tmp_path):
    image, _ = coins
    window = open_widget(Image(image[:, ::-1].copy(), name="b"), Image(image, name="a"))
    person = Person(window, np.random.default_rng(0), image.shape)
    names = list(WEIGHTS)
    chances = np.array(list(WEIGHTS.values())) / sum(WEIGHTS.values())
    done = []
    for number in range(ACTIONS):
        done.append(str(person.rng.choice(names, p=chances)))
        getattr(person, done[-1])()
        person.ready()
        try:
            person.check()
        except AssertionError as error:
            raise AssertionError(f"after {number + 1} actions, the last {done[-6:]}") from error
        if number % 100 == 99 and window.session.objects:
            session, labels = restored(window, window.controller.work.folder.path, tmp_path)
            assert np.array_equal(labels, window.labels)
            assert list(session.objects.values()) == list(window.session.objects.values())
            assert session.prompts == window.session.prompts
    assert sum(len(work.sessions) for work in window.controller._works) == 2
