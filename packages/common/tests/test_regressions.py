"""The faults that users of other message queue packages live with, one test each.

Each opens with the fault; that it cannot come back is what the test is for.
"""

import gc
import queue
import signal
import threading
import tracemalloc
import warnings

import pytest

import kind
from harness.calls import Call
from harness.errors import is_closed, refusal
from harness.process import descriptors
from harness.tasks import main_task, read, until, until_asleep
from kind import MARK, Queue, RawSerializer, mark


def is_pending(task):
    """Whether a signal has not reached the task yet."""
    lines = read(f"{task}/status").splitlines()
    return any(int(line.split()[1], 16) for line in lines if line.startswith("SigPnd"))


@pytest.mark.parametrize("options", [{}, kind.room(1, 16)], ids=["default", "smaller"])
@pytest.mark.parametrize("size", [900, 2048, 2049, 5000, 8192])
def test_a_reader_gets_messages_longer_than_it_asked_for(make, address, options, size):
    """ipcqueue sized its buffer by what the opener asked for, sysv_ipc takes 2048 bytes: E2BIG."""
    make(address, **kind.room(1, 8192), serializer=RawSerializer).put(b"x" * size)
    reader = make(address, **options, serializer=RawSerializer)
    assert reader.qsize() == 1
    assert reader.get(timeout=60) == b"x" * size


@pytest.mark.parametrize("timeout", [None, 200])
@pytest.mark.parametrize("restart", [False, True])
def test_signals_do_not_abort_a_wait_that_shall_go_on(make, handler, when_asleep, timeout, restart):
    """posix_ipc raises SignalError; ipcqueue took a call that was restarted for a timeout: Empty."""
    q, task, caught = make(on_signal="retry"), main_task(), []
    handler(signal.SIGUSR1, lambda number, _: caught.append(number), restart=restart)

    def poke():
        try:
            for _ in range(3):
                signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
                until(lambda: not is_pending(task), "the signal to be taken")
                until_asleep(task)
        finally:
            q.put("message")

    when_asleep(poke)
    assert q.get(timeout=timeout) == "message"
    # Where the kernel itself restarts the call, Python hears of all signals at once.
    assert set(caught) == {signal.SIGUSR1}
    assert restart or len(caught) == 3


def test_a_dropped_queue_does_not_leak_its_descriptor(make, address):
    """ipcqueue kept the descriptor of an object that was dropped without close()."""
    make(address)
    before = descriptors()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if kind.WARNS_WHEN_DROPPED else "error")
        for _ in range(50):
            Queue(address)
        gc.collect()
    assert descriptors() == before


def test_a_kept_message_does_not_keep_the_receive_buffer(make):
    """posix_ipc: 1,000 kept messages of 10 bytes held 8.2 MB."""
    q = make(**kind.room(1, 8192), serializer=RawSerializer)
    tracemalloc.start()
    try:
        kept = []
        for _ in range(1000):
            q.put(b"0123456789")
            kept.append(q.get())
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept) == 1000
    assert held < 200_000
    assert kept[0].__sizeof__() == b"0123456789".__sizeof__()


def test_a_message_the_reader_cannot_decode_is_not_thrown_away(make, address):
    """ipcqueue lost a message that it had received and could not use."""
    make(address, serializer=RawSerializer).put(b"precious", **mark(4))
    error = refusal(make(address).get)
    assert (error.data, getattr(error, MARK)) == (b"precious", 4)


@pytest.mark.parametrize("end", kind.ENDS)
def test_a_blocked_reader_can_be_cancelled(q, end):
    """Nothing ends a blocked mq_receive or msgrcv of the peers but a message."""
    getter = Call(q.get).until_asleep()
    getattr(q, end)()
    assert is_closed(getter.failure())


def test_non_blocking_calls_do_not_change_the_queue_for_others(q):
    """O_NONBLOCK would live in the open file description, which forked processes share."""
    with pytest.raises(queue.Empty):
        q.get_nowait()
    getter = Call(q.get).until_asleep()
    with pytest.raises(queue.Empty):
        q.get_nowait()
    getter.until_asleep()
    q.put("x")
    assert getter.result() == "x"
