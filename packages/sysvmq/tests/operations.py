"""The table of operations that endurance.py carries out: one line each.

An operation is a function of the rig, a few small queues, each with a stock of messages to which
it is put back after every call. A line says how the call ends (raises), on which of the rig's
queues (queue) and by how many messages it changes it, and how much dearer it is than the others
(cost: so many times fewer calls). A line whose method (needs) does not exist is left out.
"""

import contextlib
import ctypes
import gc
import importlib.util
import json
import pickle
import queue
import secrets
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import sysvmq
from sysvmq import DecodeError, Queue, QueueError, RawSerializer

CLONE_NEWIPC = 0x08000000
PACKAGE = "sysvmq"
ITEM = ("an item", 1.5, [None])


class Operation(NamedTuple):
    call: Callable[[Any], object]
    raises: type[BaseException] | tuple[type[BaseException], ...] = ()
    queue: str = ""
    messages: int = 0
    cost: int = 1
    needs: str = ""
    partial: bool = False  # an error may come after some of the messages
    only: str = ""  # "leaks" or "nomemory", for a reason that stands beside it


def kernel_queues():
    """How many queues there are, of all that this process can see if it is alone in its namespace."""
    with open("/proc/sysvipc/msg") as file:
        return len(file.readlines()) - 1 if Rig.isolated else 0


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


# name: (how it is opened, a message as it lies in the queue, how many lie there between calls)
STOCKS = {
    "q": ({}, pickle.dumps(ITEM, 1), 1),
    "raw": ({"serializer": RawSerializer}, b"raw", 1),
    "json": ({"serializer": json}, b'["json"]', 1),
    "full": ({"max_bytes": 40, "serializer": RawSerializer}, b"x" * 40, 1),
    "empty": ({"spin_us": 0}, b"", 0),
    "bad": ({}, b"no pickle at all", 1),
    "badjson": ({"serializer": json}, b"{", 1),
    "refuses": ({"serializer": Refuses(b"x", KeyboardInterrupt())}, b"x", 1),
    "big": ({"max_bytes": 200_000, "serializer": RawSerializer}, b"x" * 66_000, 1),
}


class Rig:
    """The queues that operations work on."""

    isolated = False

    def __enter__(self):
        warnings.simplefilter("ignore")
        self.isolate()
        self.feed = {}
        for name, (options, _, _) in STOCKS.items():
            opened = None
            with contextlib.suppress(QueueError):  # the limits of the system may forbid the big one
                opened = Queue(self.free_key(), **{"max_bytes": 2048, **options})
            assert opened or name == "big"
            setattr(self, name, opened)
            if opened:
                self.feed[name] = Queue(opened.key, create=False, serializer=RawSerializer)
        try:
            self.restore("big")
        except (AttributeError, KeyError, QueueError):
            self.big = None
        for name in self.feed:
            if getattr(self, name):
                self.restore(name)
        self.closed = Queue(self.free_key())
        self.closed.close()
        self.blank = Queue.__new__(Queue)
        self.key = self.free_key()
        look = ctypes.pythonapi.PyThreadState_GetDict
        look.restype = ctypes.c_void_p
        self.thread = ctypes.cast(look(), ctypes.py_object).value
        signal.signal(signal.SIGALRM, lambda *_: None)
        return self

    def __exit__(self, *_):
        for each in self.feed.values():
            each.close()

    @staticmethod
    def free_key():
        while True:
            key = secrets.randbelow(2**31 - 1) + 1
            try:
                Queue(key, create=False, serializer=json).detach()
            except QueueError as error:
                if error.errno == QueueError.DOES_NOT_EXIST:
                    return key

    @classmethod
    def isolate(cls):
        """An IPC namespace of its own allows long messages, where the user may have one."""
        with contextlib.suppress(OSError):
            if ctypes.CDLL(None).unshare(CLONE_NEWIPC) == 0:
                cls.isolated = True
                for limit in ("msgmax", "msgmnb"):
                    with open(f"/proc/sys/kernel/{limit}", "w") as file:
                        file.write("200000")

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
        with contextlib.suppress(QueueError):
            Queue(self.key, create=False, serializer=json).close()
        signal.setitimer(signal.ITIMER_REAL, 0)


