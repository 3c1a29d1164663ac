"""What bad input gets: one table. Nothing changes in the queue, nothing crashes, nothing leaks."""

import contextlib
import pickle
import queue
import threading
from pathlib import Path

import pytest

import posixmq._explain
import posixmq._proc
from posixmq import DecodeError, Queue, QueueError

INVALID = {"errno": QueueError.INVALID_VALUE}
LONG = INVALID | {"os_errno": 36}  # ENAMETOOLONG
TOO_BIG = {"errno": QueueError.TOO_BIG_MESSAGE, "os_errno": 90}  # EMSGSIZE
MISSING = {"errno": QueueError.DOES_NOT_EXIST, "os_errno": 2}  # ENOENT
HUGE = 10**100


class Cruel:
    """Raises ZeroDivisionError whatever it is asked."""

    def _raise(self, *_):
        raise ZeroDivisionError("as it does")

    __index__ = __float__ = __reduce__ = __reduce_ex__ = _raise


def deep():
    nest = []
    for _ in range(100_000):
        nest = [nest]
    return nest


NAMES = {
    "an int": (5, TypeError, {}),
    "None": (None, TypeError, {}),
    "bytes": (b"/posixmq-test", TypeError, {}),
    "a Path": (Path("/posixmq-test"), TypeError, {}),
    "without a slash": ("posixmq-test", QueueError, INVALID),
    "with a space before the slash": (" /posixmq-test", QueueError, INVALID),
    "empty": ("", QueueError, INVALID),
    "a slash alone": ("/", QueueError, INVALID),
    "a dot": ("/.", QueueError, INVALID),
    "two dots": ("/..", QueueError, INVALID),
    "with a second slash": ("/posixmq/test", QueueError, INVALID),
    "with NUL inside": ("/posixmq\0test", QueueError, INVALID),
    "NUL after the slash": ("/\0", QueueError, INVALID),
    "256 characters after the slash": ("/" + "x" * 256, QueueError, LONG),
    "256 bytes of 128 characters": ("/" + "ž" * 128, QueueError, LONG),
    "a million characters": ("/" + "x" * 1_000_000, QueueError, LONG),
}
SIZES = {
    "0": (0, QueueError, INVALID),
    "-1": (-1, QueueError, INVALID),
    "-2**31": (-(2**31), QueueError, INVALID),
    "-2**63": (-(2**63), QueueError, INVALID),
    "2**31": (2**31, QueueError, INVALID),
    "2**32+1": (2**32 + 1, QueueError, INVALID),
    "2**63": (2**63, QueueError, INVALID),
    "2**64+1": (2**64 + 1, QueueError, INVALID),
    "10**100": (HUGE, QueueError, INVALID),
    "-10**100": (-HUGE, QueueError, INVALID),
    "a float": (1.0, TypeError, {}),
    "a string": ("10", TypeError, {}),
    "bytes": (b"1", TypeError, {}),
    "None": (None, TypeError, {}),
    "a list": ([1], TypeError, {}),
    "one that raises": (Cruel(), ZeroDivisionError, {}),
}
MODES = {
    "-1": (-1, QueueError, INVALID),
    "2**16": (2**16, QueueError, INVALID),
    "2**32": (2**32, QueueError, INVALID),
    "10**100": (HUGE, QueueError, INVALID),
    "a string": ("rw", TypeError, {}),
    "a float": (384.0, TypeError, {}),
    "None": (None, TypeError, {}),
}
PRIORITIES = {
    "-1": (-1, QueueError, INVALID),
    "32768": (32768, QueueError, INVALID),
    "2**31": (2**31, QueueError, INVALID),
    "2**32": (2**32, QueueError, INVALID),
    "-2**32": (-(2**32), QueueError, INVALID),
    "2**64": (2**64, QueueError, INVALID),
    "-2**64": (-(2**64), QueueError, INVALID),
    "10**100": (HUGE, QueueError, INVALID),
    "a float": (1.0, TypeError, {}),
    "a string": ("1", TypeError, {}),
    "None": (None, TypeError, {}),
    "a list": ([], TypeError, {}),
    "one that raises": (Cruel(), ZeroDivisionError, {}),
}
TIMEOUTS = {
    "-1": (-1, ValueError, {}),
    "-0.001": (-0.001, ValueError, {}),
    "-5e-324": (-5e-324, ValueError, {}),
    "minus infinity": (float("-inf"), ValueError, {}),
    "NaN": (float("nan"), ValueError, {}),
    "infinity": (float("inf"), OverflowError, {}),
    "9223372037": (9223372037, OverflowError, {}),
    "9223372037.5": (9223372037.5, OverflowError, {}),
    "2**63": (2**63, OverflowError, {}),
    "1e308": (1e308, OverflowError, {}),
    "10**400": (10**400, OverflowError, {}),
    "a string": ("1", TypeError, {}),
    "a list": ([], TypeError, {}),
    "a complex": (1j, TypeError, {}),
    "an object": (object(), TypeError, {}),
    "one that raises": (Cruel(), ZeroDivisionError, {}),
}
ITEMS = {
    "a lambda": (lambda: lambda: None, (pickle.PicklingError, AttributeError), {}),
    "a lock": (threading.Lock, (pickle.PicklingError, TypeError), {}),
    "a generator": (lambda: (x for x in ()), TypeError, {}),
    "one that raises": (Cruel, ZeroDivisionError, {}),
    "one nested too deep": (deep, RecursionError, {}),
    "one of 257 bytes": (lambda: "x" * 257, QueueError, TOO_BIG),
    "one of a megabyte": (lambda: b"x" * 2**20, QueueError, TOO_BIG),
}
PROTOCOLS = {
    "99": (99, ValueError, {}),
    "10**100": (HUGE, (ValueError, OverflowError), {}),
    "a string": ("1", TypeError, {}),
    "a float": (1.0, TypeError, {}),
}
SPINS = {
    "-1": (-1, ValueError, {}),
    "1000001": (1_000_001, ValueError, {}),
    "2**32": (2**32, ValueError, {}),
    "10**100": (HUGE, ValueError, {}),
    "-10**100": (-HUGE, ValueError, {}),
    "a string": ("50", TypeError, {}),
    "a float": (50.0, TypeError, {}),
}
SIGNAL_WAYS = {
    "another word": ("ignore", ValueError, {}),
    "empty": ("", ValueError, {}),
    "in capitals": ("RAISE", ValueError, {}),
    "longer": ("raise\0", ValueError, {}),
    "bytes": (b"raise", (TypeError, ValueError), {}),
    "None": (None, (TypeError, ValueError), {}),
}
SERIALIZERS = {
    "an object without dumps and loads": (object(), (AttributeError, TypeError), {}),
    "a number": (5, (AttributeError, TypeError), {}),
}


