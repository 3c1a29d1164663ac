"""Faults that other packages of System V queues have: none of them here."""

import os
import queue
import signal

import pytest

from sysvmq import QueueError, RawSerializer


def test_a_message_over_the_reader_s_max_bytes_wakes_a_blocked_reader(make, key, when_asleep):
    small = make(key, 100, serializer=RawSerializer)
    when_asleep(lambda: make(key, 8000, serializer=RawSerializer).put(b"y" * 5000))
    assert small.get(timeout=200) == b"y" * 5000


def test_a_message_type_beyond_32_bits_is_not_cut(q):
    """sysv_ipc takes a C int."""
    q.put("x", msg_type=2**31)
    with pytest.raises(queue.Empty):
        q.get_nowait(msg_type=1)
    assert q.get(msg_type=2**31) == "x"


def test_a_signal_with_sa_restart_does_not_turn_a_wait_into_empty(q, handler, when_asleep):
    """ipcqueue 0.9.7 takes any interruption for an empty queue."""
    handler(signal.SIGUSR1, lambda *_: None, restart=True)
    when_asleep(lambda: os.kill(os.getpid(), signal.SIGUSR1))
    with pytest.raises(QueueError) as caught:
        q.get(timeout=200)
    assert caught.value.errno == QueueError.INTERRUPTED
