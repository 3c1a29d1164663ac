"""Iterating over a System V queue: items of any type, until the queue is removed."""

import pytest

from harness.calls import Call
from kind import remove_id


@pytest.fixture(params=["removed by another", "removed by another process"])
def remove(request, spawn):
    """A function that removes a queue, past its object."""

    def remove(queue):
        if request.param == "removed by another":
            remove_id(queue.id)
        else:
            spawn("sysvmq.remove(int(args[0]))", queue.id).finish()

    return remove


def test_next_gets_the_oldest_item_of_any_type(q):
    q.put("first", msg_type=9)
    q.put("second", msg_type=1)
    assert next(q) == "first"
    assert next(q) == "second"


def test_removal_ends_every_iteration(q, remove):
    got = []
    readers = [Call(lambda: [got.append(item) for item in q]) for _ in range(4)]
    q.put_many(range(50))
    for reader in readers:
        reader.until_asleep()
    remove(q)
    for reader in readers:
        reader.result()
    assert sorted(got) == list(range(50))


def test_iterating_over_what_was_removed_yields_nothing(q, remove):
    q.put("lost")
    remove(q)
    assert list(q) == []
    with pytest.raises(StopIteration):
        next(q)
    assert next(q, "default") == "default"


def test_a_queue_of_this_key_that_is_made_anew_is_another(make, key):
    q = make(key)
    reader = Call(list, q).until_asleep()
    remove_id(q.id)
    make(key).put("for others")
    assert reader.result() == []
    assert list(q) == []
