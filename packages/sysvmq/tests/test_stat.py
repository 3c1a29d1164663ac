"""stat: what the kernel says of a queue, all of it."""

import os
import time

import pytest

from kind import kernel_row, remove_id
from sysvmq import Queue, QueueError, QueueStat, RawSerializer


def test_stat_has_every_field_of_the_kernel_s_table(q):
    q.put("x")
    q.put("yy")
    q.get()
    kernel, stat = kernel_row(q.id), q.stat()
    assert type(stat) is QueueStat
    assert stat == QueueStat(
        uid=int(kernel["uid"]),
        gid=int(kernel["gid"]),
        cuid=int(kernel["cuid"]),
        cgid=int(kernel["cgid"]),
        mode=int(kernel["perms"], 8),
        key=int(kernel["key"]) & 0xFFFFFFFF,
        size=int(kernel["qnum"]),
        bytes=int(kernel["cbytes"]),
        max_bytes=q.max_bytes,
        last_put_pid=int(kernel["lspid"]),
        last_get_pid=int(kernel["lrpid"]),
        put_time=int(kernel["stime"]),
        get_time=int(kernel["rtime"]),
        change_time=int(kernel["ctime"]),
    )
    assert all(type(value) is int for value in stat)


def test_stat_of_a_new_queue_is_the_maker_s(make, key):
    before = int(time.time())
    stat = make(key, 2000, mode=0o640).stat()
    assert (stat.uid, stat.gid) == (stat.cuid, stat.cgid) == (os.geteuid(), os.getegid())
    assert (stat.mode, stat.key, stat.size, stat.bytes, stat.max_bytes) == (0o640, key, 0, 0, 2000)
    assert (stat.last_put_pid, stat.last_get_pid, stat.put_time, stat.get_time) == (0, 0, 0, 0)
    assert before - 1 <= stat.change_time <= time.time() + 1


def test_stat_says_who_put_and_who_got_and_when(raw, spawn):
    before = int(time.time())
    child = spawn("Queue(int(args[0]), serializer=RawSerializer).put(b'12345')", raw.key)
    child.finish()
    stat = raw.stat()
    assert (stat.size, stat.bytes) == (1, 5)
    assert (stat.last_put_pid, stat.last_get_pid) == (child.pid, 0)
    assert before - 1 <= stat.put_time <= time.time() + 1
    raw.get()
    stat = raw.stat()
    assert (stat.size, stat.bytes) == (0, 0)
    assert stat.last_get_pid == os.getpid()
    assert before - 1 <= stat.get_time <= time.time() + 1


@pytest.mark.parametrize("low", [1, 2**31])
def test_stat_knows_keys_of_32_bits(make, fresh, low):
    key = fresh(low, low + 2**20)
    assert make(key).stat().key == key


def test_stat_of_a_private_queue_has_key_0():
    with Queue(serializer=RawSerializer) as queue:
        assert queue.stat().key == 0


def test_stat_of_a_removed_queue_is_an_invalid_descriptor(q):
    remove_id(q.id)
    with pytest.raises(QueueError) as caught:
        q.stat()
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(("mode", "expected"), [(0o644, "0 420"), (0o622, "NO_PERMISSIONS")])
def test_stat_needs_the_right_to_read(make, key, spawn, mode, expected):
    make(key, mode=mode)
    code = """\
try:
    stat = Queue(int(args[0])).stat()
    print(stat.uid, stat.mode)
except QueueError as error:
    print("NO_PERMISSIONS" if error.errno == QueueError.NO_PERMISSIONS else error)
"""
    assert spawn("become()\n" + code, key).finish() == expected