# In each call, q holds one message and fresh is a name that no queue has.
SUBJECTS = [
    ("open: the name is {}", NAMES, lambda bad, q, fresh: Queue(bad)),
    ("unlink: the name is {}", NAMES, lambda bad, q, fresh: posixmq.unlink(bad)),
    ("open: maxsize is {}", SIZES, lambda bad, q, fresh: Queue(fresh, bad)),
    ("open: maxmsgsize is {}", SIZES, lambda bad, q, fresh: Queue(fresh, maxmsgsize=bad)),
    ("open: mode is {}", MODES, lambda bad, q, fresh: Queue(fresh, mode=bad)),
    ("open: spin_us is {}", SPINS, lambda bad, q, fresh: Queue(fresh, spin_us=bad)),
    ("open: on_signal is {}", SIGNAL_WAYS, lambda bad, q, fresh: Queue(fresh, on_signal=bad)),
    ("open: serializer is {}", SERIALIZERS, lambda bad, q, fresh: Queue(fresh, serializer=bad)),
    ("put: priority is {}", PRIORITIES, lambda bad, q, fresh: q.put(1, priority=bad)),
    ("put_nowait: priority is {}", PRIORITIES, lambda bad, q, fresh: q.put_nowait(1, bad)),
    ("put: timeout is {}", TIMEOUTS, lambda bad, q, fresh: q.put(1, timeout=bad)),
    ("get: timeout is {}", TIMEOUTS, lambda bad, q, fresh: q.get(timeout=bad)),
    ("put: the item is {}", ITEMS, lambda bad, q, fresh: q.put(bad())),
    ("put_nowait: the item is {}", ITEMS, lambda bad, q, fresh: q.put_nowait(bad())),
    ("put: pickle_protocol is {}", PROTOCOLS, lambda bad, q, fresh: q.put(1, pickle_protocol=bad)),
]
CALLS = {
    "open: no name": lambda q, fresh: Queue(),
    "open: an unknown keyword": lambda q, fresh: Queue(fresh, max_size=1),
    "open: a fourth positional": lambda q, fresh: Queue(fresh, 1, 16, None),
    "open: the name twice": lambda q, fresh: Queue(fresh, name=fresh),
    "put: no item": lambda q, fresh: q.put(),
    "put: an unknown keyword": lambda q, fresh: q.put(1, prio=1),
    "put: too many arguments": lambda q, fresh: q.put(1, True, None, 0, 1, 2),
    "put: the item twice": lambda q, fresh: q.put(1, item=2),
    "put_nowait: no item": lambda q, fresh: q.put_nowait(),
    "put_nowait: block": lambda q, fresh: q.put_nowait(1, block=True),
    "put_nowait: too many arguments": lambda q, fresh: q.put_nowait(1, 2, 3, 4),
    "get: an unknown keyword": lambda q, fresh: q.get(wait=True),
    "get: too many arguments": lambda q, fresh: q.get(True, None, 0),
    "get: block twice": lambda q, fresh: q.get(True, block=True),
    "get_nowait: an argument": lambda q, fresh: q.get_nowait(True),
    "qsize: an argument": lambda q, fresh: q.qsize(1),
    "qattr: an argument": lambda q, fresh: q.qattr(1),
    "empty: an argument": lambda q, fresh: q.empty(1),
    "full: an argument": lambda q, fresh: q.full(1),
    "close: an argument": lambda q, fresh: q.close(1),
    "unlink: an argument": lambda q, fresh: q.unlink(1),
    "unlink(): no name": lambda q, fresh: posixmq.unlink(),
    "unlink(): two names": lambda q, fresh: posixmq.unlink(fresh, fresh),
}


