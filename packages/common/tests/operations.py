"""The table of operations that endurance.py carries out: one line each.

An operation is a function of the rig, a few small queues, each with a stock of messages to which
it is put back after every call. A line says how the call ends (raises), on which of the rig's
queues (queue) and by how many messages it changes it, and how much dearer it is than the others
(cost: so many times fewer calls). The lines of one kind alone are in its own_operations.py.
"""

import contextlib
import ctypes
import gc
import importlib.util
import json
import pickle
import queue
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import kind
from kind import PACKAGE, DecodeError, Queue, QueueError, RawSerializer, mark

CLONE_NEWIPC = 0x08000000
ITEM = ("an item", 1.5, [None])
MARKED = mark(3)
BUFFER = bytearray(1024)  # longer than any message but the long ones
LONG = b"x" * 66_000
TOO_LONG = b"x" * 3000


class Operation(NamedTuple):
    call: Callable[[Any], object]
    raises: type[BaseException] | tuple[type[BaseException], ...] = ()
    queue: str = ""
    messages: int = 0
    cost: int = 1
    partial: bool = False  # an error may come after some of the messages
    only: str = ""  # "leaks" or "nomemory", for a reason that stands beside it


op = Operation


class Refuses:
    """A serializer that fails on demand."""

    def __init__(self, dumped=b"", loads=None):
        self.dumped, self.refusal = dumped, loads

    def dumps(self, item):
        if isinstance(self.dumped, Exception):
            raise self.dumped.with_traceback(None)
        return self.dumped

    def loads(self, data):
        raise self.refusal.with_traceback(None)


class Hostile:
    """What raises whatever is asked of it."""

    def __index__(self):
        raise ZeroDivisionError

    __bool__ = __float__ = __repr__ = __index__


class NotCallable:
    """No serializer, though it looks like one."""

    dumps = loads = 1


# --- the rig ---------------------------------------------------------------------------------------------

# name: (how it is opened, a message as it lies in the queue, how many lie there between calls)
STOCKS = {
    "q": ({}, pickle.dumps(ITEM, 1), 1),
    "raw": ({"serializer": RawSerializer}, b"raw", 1),
    "json": ({"serializer": json}, b'["json"]', 1),
    "full": ({**kind.room(1, 40), "serializer": RawSerializer}, b"x" * 40, 1),
    "empty": ({"spin_us": 0}, b"", 0),
    "bad": ({}, b"no pickle at all", 1),
    "badjson": ({"serializer": json}, b"{", 1),
    "refuses": ({"serializer": Refuses(b"x", KeyboardInterrupt())}, b"x", 1),
    "big": ({**kind.room(1, 70_000), "serializer": RawSerializer}, LONG, 1),
}


class Rig:
    """The queues that operations work on; big is None where the system allows no long messages."""

    def __enter__(self):
        warnings.simplefilter("ignore")
        self.isolated = self.isolate()
        self.address = kind.new_address()  # of a queue that is not there
        self.addresses, self.feed = [self.address], {}
        for name in STOCKS:
            self.open(name)
        self.closed = Queue(kind.new_address(), **kind.room(1, 16))
        kind.destroy(self.closed)
        self.blank = Queue.__new__(Queue)
        self.known = kind.address_of(self.q)
        look = ctypes.pythonapi.PyThreadState_GetDict
        look.restype = ctypes.c_void_p
        self.thread = ctypes.cast(look(), ctypes.py_object).value
        signal.signal(signal.SIGALRM, lambda *_: None)
        return self

    def open(self, name):
        """Open the queue of this name, and another handle that refills it."""
        options, address = {**kind.room(3), **STOCKS[name][0]}, kind.new_address()
        self.addresses.append(address)
        setattr(self, name, None)
        try:
            opened = Queue(address, **options)
            self.feed[name] = Queue(address, create=False, serializer=RawSerializer)
            self.restore(name)
        except QueueError:
            assert name == "big", "only the limits of the system may forbid a queue"
            return
        setattr(self, name, opened)

    def __exit__(self, *_):
        for address in self.addresses:
            kind.remove_address(address)
        for each in (*(getattr(self, name) for name in STOCKS), *self.feed.values()):
            if each:
                each.close()

    @staticmethod
    def isolate():
        """An IPC namespace of its own allows long messages, where the user may have one."""
        if ctypes.CDLL(None).unshare(CLONE_NEWIPC):
            return False
        with contextlib.suppress(OSError):
            for limit, value in kind.WIDE_LIMITS.items():
                with open(limit, "w") as file:
                    file.write(str(value))
        return True

    def kernel_queues(self):
        """How many queues there are, as far as they can be told from those of others."""
        return kind.count_queues(self.addresses, self.isolated)

    def level(self, name):
        return self.feed[name].qsize()

    def restore(self, name):
        """Put a queue back to its stock, and so a message that was changed by another."""
        feed = self.feed[name]
        _, message, count = STOCKS[name]
        level = feed.qsize()
        while level > count:
            feed.get_nowait()
            level -= 1
        while level < count:
            feed.put_nowait(message)
            level += 1

    def tidy(self):
        """Remove what an operation that was cut short has left for others to find."""
        kind.remove_address(self.address)
        signal.setitimer(signal.ITIMER_REAL, 0)
        threading.settrace(None)


