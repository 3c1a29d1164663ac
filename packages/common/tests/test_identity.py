"""Two objects are equal if they are handles of one queue of the kernel, whatever its address."""

import operator
import weakref

import pytest

import kind
from kind import Queue


class Mine(Queue):
    pass


def test_handles_of_one_queue_are_equal(make, address):
    first, second = make(address), make(address)
    with kind.adopt(first) as adopted:
        for other in (second, adopted):
            assert first == other
            assert operator.ne(first, other) is False
            assert hash(first) == hash(other)
        assert len({first, second, adopted}) == 1
    assert {first: "found"}[second] == "found"
    assert first in [second]


def test_handles_of_different_queues_differ(make):
    first, second = make(), make()
    assert first != second
    assert operator.eq(first, second) is False
    assert len({first, second}) == 2
    assert second not in {first: 1}


def test_a_queue_equals_itself(q):
    assert operator.eq(q, q) is True
    assert operator.ne(q, q) is False
    assert hash(q) == hash(q)


@pytest.mark.parametrize("other", ["/name", 5, None, object(), (), Queue], ids=repr)
def test_a_queue_equals_nothing_else(q, other):
    assert q != other
    assert other != q
    assert operator.eq(q, other) is False
    assert q.__eq__(other) is NotImplemented
    assert q.__ne__(other) is NotImplemented


def test_a_queue_does_not_equal_what_it_is_known_by(q):
    assert q != kind.address_of(q)
    assert q != (q.id if hasattr(q, "id") else q.fileno())


def test_the_other_side_is_asked(q):
    class Anything:
        def __eq__(self, other):
            return True

        __hash__ = None

    assert q == Anything()
    assert Anything() == q


def test_queues_have_no_order(make):
    first, second = make(), make()
    for compare in ("__lt__", "__le__", "__gt__", "__ge__"):
        assert getattr(first, compare)(second) is NotImplemented
    with pytest.raises(TypeError):
        sorted([first, second])


def test_an_object_of_a_subclass_is_the_same_queue(make, address):
    queue, mine = make(address), make(address, cls=Mine)
    assert mine == queue
    assert queue == mine
    assert hash(mine) == hash(queue)


def test_a_queue_made_anew_at_the_address_differs(make, address):
    """The kernel counts its queues on: it does not give a number again at once."""
    old = make(address)
    before = hash(old)
    kind.destroy(old)
    for _ in range(20):
        new = make(address)
        assert old != new
        assert len({old, new}) == 2
        kind.destroy(new)
    assert hash(old) == before


@pytest.mark.parametrize("end", kind.ENDS)
def test_ending_changes_nothing(make, address, end):
    first, second = make(address), make(address)
    before = hash(first)
    known = {first}
    for each in (first, second):
        getattr(each, end)()
        assert first == second
        assert second in known
        assert hash(first) == before


def test_what_was_never_opened_equals_itself_alone(q):
    first, second = Queue.__new__(Queue), Queue.__new__(Queue)
    assert operator.eq(first, first) is True
    assert first != second
    assert first != q
    assert q != first
    assert hash(first) == hash(first)
    assert len({first, second, q}) == 3


def test_a_child_of_fork_sees_the_same_queue(make, fork, address):
    queue = make(address)
    before = hash(queue)

    def look():
        assert hash(queue) == before
        assert queue == Queue(address, create=False)

    fork(look)


def test_weak_containers_take_queues(make, address):
    first, second = make(address), make(address)
    known = weakref.WeakSet([first])
    assert second in known
    assert weakref.ref(first) == weakref.ref(second)
