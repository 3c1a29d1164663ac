"""list_queues and limits: what the system has."""

import os

import pytest

import sysvmq
from sysvmq import Limits, Queue, QueueError, QueueInfo, QueueStat, RawSerializer


def info_of(queue):
    (found,) = (info for info in sysvmq.list_queues() if info.id == queue.id)
    return found


def test_a_queue_is_listed_with_what_stat_says_of_it(make, key):
    queue = make(key, mode=0o640, serializer=RawSerializer)
    queue.put(b"12345", msg_type=3)
    info, stat = info_of(queue), queue.stat()
    assert type(info) is QueueInfo
    assert info.id == queue.id
    shared = [name for name in QueueInfo._fields if name != "id"]
    assert [getattr(info, name) for name in shared] == [getattr(stat, name) for name in shared]
    assert set(QueueStat._fields) - set(shared) == {"max_bytes"}
    assert (info.key, info.mode, info.size, info.bytes) == (key, 0o640, 1, 5)
    assert all(type(value) is int for value in info)


@pytest.mark.parametrize("low", [1, 2**31])
def test_keys_are_listed_as_they_were_given(make, fresh_key, low):
    key = fresh_key(low, low + 2**20)
    assert info_of(make(key)).key == key


def test_private_queues_are_listed_with_key_0():
    with Queue() as queue:
        assert info_of(queue).key == 0
    assert queue.id not in {info.id for info in sysvmq.list_queues()}


def test_all_queues_of_a_namespace_are_listed_and_no_others(isolated):
    code = """\
print(sysvmq.list_queues())
queues = [Queue(number) for number in range(1, 200)]
listed = sysvmq.list_queues()
print([(i.key, i.id) for i in listed] == [(q.key, q.id) for q in queues])
for info in listed:
    sysvmq.remove(info.id)
print(sysvmq.list_queues())
"""
    assert isolated(code).finish() == "[]\nTrue\n[]"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_every_user_sees_all_queues(make, spawn):
    queue = make(mode=0o600)
    code = """\
become()
print(int(args[0]) in [info.id for info in sysvmq.list_queues()], sysvmq.limits().queues > 0)
"""
    assert spawn(code, queue.id).finish() == "True True"


def test_the_table_is_read_by_the_names_of_its_columns(monkeypatch, tmp_path):
    from sysvmq import _listing

    table = tmp_path / "msg"
    table.write_text(
        " msqid new key perms cbytes qnum lspid lrpid uid gid cuid cgid stime rtime ctime\n"
        "    12   x  -1  1640      7    2    33    44   5   6    7    8    91    92    93\n"
    )
    monkeypatch.setattr(_listing, "_TABLE", str(table))
    assert sysvmq.list_queues() == [
        QueueInfo(
            key=2**32 - 1,
            id=12,
            mode=0o640,
            uid=5,
            gid=6,
            cuid=7,
            cgid=8,
            size=2,
            bytes=7,
            last_put_pid=33,
            last_get_pid=44,
            put_time=91,
            get_time=92,
            change_time=93,
        )
    ]


def test_a_system_without_the_table_is_told_in_words(monkeypatch, tmp_path):
    from sysvmq import _listing

    monkeypatch.setattr(_listing, "_TABLE", str(tmp_path / "absent"))
    with pytest.raises(QueueError, match="/proc to be mounted") as caught:
        sysvmq.list_queues()
    assert caught.value.errno == QueueError.ERROR
    assert caught.value.os_errno == 2
    assert "absent" in caught.value.msg


# -------------------------------------------------------------------------- limits


def test_limits_are_the_system_s(limit):
    limits = sysvmq.limits()
    assert type(limits) is Limits
    assert limits[:3] == (limit("msgmax"), limit("msgmnb"), limit("msgmni"))
    assert all(type(value) is int for value in limits)


def test_limits_count_what_is_in_use(isolated):
    code = """\
print(*sysvmq.limits()[3:])
queues = [Queue(number, serializer=RawSerializer) for number in (1, 2, 3)]
queues[0].put(b"1234567")
queues[1].put(b"123")
queues[1].put(b"")
print(*sysvmq.limits()[3:])
queues[1].close()
print(*sysvmq.limits()[3:])
"""
    assert isolated(code).finish() == "0 0 0\n3 3 10\n2 1 7"


def test_limits_follow_the_system(isolated):
    code = """\
try:
    for name, value in (("msgmax", 1111), ("msgmnb", 2222), ("msgmni", 33)):
        open("/proc/sys/kernel/" + name, "w").write(str(value))
except OSError as error:
    print(error)
    sys.exit(77)
limits = sysvmq.limits()
print(limits.msgmax, limits.msgmnb, limits.msgmni)
"""
    assert isolated(code).finish() == "1111 2222 33"
