"""A queue that somebody else has removed: its handles are closed, and harm no newer queue."""

import pytest

import kind
from harness.errors import is_closed, refusal
from kind import remove_id


@pytest.fixture
def orphan(make):
    """A queue that another handle has removed."""
    queue = make()
    make(queue.key).close()
    return queue


@pytest.mark.parametrize(
    "call",
    [
        lambda q: q.put(1),
        lambda q: q.put(1, timeout=1),
        lambda q: q.put_nowait(1),
        lambda q: q.get(),
        lambda q: q.get(timeout=1),
        lambda q: q.get_nowait(),
        lambda q: q.receive(),
        lambda q: q.peek(),
        lambda q: q.qattr(),
        lambda q: q.qsize(),
        lambda q: q.empty(),
        lambda q: q.stat(),
        lambda q: q.set(mode=0o600),
    ],
)
def test_a_removed_queue_is_an_invalid_descriptor(orphan, call):
    assert is_closed(refusal(call, orphan))


@pytest.mark.parametrize("end", kind.ENDS)
def test_a_removed_queue_is_ended_without_complaint(orphan, end):
    getattr(orphan, end)()
    assert orphan.closed
    orphan.close()


@pytest.mark.parametrize("key", [..., None])
def test_a_removed_queue_leaves_its_with_block_without_complaint(make, key):
    with make(key) as queue:
        remove_id(queue.id)
    assert queue.closed


def test_a_removed_queue_does_not_lay_hands_on_a_newer_one_of_the_same_key(orphan, make):
    newer = make(orphan.key)
    newer.put("new")
    assert is_closed(refusal(orphan.get_nowait))
    orphan.close()
    assert newer.get() == "new"
