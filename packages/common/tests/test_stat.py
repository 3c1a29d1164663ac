"""What stat() tells, against what the test itself has done to the queue."""

import errno
import os
import pickle

import pytest

import kind
from harness.calls import Call
from harness.errors import is_closed, refusal
from harness.measure import growth
from kind import Queue, QueueError, RawSerializer


def test_stat_counts_messages_and_bytes(make):
    q = make(**kind.room(3, 64), serializer=RawSerializer)
    assert (q.stat().size, q.stat().bytes) == (0, 0)
    q.put(b"12345")
    q.put(b"123")
    assert (q.stat().size, q.stat().bytes) == (2, 8)
    q.get()
    assert (q.stat().size, q.stat().bytes) == (1, 3)


def test_stat_tells_owner_and_mode(make):
    q = make(mode=0o640)
    found = q.stat()
    assert (found.uid, found.gid, found.mode) == (os.geteuid(), os.getegid(), 0o640)
    kind.change_mode(q, 0o604)
    assert q.stat().mode == 0o604


def test_stat_is_a_plain_tuple(q):
    found = q.stat()
    assert type(found) is kind.mq.QueueStat
    assert type(found).__module__ == kind.PACKAGE
    assert isinstance(found, tuple)
    assert found._asdict()["mode"] == 0o600


@pytest.mark.parametrize("end", kind.ENDS)
def test_a_closed_queue_has_no_status(q, end):
    getattr(q, end)()
    error = refusal(q.stat)
    assert is_closed(error)
    assert "it is closed" in error.msg


def test_a_queue_never_opened_has_no_status():
    assert "not open" in refusal(Queue.__new__(Queue).stat).msg


def test_stat_while_others_close_ends_in_an_answer_or_an_error(make):
    """Never in the status of a file that took the number over."""

    def look(q):
        try:
            while q.stat().mode == 0o640:
                pass
        except QueueError as error:
            return error
        return "another queue"

    for _ in range(10):
        q = make(mode=0o640)
        lookers = [Call(look, q) for _ in range(3)]
        kind.destroy(q)
        os.close(os.open(os.devnull, os.O_RDONLY))
        for looker in lookers:
            outcome = looker.result()
            assert is_closed(outcome), outcome
            # A System V queue may be gone before its handle is closed.
            assert outcome.os_errno in (errno.EBADF, *[errno.EINVAL, errno.EIDRM] * kind.HAS_TYPES)


def test_looking_and_pickling_leave_nothing_behind(q):
    def work(times):
        for _ in range(times):
            q.stat()
            q.qattr()
            pickle.dumps(q)

    blocks, size = growth(work, 100)
    assert blocks < 50
    assert size < 200_000
