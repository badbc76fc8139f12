"""A session: candidates, commits, overlaps, and the way back through every state."""

import numpy as np
import pytest

from sam_plugins.errors import SamPluginsError
from sam_plugins.session import (
    ArrayTarget,
    Cutout,
    Overlap,
    OverlapError,
    PromptState,
    Region,
    Session,
)
from tests.session.answers import disc, prediction

SIZE = (60, 80)


def a_session(dtype=np.uint16, **settings):
    labels = np.zeros(SIZE, dtype=dtype)
    return Session(ArrayTarget(labels), **settings), labels


def ask(session):
    said = session.prompt()
    return session.answer(prediction(SIZE, said), session.version)


def click(session, x, y, **kind):
    session.add_point(x, y, **kind)
    return ask(session)


def test_a_click_gives_the_most_confident_of_three_candidates_and_q_the_next():
    session, labels = a_session()
    assert click(session, 30, 20)
    assert (session.candidates, session.candidate) == (3, 1)
    assert session.predicted_iou == pytest.approx(0.9)
    assert np.array_equal(session.mask, disc(SIZE, 30, 20, 4))
    assert session.cycle() == 2
    assert np.array_equal(session.mask, disc(SIZE, 30, 20, 8))
    assert session.cycle() == 0
    record = session.commit()
    assert np.array_equal(labels, np.where(disc(SIZE, 30, 20, 6), 1, 0))
    assert record.area == disc(SIZE, 30, 20, 6).sum()
    assert record.box == (24, 14, 37, 27)
    assert record.prompts == PromptState(((30.0, 20.0),), (1,))
    assert session.prompts.empty
    assert session.commit() is None


def test_an_answer_to_an_earlier_question_is_refused():
    session, _ = a_session()
    session.add_point(10, 10)
    said, version = session.prompt(), session.version
    session.add_point(40, 40)
    assert not session.answer(prediction(SIZE, said), version)
    assert session.mask is None
    assert ask(session)
    session.clear()
    assert not session.answer(prediction(SIZE, said), session.version)


def test_the_next_prompt_carries_the_logits_of_the_chosen_candidate():
    session, _ = a_session()
    click(session, 30, 20)
    session.cycle()
    assert session.prompt() is None  # the mask is there
    session.add_point(33, 20, foreground=False)
    said = session.prompt()
    assert said.labels.tolist() == [1, 0]
    assert np.array_equal(said.mask > 0, np.pad(disc(SIZE, 30, 20, 8), ((0, 20), (0, 0))))
    elsewhere = session.prompt(Region((10, 10, 70, 50)))
    assert elsewhere.mask is None  # those logits are of another region
    assert elsewhere.points.tolist() == [[20, 10], [23, 10]]


def test_undo_goes_back_through_every_state_and_redo_forward():
    session, labels = a_session()
    states = []

    def remember():
        mask = session.mask
        states.append(
            (labels.copy(), session.prompts, None if mask is None else mask.copy(), session.objects)
        )

    def same(state):
        mask = session.mask
        assert np.array_equal(labels, state[0])
        assert session.prompts == state[1]
        assert (mask is None) == (state[2] is None)
        assert mask is None or np.array_equal(mask, state[2])
        assert session.objects == state[3]

    remember()
    for action in (
        lambda: click(session, 20, 20),
        lambda: click(session, 22, 22, foreground=False),
        lambda: session.commit(class_id=3),
        lambda: (session.add_box(40, 20, 60, 40), ask(session)),
        session.commit,
        lambda: session.take_up(20, 20),
        lambda: click(session, 26, 20),
        session.commit,
        lambda: session.set_class(2, 5),
        lambda: session.delete(1),
        lambda: click(session, 5, 50),
        session.clear,
    ):
        action()
        remember()
    for state in states[-2::-1]:
        assert session.undo()
        same(state)
    assert session.undo() is None
    for state in states[1:]:
        assert session.redo()
        same((state[0], state[1], session.mask, state[3]))
    assert session.redo() is None


def test_one_undo_takes_object_and_prompts_if_asked_to():
    session, labels = a_session()
    click(session, 20, 20)
    session.commit()
    click(session, 50, 40)
    session.commit(with_prompts=True)
    assert session.undo() == "object 2"
    assert session.prompts.empty
    assert set(np.unique(labels)) == {0, 1}
    assert session.undo() == "object 1"
    assert session.prompts.points == ((20, 20),)


@pytest.mark.parametrize(
    ("overlap", "first", "second"),
    [("keep", 49, 39), ("overwrite", 39, 49)],
)
def test_overlaps(overlap, first, second):
    session, labels = a_session(overlap=Overlap(overlap))
    for x in (30, 34):  # discs of 49 pixels that share some
        click(session, x, 20)
        session.commit()
    shared = (disc(SIZE, 30, 20, 4) & disc(SIZE, 34, 20, 4)).sum()
    assert np.bincount(labels.ravel())[1:].tolist() == [
        49 - shared * (overlap == "overwrite"),
        49 - shared * (overlap == "keep"),
    ]
    assert [record.area for record in session.objects.values()] == np.bincount(labels.ravel())[
        1:
    ].tolist()


def test_an_object_on_others_is_refused_if_only_background_is_allowed():
    session, labels = a_session(overlap=Overlap.BACKGROUND)
    click(session, 30, 20)
    session.commit()
    before = labels.copy()
    click(session, 34, 20)
    with pytest.raises(OverlapError, match="1 other"):
        session.commit()
    assert np.array_equal(labels, before)
    assert session.mask is not None  # nothing is lost: another policy may take it
    session.overlap = Overlap.KEEP
    assert session.commit().id == 2