def bind(call, bad):
    return lambda q, fresh: call(bad, q, fresh)


TABLE = [
    pytest.param(bind(call, bad), error, attributes, id=what.format(which))
    for what, kinds, call in SUBJECTS
    for which, (bad, error, attributes) in kinds.items()
]
TABLE += [pytest.param(call, TypeError, {}, id=what) for what, call in CALLS.items()]
TABLE += [
    pytest.param(
        lambda q, fresh: posixmq.unlink(fresh), QueueError, MISSING, id="unlink(): missing"
    ),
    pytest.param(
        lambda q, fresh: Queue(fresh, create=False), QueueError, MISSING, id="open: missing"
    ),
]


@pytest.mark.parametrize(("call", "error", "attributes"), TABLE)
def test_bad_input_is_refused_and_changes_nothing(
    make, name, unique, descriptors, call, error, attributes
):
    q = make(name)
    q.put({"untouched": True}, priority=3)
    fresh = unique()
    opened, size = len(descriptors()), q.qattr()

    with pytest.raises(error) as caught:
        call(q, fresh)

    assert {key: getattr(caught.value, key) for key in attributes} == attributes
    assert str(caught.value)
    assert q.qattr() == size
    assert q.get_nowait() == {"untouched": True}
    del caught
    assert len(descriptors()) == opened
    with pytest.raises(QueueError) as absent:
        Queue(fresh, create=False)
    assert absent.value.errno == QueueError.DOES_NOT_EXIST


def test_refusing_leaks_no_memory(make, name, unique, growth):
    q, fresh = make(name), unique()
    q.put("untouched")
    slow = ("million", "megabyte", "deep")
    calls = [row.values[0] for row in TABLE if not any(word in row.id for word in slow)]

    def refuse(times):
        for _ in range(times):
            for call in calls:
                with contextlib.suppress(Exception):
                    call(q, fresh)

    blocks, memory = growth(refuse, 100)
    assert blocks < 95
    assert memory < 2**20


# --- a full queue, an empty queue: bad input is still bad input ------------------------------------


