"""Opening, the attributes, and the three ways of letting go."""

import os
from queue import Full

import pytest

from kind import kernel_limit, kernel_row
from sysvmq import Queue, QueueError, RawSerializer


@pytest.mark.parametrize("key", [None, 0])
def test_no_key_and_zero_make_a_queue_of_one_s_own(make, key):
    one, other = make(key), make(key)
    assert one.id != other.id
    assert kernel_row(one.id)["key"] == "0"
    one.put("mine")
    assert other.empty()


def test_no_argument_at_all_makes_a_private_queue():
    with Queue() as queue:
        queue.put(1)
        assert queue.get() == 1


@pytest.mark.parametrize("low", [1, 2**31, 2**32 - 2**10])
def test_keys_span_32_bits(make, fresh, low):
    key = fresh(low, low + 2**10)
    queue = make(key)
    queue.put("x")
    assert queue.key == key
    assert make(key).get() == "x"


def test_the_largest_key_works(make):
    key = 2**32 - 1
    try:
        queue = make(key, exclusive=True)
    except QueueError as error:
        assert error.errno == QueueError.EXISTS
        pytest.skip("somebody uses the largest key")
    assert queue.key == key


def test_a_key_may_be_any_object_that_is_an_index(make, key):
    class Index:
        def __index__(self):
            return key

    assert make(Index()).id == make(key).id


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_whoever_may_only_write_to_his_queue_sets_its_size(spawn):
    """IPC_SET is the owner's right, whatever the mode lets him see."""
    child = spawn(
        "become()\n"
        + """\
with Queue(max_bytes=1000, mode=0o200, serializer=RawSerializer) as queue:
    queue.put(bytes(1000))
    try:
        queue.put(bytes(1001))
    except QueueError as error:
        print(error.errno == QueueError.TOO_BIG_MESSAGE)
"""
    )
    assert child.finish() == "True"


def test_max_bytes_is_applied(make):
    queue = make(max_bytes=4096)
    assert queue.max_bytes == 4096
    assert queue.qattr()["max_bytes"] == 4096


def test_max_bytes_bounds_what_the_queue_holds(make):
    queue = make(max_bytes=100, serializer=RawSerializer)
    queue.put(b"x" * 60)
    with pytest.raises(Full):
        queue.put_nowait(b"x" * 41)
    queue.put_nowait(b"x" * 40)
    assert kernel_row(queue.id)["cbytes"] == "100"


def test_max_bytes_is_the_system_s_when_not_asked_for(q):
    assert q.max_bytes == kernel_limit("msgmnb")


def test_max_bytes_is_the_queue_s_own_for_every_opener(make, key):
    make(key, max_bytes=1000)
    assert make(key).max_bytes == 1000


def test_max_bytes_of_a_later_opener_is_seen_by_all(make, key):
    first = make(key, max_bytes=1000)
    later = make(key, max_bytes=2000)
    assert first.qattr()["max_bytes"] == later.qattr()["max_bytes"]
    assert first.max_bytes == later.max_bytes == later.qattr()["max_bytes"]


def test_maxmsgsize_is_what_the_queue_really_takes(make):
    for max_bytes in (None, 100):
        queue = make(max_bytes=max_bytes, serializer=RawSerializer)
        queue.put_nowait(b"x" * queue.maxmsgsize)
        assert len(queue.get()) == queue.maxmsgsize
        with pytest.raises(QueueError) as caught:
            queue.put_nowait(b"x" * (queue.maxmsgsize + 1))
        assert caught.value.errno == QueueError.TOO_BIG_MESSAGE


def test_the_attributes_tell_what_the_queue_is(make, key):
    queue = make(key, 2000)
    assert queue.key == key
    assert int(kernel_row(queue.id)["key"]) & 0xFFFFFFFF == key
    assert queue.max_bytes == 2000


def test_a_private_queue_has_no_key(make):
    assert not make(None).key
    assert not make(0).key


@pytest.mark.parametrize("key", [None, 0])
def test_leaving_with_removes_a_private_queue(make, key):
    with make(key) as queue:
        assert kernel_row(queue.id)
    assert queue.closed
    assert kernel_row(queue.id) is None


def test_with_allows_close_inside(make):
    with make() as queue:
        queue.close()
    assert kernel_row(queue.id) is None


def test_close_removes_the_queue_for_everybody(make, key):
    queue, other = make(key), make(key)
    queue.put("lost")
    queue.close()
    assert queue.closed
    assert kernel_row(queue.id) is None
    with pytest.raises(QueueError) as caught:
        other.get_nowait()
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR


def test_a_dropped_queue_stays_in_the_kernel(make, key):
    queue = make(key)
    queue.put("persistent")
    msqid = queue.id
    del queue
    assert kernel_row(msqid)["qnum"] == "1"
