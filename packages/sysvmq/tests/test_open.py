"""Opening, the attributes, and the three ways of letting go."""

import os
from queue import Full

import pytest

from kind import kernel_limit, kernel_row
from sysvmq import PickleSerializer, Queue, QueueError, RawSerializer


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


def test_one_key_is_one_queue(make, key):
    make(key).put("hello")
    assert make(key).get() == "hello"


def test_unrelated_processes_meet_by_key(make, key, spawn):
    queue = make(key)
    child = spawn("Queue(int(args[0])).put(['from', os.getpid()])", key)
    assert queue.get() == ["from", child.pid]
    child.finish()


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


def test_create_false_wants_an_existing_queue(make, fresh, key):
    with pytest.raises(QueueError) as caught:
        Queue(key, create=False)
    assert caught.value.errno == QueueError.DOES_NOT_EXIST
    queue = make(key)
    assert make(key, create=False).id == queue.id


def test_create_false_creates_nothing(make, key):
    with pytest.raises(QueueError):
        Queue(key, create=False)
    assert make(key, exclusive=True).empty()


def test_exclusive_wants_to_be_the_creator(make, key):
    queue = make(key, exclusive=True)
    queue.put("safe")
    with pytest.raises(QueueError) as caught:
        Queue(key, exclusive=True)
    assert caught.value.errno == QueueError.EXISTS
    assert queue.get() == "safe"


def test_without_exclusive_an_existing_queue_is_joined(make, key):
    assert make(key).id == make(key).id


@pytest.mark.parametrize("mode", [0o600, 0o666, 0o640, 0o622, 0o000])
@pytest.mark.parametrize("umask", [0o022, 0o777])
def test_the_mode_is_reached_exactly_whatever_the_umask(make, mode, umask):
    before = os.umask(umask)
    try:
        queue = make(mode=mode)
    finally:
        os.umask(before)
    assert int(kernel_row(queue.id)["perms"], 8) & 0o777 == mode


def test_the_mode_is_the_owner_s_alone_by_default(q):
    assert int(kernel_row(q.id)["perms"], 8) & 0o777 == 0o600


def test_joining_changes_no_mode(make, key):
    queue = make(key, mode=0o660)
    make(key, mode=0o600)
    assert int(kernel_row(queue.id)["perms"], 8) & 0o777 == 0o660


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_needs_the_mode_s_permission(make, spawn, key):
    queue = make(key)
    child = spawn(
        "become()\n"
        + """\
try:
    Queue(int(args[0]))
except QueueError as error:
    print(error.errno == QueueError.NO_PERMISSIONS, error.os_errno == 13)
""",
        key,
    )
    assert child.finish() == "True True"
    assert queue.empty()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_works_with_a_queue_whose_mode_lets_it(make, spawn, key):
    queue = make(key, mode=0o666)
    queue.put("to anybody")
    child = spawn(
        "become()\n"
        + """\
queue = Queue(int(args[0]), create=False, trusted=True)
queue.put([queue.get(), os.getuid()], msg_type=2)
""",
        key,
    )
    child.finish()
    assert queue.get(msg_type=2) == ["to anybody", 65534]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_cannot_remove_the_queue(make, spawn, key):
    queue = make(key, mode=0o666)
    child = spawn(
        "become()\n"
        + """\
queue = Queue(int(args[0]), trusted=True)
try:
    queue.close()
except QueueError as error:
    print(error.errno == QueueError.NO_PERMISSIONS)
""",
        key,
    )
    assert child.finish() == "True"
    assert kernel_row(queue.id)


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
    assert queue.closed is False
    assert queue.serializer is PickleSerializer


@pytest.mark.parametrize(
    "name",
    [
        "key",
        "id",
        "max_bytes",
        "maxmsgsize",
        "closed",
        "serializer",
        "on_signal",
        "spin_us",
    ],
)
def test_the_attributes_cannot_be_set(q, name):
    with pytest.raises(AttributeError):
        setattr(q, name, 1)


def test_a_private_queue_has_no_key(make):
    assert not make(None).key
    assert not make(0).key


def test_repr_names_the_queue_and_its_state(make, key):
    queue = make(key)
    assert "Queue" in repr(queue)
    assert str(key) in repr(queue) or hex(key) in repr(queue)
    assert "closed" not in repr(queue)
    queue.detach()
    assert "closed" in repr(queue)


def test_with_gives_the_queue_itself(make):
    queue = make()
    with queue as same:
        assert same is queue


def test_leaving_with_detaches_a_keyed_queue(make, key):
    with make(key) as queue:
        queue.put("for the next one")
    assert queue.closed
    assert kernel_row(queue.id)
    assert make(key).get() == "for the next one"


@pytest.mark.parametrize("key", [None, 0])
def test_leaving_with_removes_a_private_queue(make, key):
    with make(key) as queue:
        assert kernel_row(queue.id)
    assert queue.closed
    assert kernel_row(queue.id) is None


def test_leaving_with_by_an_exception_lets_it_through(make, key):
    with pytest.raises(ZeroDivisionError), make(key) as queue:
        raise ZeroDivisionError
    assert queue.closed
    assert kernel_row(queue.id)


def test_with_allows_close_and_detach_inside(make):
    with make() as queue:
        queue.close()
    assert kernel_row(queue.id) is None
    with make() as queue:
        queue.detach()
    assert kernel_row(queue.id)


def test_a_closed_queue_cannot_be_entered(make):
    queue = make()
    queue.close()
    with pytest.raises(QueueError) as caught, queue:
        pass
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR


def test_close_removes_the_queue_for_everybody(make, key):
    queue, other = make(key), make(key)
    queue.put("lost")
    queue.close()
    assert queue.closed
    assert kernel_row(queue.id) is None
    with pytest.raises(QueueError) as caught:
        other.get_nowait()
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR


def test_detach_leaves_the_queue_and_its_messages(make, key):
    queue = make(key)
    queue.put("kept")
    queue.detach()
    assert queue.closed
    assert kernel_row(queue.id)
    assert make(key).get() == "kept"


def test_a_dropped_queue_stays_in_the_kernel(make, key):
    queue = make(key)
    queue.put("persistent")
    msqid = queue.id
    del queue
    assert kernel_row(msqid)["qnum"] == "1"


def test_a_removed_key_can_be_created_anew(make, key):
    first = make(key)
    first.put("old")
    first.close()
    second = make(key, exclusive=True)
    assert second.empty()
    assert second.id != first.id


def test_exclusive_without_create_is_refused(fresh):
    """It could only mean that an existing queue is not wanted either."""
    with pytest.raises(ValueError, match="exclusive=True needs create=True"):
        Queue(fresh(), create=False, exclusive=True)
