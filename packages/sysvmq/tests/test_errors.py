"""Bad input: each row is refused with its own exception, and nothing has changed."""

import ctypes
import gc
import pickle
import sys
from decimal import Decimal
from fractions import Fraction
from queue import Full
from types import SimpleNamespace

import pytest

import sysvmq._explain
import sysvmq._proc
from sysvmq import DecodeError, PickleSerializer, Queue, QueueError, RawSerializer

LONG_MAX = 2 ** (8 * ctypes.sizeof(ctypes.c_long) - 1) - 1
HUGE = 2**200
INVALID = QueueError.INVALID_VALUE
CLOSED = QueueError.INVALID_DESCRIPTOR
TOO_BIG = QueueError.TOO_BIG_MESSAGE


class Unpicklable:
    def __reduce__(self):
        raise ZeroDivisionError("not me")


class BadIndex:
    def __index__(self):
        raise ZeroDivisionError("no number")


class BadBool:
    def __bool__(self):
        raise ZeroDivisionError("no truth")


class BadFloat:
    def __float__(self):
        raise ZeroDivisionError("no number")


def rows():
    """(what is wrong, the call on a namespace of queues, exception, errno)"""

    def opening(what, error, errno=None, **arguments):
        return what, lambda ns: Queue(**{"key": ns.key, **arguments}), error, errno

    def putting(what, error, errno=None, item="x", **arguments):
        return what, lambda ns: ns.q.put(item, **arguments), error, errno

    def getting(what, error, errno=None, **arguments):
        return what, lambda ns: ns.q.get(**arguments), error, errno

    for key in ("1", b"1", 1.0, 1j, [], object(), Queue):
        yield opening(f"key of type {type(key).__name__}", TypeError, key=key)
    for key in (-1, -(2**31), 2**32, 2**63, 2**64 + 1, HUGE, -HUGE):
        yield opening(f"key {key:.3g}", QueueError, INVALID, key=key)
    yield opening("key that is no number", ZeroDivisionError, key=BadIndex())

    for size in ("1", b"1", 1.0, [], object()):
        name = f"max_bytes of type {type(size).__name__}"
        yield opening(name, TypeError, max_bytes=size)
    for size in (0, -1, -HUGE, 2**64, HUGE):
        yield opening(f"max_bytes {size:.3g}", QueueError, INVALID, max_bytes=size)
    yield opening("max_bytes no number", ZeroDivisionError, max_bytes=BadIndex())

    for mode in ("600", 1.0, None, []):
        yield opening(f"mode of type {type(mode).__name__}", TypeError, mode=mode)
    for mode in (-1, 0o1000, 0o1600, 2**32 + 0o600, HUGE, -HUGE):
        yield opening(f"mode {mode:.3g}", QueueError, INVALID, mode=mode)

    for word in ("", "ignore", "RAISE", "raise\0", "retry "):
        yield opening(f"on_signal {word!r}", ValueError, on_signal=word)
    for word in (None, 1, b"raise"):
        name = f"on_signal of type {type(word).__name__}"
        yield opening(name, (TypeError, ValueError), on_signal=word)

    for spin in (-1, 1_000_001, HUGE, -HUGE):
        yield opening(f"spin_us {spin:.3g}", ValueError, spin_us=spin)
    for spin in ("1", [], 1.5):
        yield opening(f"spin_us of type {type(spin).__name__}", TypeError, spin_us=spin)

    for serializer in (1, "json", object(), SimpleNamespace(dumps=pickle.dumps)):
        name = f"serializer of type {type(serializer).__name__}"
        yield opening(name, (TypeError, AttributeError), serializer=serializer)

    def of_its_own():
        return SimpleNamespace(dumps=bytes, loads=bytes)

    yield (
        "key that exists, exclusive",
        lambda ns: Queue(ns.q.key, exclusive=True, serializer=of_its_own()),
        QueueError,
        QueueError.EXISTS,
    )
    yield (
        "key that does not exist, create=False",
        lambda ns: Queue(ns.key, create=False, serializer=of_its_own()),
        QueueError,
        QueueError.DOES_NOT_EXIST,
    )

    for kind in ("1", b"1", 1.0, None, [], object()):
        name = f"msg_type of type {type(kind).__name__}"
        yield putting(f"put {name}", TypeError, msg_type=kind)
        yield getting(f"get {name}", TypeError, msg_type=kind)
        yield f"receive {name}", lambda ns, kind=kind: ns.q.receive(True, kind), TypeError, None
        if kind is not None:
            name = f"of type {type(kind).__name__}"
            yield f"peek index {name}", lambda ns, kind=kind: ns.q.peek(kind), TypeError, None
            yield f"id {name}", lambda ns, kind=kind: Queue.from_id(kind), TypeError, None
            yield f"remove {name}", lambda ns, kind=kind: sysvmq.remove(kind), TypeError, None
            for what in ("mode", "uid", "gid", "max_bytes"):
                yield (
                    f"set {what} {name}",
                    lambda ns, kind=kind, what=what: ns.q.set(**{what: kind}),
                    TypeError,
                    None,
                )
    for kind in (0, -1, -LONG_MAX - 1):
        name = f"msg_type {kind} excluded"
        yield getting(f"get {name}", QueueError, INVALID, msg_type=kind, exclude=True)
        yield f"get_nowait {name}", lambda ns: ns.q.get_nowait(exclude=1), QueueError, INVALID
        yield f"receive {name}", lambda ns: ns.q.receive(exclude=True), QueueError, INVALID
    yield getting("exclude without a truth", ZeroDivisionError, msg_type=1, exclude=BadBool())
    for index in (-1, -HUGE, LONG_MAX + 1, HUGE):
        yield (
            f"peek index {index:.3g}",
            lambda ns, index=index: ns.q.peek(index),
            QueueError,
            INVALID,
        )
    for number in (-1, -HUGE, 2**31, HUGE):
        yield (
            f"id {number:.3g}",
            lambda ns, number=number: Queue.from_id(number),
            QueueError,
            INVALID,
        )
        yield (
            f"remove {number:.3g}",
            lambda ns, number=number: sysvmq.remove(number),
            QueueError,
            INVALID,
        )
    for what, values in (
        ("mode", (-1, 0o1000, HUGE)),
        ("uid", (-1, 2**32 - 1, 2**32, HUGE)),
        ("gid", (-1, 2**32 - 1, 2**32, HUGE)),
        ("max_bytes", (0, -1, 2**64, HUGE)),
    ):
        for value in values:
            yield (
                f"set {what} {value:.3g}",
                lambda ns, what=what, value=value: ns.q.set(**{what: value}),
                QueueError,
                INVALID,
            )
    yield "set by position", lambda ns: ns.q.set(0o600), TypeError, None
    for word in ("ignore", ""):
        yield (
            f"from_id on_signal {word!r}",
            lambda ns, word=word: Queue.from_id(ns.q.id, on_signal=word),
            ValueError,
            None,
        )
    yield "from_id spin_us", lambda ns: Queue.from_id(ns.q.id, spin_us=-1), ValueError, None
    yield "from_id serializer", lambda ns: Queue.from_id(ns.q.id, serializer=1), TypeError, None
    for number in (0, -1, 256, HUGE):
        yield (
            f"ftok project_id {number:.3g}",
            lambda ns, number=number: sysvmq.ftok("/", number),
            QueueError,
            INVALID,
        )
    yield "ftok of a number", lambda ns: sysvmq.ftok(1, 1), TypeError, None
    yield "ftok with a null", lambda ns: sysvmq.ftok("/\0", 1), ValueError, None
    yield "ftok project_id text", lambda ns: sysvmq.ftok("/", "1"), TypeError, None
    for kind in (0, -1, -LONG_MAX - 1, LONG_MAX + 1, 2**64 + 1, HUGE, -HUGE):
        yield putting(f"put msg_type {kind:.3g}", QueueError, INVALID, msg_type=kind)
    for kind in (LONG_MAX + 1, -LONG_MAX - 2, 2**64, HUGE, -HUGE):
        yield getting(f"get msg_type {kind:.3g}", QueueError, INVALID, msg_type=kind)
    yield putting("put msg_type no number", ZeroDivisionError, msg_type=BadIndex())
    yield getting("get msg_type no number", ZeroDivisionError, msg_type=BadIndex())

    for timeout, error in (
        (-1, ValueError),
        (-0.001, ValueError),
        (-5e-324, ValueError),
        (-(2**63), ValueError),
        (float("nan"), ValueError),
        (-float("nan"), ValueError),
        (float("inf"), OverflowError),
        (9223372037, OverflowError),
        (9.3e9, OverflowError),
        (1e300, OverflowError),
        (2**63, OverflowError),
        (10**400, OverflowError),
        (float("-inf"), (ValueError, OverflowError)),
        (-(10**400), (ValueError, OverflowError)),
        ("1", TypeError),
        (b"1", TypeError),
        ([], TypeError),
        (1j, TypeError),
        (object(), TypeError),
        (BadFloat(), ZeroDivisionError),
        (BadIndex(), ZeroDivisionError),
    ):
        if isinstance(timeout, (int, float)):
            name = "timeout absurd" if abs(timeout) > 1e300 else f"timeout {timeout:.3g}"
        else:
            name = f"timeout of type {type(timeout).__name__}"
        yield putting(f"put {name}", error, timeout=timeout)
        yield getting(f"get {name}", error, timeout=timeout)

    yield putting("item with a reduce that raises", ZeroDivisionError, item=Unpicklable())
    yield putting(
        "item that is a lambda",
        (pickle.PicklingError, AttributeError),
        item=lambda: 1,
    )
    yield putting("item that is a generator", TypeError, item=(i for i in ()))
    for protocol in (6, 100, HUGE):
        yield putting(
            f"pickle_protocol {protocol:.3g}",
            (ValueError, OverflowError),
            pickle_protocol=protocol,
        )
    yield putting("pickle_protocol text", TypeError, pickle_protocol="1")
    for item in ("text", None, 1, [b"x"], object()):
        yield (
            f"raw item of type {type(item).__name__}",
            lambda ns, item=item: ns.raw.put(item),
            TypeError,
            None,
        )
    yield "raw item too long", lambda ns: ns.raw.put(b"x" * 10**6), QueueError, TOO_BIG
    yield putting("item too long", QueueError, TOO_BIG, item=b"x" * 10**5)

    for gone in ("closed", "left"):
        for name, *arguments in (
            ("put", "x"),
            ("put", "x", False),
            ("put_nowait", "x"),
            ("get",),
            ("get", False),
            ("get_nowait",),
            ("receive",),
            ("peek",),
            ("qattr",),
            ("qsize",),
            ("empty",),
            ("stat",),
            ("set",),
            ("__reduce__",),
            ("__enter__",),
        ):
            yield (
                f"{name}{arguments} of one {gone}",
                lambda ns, gone=gone, name=name, arguments=arguments: getattr(
                    getattr(ns, gone), name
                )(*arguments),
                QueueError,
                CLOSED,
            )
        yield (
            f"timed put of one {gone}",
            lambda ns, gone=gone: getattr(ns, gone).put("x", timeout=1),
            QueueError,
            CLOSED,
        )
        yield (
            f"timed get of one {gone}",
            lambda ns, gone=gone: getattr(ns, gone).get(timeout=1),
            QueueError,
            CLOSED,
        )