# --- operations of several steps ---------------------------------------------------------------------------


def open_new(rig, **options):
    """Create the queue of the address that is free, and remove it."""
    kind.destroy(Queue(rig.address, **kind.room(1, 16), **options))


def leave(opened):
    getattr(opened, kind.LEAVE)()


def open_and_drop(rig):
    Queue(rig.known, create=False)


class Mine(Queue):
    """A subclass whose objects are in a cycle."""

    def __init__(self, address):
        super().__init__(address, create=False)
        self.itself = self


def subclass(rig):
    with Mine(rig.known) as opened:
        repr(opened)


def reload_module(rig):
    """A module of its own, with all that it imports."""
    name = f"{PACKAGE}._{PACKAGE}"
    spec = importlib.util.spec_from_file_location(name, sys.modules[name].__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    leave(module.Queue(rig.known, create=False))
    gc.collect()


def first_error(rig):
    """An error whose words are not yet imported."""
    try:
        sys.modules.pop(f"{PACKAGE}._explain", None)
        vars(kind.mq).pop("_explain", None)
        rig.closed.qsize()
    finally:
        sys.modules.pop(f"{PACKAGE}._explain", None)


def interrupted(rig):
    """A wait that a signal ends."""
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.001)
    try:
        rig.empty.get()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def first_wait(rig):
    """A wait for which the thread's record has to be made."""
    rig.thread.pop(f"{PACKAGE} thread", None)
    rig.empty.get(timeout=1e-5)


def in_a_thread(rig):
    """A wait in a thread of its own, whose record ends with it."""
    failures = []

    def wait():
        try:
            rig.empty.get(timeout=1e-6)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    if failures:
        raise failures.pop().with_traceback(None)


def with_serializer(rig, serializer, item=ITEM):
    with Queue(rig.known, create=False, serializer=serializer) as opened:
        opened.put(item)


# --- the table -------------------------------------------------------------------------------------------

EVERY_OPTION = {
    "serializer": json,
    "mode": 0o600,
    "exclusive": True,
    "on_signal": "retry",
    "spin_us": 7,
    "trusted": True,
}

OPENING = {
    "open, close, remove": op(open_new, cost=5),
    "open with everything": op(lambda r: open_new(r, **EVERY_OPTION), cost=5),
    "open what exists": op(lambda r: leave(Queue(r.known)), cost=3),
    # Without memory Python 3.11's warnings read a NULL, whoever warns: setup_context.
    "open and drop": op(open_and_drop, cost=5, only="leaks" if kind.WARNS_WHEN_DROPPED else ""),
    # Without memory Python may lose a subclass's object, which it made itself.
    "subclass in a cycle": op(subclass, cost=200, only="leaks"),
    "open: bad mode": op(lambda r: Queue(r.address, mode=0o1000), QueueError, cost=5),
    "open: missing": op(lambda r: Queue(r.address, create=False), QueueError, cost=5),
    "open: exists": op(lambda r: Queue(r.known, exclusive=True), QueueError, cost=5),
    "open: exclusive, not create": op(
        lambda r: Queue(r.address, exclusive=True, create=False), ValueError
    ),
    "open: bad on_signal": op(lambda r: Queue(r.address, on_signal="x"), ValueError),
    "open: on_signal of a wrong type": op(lambda r: Queue(r.address, on_signal=1), TypeError),
    "open: bad spin_us": op(lambda r: Queue(r.address, spin_us=-77777), ValueError),
    "open: spin_us of a wrong type": op(lambda r: Queue(r.address, spin_us="x"), TypeError),
    "open: no serializer": op(lambda r: Queue(r.address, serializer=object()), TypeError),
    "open: serializer not callable": op(
        lambda r: Queue(r.address, serializer=NotCallable), TypeError, cost=50
    ),
    "open: twice": op(lambda r: r.q.__init__(r.known), RuntimeError),
    "end twice": op(lambda r: [getattr(r.closed, end)() for end in kind.ENDS]),
    "with: closed": op(lambda r: r.closed.__enter__(), QueueError, cost=5),
    "new and drop": op(lambda r: Queue.__new__(Queue)),
    "the module anew": op(reload_module, cost=200),
}

