"""What batches of POSIX queues alone promise: priorities, and maxsize as the largest batch."""

import pickle

import pytest

from harness.calls import Call
from kind import RawSerializer


def test_a_batch_goes_by_its_priority(q):
    q.put("middle", priority=5)
    q.put_many(["low", "low too"], priority=1)
    q.put_many(["high"], priority=9)
    received = [("high", 9), ("middle", 5), ("low", 1), ("low too", 1)]
    assert [q.receive() for _ in range(4)] == received


def test_get_many_goes_by_priority_and_then_by_age(q):
    for item, priority in (("low", 0), ("high", 2), ("low too", 0), ("high too", 2)):
        q.put(item, priority=priority)
    assert q.get_many() == ["high", "high too", "low", "low too"]


def test_every_parameter_of_a_batch_may_be_given_by_place(make, name):
    q, raw = make(name), make(name, serializer=RawSerializer)
    assert q.put_many(["x"], True, 1, 7, 4) == 1
    assert raw.receive() == (pickle.dumps("x", 4), 7)
    q.put_many(["x", "y"])
    assert q.get_many(1, True, 1) == ["x"]


def test_get_many_takes_no_more_than_maxsize_though_writers_wait(make):
    """Writers that wait would hand over message after message, and it might never end."""
    q = make(maxsize=2)
    q.put_many("ab")
    writer = Call(q.put_many, "cdefgh").until_asleep()
    got = q.get_many(max_items=10**6)
    assert got == ["a", "b"]
    while len(got) < 8:
        more = q.get_many(timeout=60)
        assert len(more) <= 2
        got += more
    assert writer.result() == 6
    assert "".join(got) == "abcdefgh"


@pytest.mark.native("those who wait make room")
def test_put_many_without_waiting_serves_those_who_wait_as_well(make):
    """There is room for them besides what the queue holds."""
    q = make(maxsize=2)
    readers = [Call(q.get).until_asleep() for _ in range(3)]
    assert q.put_many(range(9), block=False) == 5
    assert sorted(reader.result() for reader in readers) == [0, 1, 2]
    assert q.get_many() == [3, 4]
