"""list_queues and limits: what the system has."""

import os

import pytest

import sysvmq
from sysvmq import Queue, QueueError, QueueInfo, QueueStat


def info_of(queue):
    (found,) = (info for info in sysvmq.list_queues() if info.id == queue.id)
    return found


def test_a_queue_is_listed_with_its_id_and_all_of_stat_but_max_bytes(q):
    info = info_of(q)
    assert (info.id, info.key) == (q.id, q.key)
    assert set(QueueStat._fields) - set(QueueInfo._fields) == {"max_bytes"}
    assert set(QueueInfo._fields) - set(QueueStat._fields) == {"id"}
    assert all(type(value) is int for value in info)


@pytest.mark.parametrize("low", [1, 2**31])
def test_keys_are_listed_as_they_were_given(make, fresh, low):
    key = fresh(low, low + 2**20)
    assert info_of(make(key)).key == key


def test_private_queues_are_listed_with_key_0():
    with Queue() as queue:
        assert info_of(queue).key == 0
    assert queue.id not in {info.id for info in sysvmq.list_queues()}


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