@pytest.mark.parametrize(("bad", "error", "_"), TIMEOUTS.values(), ids=TIMEOUTS)
def test_a_bad_timeout_is_refused_before_any_wait(q, full, bad, error, _):
    with pytest.raises(error):
        q.get(timeout=bad)
    with pytest.raises(error):
        full.put("second", timeout=bad)
    assert full.get() == "first"


@pytest.mark.parametrize(("bad", "error", "attributes"), PRIORITIES.values(), ids=PRIORITIES)
def test_a_bad_priority_is_refused_before_any_wait(full, bad, error, attributes):
    with pytest.raises(error) as caught:
        full.put("second", priority=bad)
    assert {key: getattr(caught.value, key) for key in attributes} == attributes
    assert full.get() == "first"


def test_an_item_too_long_is_refused_before_any_wait(full):
    with pytest.raises(QueueError) as caught:
        full.put("x" * 1000)
    assert caught.value.errno == QueueError.TOO_BIG_MESSAGE


def test_an_item_that_does_not_pickle_raises_what_pickle_raises(q):
    with pytest.raises((pickle.PicklingError, AttributeError)) as theirs:
        pickle.dumps(lambda: None, 1)
    with pytest.raises((pickle.PicklingError, AttributeError)) as ours:
        q.put(lambda: None)
    assert type(ours.value) is type(theirs.value)
    assert q.empty()


def test_an_item_too_long_names_both_sizes_and_the_queue(make, name):
    q = make(name, maxmsgsize=100, serializer=posixmq.RawSerializer)
    with pytest.raises(QueueError) as caught:
        q.put(b"x" * 12345)
    assert "12345" in str(caught.value)
    assert "100" in str(caught.value)
    assert name in str(caught.value)


# --- payloads that do not unpickle -----------------------------------------------------------------

PAYLOADS = {
    "no pickle": (b"not a pickle", pickle.UnpicklingError),
    "empty": (b"", EOFError),
    "cut short": (pickle.dumps([1, 2, 3])[:-3], (pickle.UnpicklingError, EOFError)),
    "names a module that is missing": (b"cno_such_module\nthing\n.", ModuleNotFoundError),
    "names an attribute that is missing": (b"cos\nno_such_thing\n.", AttributeError),
    "calls what raises": (b"coperator\ntruediv\n(I1\nI0\ntR.", ZeroDivisionError),
}


