"""put_many and get_many: whole batches inside C, in order, with every message accounted for."""

import sys
import time

import pytest

from posixmq import DecodeError, QueueError, RawSerializer


def test_a_batch_larger_than_the_queue_goes_whole_however_slow_the_reader(make, background):
    """From the main thread, too, which wakes between the messages to look for signals."""
    q = make(maxsize=2)

    def read():
        got = []
        for _ in range(12):
            time.sleep(0.02)  # longer than a spin, and than a look for signals
            got.append(q.get(timeout=20))
        return got

    reader = background(read)
    assert q.put_many(range(12)) == 12
    assert reader.result() == list(range(12))


def test_get_many_takes_no_more_than_the_queue_holds(make, background):
    """Writers that wait would hand over message after message, and it might never end."""
    q = make(maxsize=2)
    q.put_many("ab")
    writer = background(q.put_many, "cdefgh").until_asleep()
    got = q.get_many(max_items=10**6)
    assert got == ["a", "b"]
    while len(got) < 8:
        more = q.get_many(timeout=20)
        assert len(more) <= 2
        got += more
    assert writer.result() == 6
    assert "".join(got) == "abcdefgh"


def test_a_batch_that_never_blocks_sees_that_it_is_closed(
    make, background, start_script, finish, until
):
    """Readers that keep up must not keep it from looking up."""
    q = make(maxsize=10, maxmsgsize=16, serializer=RawSerializer)
    reader = start_script(
        """
        q = Queue(sys.argv[1], serializer=RawSerializer)
        print("ready", flush=True)
        count = 0
        while (got := q.get_many(timeout=60)) and got[-1] != b"end":
            count += len(got)
        print(count + len(got) - 1)
        """,
        q.name,
    )
    assert reader.stdout.readline() == "ready\n"
    other = make(q.name, serializer=RawSerializer)
    total = 200_000
    writer = background(q.put_many, [b"x"] * total)
    until(lambda: not other.empty())
    started = time.monotonic()
    q.close()
    error = writer.failure()
    assert writer.ended - started < 1
    assert error.errno == QueueError.INVALID_DESCRIPTOR
    assert error.count < total
    other.put(b"end", timeout=60)
    assert int(finish(reader)) == error.count


class Picky:
    """A serializer of bytes that refuses some of them."""

    @staticmethod
    def dumps(obj):
        return obj

    @staticmethod
    def loads(data):
        if data.startswith(b"bad"):
            raise ValueError(data)
        return data


@pytest.mark.parametrize("left", range(1, 8))
def test_a_refusal_at_the_limit_of_recursion_loses_nothing(make, left):
    """Where not even a DecodeError can be made, what the serializer raised stands for it."""
    q = make(serializer=Picky)
    limit = sys.getrecursionlimit()

    def at(depth, call):
        return call() if depth == 0 else at(depth - 1, call)

    def deepest():
        """How deep at() may go here."""
        low, high = 0, limit
        while low < high - 1:
            middle = (low + high) // 2
            try:
                at(middle, lambda: None)
                low = middle
            except RecursionError:
                high = middle
        return low

    q.put_many([b"a", b"bad", b"c"])
    with pytest.raises((DecodeError, ValueError, RecursionError)) as caught:
        at(deepest() - left + 1, q.get_many)
    accounted = caught.value.items + [failure.data for failure in caught.value.failures]
    assert sorted(accounted) == [b"a", b"bad", b"c"]
    q.put(b"bad")
    with pytest.raises((DecodeError, ValueError, RecursionError)) as caught:
        at(deepest() - left + 1, q.get)
    assert caught.value.data == b"bad"


UNFIT = {
    "an item that does not pickle": (["a", lambda: None, "c"], Exception),
    "an item that is too long": (["a", "x" * 300, "c"], QueueError),
    "no iterable": (5, TypeError),
}


@pytest.mark.parametrize(("items", "error"), UNFIT.values(), ids=UNFIT)
def test_what_cannot_be_sent_sends_nothing_and_says_so(q, items, error):
    with pytest.raises(error) as caught:
        q.put_many(items)
    assert caught.value.count == 0
    assert q.empty()


def test_a_closed_queue_refuses_a_batch_and_counts_none(q):
    q.close()
    for items in (["a"], []):
        with pytest.raises(QueueError) as caught:
            q.put_many(items)
        assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
        assert caught.value.count == 0