ROWS = [pytest.param(*row, id=name) for name, *row in rows()]


@pytest.fixture
def ns(make, key):
    """Queues that hold one message each, one closed, one detached, an unused key."""
    q = make()
    q.put("kept", msg_type=5)
    raw = make(serializer=RawSerializer)
    raw.put(b"kept", msg_type=5)
    closed, left = make(), make(q.key)
    closed.close()
    left.detach()
    return SimpleNamespace(q=q, raw=raw, closed=closed, left=left, key=key)


def state(ns, row):
    of_interest = ("qnum", "cbytes", "perms", "lspid", "lrpid", "stime", "rtime")
    return [
        (
            queue.closed,
            queue.closed or queue.qattr(),
            {name: value for name, value in (row(queue.id) or {}).items() if name in of_interest},
        )
        for queue in (ns.q, ns.raw, ns.closed, ns.left)
    ]


@pytest.mark.parametrize(("call", "error", "errno"), ROWS)
def test_bad_input_is_refused_and_changes_nothing(ns, row, call, error, errno):
    before = state(ns, row)
    with pytest.raises(error) as caught:
        call(ns)
    if errno is not None:
        assert caught.value.errno == errno
        assert len(caught.value.msg) > 3
        assert caught.value.msg in str(caught.value)
    else:
        assert not isinstance(caught.value, QueueError)
    assert state(ns, row) == before
    assert ns.q.get(msg_type=5) == "kept"
    assert ns.raw.get(msg_type=5) == b"kept"
    with pytest.raises(QueueError) as caught:
        Queue(ns.key, create=False)  # nothing was created on the way
    assert caught.value.errno == QueueError.DOES_NOT_EXIST


