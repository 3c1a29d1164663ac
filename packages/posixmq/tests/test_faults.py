"""Faults of POSIX queues alone; common/test_faults.py has what both kinds promise."""

import os

import pytest

from harness.calls import Call


def test_a_queue_that_cannot_be_looked_at_is_closed_again(with_faults):
    with_faults("""
Queue(address()).close()
before = descriptors()
fail(MQ_GETSETATTR, errno.ENOMEM)
assert error_of(Queue, sys.argv[1]).errno == QueueError.NO_SYSTEM_RESOURCES
assert descriptors() == before
""")


@pytest.fixture
def patient(make):
    """A queue whose descriptor somebody has made non-blocking, as event loops do."""
    q = make(maxsize=1, spin_us=0)
    os.set_blocking(q.fileno(), False)
    return q


def test_a_descriptor_made_non_blocking_still_waits(patient):
    reader = Call(patient.get)
    Call(patient.put, "x").result()
    assert reader.result() == "x"
    patient.put(1)
    writer = Call(patient.put, 2, timeout=60)
    assert patient.get() == 1
    writer.result()
    assert patient.get(timeout=60) == 2


def test_a_descriptor_made_non_blocking_waits_no_longer_than_it_should(patient):
    import queue
    import time

    start = time.monotonic()
    with pytest.raises(queue.Empty):
        patient.get(timeout=0.05)
    patient.put(1)
    with pytest.raises(queue.Full):
        patient.put(2, timeout=0.05)
    assert time.monotonic() - start >= 0.1
