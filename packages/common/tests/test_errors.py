"""Bad input, undecodable payloads and closed queues: what is refused changes and loses nothing."""

import contextlib
import importlib
import pickle
import queue
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import pytest

import bad_input
import kind
import own_bad_input
from harness.errors import is_closed, refusal
from harness.measure import growth
from harness.process import descriptors
from harness.queues import leave, state
from kind import MARK, DecodeError, PickleSerializer, Queue, QueueError, RawSerializer, mark

every_end = pytest.mark.parametrize("end", kind.ENDS)

TABLE = [*bad_input.ROWS, *own_bad_input.ROWS]


# --- the table ---------------------------------------------------------------------------------------


@pytest.fixture
def ns(make, address):
    """Queues that hold one message each, handles that have ended, an address of no queue."""
    q, raw = make(), make(serializer=RawSerializer)
    q.put("kept", **mark(5))
    raw.put(b"kept", **mark(5))
    ended = {end: make(*[kind.address_of(q)] * (end == kind.LEAVE)) for end in kind.ENDS}
    for end, handle in ended.items():
        getattr(handle, end)()
    return SimpleNamespace(q=q, raw=raw, ended=ended, address=address)


@pytest.mark.parametrize(("call", "raised"), [pytest.param(*row, id=what) for what, *row in TABLE])
def test_bad_input_is_refused_and_changes_nothing(ns, call, raised):
    before = state(ns.q), state(ns.raw), len(descriptors())
    with pytest.raises(QueueError if isinstance(raised, dict) else raised) as caught:
        call(ns)
    error = caught.value
    if isinstance(raised, dict):
        assert {name: getattr(error, name) for name in raised} == raised
        assert len(error.msg) > 3
        assert error.msg in str(error)
    else:
        assert not isinstance(error, QueueError)
        assert str(error)
    del caught, error
    assert (state(ns.q), state(ns.raw), len(descriptors())) == before
    assert all(handle.closed for handle in ns.ended.values())
    assert [ns.q.get_nowait(), ns.raw.get_nowait()] == ["kept", b"kept"]
    assert not kind.exists(ns.address), "something was created on the way"


def test_refusing_leaks_no_memory(ns):
    slow = ("deep", "xxx", "megabyte")
    calls = [call for what, call, _ in TABLE if not any(word in what for word in slow)]

    def refuse(times):
        for _ in range(times):
            for call in calls:
                with contextlib.suppress(Exception):
                    call(ns)

    blocks, memory = growth(refuse, 100)
    assert blocks < 95  # one object a call would be 100
    assert memory < 2**20


def test_a_wrong_type_is_named(q):
    for call in (lambda: Queue([]), lambda: q.put(1, **mark("x")), lambda: q.put(1, timeout=[])):
        with pytest.raises(TypeError, match=r"\bstr\b|\blist\b"):
            call()


def test_what_is_wrong_is_said_in_words(q, address):
    for words, call in (
        *((size, lambda size=size: Queue(address, **{size: 0})) for size in kind.room(1)),
        ("mode", lambda: Queue(address, mode=-1)),
        (MARK, lambda: q.put(1, **mark(-1))),
        (MARK, lambda: q.put(1, **mark(2**200))),
    ):
        assert words in refusal(call).msg


# --- before any wait ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "bad"), [(raised, bad) for raised, *group in bad_input.TIMEOUTS for bad in group]
)
def test_a_bad_timeout_is_refused_before_any_wait(q, full, raised, bad):
    with pytest.raises(raised):
        q.get(timeout=bad)
    with pytest.raises(raised):
        full.put(b"second", timeout=bad)
    assert full.get() == b"f" * 16


@pytest.mark.parametrize(
    ("raised", "bad"),
    [(raised, bad) for raised, *group in (*bad_input.MARKS, *own_bad_input.MARKS) for bad in group],
)
def test_a_bad_mark_is_refused_before_any_wait(full, raised, bad):
    with pytest.raises(QueueError if isinstance(raised, dict) else raised) as caught:
        full.put(b"second", **mark(bad))
    if isinstance(raised, dict):
        assert caught.value.errno == QueueError.INVALID_VALUE
    assert full.get() == b"f" * 16


@pytest.mark.parametrize("size", [17, 1000])
def test_an_item_too_long_is_refused_before_any_wait(full, size):
    for put in (full.put, full.put_nowait, lambda item: full.put(item, timeout=1)):
        assert refusal(put, b"x" * size).errno == QueueError.TOO_BIG_MESSAGE
    assert full.qsize() == 1