@pytest.mark.parametrize(("call", "error", "errno"), ROWS)
def test_bad_input_leaks_nothing(ns, call, error, errno):
    def many(times):
        for _ in range(times):
            try:
                call(ns)
            except error:
                pass
        return sys.getallocatedblocks()

    many(20)
    growth = min(-(many(0) - many(300)) for _ in range(3))
    assert growth < 250  # one object a call; a free-threaded Python is in no hurry to free


def test_a_wrong_type_is_named(q):
    for call in (lambda: Queue("1"), lambda: q.put(1, msg_type="x"), lambda: q.get(True, [])):
        with pytest.raises(TypeError, match=r"\bstr\b|\blist\b"):
            call()


def test_what_is_wrong_is_said_in_words(q):
    for call, words in (
        (lambda: Queue(-5), "key"),
        (lambda: Queue(q.key, 0), "max_bytes"),
        (lambda: Queue(q.key, mode=-1), "mode"),
        (lambda: q.put(1, msg_type=0), "msg_type"),
        (lambda: q.get(msg_type=HUGE), "msg_type"),
    ):
        with pytest.raises(QueueError, match=words) as caught:
            call()
        assert words in caught.value.msg


def test_a_refused_operation_names_its_queue(q):
    with pytest.raises(QueueError) as caught:
        Queue(q.key, exclusive=True)
    assert str(q.key) in str(caught.value) or hex(q.key) in str(caught.value)


