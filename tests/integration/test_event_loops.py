"""Selectors wait for POSIX queues as for sockets, and the bytes of set_wakeup_fd arrive."""

import os
import queue
import select
import selectors
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from ipcqueue import posixmq, sysvmq

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
KINDS = [
    kind for kind in ("SelectSelector", "PollSelector", "EpollSelector") if hasattr(selectors, kind)
]


@pytest.fixture(params=[*KINDS, "DefaultSelector"])
def selector(request):
    """Each kind of selector in turn."""
    with getattr(selectors, request.param)() as selector:
        yield selector


@pytest.fixture
def q():
    """A queue of two messages."""
    with posixmq.Queue.anonymous(2, 64) as q:
        yield q


def ready(selector, timeout=0):
    """What is ready, as (object, events)."""
    return [(key.fileobj, events) for key, events in selector.select(timeout)]


# --- selectors -----------------------------------------------------------------------------------


def test_a_queue_is_readable_while_it_holds_messages(selector, q):
    assert selector.register(q, READ, "data").fd == q.fileno()
    assert ready(selector) == []
    q.put(1)
    q.put(2)
    assert ready(selector) == [(q, READ)]
    assert selector.get_key(q).data == "data"
    assert q.get_nowait() == 1
    assert ready(selector) == [(q, READ)], "for as long as one is left"
    assert q.get_nowait() == 2
    assert ready(selector) == []
    with pytest.raises(queue.Empty):
        q.get_nowait()


def test_a_queue_is_writable_while_it_has_room(selector, q):
    selector.register(q, READ | WRITE)
    assert ready(selector) == [(q, WRITE)]
    q.put(1)
    assert ready(selector) == [(q, READ | WRITE)]
    q.put(2)
    assert ready(selector) == [(q, READ)]
    q.get()
    assert ready(selector) == [(q, READ | WRITE)]


@pytest.fixture
def waiting(selector, background, until):
    """Start a selector that waits; result() fails if nothing wakes it."""

    def waiting():
        call = background(ready, selector, 200)
        stat = f"/proc/self/task/{call.thread.native_id}/stat"
        until(lambda: Path(stat).read_text().rpartition(")")[2].split()[0] == "S")
        return call

    return waiting


def test_a_message_wakes_a_selector_that_waits(selector, q, waiting):
    selector.register(q, READ)
    call = waiting()
    q.put("x")
    assert call.result() == [(q, READ)]


def test_room_wakes_a_selector_that_waits(selector, q, waiting):
    q.put(1)
    q.put(2)
    selector.register(q, WRITE)
    call = waiting()
    q.get()
    assert call.result() == [(q, WRITE)]


def test_queues_and_sockets_share_a_selector(selector, q):
    here, there = socket.socketpair()
    with here, there, posixmq.Queue.anonymous(2, 64) as other:
        for each in (q, other, here):
            selector.register(each, READ)
        other.put("x")
        assert ready(selector) == [(other, READ)]
        there.send(b"x")
        assert {each for each, _ in ready(selector)} == {other, here}


def test_a_selector_that_times_out_finds_nothing(selector, q):
    selector.register(q, READ)
    start = time.monotonic()
    assert ready(selector, 0.05) == []
    assert time.monotonic() - start >= 0.05


def test_a_queue_can_be_changed_and_unregistered(selector, q):
    selector.register(q, READ)
    selector.modify(q, WRITE)
    assert ready(selector) == [(q, WRITE)]
    selector.unregister(q)
    assert ready(selector) == []
    selector.register(q, WRITE)
    assert ready(selector) == [(q, WRITE)]


def test_a_queue_may_be_unregistered_after_it_was_closed(selector, q):
    with posixmq.Queue.anonymous(2, 64) as closed:
        selector.register(closed, READ)
        selector.register(q, READ)
    key = selector.unregister(closed)
    assert key.fileobj is closed
    q.put("x")
    assert ready(selector) == [(q, READ)]


def test_a_closed_queue_cannot_be_registered(selector, q):
    q.close()
    with pytest.raises(ValueError):
        selector.register(q, READ)