def test_an_item_too_long_names_both_sizes_and_the_queue(make, address):
    q = make(address, **kind.room(1, 100), serializer=RawSerializer)
    for put in (q.put, q.put_nowait, lambda item: q.put(item, timeout=1)):
        error = refusal(put, b"x" * 123)
        assert error.errno == QueueError.TOO_BIG_MESSAGE
        for words in ("123", "100", str(address), list(kind.room(1))[-1]):
            assert words in error.msg.replace(str(address), "", words != str(address))
    assert q.empty()


def test_an_item_that_does_not_pickle_raises_what_pickle_raises(q):
    with pytest.raises((pickle.PicklingError, AttributeError)) as theirs:
        pickle.dumps(lambda: None, 1)
    with pytest.raises((pickle.PicklingError, AttributeError)) as ours:
        q.put(lambda: None)
    assert type(ours.value) is type(theirs.value)
    assert q.empty()


@pytest.mark.parametrize(
    "timeout", [0, 0.0, -0.0, 5e-324, 1e-9, 1, 1.5, 9223372036, 9223372036.0, True]
)
def test_timeouts_up_to_292_years_are_good(q, timeout):
    q.put("x", timeout=timeout)
    assert q.get(timeout=timeout) == "x"


def test_a_timeout_is_anything_with_a_number(q):
    class Index:
        def __index__(self):
            return 3

    class Float:
        def __float__(self):
            return 0.25

    for timeout in (Index(), Float(), Decimal("0.5"), Fraction(1, 3)):
        q.put("x", timeout=timeout)
        assert q.get(timeout=timeout) == "x"


def test_full_and_empty_are_no_queue_errors_and_change_nothing(q, full):
    before = state(q), state(full)
    with pytest.raises(queue.Empty):
        q.get_nowait()
    with pytest.raises(queue.Full):
        full.put_nowait(b"x")
    assert (state(q), state(full)) == before


# --- payloads that do not unpickle -------------------------------------------------------------------

PAYLOADS = {
    "no pickle": (b"not a pickle", pickle.UnpicklingError),
    "a pickle's start": (b"\x80\x04no pickle at all", pickle.UnpicklingError),
    "an unknown protocol": (b"\x80\xff.", ValueError),
    "empty": (b"", EOFError),
    "the end alone": (b".", pickle.UnpicklingError),
    "cut short": (pickle.dumps([1, 2, 3])[:-3], (pickle.UnpicklingError, EOFError)),
    "names a module that is missing": (b"cno_such_module\nthing\n.", ModuleNotFoundError),
    "names an attribute that is missing": (b"cos\nno_such_thing\n.", AttributeError),
    "calls what raises": (b"coperator\ntruediv\n(I1\nI0\ntR.", ZeroDivisionError),
}
GETS = {
    "get": lambda q, number: q.get(),
    "get_nowait": lambda q, number: q.get_nowait(),
    "timed get": lambda q, number: q.get(timeout=1),
}
if kind.HAS_TYPES:
    GETS |= {
        "typed get": lambda q, number: q.get(**mark(number)),
        "get of the lowest": lambda q, number: q.get(**mark(-number)),
    }


