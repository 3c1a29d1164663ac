"""Bad input of POSIX queues alone: names, two sizes, priorities. See common/bad_input.py."""

from pathlib import Path

from bad_input import INVALID, MISSING, TOO_BIG, rows
from kind import Queue, mq

LONG = INVALID | {"os_errno": 36}  # ENAMETOOLONG
NAMES = [
    (TypeError, 5, None, b"/posixmq-test", Path("/posixmq-test")),
    (INVALID, "posixmq-test", " /posixmq-test", "", "/", "/.", "/..", "/posixmq/test"),
    (INVALID, "/posixmq\0test", "/\0"),
    # Bytes count, not characters.
    (LONG, "/" + "x" * 256, "/" + "ž" * 128, "/" + "x" * 1_000_000),
]
SIZES = [(INVALID, 2**31, 2**32 + 1), (TypeError, None)]
MARKS = [(INVALID, 32768, 2**31, 2**32)]
TOO_LONG = [(TOO_BIG | {"os_errno": 90}, "x" * 257, b"x" * 2**20)]  # EMSGSIZE

ROWS = [
    *rows("open: the name is {}", lambda bad, ns: Queue(bad), *NAMES),
    *rows("unlink: the name is {}", lambda bad, ns: mq.unlink(bad), *NAMES),
    *rows("open: maxsize is {}", lambda bad, ns: Queue(ns.address, bad), *SIZES),
    *rows("open: maxmsgsize is {}", lambda bad, ns: Queue(ns.address, maxmsgsize=bad), *SIZES),
    *rows("put: priority is {}", lambda bad, ns: ns.q.put(1, priority=bad), *MARKS),
    *rows("put_nowait: priority is {}", lambda bad, ns: ns.q.put_nowait(1, bad), *MARKS),
    *rows("put: the item is {}", lambda bad, ns: ns.q.put(bad), *TOO_LONG),
    *rows("put_nowait: the item is {}", lambda bad, ns: ns.q.put_nowait(bad), *TOO_LONG),
    ("open: no name", lambda ns: Queue(), TypeError),
    ("get: three arguments", lambda ns: ns.q.get(True, None, 0), TypeError),
    ("get_nowait: an argument", lambda ns: ns.q.get_nowait(True), TypeError),
    ("unlink: an argument", lambda ns: ns.q.unlink(1), TypeError),
    ("unlink: no name", lambda ns: mq.unlink(), TypeError),
    ("unlink: two names", lambda ns: mq.unlink(ns.address, ns.address), TypeError),
    ("unlink: missing", lambda ns: mq.unlink(ns.address), MISSING),
]