def test_an_object_that_is_covered_whole_is_refused_or_disappears():
    session, labels = a_session()
    click(session, 30, 20)
    session.commit()
    click(session, 30, 20)
    with pytest.raises(OverlapError, match="cover all"):
        session.commit()
    session.overlap = Overlap.OVERWRITE
    assert session.commit().id == 2
    assert list(session.objects) == [2]
    session.undo()
    assert list(session.objects) == [1]
    assert set(np.unique(labels)) == {0, 1}


def test_an_object_taken_up_keeps_its_id_and_loses_what_it_no_longer_covers():
    session, labels = a_session()
    click(session, 30, 20)
    session.commit(class_id=4)
    assert session.take_up(30, 20).id == 1
    assert session.editing == 1
    assert np.array_equal(session.mask, disc(SIZE, 30, 20, 4))
    session.add_point(40, 20)
    said = session.prompt()
    assert np.array_equal(said.mask, disc(SIZE, 30, 20, 4))
    ask(session)
    record = session.commit()
    assert (record.id, record.class_id) == (1, 4)
    assert np.array_equal(labels == 1, disc(SIZE, 40, 20, 4))
    assert session.take_up(1, 1) is None
    assert session.take_up(-5, 1000) is None


def test_objects_of_others_can_be_taken_up():
    session, labels = a_session()
    labels[5:10, 5:15] = 7
    session = Session(ArrayTarget(labels))
    assert session.take_up(6, 6).area == 50
    session.add_point(40, 40)
    ask(session)
    assert session.commit().id == 7
    assert np.array_equal(labels == 7, disc(SIZE, 40, 40, 4))
    session.undo()
    session.undo()
    session.undo()
    assert (labels == 7).sum() == 50
    click(session, 60, 10)
    assert session.commit().id == 8  # a number that nobody has


def test_what_a_person_painted_in_the_meantime_survives_undo():
    session, labels = a_session()
    click(session, 30, 20)
    session.commit()
    labels[20, 28:32] = 99
    session.undo()
    assert (labels == 1).sum() == 0
    assert labels[20, 28:32].tolist() == [99] * 4


def test_numbers_run_out_with_a_clear_error():
    labels = np.zeros(SIZE, dtype=np.uint8)
    labels[0, 0] = 255
    session = Session(ArrayTarget(labels))
    click(session, 30, 20)
    with pytest.raises(SamPluginsError, match="uint8 end at 255"):
        session.commit()


def test_several_masks_are_one_undo_step_and_the_first_has_precedence():
    session, labels = a_session()
    click(session, 50, 40)
    masks = [
        (Cutout(disc(SIZE, x, 20, 4)), score) for x, score in ((30, 0.9), (34, 0.8), (30, 0.1))
    ]
    records = session.commit_all(masks)
    assert [record.id for record in records] == [1, 2]  # nothing was left of the third
    assert [record.area for record in records] == np.bincount(labels.ravel())[1:].tolist()
    assert all(record.source == "proposal" for record in records)
    assert session.mask is not None  # the current object stays
    assert session.undo() == "2 objects"
    assert not labels.any()
    session.redo()
    assert set(np.unique(labels)) == {0, 1, 2}
    assert session.commit_all([]) == []
    assert session.undo() == "2 objects"


def test_a_scribble_becomes_points_and_a_mask():
    session, _ = a_session()
    angles = np.linspace(0, 2 * np.pi, 40)
    loop = np.stack([30 + 10 * np.cos(angles), 25 + 10 * np.sin(angles)], axis=1)
    session.add_scribble(loop)
    said = session.prompt()
    assert len(said.points) == 6
    inside = disc(SIZE, 30, 25, 10)
    assert (said.mask & inside).sum() / (said.mask | inside).sum() > 0.9
    session.clear()
    session.add_scribble([[-10, 30], [90, 30]])
    stroke = session.prompt().mask
    assert stroke[30].all()
    assert not stroke[:20].any()
    assert not stroke[40:].any()
    session.add_scribble([[10, 50], [20, 50]], foreground=False)
    assert session.prompts.labels[-2:] == (0, 0)
    assert np.array_equal(session.prompts.mask.whole(SIZE), stroke)
    with pytest.raises(SamPluginsError, match="shape"):
        session.add_scribble([[1, 2]])


def test_a_region_of_an_image_that_is_too_large():
    labels = np.zeros((400, 600), dtype=np.uint16)
    session = Session(ArrayTarget(labels))
    region = Region((100, 200, 340, 380), step=3)
    assert region.size == SIZE
    session.add_point(161, 261)  # the middle of pixel (20, 20) of the region
    said = session.prompt(region)
    assert said.points.tolist() == [[20, 20]]
    assert session.answer(prediction(SIZE, said), session.version, region=region)
    session.commit()
    wanted = disc(SIZE, 20, 20, 4).repeat(3, axis=0).repeat(3, axis=1)
    assert np.array_equal(labels[200:380, 100:340] == 1, wanted)
    assert labels.sum() == wanted.sum()
    session.take_up(161, 261)
    session.add_box(100, 200, 200, 300)
    again = session.prompt(region)
    assert np.array_equal(again.mask, disc(SIZE, 20, 20, 4))
    assert again.boxes == pytest.approx(np.array([[0, 0, 100 / 3, 100 / 3]]))