@pytest.mark.parametrize(("data", "cause"), PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("number", [kind.DEFAULT_MARK, 7, 32767])
@pytest.mark.parametrize("get", GETS.values(), ids=GETS)
def test_a_payload_that_does_not_unpickle_loses_nothing(make, address, data, cause, number, get):
    q, raw = make(address), make(address, serializer=RawSerializer)
    raw.put(data, **mark(number))
    error = refusal(get, q, number)
    assert isinstance(error, DecodeError)
    assert (error.data, getattr(error, MARK), error.errno) == (data, number, QueueError.ERROR)
    assert type(error.data) is bytes
    assert isinstance(error.__cause__, cause)
    assert str(error.__cause__) in str(error)
    assert str(address) in str(error)
    assert q.empty()


def test_the_message_behind_one_that_does_not_unpickle_is_fine(make, address):
    q, raw = make(address), make(address, serializer=RawSerializer)
    raw.put(b"not a pickle")
    q.put("behind")
    assert isinstance(refusal(q.get), DecodeError)
    assert q.qsize() == 1
    assert q.get_nowait() == "behind"


def test_payloads_that_do_not_unpickle_leak_nothing(make, address):
    q, raw = make(address), make(address, serializer=RawSerializer)

    def refuse(times):
        for _ in range(times):
            raw.put(b"not a pickle")
            refusal(q.get)

    blocks, _ = growth(refuse, 100)
    assert blocks < 50


class Unspeakable(Exception):
    """An exception that cannot be shown."""

    def __str__(self):
        raise ZeroDivisionError

    __repr__ = __str__


def test_a_cause_that_cannot_be_shown_loses_nothing(make):
    def loads(data):
        raise Unspeakable

    q = make(serializer=SimpleNamespace(dumps=bytes, loads=loads))
    q.put(b"payload", **mark(5))
    error = refusal(q.get)
    assert (error.data, getattr(error, MARK)) == (b"payload", 5)
    assert isinstance(error.__cause__, Unspeakable)


class Mute(Queue):
    """A queue that cannot be shown."""

    def __repr__(self):
        raise ZeroDivisionError


class Counting(Queue):
    """A queue that looks into itself to be shown: in vain, once it is closed."""

    def __repr__(self):
        return f"<Counting of {self.qsize()} items>"


@pytest.mark.parametrize("cls", [Mute, Counting])
def test_an_error_does_not_hang_on_the_repr_of_a_subclass(make, address, cls):
    q = make(address, cls=cls)
    make(address, serializer=RawSerializer).put(b"no pickle")
    assert refusal(q.get).data == b"no pickle"
    assert refusal(q.put, "x" * 100_000).errno == QueueError.TOO_BIG_MESSAGE
    leave(q)
    assert is_closed(refusal(q.get))


# --- use after close ---------------------------------------------------------------------------------


@every_end
def test_every_refusal_of_an_ended_queue_names_it(make, address, end):
    q = make(address)
    getattr(q, end)()
    for call in bad_input.METHODS.values():
        error = refusal(call, q)
        assert is_closed(error)
        assert str(address) in error.msg


@every_end
def test_ending_twice_and_thrice_touches_no_newer_queue(make, address, end):
    old = make(address)
    number = getattr(old, "fileno", int)()
    getattr(old, end)()
    newer = make(address)
    assert getattr(newer, "fileno", int)() == number, "its descriptor has not the number of the old"
    for again in (*kind.ENDS, end):
        assert getattr(old, again)() is None
    assert old.closed is True
    newer.put("untouched")
    assert newer.get() == "untouched"
    assert kind.exists(address)


@every_end
def test_what_an_ended_queue_was_can_still_be_read(make, address, end):
    q = make(address, **kind.room(3, 77))
    lasting = [name for name in kind.ATTRIBUTES if name != "closed"]
    before = [getattr(q, name) for name in lasting]
    getattr(q, end)()
    assert [getattr(q, name) for name in lasting] == before
    assert kind.address_of(q) == address
    assert q.serializer is PickleSerializer
    assert q.closed is True
    assert str(address) in repr(q)


# --- the words of an error ---------------------------------------------------------------------------


class Alarm(TimeoutError):
    """What the handler of a signal may raise at any moment."""


def raising(error):
    def call(*_):
        raise error

    return call


@pytest.fixture
def explain():
    """The module that finds the words."""
    return importlib.import_module(f"{kind.PACKAGE}._explain")


@pytest.fixture
def proc():
    """The module that reads the limits."""
    return importlib.import_module(f"{kind.PACKAGE}._proc")


def test_what_a_handler_raises_while_an_error_is_explained_gets_through(
    q, explain, proc, monkeypatch
):
    for module, name in ((explain, "failure"), (proc, "open")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, raising(Alarm()), raising=False)
            with pytest.raises(Alarm):
                q.put("x" * 100_000)


@pytest.mark.parametrize(
    "error", [OSError("no descriptor"), MemoryError(), RecursionError()], ids=repr
)
def test_what_cannot_be_explained_is_said_in_plain_words(q, explain, monkeypatch, error):
    monkeypatch.setattr(explain, "failure", raising(error))
    refused = refusal(q.put, "x" * 100_000)
    assert "cannot put: " in str(refused)
    assert refused.errno == QueueError.TOO_BIG_MESSAGE


def test_limits_that_cannot_be_read_are_taken_to_be_the_usual_ones(q, proc, monkeypatch):
    monkeypatch.setattr(proc, "open", raising(PermissionError()), raising=False)
    with pytest.raises(QueueError, match=r"msg(size_)?max (=|is) 8192"):
        q.put("x" * 100_000)