PUTTING = {
    "put": op(lambda r: r.q.put(ITEM), (), "q", 1, 2),
    "put raw": op(lambda r: r.raw.put(b"raw"), (), "raw", 1, 2),
    "put a buffer": op(lambda r: r.raw.put(bytearray(b"raw")), (), "raw", 1, 2),
    "put json": op(lambda r: r.json.put(["json"]), (), "json", 1, 5),
    "put by keywords": op(
        lambda r: r.q.put(item=ITEM, block=True, timeout=1, pickle_protocol=4, **MARKED),
        (),
        "q",
        1,
        2,
    ),
    "put_nowait": op(lambda r: r.q.put_nowait(ITEM, 3), (), "q", 1, 2),
    "put: full": op(lambda r: r.full.put_nowait(b"x"), queue.Full, "full"),
    "put: full in time": op(lambda r: r.full.put(b"x", timeout=1e-4), queue.Full, "full", cost=40),
    "put: too long": op(lambda r: r.raw.put(TOO_LONG), QueueError, "raw", cost=5),
    "put: closed": op(lambda r: r.closed.put(ITEM), QueueError, cost=5),
    "put: never opened": op(lambda r: r.blank.put(ITEM), QueueError, cost=5),
    "put: not picklable": op(lambda r: r.q.put(lambda: 0), Exception, "q", cost=5),
    "put: no buffer": op(lambda r: r.raw.put("text"), TypeError, "raw"),
    "put: serializer returns an int": op(
        lambda r: with_serializer(r, Refuses(5)), TypeError, cost=5
    ),
    "put: serializer raises": op(
        lambda r: with_serializer(r, Refuses(ZeroDivisionError())), ZeroDivisionError, cost=5
    ),
    "put: a str that is no UTF-8": op(
        lambda r: with_serializer(r, Refuses("\ud800")), UnicodeError, cost=5
    ),
    "put: a strided buffer": op(
        lambda r: r.raw.put(memoryview(b"abcdef")[::2]), BufferError, "raw"
    ),
    "put: no item": op(lambda r: r.q.put(), TypeError),
    "put: too many arguments": op(lambda r: r.q.put(1, 2, 3, 4, 5, 6), TypeError),
    "put: unknown keyword": op(lambda r: r.q.put(1, what=1), TypeError),
    "put: a keyword twice": op(lambda r: r.q.put(1, item=1), TypeError),
    "put: equal keyword": op(
        lambda r: r.q.put(ITEM, **{"".join(["time", "out"]): 1}), (), "q", 1, 2
    ),
    "put: bad mark": op(lambda r: r.q.put(1, **mark(-77777)), QueueError, cost=5),
    "put: hostile mark": op(lambda r: r.q.put(1, **mark(Hostile())), ZeroDivisionError),
    "put: hostile block": op(lambda r: r.q.put(1, Hostile()), ZeroDivisionError),
    "put: hostile timeout": op(lambda r: r.q.put(1, timeout=Hostile()), ZeroDivisionError),
    "put: negative timeout": op(lambda r: r.q.put(1, timeout=-1), ValueError),
    "put: huge timeout": op(lambda r: r.q.put(1, timeout=1e30), OverflowError),
    "put: timeout of a wrong type": op(lambda r: r.q.put(1, timeout="1"), TypeError),
    "put_many": op(lambda r: r.q.put_many([ITEM, ITEM]), (), "q", 2, 4, partial=True),
    "put_many: one too long": op(
        lambda r: r.raw.put_many([b"x", TOO_LONG]), QueueError, "raw", cost=10
    ),
    "put_many: full": op(lambda r: r.full.put_many([b"x"], False), queue.Full, "full", cost=5),
    "put_many: no iterable": op(lambda r: r.q.put_many(1), TypeError),
}

