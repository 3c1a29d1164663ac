"""get_into(): the bytes of a message go straight into a buffer of the caller's."""

import array
import contextlib
import ctypes
import itertools
import json
import mmap
import queue
import signal
import sys
import threading
import tracemalloc

import pytest

from harness.calls import Call
from harness.measure import growth, times_out
from harness.tasks import main_task, until_asleep
from posixmq import Queue, QueueError, RawSerializer

SIZE = 64


@pytest.fixture
def q(make):
    """A raw queue of 4 messages of 64 bytes."""
    return make(maxmsgsize=SIZE, serializer=RawSerializer)


def bytes_of(buffer):
    with memoryview(buffer) as view, view.cast("B") as flat:
        return flat.tobytes()


BUFFERS = {
    "a bytearray": lambda: bytearray(SIZE),
    "a memoryview": lambda: memoryview(bytearray(SIZE)),
    "an array of bytes": lambda: array.array("B", bytes(SIZE)),
    "an array of doubles": lambda: array.array("d", bytes(SIZE)),
    "a ctypes array": lambda: (ctypes.c_char * SIZE)(),
    "a ctypes array of ints": lambda: (ctypes.c_uint64 * (SIZE // 8))(),
    "an anonymous mmap": lambda: mmap.mmap(-1, SIZE),
    "a longer bytearray": lambda: bytearray(SIZE * 10),
    "a memoryview of two dimensions": lambda: memoryview(bytearray(SIZE)).cast("B", (8, 8)),
}


@pytest.mark.parametrize("buffer", BUFFERS.values(), ids=BUFFERS)
def test_the_message_lies_in_the_buffer(q, buffer):
    buffer = buffer()
    for sent in (b"\x01\x02\x03", bytes(range(SIZE)), b""):
        before = bytes_of(buffer)
        q.put(sent, priority=6)
        assert q.get_into(buffer) == (len(sent), 6)
        assert bytes_of(buffer) == sent + before[len(sent) :], "the tail was touched"
    assert q.empty()
    if isinstance(buffer, mmap.mmap):
        buffer.close()


def test_size_and_priority_are_a_plain_tuple(q):
    q.put(b"abc", priority=32767)
    result = q.get_into(bytearray(SIZE))
    assert type(result) is tuple
    assert result == (3, 32767)
    assert [type(each) for each in result] == [int, int]


def test_a_result_is_that_of_its_own_message_and_stays_it(q):
    """Equal results may be one object, so others must be new ones."""
    buffer, results, sent = bytearray(SIZE), [], []
    for size, priority in itertools.product((3, 3, 4, 0, SIZE), (0, 0, 7, 1000, 0)):
        q.put(b"x" * size, priority=priority)
        results.append(q.get_into(buffer))
        sent.append((size, priority))
    assert results == sent


def test_a_slice_receives_at_its_place(q):
    whole = bytearray(b"-" * (SIZE + 20))
    q.put(b"x" * SIZE)
    assert q.get_into(memoryview(whole)[10:-10]) == (SIZE, 0)
    assert whole == b"-" * 10 + b"x" * SIZE + b"-" * 10


def test_numpy_arrays_are_filled(q):
    numpy = pytest.importorskip("numpy", reason="NumPy is not installed")
    values = numpy.zeros(SIZE // 8)
    q.put(numpy.arange(SIZE // 8, dtype=float))
    assert q.get_into(values) == (SIZE, 0)
    assert values.tolist() == list(range(SIZE // 8))
    plane = numpy.zeros((2, SIZE), dtype=numpy.uint8)
    q.put(b"\x07" * SIZE)
    q.get_into(plane[1])
    assert plane.sum(axis=1).tolist() == [0, 7 * SIZE]
    q.put(b"kept")
    for refused in (numpy.zeros(SIZE * 2, dtype=numpy.uint8)[::2], plane[:, ::2]):
        with pytest.raises((BufferError, ValueError)):
            q.get_into(refused)
    values.flags.writeable = False
    with pytest.raises((BufferError, ValueError)):
        q.get_into(values)
    assert q.get_nowait() == b"kept"


def test_the_serializer_is_not_asked(make, name):
    class Never:
        @staticmethod
        def dumps(obj):
            return obj

        @staticmethod
        def loads(data):
            raise AssertionError("asked")

    q = make(name, serializer=Never)
    q.put(b"as it is")
    buffer = bytearray(256)
    assert q.get_into(buffer) == (8, 0)
    assert buffer[:8] == b"as it is"
    pickled = make(name)
    pickled.put("text")
    size, _ = q.get_into(buffer)
    assert b"text" in buffer[:size]
    assert make(name, serializer=json).empty()


REFUSED = {
    "bytes": (bytes(SIZE), (TypeError, BufferError)),
    "a str": ("x" * SIZE, TypeError),
    "None": (None, TypeError),
    "a number": (SIZE, TypeError),
    "a list": ([0] * SIZE, TypeError),
    "a read-only memoryview": (memoryview(bytes(SIZE)), (TypeError, BufferError)),
    "a read-only view of a bytearray": (
        memoryview(bytearray(SIZE)).toreadonly(),
        (TypeError, BufferError),
    ),
    "every other byte": (memoryview(bytearray(SIZE * 2))[::2], BufferError),
    "backwards": (memoryview(bytearray(SIZE))[::-1], BufferError),
}


@pytest.mark.parametrize(("buffer", "error"), REFUSED.values(), ids=REFUSED)
def test_no_writable_contiguous_buffer_is_refused_and_nothing_is_lost(q, buffer, error):
    q.put(b"kept")
    with pytest.raises(error):
        q.get_into(buffer)
    with pytest.raises(error):
        q.get_into(buffer, timeout=60)
    assert q.get_nowait() == b"kept"


@pytest.mark.parametrize("size", [0, 1, SIZE - 1])
@pytest.mark.parametrize("empty", [False, True], ids=["with a message", "empty"])
def test_a_buffer_that_is_too_short_is_refused_and_nothing_is_lost(q, size, empty):
    """Even where the message that waits would fit, as the next one might not; and at once."""
    if not empty:
        q.put(b"")
    buffer = bytearray(size)
    with pytest.raises(QueueError) as caught:
        q.get_into(buffer)
    assert caught.value.errno == QueueError.TOO_BIG_MESSAGE
    for word in (f"{size} bytes", f"{SIZE} bytes", "maxmsgsize", q.name):
        assert word in str(caught.value)
    assert q.qsize() == (0 if empty else 1)
    buffer.extend(bytes(SIZE))  # nobody holds it
    assert buffer == bytes(size + SIZE)


def test_the_length_in_bytes_counts_not_that_in_items(q):
    q.put(b"x" * SIZE)
    with pytest.raises(QueueError):
        q.get_into(array.array("B", bytes(SIZE // 8)))
    assert q.get_into(array.array("Q", bytes(SIZE))) == (SIZE, 0)


BAD = {
    "no buffer": (lambda q: q.get_into(), TypeError),
    "four arguments": (lambda q: q.get_into(bytearray(SIZE), True, None, 0), TypeError),
    "an unknown keyword": (lambda q: q.get_into(bytearray(SIZE), size=3), TypeError),
    "the buffer twice": (lambda q: q.get_into(bytearray(SIZE), buffer=bytearray(SIZE)), TypeError),
    "a negative timeout": (lambda q: q.get_into(bytearray(SIZE), timeout=-1), ValueError),
    "a timeout that is none": (lambda q: q.get_into(bytearray(SIZE), timeout="1"), TypeError),
}


@pytest.mark.parametrize(("call", "error"), BAD.values(), ids=BAD)
def test_bad_arguments_are_refused_and_nothing_is_lost(q, call, error):
    q.put(b"kept")
    with pytest.raises(error):
        call(q)
    assert q.get_nowait() == b"kept"


def test_every_parameter_may_be_given_by_keyword(q):
    q.put(b"abc")
    assert q.get_into(buffer=bytearray(SIZE), block=True, timeout=1) == (3, 0)


@pytest.mark.parametrize(
    "options", [{"block": False}, {"timeout": 0}, {"block": False, "timeout": 60}], ids=str
)
def test_without_waiting(q, options):
    buffer = bytearray(b"-" * SIZE)
    with pytest.raises(queue.Empty):
        q.get_into(buffer, **options)
    assert buffer == b"-" * SIZE
    q.put(b"x")
    assert q.get_into(buffer, **options) == (1, 0)


@pytest.mark.parametrize("timeout", [0.05, 0.4])
def test_it_times_out_and_never_early(q, timeout):
    times_out(timeout, lambda: q.get_into(bytearray(SIZE), timeout=timeout))


@pytest.mark.parametrize("timeout", [None, 60])
def test_it_waits_without_the_gil_and_holds_the_buffer(q, timeout):
    buffer = bytearray(SIZE)
    waiting = Call(q.get_into, buffer, timeout=timeout).until_asleep()
    with pytest.raises(BufferError):
        buffer.extend(b"while it is in use")
    q.put(b"at last", priority=1)
    assert waiting.result() == (7, 1)
    assert buffer == b"at last".ljust(SIZE, b"\0")
    buffer.extend(b"free again")


def held_by(buffer):
    """Whether anybody holds the buffer of a bytearray."""
    try:
        buffer.append(0)
    except BufferError:
        return True
    del buffer[-1]
    return False


def test_close_ends_the_wait_and_frees_the_buffer(q):
    buffer = bytearray(SIZE)
    waiting = Call(q.get_into, buffer).until_asleep()
    assert held_by(buffer)
    q.close()
    assert waiting.failure().errno == QueueError.INVALID_DESCRIPTOR
    assert not held_by(buffer)
    with pytest.raises(QueueError) as caught:
        q.get_into(buffer)
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
    assert not held_by(buffer)


@pytest.mark.parametrize("on_signal", ["raise", "retry", "handler raises"])
def test_a_signal_ends_the_wait_and_frees_the_buffer(make, on_signal):
    retry = "retry" if on_signal == "retry" else "raise"
    q = make(maxmsgsize=SIZE, serializer=RawSerializer, on_signal=retry)
    main, buffer = threading.main_thread(), bytearray(SIZE)

    def handler(*_):
        if on_signal == "handler raises":
            raise ZeroDivisionError
        q.put(b"by the handler")

    def poke():
        until_asleep(main_task())
        signal.pthread_kill(main.ident, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        poker = Call(poke)
        if on_signal == "retry":
            assert q.get_into(buffer) == (14, 0)
        else:
            with pytest.raises((QueueError, ZeroDivisionError)) as caught:
                q.get_into(buffer)
            if on_signal == "raise":
                assert caught.value.errno == QueueError.INTERRUPTED
                assert q.qsize() == 1
            else:
                assert caught.type is ZeroDivisionError
        poker.result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not held_by(buffer)


def test_every_way_out_frees_the_buffer(q):
    buffer = bytearray(SIZE)
    references = sys.getrefcount(buffer)
    for times in range(3):
        q.put(b"x")
        q.get_into(buffer)
        for call in (
            lambda: q.get_into(buffer, False),
            lambda: q.get_into(buffer, timeout=0.001),
            lambda: q.get_into(buffer, timeout=-1),
            lambda: q.get_into(memoryview(buffer)[1:]),
            lambda: q.get_into(memoryview(buffer)[::2]),
            lambda: Queue.__new__(Queue).get_into(buffer),
        ):
            with contextlib.suppress(queue.Empty, QueueError, ValueError, BufferError):
                call()
                pytest.fail("not refused")
            assert not held_by(buffer)
        assert sys.getrefcount(buffer) == references, times
    q.close()
    with pytest.raises(QueueError):
        q.get_into(buffer)
    assert not held_by(buffer)
    assert sys.getrefcount(buffer) == references


def test_no_copy_is_made(make):
    q = make(maxsize=2, maxmsgsize=8192, serializer=RawSerializer)
    buffer, data = bytearray(8192), bytes(8192)
    q.put(data)
    q.get_into(buffer)
    tracemalloc.start()
    try:
        for _ in range(10):
            q.put(data)
            q.get_into(buffer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4096


def test_the_queue_keeps_no_reference(q):
    class Kept(bytearray):
        pass

    import gc
    import weakref

    buffer = Kept(SIZE)
    q.put(b"x")
    q.get_into(buffer)
    gone = weakref.ref(buffer)
    del buffer
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ came with Python 3.12")
def test_a_buffer_made_in_python_that_closes_the_queue_is_filled_by_nobody(q, make):
    other = make(q.name, serializer=RawSerializer)

    class Closing:
        released = 0

        def __init__(self):
            self.memory = bytearray(SIZE)

        def __buffer__(self, flags):
            q.close()
            return memoryview(self.memory)

        def __release_buffer__(self, view):
            self.released += 1
            view.release()

    closing = Closing()
    q.put(b"kept")
    with pytest.raises(QueueError) as caught:
        q.get_into(closing)
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
    assert closing.released == 1
    assert closing.memory == bytes(SIZE)
    assert not held_by(closing.memory)
    assert other.get_nowait() == b"kept"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ came with Python 3.12")
def test_a_buffer_that_raises_raises(q):
    class Raising:
        def __buffer__(self, flags):
            raise ZeroDivisionError

    q.put(b"kept")
    with pytest.raises(ZeroDivisionError):
        q.get_into(Raising())
    assert q.get_nowait() == b"kept"


def test_threads_fill_buffers_of_their_own(make):
    q = make(maxmsgsize=SIZE, serializer=RawSerializer)

    def read():
        buffer, got = bytearray(SIZE), []
        while True:
            size, priority = q.get_into(buffer, timeout=60)
            if size == 0:
                return got
            assert priority == size
            got.append(bytes(buffer[:size]))

    readers = [Call(read) for _ in range(4)]
    sent = [b"%d" % number * (1 + number % 15) for number in range(800)]
    for data in sent:
        q.put(data, priority=len(data))
    while not q.empty():
        pass
    for _ in readers:
        q.put(b"")
    assert sorted(data for reader in readers for data in reader.result()) == sorted(sent)


def test_it_leaks_nothing(q):
    buffer = bytearray(SIZE)

    def work(times):
        for _ in range(times):
            q.put(b"x", priority=1000)
            q.get_into(buffer)
            for call in (lambda: q.get_into(buffer, False), lambda: q.get_into(bytearray(1))):
                with contextlib.suppress(queue.Empty, QueueError):
                    call()

    blocks, memory = growth(work, 300)
    assert blocks < 100
    assert memory < 300_000
