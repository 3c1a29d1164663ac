"""Two objects are equal if they are handles of one queue of the kernel, whatever its name."""

import operator
import os
import weakref

import pytest

from posixmq import Queue


def test_handles_of_one_queue_are_equal(make, name):
    first, second = make(name), make(name)
    assert first == second
    assert operator.ne(first, second) is False
    assert hash(first) == hash(second)
    assert {first, second} == {second}
    assert len({first, second}) == 1
    assert {first: "found"}[second] == "found"
    assert first in [second]


def test_handles_of_different_queues_differ(make):
    first, second = make(), make()
    assert first != second
    assert operator.eq(first, second) is False
    assert len({first, second}) == 2
    assert second not in {first: 1}


def test_a_queue_equals_itself(q):
    assert q == q
    assert operator.ne(q, q) is False
    assert hash(q) == hash(q)


@pytest.mark.parametrize("other", ["/name", 5, None, object(), (), Queue], ids=repr)
def test_a_queue_equals_nothing_else(q, other):
    assert q != other
    assert other != q
    assert operator.eq(q, other) is False
    assert q.__eq__(other) is NotImplemented
    assert q.__ne__(other) is NotImplemented


def test_a_queue_does_not_equal_its_name_or_descriptor(q):
    assert q != q.name
    assert q != q.fileno()


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


def test_what_is_opened_for_one_right_is_the_same_queue(make, name):
    q = make(name)
    assert q == make(name, readable=False) == make(name, writable=False)


def test_a_descriptor_of_the_queue_is_the_same_queue(q):
    with Queue.from_fd(os.dup(q.fileno())) as other:
        assert other == q
        assert hash(other) == hash(q)


def test_a_subclass_s_object_is_the_same_queue(make, name):
    class Mine(Queue):
        pass

    q = make(name)
    with Mine(name) as mine:
        assert mine == q
        assert q == mine
        assert hash(mine) == hash(q)


def test_a_queue_made_anew_under_the_name_differs(make, name):
    old = make(name)
    before = hash(old)
    old.unlink()
    new = make(name)
    assert old != new
    assert len({old, new}) == 2
    old.close()
    assert old != new
    assert hash(old) == before


def test_a_queue_made_anew_after_the_old_one_is_gone_differs(make, name):
    """The kernel counts its queues on: it does not give a number again at once."""
    old = make(name)
    old.unlink()
    old.close()
    for _ in range(20):
        new = make(name)
        assert old != new
        new.unlink()
        new.close()


def test_closing_changes_nothing(make, name):
    first, second = make(name), make(name)
    before = hash(first)
    known = {first}
    first.close()
    assert hash(first) == before
    assert first == second
    assert second in known
    second.close()
    assert first == second


def test_unlinking_changes_nothing(make, name):
    first, second = make(name), make(name)
    before = hash(first)
    first.unlink()
    assert first == second
    assert hash(first) == hash(second) == before


def test_what_was_never_opened_equals_itself_alone(q):
    first, second = Queue.__new__(Queue), Queue.__new__(Queue)
    assert first == first
    assert first != second
    assert first != q
    assert q != first
    assert hash(first) != hash(second)


def test_a_child_of_fork_sees_the_same_queue(make, name):
    q = make(name)
    before = hash(q)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if hash(q) == before and q == Queue(name) else 2
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_queue_of_the_same_name_in_another_namespace_differs(spawn, make, name):
    """As containers have them: neither name nor number of the queue need differ."""
    out = spawn(
        """
        import ctypes

        made = [Queue(f"{sys.argv[1]}-{number}", 1, 16) for number in range(30)]
        for q in made:
            q.unlink()
        if ctypes.CDLL(None).unshare(0x08000000) != 0:
            print("no right")
            sys.exit()
        others = [Queue(f"{sys.argv[1]}-{number}", 1, 16) for number in range(30)]
        assert not any(q == other for q in made for other in others)
        assert os.fstat(made[0].fileno()).st_dev != os.fstat(others[0].fileno()).st_dev
        for q in made + others:
            q.close()
        """,
        name,
    ).finish()
    if "no right" in out:
        pytest.skip("no right to an IPC namespace here")


def test_weak_containers_take_queues(make, name):
    first, second = make(name), make(name)
    known = weakref.WeakSet([first])
    assert second in known
    assert weakref.ref(first) == weakref.ref(second)
