"""Types of what is looked up; at run time the classes are plain collections.namedtuple."""

from typing import Any, Generic, NamedTuple, TypeVar

from ._sysvmq import Queue

_T = TypeVar("_T")

class Message(NamedTuple, Generic[_T]):
    item: _T
    msg_type: int

class QueueStat(NamedTuple):
    uid: int
    gid: int
    cuid: int
    cgid: int
    mode: int
    key: int
    size: int
    bytes: int
    max_bytes: int
    last_put_pid: int
    last_get_pid: int
    put_time: int
    get_time: int
    change_time: int

class QueueInfo(NamedTuple):
    key: int
    id: int
    mode: int
    uid: int
    gid: int
    cuid: int
    cgid: int
    size: int
    bytes: int
    last_put_pid: int
    last_get_pid: int
    put_time: int
    get_time: int
    change_time: int

class Limits(NamedTuple):
    msgmax: int
    msgmnb: int
    msgmni: int
    queues: int
    messages: int
    bytes: int

def list_queues() -> list[QueueInfo]: ...
def reduce_queue(queue: Queue[Any]) -> tuple[Any, ...]: ...
def rebuild_queue(
    cls: type[Queue[_T]], msqid: int, serializer: Any, options: dict[str, Any]
) -> Queue[_T]: ...
