"""Priorities and sizes of POSIX queues."""

import queue

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kind import RawSerializer, kernel_limit

relaxed = settings(
    max_examples=150,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@relaxed
@given(
    steps=st.lists(
        st.none() | st.integers(0, 3) | st.integers(0, 32767) | st.just("qsize"), max_size=60
    )
)
def test_the_order_is_that_of_a_stable_priority_queue(make, name, steps):
    model = []
    with make(name, 4) as q:
        for number, step in enumerate(steps):
            if step == "qsize":
                assert q.qsize() == len(model) == q.qattr()["size"]
                assert (q.empty(), q.full()) == (not model, len(model) == 4)
            elif step is None:
                if model:
                    model.sort(key=lambda entry: -entry[0])
                    assert q.get(False) == model.pop(0)[1]
                else:
                    with pytest.raises(queue.Empty):
                        q.get(False)
            elif len(model) == 4:
                with pytest.raises(queue.Full):
                    q.put(number, False, priority=step)
            else:
                q.put(number, False, priority=step)
                model.append((step, number))
        while not q.empty():
            q.get_nowait()


def test_the_highest_priority_comes_first_and_equals_in_order(q):
    for item, priority in (("a", 0), ("b", 32767), ("c", 1), ("d", 32767)):
        q.put(item, priority=priority)
    assert [q.get() for _ in range(4)] == ["b", "d", "c", "a"]


def test_put_takes_its_arguments_in_the_documented_order(q):
    q.put("low", True, None, 1, 2)
    q.put("high", False, 0, 2, 0)
    assert [q.get(True, None), q.get(False, 0)] == ["high", "low"]


def test_put_nowait_takes_its_arguments_in_the_documented_order(q):
    q.put_nowait("low", 1, 2)
    q.put_nowait("high", 2, 0)
    assert [q.get_nowait(), q.get_nowait()] == ["high", "low"]


def test_the_priority_goes_by_its_index(q):
    q.put("zero", priority=False)
    q.put("one", priority=True)
    assert [q.get(), q.get()] == ["one", "zero"]


def test_the_timeout_may_be_given_by_place(full):
    with pytest.raises(queue.Full):
        full.put(b"x", True, 0.0)
    full.get()
    with pytest.raises(queue.Empty):
        full.get(True, 0.0)


def test_qsize_empty_and_full_follow_the_queue(make):
    q = make(maxsize=3)
    for size in range(4):
        assert q.qsize() == size
        assert q.empty() is (size == 0)
        assert q.full() is (size == 3)
        assert q.qattr() == {"size": size, "max_size": 3, "max_msgbytes": 256}
        if size < 3:
            q.put(size)


def test_the_largest_message_size_of_the_system_works(make):
    largest = min(kernel_limit("msgsize_max"), 65536)
    q = make(maxsize=1, maxmsgsize=largest, serializer=RawSerializer)
    data = bytes(range(256)) * (largest // 256)
    for _ in range(3):
        q.put(data)
        assert q.get() == data
