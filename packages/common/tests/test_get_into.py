"""get_into(): the bytes of a message go straight into a buffer of the caller's."""

import array
import contextlib
import ctypes
import gc
import itertools
import json
import mmap
import queue
import signal
import sys
import tracemalloc
import weakref

import pytest

import kind
from harness.calls import Call
from harness.errors import is_closed, refusal
from harness.measure import growth, times_out
from harness.process import interrupt
from harness.serial import serializer_of
from harness.tasks import until
from kind import DEFAULT_MARK, Queue, QueueError, RawSerializer

SIZE = 64

needs_python_buffers = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="__buffer__ came with Python 3.12"
)


@pytest.fixture
def q(make):
    """A queue of 4 messages of 64 bytes."""
    return make(serializer=RawSerializer, **kind.room(4, SIZE))


def bytes_of(buffer):
    with memoryview(buffer) as view, view.cast("B") as flat:
        return flat.tobytes()


def held_by_somebody(buffer):
    """Whether anybody holds the buffer of a bytearray."""
    try:
        buffer.append(0)
    except BufferError:
        return True
    del buffer[-1]
    return False


# --- what lies in the buffer ---------------------------------------------------------------------

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
        q.put(sent, **kind.mark(6))
        assert q.get_into(buffer) == (len(sent), 6)
        assert bytes_of(buffer) == sent + before[len(sent) :], "the tail was touched"
    assert q.empty()
    if isinstance(buffer, mmap.mmap):
        buffer.close()


@pytest.mark.parametrize("mark", kind.MARKS)
def test_size_and_mark_are_a_plain_tuple(q, mark):
    q.put(b"abc", **kind.mark(mark))
    result = q.get_into(bytearray(SIZE))
    assert type(result) is tuple
    assert result == (3, mark)
    assert [type(each) for each in result] == [int, int]


def test_a_result_is_that_of_its_own_message_and_stays_it(q):
    """Equal results may be one object, so others must be new ones."""
    buffer, results, sent = bytearray(SIZE), [], []
    marks = (DEFAULT_MARK, DEFAULT_MARK, 7, 1000, DEFAULT_MARK)
    for size, mark in itertools.product((3, 3, 4, 0, SIZE), marks):
        q.put(b"x" * size, **kind.mark(mark))
        results.append(q.get_into(buffer))
        sent.append((size, mark))
    assert results == sent


def test_a_slice_receives_at_its_place(q):
    whole = bytearray(b"-" * (SIZE + 20))
    q.put(b"x" * SIZE)
    assert q.get_into(memoryview(whole)[10:-10]) == (SIZE, DEFAULT_MARK)
    assert whole == b"-" * 10 + b"x" * SIZE + b"-" * 10