@pytest.mark.parametrize(("data", "cause"), PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("priority", [0, 7, 32767])
@pytest.mark.parametrize("method", ["get", "get_nowait"])
def test_a_payload_that_does_not_unpickle_loses_nothing(make, name, data, cause, priority, method):
    q, raw = make(name), make(name, serializer=posixmq.RawSerializer)
    raw.put(data, priority=priority)
    q.put("behind")

    with pytest.raises(DecodeError) as caught:
        getattr(q, method)()

    assert caught.value.data == data
    assert type(caught.value.data) is bytes
    assert caught.value.priority == priority
    assert caught.value.errno == QueueError.ERROR
    assert isinstance(caught.value.__cause__, cause)
    assert isinstance(caught.value, QueueError)
    assert name in str(caught.value)
    assert q.get_nowait() == "behind"
    assert q.empty()


class Unspeakable(Exception):
    """An exception that cannot be shown."""

    def __str__(self):
        raise ZeroDivisionError

    __repr__ = __str__


def test_a_cause_that_cannot_be_shown_loses_nothing(make, name):
    class Failing:
        @staticmethod
        def dumps(obj):
            return obj

        @staticmethod
        def loads(data):
            raise Unspeakable

    q = make(name, serializer=Failing)
    q.put(b"payload", priority=5)
    with pytest.raises(DecodeError) as caught:
        q.get()
    assert (caught.value.data, caught.value.priority) == (b"payload", 5)
    assert isinstance(caught.value.__cause__, Unspeakable)


class Mute(Queue):
    """A queue that cannot be shown."""

    def __repr__(self):
        raise ZeroDivisionError


class Counting(Queue):
    """A queue that looks into itself to be shown: in vain, once it is closed."""

    def __repr__(self):
        return f"<Counting of {self.qsize()} items>"


@pytest.mark.parametrize("kind", [Mute, Counting])
def test_an_error_does_not_hang_on_the_repr_of_a_subclass(name, kind):
    with kind(name, 2, 64) as q:
        with Queue(name, serializer=posixmq.RawSerializer) as raw:
            raw.put(b"no pickle")
        with pytest.raises(DecodeError) as caught:
            q.get()
        assert caught.value.data == b"no pickle"
        with pytest.raises(QueueError) as caught:
            q.put("x" * 1000)
        assert caught.value.errno == QueueError.TOO_BIG_MESSAGE
    with pytest.raises(QueueError) as caught:
        q.get()
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
    posixmq.unlink(name)


# --- use after close -------------------------------------------------------------------------------

METHODS = {
    "put": lambda q: q.put(1),
    "put without waiting": lambda q: q.put(1, False),
    "put with a timeout": lambda q: q.put(1, timeout=1),
    "put_nowait": lambda q: q.put_nowait(1),
    "get": lambda q: q.get(),
    "get without waiting": lambda q: q.get(False),
    "get with a timeout": lambda q: q.get(timeout=1),
    "get_nowait": lambda q: q.get_nowait(),
    "qsize": lambda q: q.qsize(),
    "qattr": lambda q: q.qattr(),
    "empty": lambda q: q.empty(),
    "full": lambda q: q.full(),
}


@pytest.mark.parametrize("call", METHODS.values(), ids=METHODS)
def test_a_closed_queue_refuses(make, name, call):
    q, other = make(name), make(name)
    other.put("untouched")
    q.close()
    with pytest.raises(QueueError) as caught:
        call(q)
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
    assert name in str(caught.value)
    assert other.qsize() == 1
    assert other.get() == "untouched"


def test_closing_twice_is_no_error(q):
    assert q.close() is None
    assert q.close() is None
    assert q.closed is True


def test_closing_twice_closes_no_other_descriptor(make, name, descriptors):
    q = make(name)
    (number,) = descriptors(name)
    q.close()
    other = make(name)
    assert descriptors(name) == [number]
    q.close()
    other.put("open")
    assert other.get() == "open"


def test_attributes_of_a_closed_queue_stay_readable(make, name):
    q = make(name, 3, 77)
    q.close()
    assert (q.name, q.maxsize, q.maxmsgsize, q.closed) == (name, 3, 77, True)
    assert q.serializer is posixmq.PickleSerializer


def test_a_queue_that_was_never_opened_refuses():
    q = Queue.__new__(Queue)
    for call in METHODS.values():
        with pytest.raises(QueueError) as caught:
            call(q)
        assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
    for attribute in ("name", "maxsize", "maxmsgsize", "serializer"):
        with contextlib.suppress(AttributeError, QueueError, ValueError):
            getattr(q, attribute)
    with pytest.raises((QueueError, ValueError, TypeError)):
        q.unlink()
    assert q.closed is True
    assert "Queue" in repr(q)
    q.close()


def test_full_and_empty_are_no_queue_errors(q, full):
    with pytest.raises(queue.Empty):
        q.get_nowait()
    with pytest.raises(queue.Full):
        full.put_nowait(1)


class Alarm(TimeoutError):
    """What the handler of a signal may raise at any moment."""


def raising(error):
    def call(*_):
        raise error

    return call


def test_what_a_handler_raises_while_an_error_is_explained_gets_through(q, monkeypatch):
    for module, name in ((posixmq._explain, "failure"), (posixmq._proc, "open")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, raising(Alarm()), raising=False)
            with pytest.raises(Alarm):
                q.put("x" * 100_000)


@pytest.mark.parametrize(
    "error", [OSError("no descriptor"), MemoryError(), RecursionError()], ids=repr
)
def test_what_cannot_be_explained_is_said_in_plain_words(q, monkeypatch, error):
    monkeypatch.setattr(posixmq._explain, "failure", raising(error))
    with pytest.raises(QueueError, match="cannot put: ") as caught:
        q.put("x" * 100_000)
    assert caught.value.errno == QueueError.TOO_BIG_MESSAGE


def test_limits_that_cannot_be_read_are_taken_to_be_the_usual_ones(q, monkeypatch):
    monkeypatch.setattr(posixmq._proc, "open", raising(PermissionError()), raising=False)
    with pytest.raises(QueueError, match="msgsize_max = 8192"):
        q.put("x" * 100_000)
