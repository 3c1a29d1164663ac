"""Bad input of System V queues alone: keys, ids, message types. See common/bad_input.py."""

import ctypes

from bad_input import HUGE, INVALID, Cruel, rows
from kind import Queue, mq

LONG_MAX = 2 ** (8 * ctypes.sizeof(ctypes.c_long) - 1) - 1
LONG_MIN = -LONG_MAX - 1
NO_NUMBERS = (TypeError, "1", b"1", 1.0, [], object())
NO_NUMBER_RAISES = (ZeroDivisionError, Cruel())
KEYS = [
    (TypeError, "1", b"1", 1.0, 1j, [], object(), Queue),
    (INVALID, -1, -(2**31), 2**32, 2**63, 2**64 + 1, HUGE, -HUGE),
    NO_NUMBER_RAISES,
]
IDS = [NO_NUMBERS, (INVALID, -1, -HUGE, 2**31, HUGE)]
MARKS = [(INVALID, 0, LONG_MIN, LONG_MAX + 1)]
GET_TYPES = [
    (*NO_NUMBERS, None),
    (INVALID, LONG_MAX + 1, LONG_MIN - 1, 2**64, HUGE, -HUGE),
    NO_NUMBER_RAISES,
]
EXCLUDED = [(INVALID, 0, -1, LONG_MIN)]
CHANGES = {
    "mode": (INVALID, -1, 0o1000, HUGE),
    "uid": (INVALID, -1, 2**32 - 1, 2**32, HUGE),
    "gid": (INVALID, -1, 2**32 - 1, 2**32, HUGE),
    "max_bytes": (INVALID, 0, -1, 2**64, HUGE),
}

ROWS = [
    *rows("open: the key is {}", lambda bad, ns: Queue(bad), *KEYS),
    *rows("from_id: the id is {}", lambda bad, ns: Queue.from_id(bad), *IDS),
    *rows("remove: the id is {}", lambda bad, ns: mq.remove(bad), *IDS),
    *rows(
        "from_id: on_signal is {}",
        lambda bad, ns: Queue.from_id(ns.q.id, on_signal=bad),
        (ValueError, "ignore", ""),
    ),
    ("from_id: spin_us is -1", lambda ns: Queue.from_id(ns.q.id, spin_us=-1), ValueError),
    ("from_id: serializer is 1", lambda ns: Queue.from_id(ns.q.id, serializer=1), TypeError),
    *rows("put: msg_type is {}", lambda bad, ns: ns.q.put("x", msg_type=bad), *MARKS),
    *rows("get: msg_type is {}", lambda bad, ns: ns.q.get(msg_type=bad), *GET_TYPES),
    *rows("receive: msg_type is {}", lambda bad, ns: ns.q.receive(True, bad), *GET_TYPES),
    *rows(
        "get: msg_type {} excluded",
        lambda bad, ns: ns.q.get(msg_type=bad, exclude=True),
        *EXCLUDED,
    ),
    ("get_nowait: any type excluded", lambda ns: ns.q.get_nowait(exclude=1), INVALID),
    ("receive: any type excluded", lambda ns: ns.q.receive(exclude=True), INVALID),
    (
        "get: exclude without a truth",
        lambda ns: ns.q.get(msg_type=1, exclude=Cruel()),
        ZeroDivisionError,
    ),
    *rows(
        "peek: the index is {}",
        lambda bad, ns: ns.q.peek(bad),
        NO_NUMBERS,
        (INVALID, -1, -HUGE, LONG_MAX + 1, HUGE),
    ),
    *(
        row
        for what, invalid in CHANGES.items()
        for row in rows(
            f"set: {what} is {{}}",
            lambda bad, ns, what=what: ns.q.set(**{what: bad}),
            NO_NUMBERS,
            invalid,
        )
    ),
    ("set: the mode by position", lambda ns: ns.q.set(0o600), TypeError),
    *rows(
        "ftok: project_id is {}",
        lambda bad, ns: mq.ftok("/", bad),
        (INVALID, 0, -1, 256, HUGE),
        (TypeError, "1"),
    ),
    ("ftok: a number", lambda ns: mq.ftok(1, 1), TypeError),
    ("ftok: a path with NUL", lambda ns: mq.ftok("/\0", 1), ValueError),
]