def test_select_and_poll_take_a_queue_too(q):
    q.put("x")
    assert select.select([q], [q], [], 0) == ([q], [q], [])
    poll = select.poll()
    poll.register(q, select.POLLIN)
    assert poll.poll(0) == [(q.fileno(), select.POLLIN)]


def test_of_two_readers_woken_by_one_message_one_finds_the_queue_empty(selector, q):
    """Which is why a loop takes with get_nowait() and minds Empty."""
    with posixmq.Queue.from_fd(os.dup(q.fileno())) as other:
        for each in (q, other):
            selector.register(each, READ)
        q.put("x")
        found = [each for each, _ in ready(selector)]
        assert found[0].get_nowait() == "x"
        assert len(found) == 2
        with pytest.raises(queue.Empty):
            found[1].get_nowait()


def test_a_system_v_queue_has_no_descriptor(selector):
    with sysvmq.Queue() as q:
        assert not hasattr(q, "fileno")
        with pytest.raises(ValueError):
            selector.register(q, READ)


# --- set_wakeup_fd -------------------------------------------------------------------------------


@pytest.fixture
def wakeup():
    """A socket at which the numbers of signals arrive; SIGUSR1 and SIGUSR2 have handlers."""
    here, there = socket.socketpair()
    calls = []
    with here, there:
        here.setblocking(False)
        there.setblocking(False)
        handlers = {
            number: signal.signal(number, lambda number, frame: calls.append(number))
            for number in (signal.SIGUSR1, signal.SIGUSR2)
        }
        before = signal.set_wakeup_fd(there.fileno())
        here_and_calls = here, calls
        yield here_and_calls
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.fixture
def once_asleep(background, until, asleep):
    """Once the main thread sleeps in a queue call these functions, each when it sleeps again.

    A function may return another, which says whether what it has done was noticed.
    """
    task = f"/proc/self/task/{threading.main_thread().native_id}"

    def work(actions):
        for action in actions:
            until(lambda: asleep(task))
            done = action()
            until(done or (lambda: True))

    return lambda *actions: background(work, actions)


def send(number, calls=()):
    """A function that sends the main thread a signal; it returns whether one more was handled."""

    def send():
        before = len(calls)
        signal.pthread_kill(threading.main_thread().ident, number)
        return lambda: len(calls) > before

    return send


def arrived(here):
    """The numbers that have arrived, oldest first."""
    try:
        return list(here.recv(64))
    except BlockingIOError:
        return []


def test_the_byte_arrives_and_the_handler_runs_before_a_wait_gives_up(
    make, family, wakeup, once_asleep
):
    here, calls = wakeup
    q = make()
    once_asleep(send(signal.SIGUSR1, calls))
    with pytest.raises(family.module.QueueError) as caught:
        q.get(timeout=200)
    assert caught.value.errno == family.module.QueueError.INTERRUPTED
    assert calls == arrived(here) == [signal.SIGUSR1]


def test_the_bytes_arrive_while_a_wait_goes_on(make, wakeup, once_asleep):
    here, calls = wakeup
    q = make(on_signal="retry")
    seen = []

    def look():
        seen.append((list(calls), arrived(here)))
        q.put("the end")

    once_asleep(send(signal.SIGUSR1, calls), send(signal.SIGUSR2, calls), look)
    assert q.get(timeout=200) == "the end"
    both = [signal.SIGUSR1, signal.SIGUSR2]
    assert seen == [(both, both)], "before the wait was over"


def test_a_loop_on_a_queue_and_a_wakeup_socket_hears_both(q, wakeup):
    here, calls = wakeup
    with selectors.DefaultSelector() as selector:
        selector.register(q, READ)
        selector.register(here, READ)
        q.put("x")
        assert ready(selector) == [(q, READ)]
        q.get()
        timer = threading.Timer(0.05, send(signal.SIGUSR1))
        timer.start()
        assert ready(selector, 200) == [(here, READ)]
        timer.join()
        assert calls == arrived(here) == [signal.SIGUSR1]
