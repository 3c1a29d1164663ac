"""get_into(): the bytes of a message go into a buffer of the caller's."""

import array
import contextlib
import ctypes
import gc
import itertools
import json
import mmap
import signal
import sys
import threading
import tracemalloc
import weakref
from queue import Empty

import pytest

from harness.calls import Call
from harness.measure import growth, times_out
from harness.tasks import until
from kind import kernel_limit, remove_id
from sysvmq import Queue, QueueError, RawSerializer

SIZE = 64
LONG_MAX = 2 ** (8 * ctypes.sizeof(ctypes.c_long) - 1) - 1


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
def test_the_message_lies_in_the_buffer(raw, buffer):
    buffer = buffer()
    for sent in (b"\x01\x02\x03", bytes(range(SIZE)), b""):
        before = bytes_of(buffer)
        raw.put(sent, msg_type=6)
        assert raw.get_into(buffer) == (len(sent), 6)
        assert bytes_of(buffer) == sent + before[len(sent) :], "the tail was touched"
    assert raw.empty()
    if isinstance(buffer, mmap.mmap):
        buffer.close()


@pytest.mark.parametrize("kind", [1, 2**31 - 1, min(2**31, LONG_MAX), LONG_MAX])
def test_size_and_type_are_a_plain_tuple(raw, kind):
    raw.put(b"abc", msg_type=kind)
    result = raw.get_into(bytearray(SIZE))
    assert type(result) is tuple
    assert result == (3, kind)
    assert [type(each) for each in result] == [int, int]


def test_a_result_is_that_of_its_own_message_and_stays_it(raw):
    """Equal results may be one object, so others must be new ones."""
    buffer, results, sent = bytearray(SIZE), [], []
    for size, kind in itertools.product((3, 3, 4, 0, SIZE), (1, 1, 7, 1000, 1)):
        raw.put(b"x" * size, msg_type=kind)
        results.append(raw.get_into(buffer))
        sent.append((size, kind))
    assert results == sent


def test_a_slice_receives_at_its_place(raw):
    whole = bytearray(b"-" * (SIZE + 20))
    raw.put(b"x" * SIZE)
    assert raw.get_into(memoryview(whole)[10:-10]) == (SIZE, 1)
    assert whole == b"-" * 10 + b"x" * SIZE + b"-" * 10


