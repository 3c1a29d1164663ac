"""The table of bad input for test_errors.py; rows of one kind alone are in its own_bad_input.py.

A row is what is wrong, a call of the queues in a namespace (q and raw, which hold a message each;
ended, a handle for each way to end one; address, which no queue has), and what the call raises: a
type of exception, or the attributes of a QueueError.
"""

import math
import pickle
import threading
from types import SimpleNamespace

import kind
from kind import ADDRESS, MARK, Queue, QueueError

INVALID = {"errno": QueueError.INVALID_VALUE}
TOO_BIG = {"errno": QueueError.TOO_BIG_MESSAGE}
MISSING = {"errno": QueueError.DOES_NOT_EXIST, "os_errno": 2}  # ENOENT
EXISTS = {"errno": QueueError.EXISTS, "os_errno": 17}  # EEXIST
CLOSED = {"errno": QueueError.INVALID_DESCRIPTOR}
HUGE = 10**100


class Cruel:
    """Raises ZeroDivisionError whatever it is asked."""

    def _raise(self, *_):
        raise ZeroDivisionError("as it does")

    __index__ = __float__ = __bool__ = __reduce__ = __reduce_ex__ = _raise


def deep():
    nest = []
    for _ in range(100_000):
        nest = [nest]
    return nest


def shown(value):
    """A value in the id of a test."""
    return f"{value!r:.25}" if isinstance(value, (int, float, str, bytes)) else type(value).__name__


def rows(what, call, *outcomes):
    """A row for each bad value: an outcome is what is raised, and the values that raise it."""
    return [
        (what.format(shown(value)), lambda ns, value=value: call(value, ns), raised)
        for raised, *values in outcomes
        for value in values
    ]


SIZES = [
    (INVALID, 0, -1, -(2**31), -(2**63), 2**63, 2**64, 2**64 + 1, HUGE, -HUGE),
    (TypeError, 1.0, "10", b"1", [1], object()),
    (ZeroDivisionError, Cruel()),
]
MODES = [
    (INVALID, -1, 0o1000, 0o1600, 2**16, 2**32, 2**32 + 0o600, HUGE, -HUGE),
    (TypeError, "rw", 384.0, None, []),
]
SPINS = [
    (ValueError, -1, 1_000_001, 2**32, HUGE, -HUGE),
    (TypeError, "50", 50.0, 1.5, []),
]
SIGNAL_WAYS = [
    (ValueError, "ignore", "", "RAISE", "raise\0", "retry "),
    ((TypeError, ValueError), b"raise", None, 1),
]
SERIALIZERS = [
    ((TypeError, AttributeError), object(), 5, "json", SimpleNamespace(dumps=pickle.dumps)),
]
MARKS = [
    (INVALID, -1, -(2**32), 2**63, 2**64, 2**64 + 1, -(2**64), HUGE, -HUGE),
    (TypeError, 1.0, "1", b"1", None, [], object()),
    (ZeroDivisionError, Cruel()),
]
TIMEOUTS = [
    (ValueError, -1, -0.001, -5e-324, -(2**63), math.nan, -math.nan),
    (OverflowError, math.inf, 9223372037, 9223372037.5, 9.3e9, 2**63, 1e300, 1e308, 10**400),
    ((ValueError, OverflowError), -math.inf, -(10**400)),
    (TypeError, "1", b"1", [], 1j, object()),
    (ZeroDivisionError, Cruel()),
]
PROTOCOLS = [
    ((ValueError, OverflowError), pickle.HIGHEST_PROTOCOL + 1, 99, HUGE),
    (TypeError, "1", 1.0),
]
ITEMS = {
    "a lambda": (lambda: lambda: None, (pickle.PicklingError, AttributeError)),
    "a lock": (threading.Lock, (pickle.PicklingError, TypeError)),
    "a generator": (lambda: (x for x in ()), TypeError),
    "one that raises": (Cruel, ZeroDivisionError),
    "one nested too deep": (deep, RecursionError),
    "one of 100,000 bytes": (lambda: "x" * 100_000, TOO_BIG),
    "one of a megabyte": (lambda: b"x" * 2**20, TOO_BIG),
}