def test_closing_twice_and_thrice_does_nothing(make, key):
    queue = make(key)
    queue.close()
    newer = make(key)
    queue.close()
    queue.close()
    queue.detach()
    newer.put("untouched")
    assert newer.get() == "untouched"


def test_detaching_twice_does_nothing(q, make):
    other = make(q.key)
    other.detach()
    other.detach()
    q.put(1)
    assert q.get() == 1


def test_closing_what_was_detached_removes_nothing(q, make):
    other = make(q.key)
    other.detach()
    other.close()
    q.put(1)
    assert q.get() == 1


def test_what_a_closed_queue_was_can_still_be_read(make, key):
    for end in ("close", "detach"):
        queue = make(key)
        msqid = queue.id
        getattr(queue, end)()
        assert queue.closed is True
        assert (queue.key, queue.id) == (key, msqid)
        assert queue.serializer is PickleSerializer
        assert repr(queue)


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


class TestAMessageThatDoesNotDecode:
    BAD = b"\x80\x04no pickle at all"

    @pytest.fixture
    def bad(self, make):
        raw = make(serializer=RawSerializer)
        raw.put(self.BAD, msg_type=77)
        raw.put(pickle.dumps("after"), msg_type=78)
        return make(raw.key)

    @pytest.mark.parametrize(
        "get",
        [
            lambda q: q.get(),
            lambda q: q.get_nowait(),
            lambda q: q.get(timeout=1),
            lambda q: q.get(msg_type=-100),
            lambda q: q.get(msg_type=77),
        ],
    )
    def test_is_handed_over_as_bytes_with_its_type(self, bad, get):
        with pytest.raises(DecodeError) as caught:
            get(bad)
        error = caught.value
        assert error.data == self.BAD
        assert type(error.data) is bytes
        assert error.msg_type == 77
        assert error.errno == QueueError.ERROR
        assert isinstance(error, QueueError)
        assert isinstance(error.__cause__, pickle.UnpicklingError)

    def test_has_left_the_queue_and_the_next_one_is_fine(self, bad):
        with pytest.raises(DecodeError):
            bad.get()
        assert bad.qsize() == 1
        assert bad.get() == "after"

    def test_says_what_went_wrong(self, bad):
        with pytest.raises(DecodeError) as caught:
            bad.get()
        assert str(caught.value.__cause__) in str(caught.value)

    @pytest.mark.parametrize("data", [b"", b".", b"\x80\xff.", b"cno_such\nmodule\n."])
    def test_is_reported_whatever_is_wrong_with_it(self, make, data):
        raw = make(serializer=RawSerializer)
        raw.put(data)
        with pytest.raises(DecodeError) as caught:
            make(raw.key).get()
        assert caught.value.data == data
        assert caught.value.__cause__ is not None

    def test_leaks_nothing(self, make):
        raw = make(serializer=RawSerializer)
        q = make(raw.key)

        def many(times):
            for _ in range(times):
                raw.put(self.BAD)
                try:
                    q.get()
                except DecodeError:
                    pass
            gc.collect()
            return sys.getallocatedblocks()

        many(20)
        assert min(-(many(0) - many(100)) for _ in range(3)) < 50