def open_new(rig, **options):
    """Create the queue of the key that is free, and remove it."""
    Queue(rig.key, **options).close()


def in_a_block(rig):
    with Queue(rig.q.key, create=False), Queue():
        pass


def open_and_drop(rig):
    Queue(rig.q.key, create=False)


class Mine(Queue):
    """A subclass whose objects are in a cycle."""

    def __init__(self, key):
        super().__init__(key, create=False)
        self.itself = self


def subclass(rig):
    with Mine(rig.q.key) as opened:
        repr(opened)


class NotCallable:
    """No serializer, though it looks like one."""

    dumps = loads = 1


def removed(rig, method, *args):
    """Use a queue that somebody else has removed."""
    mine = Queue(rig.key)
    Queue(rig.key).close()
    getattr(mine, method)(*args)


def reload_module(rig):
    """A module of its own, with all that it imports."""
    known = sys.modules["sysvmq._sysvmq"]
    spec = importlib.util.spec_from_file_location("sysvmq._sysvmq", known.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.Queue(rig.q.key, create=False).detach()
    gc.collect()


def first_error(rig):
    """An error whose words are not yet imported."""
    try:
        sys.modules.pop("sysvmq._explain", None)
        vars(sysvmq).pop("_explain", None)
        rig.closed.qsize()
    finally:
        sys.modules.pop("sysvmq._explain", None)


def interrupted(rig):
    """A wait that a signal ends."""
    signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.001)
    try:
        rig.empty.get()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def first_wait(rig):
    """A wait for which the thread's record has to be made."""
    rig.thread.pop("sysvmq thread", None)
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


