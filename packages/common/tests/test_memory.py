"""A received item keeps no more memory than it needs, and no call more than its queue needs."""

import functools
import json
import queue
import sys
import tracemalloc

import pytest

import kind
from kind import DecodeError, RawSerializer

LONG = 8192


@pytest.fixture
def long(make):
    """A queue with room for two messages of 8,192 bytes, but with short ones to come."""
    return functools.partial(make, **kind.room(2, LONG))


def traced(work):
    """What a function returns, the bytes that this holds, and the most that it took."""
    work()  # what is imported or cached at first
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = work()
        held, peak = tracemalloc.get_traced_memory()
        return result, held - before, peak - before
    finally:
        tracemalloc.stop()


GETS = {
    "get": lambda q: q.get(),
    "get_nowait": lambda q: q.get_nowait(),
    "timed": lambda q: q.get(timeout=60),
}


@pytest.mark.parametrize("get", GETS.values(), ids=GETS)
def test_1000_kept_short_messages_hold_little(long, get):
    q = long(serializer=RawSerializer)

    def one(number):
        q.put(b"%010d" % number)
        return get(q)

    kept, held, peak = traced(lambda: [one(number) for number in range(1000)])
    assert [int(data) for data in kept] == list(range(1000))
    assert held < 1000 * (sys.getsizeof(bytes(10)) + 16 + 8) + 20_000
    assert peak < 200_000


def test_kept_short_messages_hold_little_resident_memory(spawn, address):
    code = f"""
    q = Queue(address(), serializer=RawSerializer, **kind.room(2, {LONG}))

    def resident():
        return int(read("/proc/self/statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def one():
        q.put(b"0123456789")
        return q.get()

    kept = [one() for _ in range(1000)]
    before = resident()
    kept += [one() for _ in range(5000)]
    print(resident() - before)
    """
    assert int(spawn(code, address).finish()) < 2_000_000


def test_a_long_message_holds_its_length(long):
    q = long(serializer=RawSerializer)

    def one():
        q.put(b"x" * 8000)
        return q.get()

    kept, held, _ = traced(one)
    assert len(kept) == 8000
    assert held < 8000 + 2000


def test_messages_of_many_lengths_hold_theirs(long):
    q = long(serializer=RawSerializer)

    def one(size):
        q.put(b"x" * size)
        return q.get()

    _, held, _ = traced(lambda: [one(size) for size in range(100)])
    assert held < 100 * 300


def test_1000_kept_refusals_hold_little(long, address):
    raw, q = long(address, serializer=RawSerializer), long(address, serializer=json)

    def one():
        raw.put(b"no json...")
        with pytest.raises(DecodeError) as caught:
            q.get()
        return caught.value.data

    kept, held, _ = traced(lambda: [one() for _ in range(1000)])
    assert kept == [b"no json..."] * 1000
    assert held < 400_000


def test_a_failed_receive_keeps_no_buffer(long):
    q = long()

    def fail():
        for _ in range(1000):
            with pytest.raises(queue.Empty):
                q.get_nowait()

    _, held, _ = traced(fail)
    assert held < 200_000


def test_messages_longer_than_any_stack_buffer_pass(isolated, address):
    """Beyond what the system allows, which a namespace of its own may change."""
    isolated(
        """
        LONGEST = 300_000
        try:
            for limit in kind.WIDE_LIMITS:
                with open(limit, "w") as file:
                    file.write(str(LONGEST))
        except OSError as error:
            skip(f"no messages of {LONGEST} bytes: {error}")
        q = Queue(address(), serializer=RawSerializer, **kind.room(1, LONGEST))

        def is_refused(error, call, *args, **options):
            try:
                call(*args, **options)
            except error:
                return True

        for size in 0, 10, 16383, 16384, 16385, 65535, 65536, 65537, LONGEST - 1, LONGEST:
            data = os.urandom(size)
            q.put(data)
            assert q.get() == data
            thread = threading.Thread(target=q.put, args=(data,))
            thread.start()
            assert q.get(timeout=60) == data
            thread.join()
            q.put_nowait(data)
            assert q.get_nowait() == data
        assert is_refused(queue.Empty, q.get_nowait)
        assert is_refused(queue.Empty, q.get, timeout=0.05)
        q.put(data)
        assert is_refused(queue.Full, q.put_nowait, data)
        assert is_refused(queue.Full, q.put, data, timeout=0.05)
        assert q.get() == data
        """,
        address,
    ).finish()


def test_a_small_stack_is_enough(spawn, address):
    spawn(
        """
        threading.stack_size(128 * 1024)
        q, done = Queue(address(), **kind.room(1, 4096)), []

        def work():
            q.put("x" * 1000)
            done.append(q.get(timeout=60))

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert done == ["x" * 1000]
        """,
        address,
    ).finish()