def test_numpy_arrays_are_filled(q):
    numpy = pytest.importorskip("numpy", reason="NumPy is not installed")
    values = numpy.zeros(SIZE // 8)
    q.put(numpy.arange(SIZE // 8, dtype=float))
    assert q.get_into(values) == (SIZE, DEFAULT_MARK)
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


def test_the_serializer_is_not_asked(make, address):
    def loads(data):
        raise AssertionError("asked")

    q = make(address, serializer=serializer_of(loads=loads))
    q.put(b"as it is")
    buffer = bytearray(256)
    assert q.get_into(buffer) == (8, DEFAULT_MARK)
    assert buffer[:8] == b"as it is"
    pickled = make(address)
    pickled.put("text")
    size, _ = q.get_into(buffer)
    assert b"text" in buffer[:size]
    assert make(address, serializer=json).empty()


def test_a_buffer_of_exactly_the_longest_message(raw):
    size = raw.maxmsgsize
    data = bytes(number * 7 % 256 for number in range(size))
    buffer = bytearray(size + 1)
    buffer[-1] = 7
    raw.put(data)
    assert raw.get_into(memoryview(buffer)[:size]) == (size, DEFAULT_MARK)
    assert buffer == data + b"\7"


def test_a_buffer_of_a_terabyte_costs_no_more_than_the_message(q):
    """What has been reserved but not touched takes no memory."""
    try:
        huge = mmap.mmap(-1, 2**40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
    except (OSError, OverflowError):
        pytest.skip("no such address space")
    q.put(b"small")
    assert q.get_into(huge) == (5, DEFAULT_MARK)
    assert huge[:6] == b"small\0"
    huge.close()


def test_the_length_in_bytes_counts_not_that_in_items(q):
    q.put(b"x" * SIZE)
    error = refusal(q.get_into, array.array("B", bytes(SIZE // 8)))
    assert error.errno == QueueError.TOO_BIG_MESSAGE
    assert q.get_into(array.array("Q", bytes(SIZE))) == (SIZE, DEFAULT_MARK)


# --- what is refused -----------------------------------------------------------------------------

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
    for options in ({}, {"timeout": 60}):
        with pytest.raises(error):
            q.get_into(buffer, **options)
    assert q.get_nowait() == b"kept"


BAD = {
    "no buffer": (lambda q: q.get_into(), TypeError),
    "four arguments": (lambda q: q.get_into(bytearray(SIZE), True, 0, 0), TypeError),
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
    assert q.get_into(buffer=bytearray(SIZE), block=True, timeout=1) == (3, DEFAULT_MARK)


# --- waiting -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{"block": False}, {"timeout": 0}, {"block": False, "timeout": 60}], ids=str
)
def test_without_waiting(q, options):
    buffer = bytearray(b"-" * SIZE)
    with pytest.raises(queue.Empty):
        q.get_into(buffer, **options)
    assert buffer == b"-" * SIZE
    q.put(b"x")
    assert q.get_into(buffer, **options) == (1, DEFAULT_MARK)


@pytest.mark.parametrize("timeout", [0.05, 0.4])
def test_it_times_out_and_never_early(q, timeout):
    times_out(timeout, lambda: q.get_into(bytearray(SIZE), timeout=timeout))


@pytest.mark.parametrize("timeout", [None, 60])
def test_it_waits_without_the_gil_and_holds_the_buffer(q, timeout):
    buffer = bytearray(SIZE)
    waiting = Call(q.get_into, buffer, timeout=timeout).until_asleep()
    assert held_by_somebody(buffer)
    q.put(b"at last", **kind.mark(2))
    assert waiting.result() == (7, 2)
    assert buffer == b"at last".ljust(SIZE, b"\0")
    assert not held_by_somebody(buffer)


@pytest.mark.parametrize("end", kind.ENDS)
def test_the_end_of_the_queue_ends_the_wait_and_frees_the_buffer(q, end):
    buffer = bytearray(SIZE)
    waiting = Call(q.get_into, buffer).until_asleep()
    assert held_by_somebody(buffer)
    getattr(q, end)()
    assert is_closed(waiting.failure())
    assert not held_by_somebody(buffer)
    assert is_closed(refusal(q.get_into, buffer))
    assert not held_by_somebody(buffer)


@pytest.mark.parametrize("on_signal", ["raise", "retry", "handler raises"])
def test_a_signal_ends_the_wait_and_frees_the_buffer(make, handler, when_asleep, on_signal):
    q = make(serializer=RawSerializer, on_signal="retry" if on_signal == "retry" else "raise")
    buffer = bytearray(q.maxmsgsize)

    def handle(*_):
        if on_signal == "handler raises":
            raise ZeroDivisionError
        q.put(b"by the handler")

    handler(signal.SIGUSR1, handle)
    when_asleep(interrupt)
    if on_signal == "retry":
        assert q.get_into(buffer) == (14, DEFAULT_MARK)
    elif on_signal == "raise":
        assert refusal(q.get_into, buffer).errno == QueueError.INTERRUPTED
        assert q.qsize() == 1
    else:
        with pytest.raises(ZeroDivisionError):
            q.get_into(buffer)
    assert not held_by_somebody(buffer)


# --- references and memory -----------------------------------------------------------------------


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
            lambda: q.get_into(memoryview(buffer)[1:], False),
            lambda: q.get_into(memoryview(buffer)[::2]),
            lambda: Queue.__new__(Queue).get_into(buffer),
        ):
            with contextlib.suppress(queue.Empty, QueueError, ValueError, BufferError):
                call()
                pytest.fail("not refused")
            assert not held_by_somebody(buffer)
        assert sys.getrefcount(buffer) == references, times
    q.close()
    assert is_closed(refusal(q.get_into, buffer))
    assert not held_by_somebody(buffer)
    assert sys.getrefcount(buffer) == references


def test_no_python_object_is_made_of_the_message(make):
    q = make(serializer=RawSerializer, **kind.room(1, 8192))
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

    buffer = Kept(SIZE)
    q.put(b"x")
    q.get_into(buffer)
    gone = weakref.ref(buffer)
    del buffer
    gc.collect()
    assert gone() is None


@needs_python_buffers
@pytest.mark.parametrize("end", kind.ENDS)
def test_a_buffer_made_in_python_that_ends_the_queue_is_filled_by_nobody(make, address, end):
    q, other = (make(address, serializer=RawSerializer) for _ in range(2))
    size = q.maxmsgsize

    class Ending:
        released = 0

        def __init__(self):
            self.memory = bytearray(size)

        def __buffer__(self, flags):
            getattr(q, end)()
            return memoryview(self.memory)

        def __release_buffer__(self, view):
            self.released += 1
            view.release()

    ending = Ending()
    q.put(b"kept")
    assert is_closed(refusal(q.get_into, ending))
    assert ending.released == 1
    assert ending.memory == bytes(size)
    assert not held_by_somebody(ending.memory)
    if end == kind.LEAVE:
        assert other.get_nowait() == b"kept"


@needs_python_buffers
def test_a_buffer_that_raises_raises(q):
    class Raising:
        def __buffer__(self, flags):
            raise ZeroDivisionError

    q.put(b"kept")
    with pytest.raises(ZeroDivisionError):
        q.get_into(Raising())
    assert q.get_nowait() == b"kept"


def test_threads_fill_buffers_of_their_own(q):
    def read():
        buffer, got = bytearray(SIZE), []
        while True:
            size, mark = q.get_into(buffer, timeout=60)
            if size == 0:
                return got
            assert mark == size
            got.append(bytes(buffer[:size]))

    readers = [Call(read) for _ in range(4)]
    sent = [b"%d" % number * (1 + number % 15) for number in range(800)]
    for data in sent:
        q.put(data, **kind.mark(len(data)))
    until(q.empty)
    for _ in readers:
        q.put(b"")
    assert sorted(data for reader in readers for data in reader.result()) == sorted(sent)


def test_it_leaks_nothing(q):
    buffer = bytearray(SIZE)

    def work(times):
        for _ in range(times):
            q.put(b"x", **kind.mark(1000))
            assert refusal(q.get_into, bytearray(0)).errno == QueueError.TOO_BIG_MESSAGE
            q.get_into(buffer)
            with pytest.raises(queue.Empty):
                q.get_into(buffer, False)

    blocks, memory = growth(work, 300)
    assert blocks < 100
    assert memory < 300_000