def operations(rig):
    """The table, by name; what this build does not have is left out."""
    op = Operation
    big = rig.big is not None
    table = {
        # opening and closing
        "open, close": op(open_new, cost=5),
        "open with everything": op(
            lambda r: open_new(
                r,
                max_bytes=64,
                serializer=json,
                mode=0o600,
                exclusive=True,
                on_signal="retry",
                spin_us=7,
            ),
            cost=5,
        ),
        "open a private one": op(lambda r: Queue().close(), cost=5),
        # Without memory the with statement itself may fail to find __exit__.
        "with: keyed and private": op(in_a_block, cost=5, only="leaks"),
        "open what exists": op(lambda r: Queue(r.q.key).detach(), cost=3),
        "open and drop": op(open_and_drop, cost=3),
        # Without memory Python may lose a subclass's object, which it made itself.
        "subclass in a cycle": op(subclass, cost=200, only="leaks"),
        "open: key of a wrong type": op(lambda r: Queue("1"), TypeError),
        "open: hostile key": op(lambda r: Queue(Hostile()), ZeroDivisionError),
        "open: bad key": op(lambda r: Queue(-77777), QueueError, cost=5),
        "open: huge key": op(lambda r: Queue(1 << 80), QueueError, cost=5),
        "open: bad max_bytes": op(lambda r: Queue(r.key, -77777), QueueError, cost=5),
        "open: beyond the limits": op(beyond, QueueError, cost=20),
        "open: bad mode": op(lambda r: Queue(r.key, mode=0o1000), QueueError, cost=5),
        "open: missing": op(lambda r: Queue(r.key, create=False), QueueError, cost=5),
        "open: exists": op(lambda r: Queue(r.q.key, exclusive=True), QueueError, cost=5),
        "open: exclusive, not create": op(
            lambda r: Queue(r.key, exclusive=True, create=False), ValueError
        ),
        "open: bad on_signal": op(lambda r: Queue(r.key, on_signal="x"), ValueError),
        "open: on_signal of a wrong type": op(lambda r: Queue(r.key, on_signal=1), TypeError),
        "open: bad spin_us": op(lambda r: Queue(r.key, spin_us=-77777), ValueError),
        "open: spin_us of a wrong type": op(lambda r: Queue(r.key, spin_us="x"), TypeError),
        "open: no serializer": op(lambda r: Queue(r.key, serializer=object()), TypeError),
        "open: serializer not callable": op(
            lambda r: Queue(r.key, serializer=NotCallable),
            TypeError,
            cost=50,
        ),
        "open: twice": op(lambda r: r.q.__init__(r.q.key), RuntimeError),
        "close and detach twice": op(lambda r: (r.closed.close(), r.closed.detach())),
        "with: closed": op(lambda r: r.closed.__enter__(), QueueError, cost=5),
        "new and drop": op(lambda r: Queue.__new__(Queue)),
        "removed: put": op(lambda r: removed(r, "put", ITEM), QueueError, cost=10),
        "removed: get": op(lambda r: removed(r, "get"), QueueError, cost=10),
        "removed: qsize": op(lambda r: removed(r, "qsize"), QueueError, cost=10),
        "removed: close": op(lambda r: removed(r, "close"), cost=10),
        "the module anew": op(reload_module, cost=200),
        # put
        "put": op(lambda r: r.q.put(ITEM), (), "q", 1, 2),
        "put raw": op(lambda r: r.raw.put(b"raw"), (), "raw", 1, 2),
        "put a buffer": op(lambda r: r.raw.put(bytearray(b"raw")), (), "raw", 1, 2),
        "put json": op(lambda r: r.json.put(["json"]), (), "json", 1, 5),
        "put by keywords": op(
            lambda r: r.q.put(item=ITEM, block=True, timeout=1, msg_type=3, pickle_protocol=4),
            (),
            "q",
            1,
            2,
        ),
        "put_nowait": op(lambda r: r.q.put_nowait(ITEM, 3), (), "q", 1, 2),
        "put: full": op(lambda r: r.full.put_nowait(b"x"), queue.Full, "full"),
        "put: full in time": op(
            lambda r: r.full.put(b"x", timeout=1e-4), queue.Full, "full", cost=40
        ),
        "put: too long": op(lambda r: r.raw.put(b"x" * 3000), QueueError, "raw", cost=5),
        "put: closed": op(lambda r: r.closed.put(ITEM), QueueError, cost=5),
        "put: never opened": op(lambda r: r.blank.put(ITEM), QueueError, cost=5),
        "put: not picklable": op(lambda r: r.q.put(lambda: 0), Exception, "q", cost=5),
        "put: no buffer": op(lambda r: r.raw.put("text"), TypeError, "raw"),
        "put: serializer returns an int": op(put_int, TypeError, cost=5),
        "put: serializer raises": op(put_raise, ZeroDivisionError, cost=5),
        "put: a str that is no UTF-8": op(put_surrogate, UnicodeError, cost=5),
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
        "put: bad msg_type": op(lambda r: r.q.put(1, msg_type=-77777), QueueError, cost=5),
        "put: hostile msg_type": op(lambda r: r.q.put(1, msg_type=Hostile()), ZeroDivisionError),
        "put: hostile block": op(lambda r: r.q.put(1, Hostile()), ZeroDivisionError),
        "put: hostile timeout": op(lambda r: r.q.put(1, timeout=Hostile()), ZeroDivisionError),
        "put: negative timeout": op(lambda r: r.q.put(1, timeout=-1), ValueError),
        "put: huge timeout": op(lambda r: r.q.put(1, timeout=1e30), OverflowError),
        "put: timeout of a wrong type": op(lambda r: r.q.put(1, timeout="1"), TypeError),
        # get
        "get": op(lambda r: r.q.get(), (), "q", -1, 2),
        "get raw": op(lambda r: r.raw.get(timeout=1), (), "raw", -1, 2),
        "get json": op(lambda r: r.json.get(), (), "json", -1, 5),
        "get_nowait": op(lambda r: r.q.get_nowait(), (), "q", -1, 2),
        "get: empty": op(lambda r: r.empty.get_nowait(), queue.Empty, "empty"),
        "get: empty in time": op(
            lambda r: r.empty.get(timeout=1e-4), queue.Empty, "empty", cost=40
        ),
        "get: a thread's first wait": op(first_wait, queue.Empty, "empty", cost=20),
        "get: interrupted": op(interrupted, QueueError, "empty", cost=100),
        # Without memory threading.Thread.start() may wait for ever for a thread that died young.
        "get: in a thread": op(in_a_thread, queue.Empty, "empty", cost=100, only="leaks"),
        "get: no pickle": op(lambda r: r.bad.get(), DecodeError, "bad", -1, 10),
        "get: no json": op(lambda r: r.badjson.get(), DecodeError, "badjson", -1, 10),
        "get: KeyboardInterrupt": op(lambda r: r.refuses.get(), KeyboardInterrupt, "refuses", 0, 5),
        "get: by type": op(lambda r: r.q.get(msg_type=1), (), "q", -1, 2),
        "get_nowait: by type": op(lambda r: r.q.get_nowait(-9), (), "q", -1, 2),
        "get: no such type": op(lambda r: r.q.get_nowait(7), queue.Empty, "q"),
        "get: huge type": op(lambda r: r.q.get(False, 1 << 80), QueueError, cost=5),
        "get: closed": op(lambda r: r.closed.get(), QueueError, cost=5),
        "get: too many arguments": op(lambda r: r.q.get(1, 2, 3), TypeError),
        # attributes
        "qattr": op(lambda r: r.q.qattr()),
        "qattr: closed": op(lambda r: r.closed.qattr(), QueueError, cost=5),
        # Importing a module anew costs some bytes each time, whichever it is.
        "the first error": op(
            first_error,
            QueueError,
            cost=200,
            only="nomemory",
        ),
        "qsize, empty": op(lambda r: (r.q.qsize(), r.q.empty())),
        "empty: closed": op(lambda r: r.closed.empty(), QueueError, cost=5),
        "attributes": op(
            lambda r: (r.q.key, r.q.id, r.q.serializer, r.q.max_bytes, r.q.maxmsgsize, r.q.closed)
        ),
        "attributes: never opened": op(lambda r: (r.blank.key, r.blank.serializer, repr(r.blank))),
        "repr": op(lambda r: (repr(r.q), repr(r.closed), repr(r.blank))),
        "Queue[int]": op(lambda r: Queue[int]),
        # all that came later
        "receive": op(lambda r: r.q.receive(), (), "q", -1, 3, "receive"),
        "receive: no pickle": op(lambda r: r.bad.receive(), DecodeError, "bad", -1, 10, "receive"),
        "receive: empty": op(
            lambda r: r.empty.receive(False), queue.Empty, "empty", needs="receive"
        ),
        "put_many": op(
            lambda r: r.q.put_many([ITEM, ITEM]), (), "q", 2, 4, "put_many", partial=True
        ),
        "put_many: one too long": op(
            lambda r: r.raw.put_many([b"x", b"x" * 3000]), QueueError, "raw", 0, 10, "put_many"
        ),
        "put_many: full": op(
            lambda r: r.full.put_many([b"x"], False), queue.Full, "full", 0, 5, "put_many"
        ),
        "put_many: no iterable": op(lambda r: r.q.put_many(1), TypeError, needs="put_many"),
        "get_many": op(lambda r: r.q.get_many(), (), "q", -1, 4, "get_many"),
        "get_many: no pickle": op(
            lambda r: r.bad.get_many(), DecodeError, "bad", -1, 20, "get_many"
        ),
        "get_many: empty": op(
            lambda r: r.empty.get_many(block=False), queue.Empty, "empty", needs="get_many"
        ),
        "get_into": op(lambda r: r.raw.get_into(BUFFER), (), "raw", -1, 3, "get_into"),
        "get_into: too short": op(
            lambda r: r.raw.get_into(bytearray(1)), QueueError, "raw", 0, 5, "get_into"
        ),
        "get_into: not writable": op(
            lambda r: r.raw.get_into(b"x" * 256), (TypeError, BufferError), "raw", needs="get_into"
        ),
        "get, any type but": op(
            lambda r: r.q.receive(msg_type=5, exclude=True), (), "q", -1, 3, "receive"
        ),
        "exclude: no type": op(
            lambda r: r.q.receive(msg_type=0, exclude=True), QueueError, needs="receive", cost=5
        ),
        "peek": op(peek, needs="peek", cost=3),
        "peek: beyond": op(lambda r: r.q.peek(5), (queue.Empty, QueueError), needs="peek", cost=3),
        "peek: negative": op(lambda r: r.q.peek(-1), QueueError, needs="peek", cost=5),
        "stat": op(lambda r: r.q.stat(), needs="stat", cost=3),
        "stat: closed": op(lambda r: r.closed.stat(), QueueError, needs="stat", cost=5),
        "set": op(lambda r: r.q.set(mode=0o600), needs="set", cost=3),
        "set: bad": op(lambda r: r.q.set(mode=-1), QueueError, needs="set", cost=5),
        "from_id": op(lambda r: Queue.from_id(r.q.id).detach(), needs="from_id", cost=5),
        "from_id: no queue": op(
            lambda r: Queue.from_id(2**31 - 1), OSError, needs="from_id", cost=5
        ),
        "ftok": op(lambda r: sysvmq.ftok("/", 1), needs="ftok", cost=2),
        "ftok: no file": op(lambda r: sysvmq.ftok("/no/such", 1), OSError, needs="ftok", cost=5),
        "remove: no queue": op(
            lambda r: sysvmq.remove(2**31 - 1), QueueError, needs="remove", cost=5
        ),
        "list_queues": op(lambda r: sysvmq.list_queues(), needs="list_queues", cost=50),
        "limits": op(lambda r: sysvmq.limits(), needs="limits", cost=20),
        # Without memory pickle's own import fails, and it says PicklingError.
        "pickle": op(
            lambda r: pickle.loads(pickle.dumps(r.q)).detach(),
            needs="__reduce_queue__",
            cost=10,
            only="leaks",
        ),
        "iterate": op(lambda r: next(r.q), (), "q", -1, 3, "__next__"),
        "iterate: closed": op(lambda r: next(r.closed), StopIteration, needs="__next__"),
        "compare": op(lambda r: (r.q == r.raw, hash(r.q))),
    }
    if big:
        table |= {
            "put long": op(lambda r: r.big.put(LONG), (), "big", 1, 10),
            "get long": op(lambda r: r.big.get(), (), "big", -1, 10),
        }
        table["put long"] = table["put long"]._replace(
            call=lambda r: (r.big.get(), r.big.put(LONG)), messages=0
        )
    if hasattr(Queue, "__reduce_ex__") and can_pickle(rig.q):
        table["pickle"] = table["pickle"]._replace(needs="")
    return {name: line for name, line in table.items() if has(line.needs)}


BUFFER = bytearray(256)
LONG = b"x" * 66_000


def has(needs):
    return not needs or hasattr(Queue, needs) or hasattr(sysvmq, needs)


def can_pickle(q):
    try:
        pickle.dumps(q)
    except Exception:
        return False
    return True


def peek(rig):
    """Not every kernel has it (MSG_COPY needs CONFIG_CHECKPOINT_RESTORE)."""
    with contextlib.suppress(QueueError):
        rig.q.peek()


def beyond(rig):
    """Ask for more than the kernel gives; root is given it all the same, so the next fails too."""
    try:
        Queue(rig.key, 1 << 40)
        raise QueueError(QueueError.NO_PERMISSIONS)
    finally:
        with contextlib.suppress(QueueError):
            Queue(rig.key, create=False, serializer=json).close()


def with_serializer(rig, serializer, item=ITEM):
    with Queue(rig.q.key, create=False, serializer=serializer) as opened:
        opened.put(item)


def put_int(rig):
    with_serializer(rig, Refuses(5))


def put_raise(rig):
    with_serializer(rig, Refuses(ZeroDivisionError()))


def put_surrogate(rig):
    with_serializer(rig, Refuses("\ud800"))
