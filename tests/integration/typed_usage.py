"""How a typed program uses the packages: read by `mypy --strict`, run by nobody."""

import json
import marshal
import pathlib
from typing import assert_type

import ipcqueue.posixmq
import ipcqueue.serializers
import ipcqueue.sysvmq
import posixmq
import sysvmq
from ipcqueue import posixmq as posix_alias
from ipcqueue import sysvmq as sysv_alias
from ipcqueue.sysvmq import Queue as SysvQueue


class Reversed:
    """A serializer of one's own, for str only."""

    def dumps(self, obj: str) -> str:
        return obj[::-1]

    def loads(self, data: bytes) -> str:
        return data.decode()[::-1]


class Jobs(posixmq.Queue[dict[str, int]]):
    """A queue of one kind of item."""

    def put_count(self, count: int) -> None:
        self.put({"count": count}, priority=1)


def posix() -> None:
    with posixmq.Queue[dict[str, int]]("/typed", 10, 1024, mode=0o600, on_signal="retry") as q:
        assert_type(q, posixmq.Queue[dict[str, int]])
        q.put({"a": 1}, True, 1.5, 3, 5)
        q.put("a string")  # type: ignore[arg-type]
        q.put_nowait({"a": 1}, priority=2)
        assert_type(q.get(timeout=1), dict[str, int])
        assert_type(q.get_nowait(), dict[str, int])
        assert_type(q.qattr()["max_msgbytes"], int)
        assert_type((q.name, q.maxsize, q.maxmsgsize), tuple[str | None, int, int])
        assert_type((q.closed, q.empty(), q.full()), tuple[bool, bool, bool])
        q.unlink()
    posixmq.Queue[str]("/typed", on_signal="ignore")  # type: ignore[arg-type]
    posixmq.unlink("/typed")
    assert_type(Jobs("/jobs").get(), dict[str, int])


def posix_batches_and_descriptors() -> None:
    with posixmq.Queue[str].anonymous(2, 64, spin_us=0) as q:
        assert_type(q.receive(timeout=1).item, str)
        assert_type(q.receive().priority, int)
        item, priority = q.receive()
        assert_type((item, priority), tuple[str, int])
        assert_type(q.put_many((text for text in "abc"), timeout=1, priority=2), int)
        q.put_many([1, 2])  # type: ignore[list-item]
        assert_type(q.get_many(3), list[str])
        assert_type(q.get_into(bytearray(64), timeout=None), tuple[int, int])
        q.get_into("text")  # type: ignore[arg-type]
        for each in q:
            assert_type(each, str)
        assert_type((q.readable, q.writable, q.trusted), tuple[bool, bool, bool])
        assert_type({q}, set[posixmq.Queue[str]])
    assert_type(Jobs.from_fd(3, trusted=True), Jobs)
    posixmq.Queue[str]("/typed", readable=False).put("x")


def sysv() -> None:
    with sysvmq.Queue[str](1234, max_bytes=4096) as q:
        q.put("request", msg_type=2, timeout=0.5)
        assert_type(q.get(msg_type=-2, timeout=None), str)
        assert_type((q.id, q.max_bytes, q.qsize()), tuple[int, int, int])
        assert_type(q.qattr()["max_bytes"], int)
        assert_type(q.get(msg_type=2, exclude=True), str)
        assert_type(q.receive(), sysvmq.Message[str])
        assert_type((q.peek(1).item, q.peek().msg_type), tuple[str, int])
        item, msg_type = q.receive(False, 3, exclude=True)
        assert_type((item, msg_type), tuple[str, int])
        assert_type((q.stat().max_bytes, q.stat().put_time), tuple[int, int])
        q.set(mode=0o660, uid=0, max_bytes=None)
        q.set(0o660)  # type: ignore[call-arg]
        assert_type(sysvmq.Queue[str].from_id(q.id, on_signal="retry"), sysvmq.Queue[str])
        assert_type((q.on_signal == "raise", q.spin_us), tuple[bool, int])
        q.detach()
    assert_type(sysvmq.ftok(pathlib.Path("/"), 1), int)
    assert_type([info.id for info in sysvmq.list_queues()], list[int])
    assert_type(sysvmq.limits().msgmni, int)
    assert_type(ipcqueue.sysvmq.limits(), ipcqueue.sysvmq.Limits)
    sysvmq.remove("1")  # type: ignore[arg-type]
    sysvmq.no_such_name()  # type: ignore[attr-defined]


def serializers() -> None:
    posixmq.Queue[object]("/s", serializer=json)
    posixmq.Queue[object]("/s", serializer=marshal)
    posixmq.Queue[str]("/s", serializer=Reversed())
    posixmq.Queue[bytes]("/s", serializer=posixmq.RawSerializer)
    posixmq.Queue[bytes]("/s", serializer=ipcqueue.serializers.RawSerializer)
    sysvmq.Queue[bytes](serializer=ipcqueue.serializers.RawSerializer)
    sysvmq.Queue[object](serializer=ipcqueue.serializers.PickleSerializer)
    sysvmq.Queue[object](serializer=object())  # type: ignore[arg-type]


def errors(error: OSError) -> None:
    if isinstance(error, posixmq.QueueError):
        assert_type((error.os_errno, error.msg), tuple[int, str])
        assert_type(error.errno == posixmq.QueueError.DOES_NOT_EXIST, bool)
    if isinstance(error, sysvmq.DecodeError):
        assert_type(error.data, bytes)
    raise posixmq.QueueError(posixmq.QueueError.TIMEOUT, "in words") from error


def aliases() -> None:
    assert_type(ipcqueue.posixmq.Queue[int]("/a"), posixmq.Queue[int])
    assert_type(posix_alias.Queue[int]("/a"), posixmq.Queue[int])
    assert_type(ipcqueue.sysvmq.Queue[int](), sysvmq.Queue[int])
    assert_type(sysv_alias.Queue[int](), sysvmq.Queue[int])
    assert_type(SysvQueue[int](), sysvmq.Queue[int])
    assert_type(ipcqueue.posixmq.serializers.RawSerializer, type[posixmq.RawSerializer])
