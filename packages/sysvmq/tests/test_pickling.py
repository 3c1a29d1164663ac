"""A queue goes to other processes by its id, even a private one; slots go along."""

import pickle

import pytest

from kind import Queue, kernel_row


class Slotted(Queue):
    __slots__ = ("__dict__", "slot")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_subclass_comes_back_with_its_slots(make, protocol):
    queue = make(cls=Slotted)
    queue.slot, queue.since = ["printer"], 1970
    other = pickle.loads(pickle.dumps(queue, protocol))
    assert (other.slot, other.since) == (["printer"], 1970)


def test_a_private_queue_pickles_and_its_copy_is_no_owner():
    with Queue() as queue:
        with pickle.loads(pickle.dumps(queue)) as same:
            same.put("x")
        assert kernel_row(queue.id)
        assert queue.get() == "x"
