"""set: owner, mode and capacity of a queue that exists, for everybody."""

import os

import pytest

from harness.calls import Call
from kind import kernel_limit, kernel_row, remove_id
from sysvmq import QueueError, RawSerializer

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.mark.parametrize("mode", [0o000, 0o600, 0o622, 0o666, 0o777])
def test_the_mode_is_set_exactly_whatever_the_umask(q, mode):
    before = os.umask(0o077)
    try:
        q.set(mode=mode)
    finally:
        os.umask(before)
    assert int(kernel_row(q.id)["perms"], 8) == mode


def test_only_what_is_given_is_changed(make):
    queue = make(max_bytes=1000, mode=0o640)
    before = queue.stat()
    queue.set(max_bytes=900)
    assert queue.stat()._replace(change_time=0) == before._replace(max_bytes=900, change_time=0)
    queue.set(mode=0o660)
    assert (queue.stat().mode, queue.stat().max_bytes) == (0o660, 900)


def test_none_and_nothing_change_nothing(make):
    queue = make(max_bytes=1000)
    before = queue.stat()._replace(change_time=0)
    queue.set()
    queue.set(mode=None, uid=None, gid=None, max_bytes=None)
    assert queue.stat()._replace(change_time=0) == before


@needs_root
def test_owner_and_group_are_given_away_and_the_creator_stays(q):
    q.set(uid=65534, gid=65533)
    stat = q.stat()
    assert (stat.uid, stat.gid) == (65534, 65533)
    assert (stat.cuid, stat.cgid) == (os.geteuid(), os.getegid())


@needs_root
def test_ids_span_32_bits(q):
    q.set(uid=2**32 - 2, gid=2**31)
    assert (q.stat().uid, q.stat().gid) == (2**32 - 2, 2**31)


@needs_root
def test_the_new_owner_may_change_and_remove_it(make, key, spawn):
    queue = make(key)
    queue.set(uid=65534)
    code = """\
queue = Queue(int(args[0]))
queue.set(mode=0o666, max_bytes=500)
print(oct(queue.stat().mode), queue.max_bytes)
queue.close()
"""
    assert spawn("become()\n" + code, key).finish() == "0o666 500"
    assert kernel_row(queue.id) is None


@needs_root
def test_who_is_not_the_owner_may_change_nothing(make, key, spawn):
    queue = make(key, mode=0o666)
    before = queue.stat()
    code = """\
queue = Queue(int(args[0]), trusted=True)
report(lambda: queue.set(mode=0o600))
report(lambda: queue.set(mode=0o666))
report(lambda: queue.set(uid=65534))
report(lambda: queue.set(max_bytes=100))
"""
    for line in spawn("become()\n" + code, key).finish().splitlines():
        assert line.startswith("True")
        assert "owner" in line and str(key) in line
    assert queue.stat() == before


@needs_root
def test_an_owner_who_may_not_read_his_queue_can_let_himself_in(make, key, spawn):
    """IPC_STAT is refused to him, and set() has to know what shall stay."""
    queue = make(key, max_bytes=700)
    queue.set(uid=65534, mode=0o200)
    code = """\
queue = Queue(int(args[0]))
queue.set(mode=0o600)
print(oct(queue.stat().mode), queue.stat().max_bytes, queue.stat().uid)
"""
    assert spawn("become()\n" + code, key).finish() == "0o600 700 65534"


@needs_root
def test_more_bytes_than_msgmnb_are_refused_with_the_limit_in_words(key, spawn):
    asked = kernel_limit("msgmnb") + 1
    code = """\
queue = Queue(int(args[0]))
report(lambda: queue.set(max_bytes=int(args[1])))
queue.close()
"""
    words = spawn("become()\n" + code, key, asked).finish()
    assert words.startswith("True")
    assert (
        f"kernel.msgmnb = {kernel_limit('msgmnb')}" in words
        and f"sysctl kernel.msgmnb={asked}" in words
    )


@needs_root
def test_a_user_without_a_number_here_is_refused_in_words(spawn, key):
    code = """\
if ctypes.CDLL(None).unshare(0x10000000 | 0x08000000):  # user and IPC namespaces
    print("not permitted")
    sys.exit(77)
queue = Queue(int(args[0]))
try:
    queue.set(uid=12345)
except QueueError as error:
    print(error.errno == QueueError.INVALID_VALUE, "uid=12345" in error.msg, "namespace" in error.msg)
"""
    assert spawn(code, key).finish() == "True True True"


def test_a_larger_queue_lets_a_blocked_put_in(full):
    waiter = Call(full.put, b"waiting").until_asleep()
    full.set(max_bytes=100)
    waiter.result()
    assert full.qsize() == 2


def test_a_smaller_queue_keeps_what_it_holds(make):
    queue = make(max_bytes=1000, serializer=RawSerializer)
    queue.put(b"x" * 500)
    queue.set(max_bytes=10)
    assert queue.stat().bytes == 500
    assert queue.get() == b"x" * 500
    assert queue.max_bytes == 10


def test_a_blocked_get_goes_on_waiting(q):
    waiter = Call(q.get).until_asleep()
    q.set(mode=0o640)
    waiter.until_asleep()
    q.put("x")
    assert waiter.result() == "x"


def test_set_of_a_removed_queue_is_an_invalid_descriptor(q):
    remove_id(q.id)
    for change in ({}, {"mode": 0o600}):
        with pytest.raises(QueueError, match="removed") as caught:
            q.set(**change)
        assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
