"""A received item keeps no more memory than it needs."""

import sys
import tracemalloc

import pytest

from sysvmq import RawSerializer


@pytest.fixture
def traced():
    """A function: the bytes that its function's result holds."""

    def traced(work):
        work()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            kept = work()
            return tracemalloc.get_traced_memory()[0] - before, kept
        finally:
            tracemalloc.stop()

    return traced


@pytest.mark.parametrize("get", ["get", "get_nowait", "timed"])
def test_1000_kept_short_messages_hold_little(raw, traced, get):
    def one(number):
        raw.put(b"%010d" % number)
        if get == "timed":
            return raw.get(timeout=60)
        return getattr(raw, get)()

    held, kept = traced(lambda: [one(number) for number in range(1000)])
    assert kept[17] == b"0000000017"
    assert held < 1000 * (sys.getsizeof(bytes(10)) + 16 + 8) + 20_000


def test_kept_short_messages_of_a_long_queue_hold_little_resident_memory(spawn, key):
    code = """\
queue = Queue(int(args[0]), serializer=RawSerializer)
def rss():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
def one():
    queue.put(b"0123456789")
    return queue.get()
kept = [one() for _ in range(1000)]
before = rss()
kept += [one() for _ in range(5000)]
print(rss() - before)
queue.close()
"""
    assert int(spawn(code, key).finish()) < 2_000_000


def test_a_long_message_holds_its_length(raw, traced):
    def work():
        raw.put(b"x" * 8000)
        return raw.get()

    held, kept = traced(work)
    assert len(kept) == 8000
    assert held < 8000 + 2000


def test_messages_of_a_large_queue_do_not_cost_its_size(make, traced):
    queue = make(serializer=RawSerializer)

    def work():
        kept = []
        for size in range(100):
            queue.put(b"x" * size)
            kept.append(queue.get())
        return kept

    held, _ = traced(work)
    assert held < 100 * 300
