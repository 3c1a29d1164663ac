"""What stat() tells of POSIX queues alone: their name, their sizes, who wants to be notified."""

import os
import signal
import time

import pytest

import posixmq
from harness.measure import growth
from posixmq import QueueError


def test_stat_tells_the_sizes(make):
    found = make(maxsize=3, maxmsgsize=64).stat()
    assert (found.max_size, found.max_msgbytes) == (3, 64)


def test_a_foreign_owner_and_a_new_mode_are_seen(q):
    if os.geteuid() != 0:
        pytest.skip("only root gives a queue away")
    os.fchown(q.fileno(), 12345, 23456)
    os.fchmod(q.fileno(), 0o604)
    found = q.stat()
    assert (found.uid, found.gid, found.mode) == (12345, 23456, 0o604)


def test_stat_tells_whether_the_queue_has_a_name(q):
    assert q.stat().linked is True
    q.unlink()
    assert q.stat().linked is False


def test_an_anonymous_queue_has_no_name():
    with posixmq.Queue.anonymous(1, 64) as q:
        assert q.stat().linked is False


def test_the_time_of_the_last_message_is_no_later_look(make):
    """The kernel keeps whole seconds; the test sets both times back to see what sets them anew."""
    before = int(time.time()) - 1
    q = make()
    assert before <= q.stat().message_time <= time.time()
    for move in (lambda: q.put("x"), q.get):
        os.utime(q.fileno(), (1000, 2000))
        assert q.stat().message_time == 2000
        found = q.stat()
        assert found.message_time == 2000
        assert found.access_time >= before, "the look before"
        move()
        assert before <= q.stat().message_time <= time.time()


def test_write_only_knows_all_but_what_a_reader_sees(q):
    q.put("x")
    with posixmq.Queue(q.name, create=False, readable=False) as writer:
        found = writer.stat()
    assert (found.size, found.max_size, found.uid) == (1, 4, os.geteuid())
    assert found.bytes is found.notify_pid is found.notify_kind is found.notify_signal is None


def test_read_only_sees_everything(q):
    q.put("x")
    with posixmq.Queue(q.name, create=False, writable=False) as reader:
        assert None not in reader.stat()


def test_who_wants_to_be_notified_is_seen(q):
    found = q.stat()
    assert (found.notify_pid, found.notify_kind, found.notify_signal) == (0, "", 0)
    q.notify(signal.SIGUSR2)
    found = q.stat()
    assert found.notify_pid == os.getpid()
    assert (found.notify_kind, found.notify_signal) == ("signal", signal.SIGUSR2)
    q.notify(None)
    q.notify(print)
    found = q.stat()
    assert (found.notify_pid, found.notify_kind) == (os.getpid(), "thread")
    q.notify(None)
    assert q.stat().notify_pid == 0


def test_looking_and_asking_leave_nothing_behind(q):
    def work(times):
        for _ in range(times):
            q.stat()
            q.notify(signal.SIGUSR1)
            for refused in (signal.SIGUSR1, print):
                with pytest.raises(QueueError):
                    q.notify(refused)
            q.notify(None)
            with pytest.raises(TypeError):
                q.notify("x")

    blocks, size = growth(work, 100)
    assert blocks < 50 and size < 200_000
