"""Faults that other packages have: none of them here."""

import gc
import os
import queue
import signal
import warnings

import pytest

from harness.calls import Call
from sysvmq import PickleSerializer, Queue, QueueError, RawSerializer


def test_a_message_over_the_reader_s_max_bytes_is_not_thrown_away(make, key):
    """ipcqueue 0.9.7 sizes its buffer by what this opener asked for."""
    make(key, serializer=RawSerializer).put(b"x" * 5000, msg_type=3)
    small = make(key, 100, serializer=RawSerializer)
    assert small.qsize() == 1
    assert small.get(timeout=60) == b"x" * 5000


def test_a_message_over_the_reader_s_max_bytes_wakes_a_blocked_reader(make, key, when_asleep):
    small = make(key, 100, serializer=RawSerializer)
    when_asleep(lambda: make(key, 8000, serializer=RawSerializer).put(b"y" * 5000))
    assert small.get(timeout=200) == b"y" * 5000


@pytest.mark.parametrize("size", [2048, 2049, 4096, 8192])
def test_the_default_reader_reads_any_message(raw, make, size):
    """sysv_ipc 1.2.0 reads 2048 bytes and fails with E2BIG for ever after."""
    raw.put(b"x" * size)
    assert make(raw.key, serializer=RawSerializer).get() == b"x" * size


def test_a_signal_with_sa_restart_does_not_turn_a_wait_into_empty(q, handler, when_asleep):
    """ipcqueue 0.9.7 takes any interruption for an empty queue."""
    handler(signal.SIGUSR1, lambda *_: None, restart=True)
    when_asleep(lambda: os.kill(os.getpid(), signal.SIGUSR1))
    with pytest.raises(QueueError) as caught:
        q.get(timeout=200)
    assert caught.value.errno == QueueError.INTERRUPTED


def test_a_dropped_queue_leaks_no_descriptor_and_does_not_warn(key, make):
    make(key)
    before = len(os.listdir("/proc/self/fd"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(50):
            Queue(key)
        gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_10_byte_message_is_a_10_byte_object(raw):
    """posix_ipc 1.3.2 keeps 8 KiB for it; test_memory weighs them."""
    raw.put(b"0123456789")
    assert raw.get().__sizeof__() == b"0123456789".__sizeof__()


def test_a_message_type_beyond_32_bits_is_not_cut(q):
    """sysv_ipc takes a C int."""
    q.put("x", msg_type=2**31)
    with pytest.raises(queue.Empty):
        q.get_nowait(msg_type=1)
    assert q.get(msg_type=2**31) == "x"


def test_a_message_longer_than_the_queue_never_blocks(make):
    """The kernel lets it wait for room that cannot come."""
    small = make(max_bytes=10, serializer=RawSerializer)
    with pytest.raises(QueueError) as caught:
        small.put(b"x" * 11)
    assert caught.value.errno == QueueError.TOO_BIG_MESSAGE


def test_closing_leaves_no_thread_blocked_for_ever(q):
    waiter = Call(q.get).until_asleep()
    q.close()
    assert waiter.outcome().errno == QueueError.INVALID_DESCRIPTOR


def test_an_error_with_an_unknown_number_has_words():
    """ipcqueue 0.9.7 raises KeyError instead."""
    assert QueueError(12345).msg == QueueError(QueueError.ERROR).msg


def test_the_serializer_is_asked_for_bytes_of_pickle_protocol_1_by_default(raw, make):
    make(raw.key).put([1, "A"])
    assert raw.get() == PickleSerializer.dumps([1, "A"])