def test_numpy_arrays_are_filled(raw):
    numpy = pytest.importorskip("numpy", reason="numpy is not installed")
    values = numpy.zeros(SIZE // 8)
    raw.put(numpy.arange(SIZE // 8, dtype=float))
    assert raw.get_into(values) == (SIZE, 1)
    assert values.tolist() == list(range(SIZE // 8))


def test_the_serializer_is_not_asked(make, key):
    class Never:
        @staticmethod
        def dumps(obj):
            return obj

        @staticmethod
        def loads(data):
            raise AssertionError("asked")

    q = make(key, serializer=Never)
    q.put(b"as it is")
    buffer = bytearray(256)
    assert q.get_into(buffer) == (8, 1)
    assert buffer[:8] == b"as it is"
    pickled = make(key)
    pickled.put("text")
    size, _ = q.get_into(buffer)
    assert b"text" in buffer[:size]
    assert make(key, serializer=json).empty()


@pytest.fixture
def types(raw):
    for kind in (5, 3, 9, 4):
        raw.put(b"of %d" % kind, msg_type=kind)
    return raw


def test_what_to_take_is_chosen_as_in_get(types):
    buffer = bytearray(SIZE)

    def take(*args, **options):
        size, kind = types.get_into(buffer, *args, **options)
        assert buffer[:size] == b"of %d" % kind
        return kind

    assert take(msg_type=9) == 9
    assert take(True, -4) == 3
    assert take(msg_type=5, exclude=True) == 4
    with pytest.raises(Empty):
        take(False, 5, exclude=True)
    for kind in (3, -4):
        with pytest.raises(Empty):
            take(timeout=0.01, msg_type=kind)
    assert take(msg_type=4, exclude=True) == 5


def test_a_wait_for_one_type_goes_on_through_others(raw):
    buffer = bytearray(SIZE)
    waiting = Call(raw.get_into, buffer, msg_type=LONG_MAX).until_asleep()
    raw.put(b"not for it", msg_type=LONG_MAX - 1)
    waiting.until_asleep()
    raw.put(b"for it", msg_type=LONG_MAX)
    assert waiting.result() == (6, LONG_MAX)
    assert buffer[:6] == b"for it"


# --------------------------------------------------------------------- what is refused

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
def test_no_writable_contiguous_buffer_is_refused_and_nothing_is_lost(raw, buffer, error):
    raw.put(b"kept")
    for options in ({}, {"timeout": 60}):
        with pytest.raises(error):
            raw.get_into(buffer, **options)
    assert raw.get_nowait() == b"kept"


BAD = {
    "no buffer": (lambda q: q.get_into(), TypeError),
    "four arguments": (lambda q: q.get_into(bytearray(SIZE), True, 0, None), TypeError),
    "an unknown keyword": (lambda q: q.get_into(bytearray(SIZE), size=3), TypeError),
    "the buffer twice": (lambda q: q.get_into(bytearray(SIZE), buffer=bytearray(SIZE)), TypeError),
    "a negative timeout": (lambda q: q.get_into(bytearray(SIZE), timeout=-1), ValueError),
    "a timeout that is none": (lambda q: q.get_into(bytearray(SIZE), timeout="1"), TypeError),
    "a type that is none": (lambda q: q.get_into(bytearray(SIZE), msg_type="1"), TypeError),
    "a type beyond C": (lambda q: q.get_into(bytearray(SIZE), True, LONG_MAX + 1), QueueError),
    "no type to exclude": (lambda q: q.get_into(bytearray(SIZE), exclude=True), QueueError),
}


@pytest.mark.parametrize(("call", "error"), BAD.values(), ids=BAD)
def test_bad_arguments_are_refused_and_nothing_is_lost(raw, call, error):
    raw.put(b"kept")
    with pytest.raises(error):
        call(raw)
    assert raw.get_nowait() == b"kept"


def test_every_parameter_may_be_given_by_keyword(raw):
    raw.put(b"abc")
    options = {"buffer": bytearray(SIZE), "block": True, "msg_type": 2, "timeout": 1}
    assert raw.get_into(**options, exclude=True) == (3, 1)


# ------------------------------------------------------------------ longer than the buffer


@pytest.mark.parametrize("size", [0, 1, SIZE - 1])
@pytest.mark.parametrize("options", [{}, {"timeout": 60}, {"block": False}], ids=str)
def test_what_is_longer_than_the_buffer_stays(raw, size, options):
    raw.put(b"x" * SIZE, msg_type=3)
    raw.put(b"", msg_type=4)
    buffer = bytearray(b"-" * size)
    with pytest.raises(QueueError) as caught:
        raw.get_into(buffer, **options)
    assert caught.value.errno == QueueError.TOO_BIG_MESSAGE
    for words in ("longer than the buffer", "maxmsgsize", str(raw.key)):
        assert words in caught.value.msg
    assert buffer == b"-" * size
    buffer.extend(b"nobody holds it")
    assert raw.get_into(bytearray(0), msg_type=4) == (0, 4)
    assert raw.get_into(bytearray(SIZE)) == (SIZE, 3)


def test_a_shorter_message_than_the_longest_fits_into_a_short_buffer(raw):
    """Otherwise than in a POSIX queue, whose kernel asks for room for the longest."""
    raw.put(b"abc")
    buffer = bytearray(3)
    assert raw.get_into(buffer) == (3, 1)
    assert buffer == b"abc"


def test_a_longer_message_ends_the_wait_and_stays(raw):
    buffer = bytearray(b"-" * 4)
    waiting = Call(raw.get_into, buffer).until_asleep()
    raw.put(b"12345")
    assert waiting.outcome().errno == QueueError.TOO_BIG_MESSAGE
    assert buffer == b"----"
    assert raw.get_nowait() == b"12345"


def test_the_length_in_bytes_counts_not_that_in_items(raw):
    raw.put(b"x" * SIZE)
    with pytest.raises(QueueError):
        raw.get_into(array.array("B", bytes(SIZE // 8)))
    assert raw.get_into(array.array("Q", bytes(SIZE))) == (SIZE, 1)


def test_a_buffer_of_exactly_the_longest_message(raw):
    size = kernel_limit("msgmax")
    data = bytes(range(256)) * (size // 256)
    buffer = bytearray(size + 1)
    buffer[-1] = 7
    raw.put(data)
    assert raw.get_into(memoryview(buffer)[:size]) == (size, 1)
    assert buffer == data + b"\7"


def test_a_buffer_of_a_terabyte_costs_no_more_than_the_message(raw):
    """What has been reserved but not touched takes no memory."""
    try:
        huge = mmap.mmap(-1, 2**40, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
    except (OSError, OverflowError):
        pytest.skip("no such address space")
    raw.put(b"small")
    assert raw.get_into(huge) == (5, 1)
    assert huge[:6] == b"small\0"
    huge.close()


def test_messages_of_any_length_that_msgmax_allows(isolated):
    code = """\
for name in ("msgmax", "msgmnb"):
    with open("/proc/sys/kernel/" + name, "w") as file:
        file.write("2000000")
queue = Queue(serializer=RawSerializer)
for size in (0, 1, 16383, 16384, 16385, 32768, 32769, 65536, 65537, 1_000_000, 2_000_000):
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    for room in (size, size + 1, 2 * size + 100, 4_000_000):
        buffer = bytearray(b"-") * room
        queue.put(data, msg_type=3)
        if size:
            try:
                queue.get_into(memoryview(buffer)[:size - 1])
            except QueueError as error:
                assert error.errno == QueueError.TOO_BIG_MESSAGE
            else:
                raise AssertionError(size)
            assert buffer == b"-" * room
        assert queue.get_into(buffer) == (size, 3)
        assert buffer[:size] == data and buffer[size:] == b"-" * (room - size)
buffer = bytearray(300_000)
reader = threading.Thread(target=queue.get_into, args=(buffer,))
reader.start()
queue.put(b"x" * 300_000)
reader.join()
assert buffer == b"x" * 300_000
queue.close()
"""
    isolated(code).finish()


# ---------------------------------------------------------------------------- waiting


@pytest.mark.parametrize(
    "options", [{"block": False}, {"timeout": 0}, {"block": False, "timeout": 60}], ids=str
)
def test_without_waiting(raw, options):
    buffer = bytearray(b"-" * SIZE)
    with pytest.raises(Empty):
        raw.get_into(buffer, **options)
    assert buffer == b"-" * SIZE
    raw.put(b"x")
    assert raw.get_into(buffer, **options) == (1, 1)


def test_a_timeout_is_never_early(raw):
    times_out(0.1, lambda: raw.get_into(bytearray(SIZE), timeout=0.1))


def held_by(buffer):
    """Whether anybody holds the buffer of a bytearray."""
    try:
        buffer.append(0)
    except BufferError:
        return True
    del buffer[-1]
    return False


@pytest.mark.parametrize("timeout", [None, 60])
def test_it_waits_holding_the_buffer(raw, timeout):
    buffer = bytearray(SIZE)
    waiting = Call(raw.get_into, buffer, timeout=timeout).until_asleep()
    assert held_by(buffer)
    raw.put(b"at last", msg_type=2)
    assert waiting.result() == (7, 2)
    assert buffer == b"at last".ljust(SIZE, b"\0")
    assert not held_by(buffer)


@pytest.mark.parametrize("end", ["close", "detach", "removed"])
def test_the_end_of_the_queue_ends_the_wait_and_frees_the_buffer(raw, end):
    buffer = bytearray(SIZE)
    waiting = Call(raw.get_into, buffer).until_asleep()
    if end == "removed":
        remove_id(raw.id)
    else:
        getattr(raw, end)()
    assert waiting.outcome().errno == QueueError.INVALID_DESCRIPTOR
    assert not held_by(buffer)
    with pytest.raises(QueueError) as caught:
        raw.get_into(buffer)
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
    assert not held_by(buffer)


@pytest.mark.parametrize("on_signal", ["raise", "retry", "handler raises"])
def test_a_signal_ends_the_wait_and_frees_the_buffer(make, handler, when_asleep, on_signal):
    q = make(serializer=RawSerializer, on_signal="retry" if on_signal == "retry" else "raise")
    main, buffer = threading.main_thread().ident, bytearray(SIZE)

    def handle(*_):
        if on_signal == "handler raises":
            raise ZeroDivisionError
        q.put(b"by the handler")

    handler(signal.SIGUSR1, handle)
    when_asleep(lambda: signal.pthread_kill(main, signal.SIGUSR1))
    if on_signal == "retry":
        assert q.get_into(buffer) == (14, 1)
    elif on_signal == "raise":
        with pytest.raises(QueueError) as caught:
            q.get_into(buffer)
        assert caught.value.errno == QueueError.INTERRUPTED
        assert q.qsize() == 1
    else:
        with pytest.raises(ZeroDivisionError):
            q.get_into(buffer)
    assert not held_by(buffer)


# ----------------------------------------------------------------- references and memory


def test_every_way_out_frees_the_buffer(raw):
    buffer = bytearray(SIZE)
    references = sys.getrefcount(buffer)
    for times in range(3):
        raw.put(b"x")
        raw.get_into(buffer)
        for call in (
            lambda: raw.get_into(buffer, False),
            lambda: raw.get_into(buffer, timeout=0.001),
            lambda: raw.get_into(buffer, timeout=-1),
            lambda: raw.get_into(memoryview(buffer)[::2]),
            lambda: Queue.__new__(Queue).get_into(buffer),
        ):
            with contextlib.suppress(Empty, QueueError, ValueError, BufferError):
                call()
                pytest.fail("not refused")
            assert not held_by(buffer)
        assert sys.getrefcount(buffer) == references, times


def test_no_python_object_is_made_of_the_message(raw):
    buffer, data = bytearray(8192), bytes(8192)
    raw.put(data)
    raw.get_into(buffer)
    tracemalloc.start()
    try:
        for _ in range(10):
            raw.put(data)
            raw.get_into(buffer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4096


def test_the_queue_keeps_no_reference(raw):
    class Kept(bytearray):
        pass

    buffer = Kept(SIZE)
    raw.put(b"x")
    raw.get_into(buffer)
    gone = weakref.ref(buffer)
    del buffer
    gc.collect()
    assert gone() is None


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ came with Python 3.12")
def test_a_buffer_made_in_python_that_detaches_the_queue_is_filled_by_nobody(raw, make):
    other = make(raw.key, serializer=RawSerializer)

    class Closing:
        released = 0

        def __init__(self):
            self.memory = bytearray(SIZE)

        def __buffer__(self, flags):
            raw.detach()
            return memoryview(self.memory)

        def __release_buffer__(self, view):
            self.released += 1
            view.release()

    closing = Closing()
    raw.put(b"kept")
    with pytest.raises(QueueError) as caught:
        raw.get_into(closing)
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
    assert closing.released == 1
    assert closing.memory == bytes(SIZE)
    assert not held_by(closing.memory)
    assert other.get_nowait() == b"kept"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ came with Python 3.12")
def test_a_buffer_that_raises_raises(raw):
    class Raising:
        def __buffer__(self, flags):
            raise ZeroDivisionError

    raw.put(b"kept")
    with pytest.raises(ZeroDivisionError):
        raw.get_into(Raising())
    assert raw.get_nowait() == b"kept"


def test_threads_fill_buffers_of_their_own(raw):
    def read():
        buffer, got = bytearray(SIZE), []
        while True:
            size, kind = raw.get_into(buffer, timeout=60)
            if size == 0:
                return got
            assert kind == size
            got.append(bytes(buffer[:size]))

    readers = [Call(read) for _ in range(4)]
    sent = [b"%d" % number * (1 + number % 15) for number in range(800)]
    for data in sent:
        raw.put(data, msg_type=len(data))
    until(raw.empty)
    for _ in readers:
        raw.put(b"")
    assert sorted(data for reader in readers for data in reader.result()) == sorted(sent)


def test_it_leaks_nothing(raw):
    buffer = bytearray(SIZE)

    def work(times):
        for _ in range(times):
            raw.put(b"x", msg_type=1000)
            with contextlib.suppress(QueueError):
                raw.get_into(bytearray(0))
            raw.get_into(buffer)
            with contextlib.suppress(Empty):
                raw.get_into(buffer, False)

    blocks, _ = growth(work, 300)
    assert blocks < 100