class TestAQueueRemovedBySomebodyElse:
    @pytest.fixture
    def orphan(self, make):
        queue = make()
        make(queue.key).close()
        return queue

    @pytest.mark.parametrize(
        "call",
        [
            lambda q: q.put(1),
            lambda q: q.put(1, timeout=1),
            lambda q: q.put_nowait(1),
            lambda q: q.get(),
            lambda q: q.get(timeout=1),
            lambda q: q.get_nowait(),
            lambda q: q.receive(),
            lambda q: q.peek(),
            lambda q: q.qattr(),
            lambda q: q.qsize(),
            lambda q: q.empty(),
            lambda q: q.stat(),
            lambda q: q.set(mode=0o600),
        ],
    )
    def test_is_an_invalid_descriptor(self, orphan, call):
        with pytest.raises(QueueError) as caught:
            call(orphan)
        assert caught.value.errno == QueueError.INVALID_DESCRIPTOR

    def test_is_closed_without_complaint(self, orphan):
        orphan.close()
        assert orphan.closed
        orphan.close()

    def test_is_detached_without_complaint(self, orphan):
        orphan.detach()
        assert orphan.closed

    @pytest.mark.parametrize("key", [..., None])
    def test_leaves_its_with_block_without_complaint(self, make, remove, key):
        with make(key) as queue:
            remove(queue.id)
        assert queue.closed

    def test_does_not_lay_hands_on_a_newer_queue_of_the_same_key(self, orphan, make):
        newer = make(orphan.key)
        newer.put("new")
        with pytest.raises(QueueError):
            orphan.get_nowait()
        orphan.close()
        assert newer.get() == "new"


def test_full_and_empty_change_nothing(full, row):
    before = row(full.id)
    with pytest.raises(Full):
        full.put_nowait(b"x")
    assert row(full.id) == before


class Alarm(TimeoutError):
    """What the handler of a signal may raise at any moment."""


def raising(error):
    def call(*_):
        raise error

    return call


def test_what_a_handler_raises_while_an_error_is_explained_gets_through(q, monkeypatch):
    for module, name in ((sysvmq._explain, "failure"), (sysvmq._proc, "open")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, raising(Alarm()), raising=False)
            with pytest.raises(Alarm):
                q.put("x" * 100_000)


@pytest.mark.parametrize(
    "error", [OSError("no descriptor"), MemoryError(), RecursionError()], ids=repr
)
def test_what_cannot_be_explained_is_said_in_plain_words(q, monkeypatch, error):
    monkeypatch.setattr(sysvmq._explain, "failure", raising(error))
    with pytest.raises(QueueError, match="cannot put: ") as caught:
        q.put("x" * 100_000)
    assert caught.value.errno == QueueError.TOO_BIG_MESSAGE


def test_limits_that_cannot_be_read_are_taken_to_be_the_usual_ones(q, monkeypatch):
    monkeypatch.setattr(sysvmq._proc, "open", raising(PermissionError()), raising=False)
    with pytest.raises(QueueError, match="msgmax is 8192"):
        q.put("x" * 100_000)
