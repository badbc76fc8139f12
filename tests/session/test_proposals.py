"""Going through automatic masks: the most confident first, what is labelled is skipped."""

import numpy as np

from sam_plugins.masks import rle
from sam_plugins.masks.records import MaskRecord
from sam_plugins.session import ArrayTarget, ProposalQueue, Region, Session
from tests.session.answers import disc

SIZE = (40, 60)


def record(x, y, score):
    mask = disc(SIZE, x, y, 5)
    return MaskRecord(
        rle.encode(mask), int(mask.sum()), (0, 0, 1, 1), score, ((x, y),), 0.9, (0, 0, 60, 40)
    )


def test_the_most_confident_comes_first_and_what_is_labelled_is_skipped():
    labels = np.zeros(SIZE, dtype=np.uint16)
    target = ArrayTarget(labels)
    session = Session(target)
    queue = ProposalQueue(
        [record(10, 10, 0.5), record(30, 10, 0.9), record(50, 30, 0.7)], Region.whole(SIZE)
    )
    for x, y in ((30, 10), (50, 30)):
        cutout, score = queue.next(target)
        assert np.array_equal(cutout.whole(SIZE), disc(SIZE, x, y, 5))
        session.propose_mask(cutout, score=score)
        assert session.commit().predicted_iou == score
    labels[:, :9] = 99  # somebody labels a part, less than half, of the last one
    assert [score for _, score in queue.open(target)] == [0.5]
    assert len(session.commit_all(queue.open(target))) == 1
    assert queue.next(target) is None
    session.undo()
    assert queue.next(target)[1] == 0.5
    labels[:, :15] = 99
    assert queue.next(target) is None


def test_proposals_of_a_region_lie_where_they_were_found():
    target = ArrayTarget(np.zeros((200, 300), dtype=np.uint16))
    queue = ProposalQueue([record(10, 10, 0.5)], Region((100, 50, 220, 130), step=2))
    cutout, _ = queue.next(target)
    wanted = np.zeros((200, 300), dtype=bool)
    wanted[50:130, 100:220] = disc(SIZE, 10, 10, 5).repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(cutout.whole((200, 300)), wanted)