# All that works on a queue; what only one kind has is left out in the other.
METHODS = {
    "put": lambda q: q.put(1),
    "put without waiting": lambda q: q.put(1, False),
    "put with a timeout": lambda q: q.put(1, timeout=1),
    "put_nowait": lambda q: q.put_nowait(1),
    "get": lambda q: q.get(),
    "get without waiting": lambda q: q.get(False),
    "get with a timeout": lambda q: q.get(timeout=1),
    **{
        name: lambda q, name=name: getattr(q, name)()
        for name in (
            *("get_nowait", "receive", "peek", "qsize", "qattr", "empty", "full", "stat", "set"),
            *("__reduce__", "__enter__"),
        )
        if hasattr(Queue, name)
    },
}

CALLS = {
    "open: an unknown keyword": lambda ns: Queue(ns.address, max_size=1),
    "open: the address twice": lambda ns: Queue(ns.address, **{ADDRESS: ns.address}),
    "open: the serializer by position": lambda ns: Queue(
        ns.address, *kind.room(1, 16).values(), None
    ),
    "put: no item": lambda ns: ns.q.put(),
    "put: an unknown keyword": lambda ns: ns.q.put(1, prio=1),
    "put: too many arguments": lambda ns: ns.q.put(1, True, None, 0, 1, 2),
    "put: the item twice": lambda ns: ns.q.put(1, item=2),
    "put_nowait: no item": lambda ns: ns.q.put_nowait(),
    "put_nowait: block": lambda ns: ns.q.put_nowait(1, block=True),
    "put_nowait: too many arguments": lambda ns: ns.q.put_nowait(1, 2, 3, 4),
    "get: an unknown keyword": lambda ns: ns.q.get(wait=True),
    "get: too many arguments": lambda ns: ns.q.get(True, 0, 0),
    "get: block twice": lambda ns: ns.q.get(True, block=True),
    **{
        f"{name}: an argument": lambda ns, name=name: getattr(ns.q, name)(1)
        for name in ("qsize", "qattr", "empty", "full", "stat", *kind.ENDS)
        if hasattr(Queue, name)
    },
}


def of_its_own():
    """A serializer that only one queue has."""
    return SimpleNamespace(dumps=bytes, loads=bytes)


ROWS = [
    *(
        row
        for size in kind.room(1)
        for row in rows(
            f"open: {size} is {{}}",
            lambda bad, ns, size=size: Queue(ns.address, **{size: bad}),
            *SIZES,
        )
    ),
    *(
        row
        for option, bad_values in {
            "mode": MODES,
            "spin_us": SPINS,
            "on_signal": SIGNAL_WAYS,
            "serializer": SERIALIZERS,
        }.items()
        for row in rows(
            f"open: {option} is {{}}",
            lambda bad, ns, option=option: Queue(ns.address, **{option: bad}),
            *bad_values,
        )
    ),
    *rows(f"put: {MARK} is {{}}", lambda bad, ns: ns.q.put(1, **{MARK: bad}), *MARKS),
    *rows(f"put_nowait: {MARK} is {{}}", lambda bad, ns: ns.q.put_nowait(1, **{MARK: bad}), *MARKS),
    *rows("put: timeout is {}", lambda bad, ns: ns.q.put(1, timeout=bad), *TIMEOUTS),
    *rows("get: timeout is {}", lambda bad, ns: ns.q.get(timeout=bad), *TIMEOUTS),
    *rows("put: protocol is {}", lambda bad, ns: ns.q.put(1, pickle_protocol=bad), *PROTOCOLS),
    *rows(
        "put: not bytes but {}",
        lambda bad, ns: ns.raw.put(bad),
        (TypeError, "text", None, 1, [b"x"], object()),
    ),
    *(
        (f"{name}: the item is {what}", lambda ns, n=name, i=item: getattr(ns.q, n)(i()), raised)
        for what, (item, raised) in ITEMS.items()
        for name in ("put", "put_nowait")
    ),
    ("put: a megabyte of bytes", lambda ns: ns.raw.put(b"x" * 2**20), TOO_BIG),
    *(
        (f"{name} after {end}", lambda ns, end=end, call=call: call(ns.ended[end]), CLOSED)
        for name, call in METHODS.items()
        for end in kind.ENDS
    ),
    *((what, call, TypeError) for what, call in CALLS.items()),
    (
        "open: missing",
        lambda ns: Queue(ns.address, create=False, serializer=of_its_own()),
        MISSING,
    ),
    (
        "open: there already",
        lambda ns: Queue(kind.address_of(ns.q), exclusive=True, serializer=of_its_own()),
        EXISTS,
    ),
]
