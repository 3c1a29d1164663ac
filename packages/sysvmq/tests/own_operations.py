"""The operations of System V queues alone; common/operations.py has the others and says what they are."""

import contextlib
import json
import queue

import sysvmq
from operations import ITEM, Hostile, op
from sysvmq import Queue, QueueError


def in_a_block(rig):
    with Queue(rig.known, create=False), Queue():
        pass


def removed(rig, method, *args):
    """Use a queue that somebody else has removed."""
    mine = Queue(rig.address)
    Queue(rig.address).close()
    getattr(mine, method)(*args)


def peek(rig):
    """Not every kernel has it (MSG_COPY needs CONFIG_CHECKPOINT_RESTORE)."""
    with contextlib.suppress(QueueError):
        rig.q.peek()


def beyond(rig):
    """Ask for more than the kernel gives; root is given it all the same, so the next fails too."""
    try:
        Queue(rig.address, 1 << 40)
        raise QueueError(QueueError.NO_PERMISSIONS)
    finally:
        with contextlib.suppress(QueueError):  # not by ctypes, which has errors of its own
            Queue(rig.address, create=False, serializer=json).close()


OWN = {
    "open a private one": op(lambda r: Queue().close(), cost=5),
    # Without memory the with statement itself may fail to find __exit__.
    "with: keyed and private": op(in_a_block, cost=5, only="leaks"),
    "open: key of a wrong type": op(lambda r: Queue("1"), TypeError),
    "open: hostile key": op(lambda r: Queue(Hostile()), ZeroDivisionError),
    "open: bad key": op(lambda r: Queue(-77777), QueueError, cost=5),
    "open: huge key": op(lambda r: Queue(1 << 80), QueueError, cost=5),
    "open: bad max_bytes": op(lambda r: Queue(r.address, -77777), QueueError, cost=5),
    "open: beyond the limits": op(beyond, QueueError, cost=20),
    "removed: put": op(lambda r: removed(r, "put", ITEM), QueueError, cost=10),
    "removed: get": op(lambda r: removed(r, "get"), QueueError, cost=10),
    "removed: qsize": op(lambda r: removed(r, "qsize"), QueueError, cost=10),
    "removed: close": op(lambda r: removed(r, "close"), cost=10),
    "get: by type": op(lambda r: r.q.get(msg_type=1), (), "q", -1, 2),
    "get_nowait: by type": op(lambda r: r.q.get_nowait(-9), (), "q", -1, 2),
    "get: no such type": op(lambda r: r.q.get_nowait(7), queue.Empty, "q"),
    "get: huge type": op(lambda r: r.q.get(False, 1 << 80), QueueError, cost=5),
    "get, any type but": op(lambda r: r.q.receive(msg_type=5, exclude=True), (), "q", -1, 3),
    "exclude: no type": op(lambda r: r.q.receive(msg_type=0, exclude=True), QueueError, cost=5),
    "peek": op(peek, cost=3),
    "peek: beyond": op(lambda r: r.q.peek(5), (queue.Empty, QueueError), cost=3),
    "peek: negative": op(lambda r: r.q.peek(-1), QueueError, cost=5),
    "set": op(lambda r: r.q.set(mode=0o600), cost=3),
    "set: bad": op(lambda r: r.q.set(mode=-1), QueueError, cost=5),
    "from_id": op(lambda r: Queue.from_id(r.q.id).detach(), cost=5),
    "from_id: no queue": op(lambda r: Queue.from_id(2**31 - 1), OSError, cost=5),
    "ftok": op(lambda r: sysvmq.ftok("/", 1), cost=2),
    "ftok: no file": op(lambda r: sysvmq.ftok("/no/such", 1), OSError, cost=5),
    "remove: no queue": op(lambda r: sysvmq.remove(2**31 - 1), QueueError, cost=5),
}
