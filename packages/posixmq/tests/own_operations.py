"""The operations of POSIX queues alone; common/operations.py has the others and says what they are."""

import os
import signal

import posixmq
from operations import Hostile, op
from posixmq import Queue, QueueError


def from_fd(rig):
    """The descriptor stays ours where it is not taken over."""
    fd = os.dup(rig.q.fileno())
    try:
        Queue.from_fd(fd).close()
    except BaseException:
        os.close(fd)
        raise


def notify(rig):
    rig.empty.notify(signal.SIGUSR1)
    rig.empty.notify(None)


OWN = {
    "open without a name": op(lambda r: Queue(), TypeError),
    "open: name of a wrong type": op(lambda r: Queue(b"/x"), TypeError),
    "open: bad name": op(lambda r: Queue("x"), QueueError, cost=5),
    "open: long name": op(lambda r: Queue("/" + "x" * 256), QueueError, cost=5),
    "open: name not encodable": op(lambda r: Queue("/\ud800"), UnicodeError),
    "open: name with NUL": op(lambda r: Queue("/a\0b"), QueueError, cost=5),
    "open: bad maxsize": op(lambda r: Queue(r.address, -77777), QueueError, cost=5),
    "open: huge maxsize": op(lambda r: Queue(r.address, 1 << 80), QueueError, cost=5),
    "open: maxsize of a wrong type": op(lambda r: Queue(r.address, "1"), TypeError),
    "open: hostile maxsize": op(lambda r: Queue(r.address, Hostile()), ZeroDivisionError),
    "open: bad maxmsgsize": op(lambda r: Queue(r.address, 1, -77777), QueueError, cost=5),
    "open: beyond the limits": op(
        lambda r: Queue(r.address, 1 << 30, 1 << 30), QueueError, cost=20
    ),
    "unlink: missing": op(lambda r: posixmq.unlink(r.address), QueueError, cost=5),
    "unlink: bad": op(lambda r: posixmq.unlink("x"), QueueError, cost=5),
    "unlink: wrong arguments": op(lambda r: posixmq.unlink(nome=1), TypeError),
    "unlink: never opened": op(lambda r: r.blank.unlink(), QueueError, cost=5),
    "get_into: shorter than maxmsgsize": op(
        lambda r: r.raw.get_into(bytearray(8)), QueueError, "raw", cost=5
    ),
    "full": op(lambda r: r.q.full()),
    "full: closed": op(lambda r: r.closed.full(), QueueError, cost=5),
    "fileno": op(lambda r: (r.q.fileno(), r.closed.fileno())),
    "notify": op(notify, cost=10),
    "from_fd": op(from_fd, cost=5),
    "from_fd: no queue": op(lambda r: Queue.from_fd(999_999), OSError, cost=5),
    "anonymous": op(lambda r: Queue.anonymous(1, 16).close(), cost=5),
}