GETTING = {
    "get": op(lambda r: r.q.get(), (), "q", -1, 2),
    "get raw": op(lambda r: r.raw.get(timeout=1), (), "raw", -1, 2),
    "get json": op(lambda r: r.json.get(), (), "json", -1, 5),
    "get_nowait": op(lambda r: r.q.get_nowait(), (), "q", -1, 2),
    "get: empty": op(lambda r: r.empty.get_nowait(), queue.Empty, "empty"),
    "get: empty in time": op(lambda r: r.empty.get(timeout=1e-4), queue.Empty, "empty", cost=40),
    "get: a thread's first wait": op(first_wait, queue.Empty, "empty", cost=20),
    "get: interrupted": op(interrupted, QueueError, "empty", cost=100),
    # Without memory threading.Thread.start() may wait for ever for a thread that died young.
    "get: in a thread": op(in_a_thread, queue.Empty, "empty", cost=100, only="leaks"),
    "get: no pickle": op(lambda r: r.bad.get(), DecodeError, "bad", -1, 10),
    "get: no json": op(lambda r: r.badjson.get(), DecodeError, "badjson", -1, 10),
    "get: KeyboardInterrupt": op(lambda r: r.refuses.get(), KeyboardInterrupt, "refuses", 0, 5),
    "get: closed": op(lambda r: r.closed.get(), QueueError, cost=5),
    "get: too many arguments": op(lambda r: r.q.get(1, 2, 3), TypeError),
    "receive": op(lambda r: r.q.receive(), (), "q", -1, 3),
    "receive: no pickle": op(lambda r: r.bad.receive(), DecodeError, "bad", -1, 10),
    "receive: empty": op(lambda r: r.empty.receive(False), queue.Empty, "empty"),
    "get_many": op(lambda r: r.q.get_many(), (), "q", -1, 4),
    "get_many: no pickle": op(lambda r: r.bad.get_many(), DecodeError, "bad", -1, 20),
    "get_many: empty": op(lambda r: r.empty.get_many(block=False), queue.Empty, "empty"),
    "get_into": op(lambda r: r.raw.get_into(BUFFER), (), "raw", -1, 3),
    "get_into: too short": op(lambda r: r.raw.get_into(bytearray(1)), QueueError, "raw", cost=5),
    "get_into: not writable": op(
        lambda r: r.raw.get_into(bytes(BUFFER)), (TypeError, BufferError), "raw"
    ),
    "iterate": op(lambda r: next(r.q), (), "q", -1, 3),
    "iterate: closed": op(lambda r: next(r.closed), StopIteration),
}

LOOKING = {
    "qattr": op(lambda r: r.q.qattr()),
    "qattr: closed": op(lambda r: r.closed.qattr(), QueueError, cost=5),
    # Importing a module anew costs some bytes each time, whichever it is.
    "the first error": op(first_error, QueueError, cost=200, only="nomemory"),
    "qsize, empty": op(lambda r: (r.q.qsize(), r.q.empty())),
    "empty: closed": op(lambda r: r.closed.empty(), QueueError, cost=5),
    "attributes": op(lambda r: [getattr(r.q, name) for name in kind.ATTRIBUTES]),
    "attributes: never opened": op(
        lambda r: (kind.address_of(r.blank), r.blank.serializer, repr(r.blank))
    ),
    "repr": op(lambda r: (repr(r.q), repr(r.closed), repr(r.blank))),
    "Queue[int]": op(lambda r: Queue[int]),
    "stat": op(lambda r: r.q.stat(), cost=3),
    "stat: closed": op(lambda r: r.closed.stat(), QueueError, cost=5),
    "list_queues": op(lambda r: kind.mq.list_queues(), cost=50),
    "limits": op(lambda r: kind.mq.limits(), cost=20),
    # Without memory pickle's own import fails, and it says PicklingError.
    "pickle": op(lambda r: leave(pickle.loads(pickle.dumps(r.q))), cost=10, only="leaks"),
    "compare": op(lambda r: (r.q == r.raw, hash(r.q))),
}

OF_LONG_MESSAGES = {
    "put long": op(lambda r: (r.big.get(), r.big.put(LONG)), (), "big", 0, 10),
    "get long": op(lambda r: r.big.get(), (), "big", -1, 10),
}


def operations(rig):
    """The table, by name; what this system does not allow is left out."""
    from own_operations import OWN

    long = OF_LONG_MESSAGES if rig.big else {}
    return OPENING | PUTTING | GETTING | LOOKING | OWN | long
