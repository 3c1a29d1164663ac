"""list_queues(): every queue of the system, as it is."""

from pathlib import Path

import pytest

import kind
from harness.process import descriptors
from kind import QueueError, RawSerializer


def can_list():
    try:
        kind.mq.list_queues()
    except QueueError:
        return False
    return True


pytestmark = pytest.mark.skipif(not can_list(), reason="this user can list no queues here")


def listed(address):
    """What is listed of the queue at an address; None if it is not there."""
    found = [info for info in kind.mq.list_queues() if getattr(info, kind.ADDRESS) == address]
    assert len(found) <= 1
    return found[0] if found else None


def test_a_queue_is_listed_as_stat_tells_it(make, address):
    q = make(address, **kind.room(3, 48), mode=0o640, serializer=RawSerializer)
    q.put(b"12345", **kind.mark(3))
    found, stat = listed(address), q.stat()
    assert type(found) is kind.mq.QueueInfo
    shared = set(found._fields) & set(stat._fields)
    assert shared >= {"uid", "gid", "mode", "size", "bytes"}
    assert {name: getattr(found, name) for name in shared} == {
        name: getattr(stat, name) for name in shared
    }
    assert (found.mode, found.size, found.bytes) == (0o640, 1, 5)


def test_a_removed_queue_is_not_listed(make, address):
    make(address)
    assert listed(address) is not None
    kind.remove_address(address)
    assert listed(address) is None


def test_all_queues_of_a_namespace_are_listed_in_order_and_no_others(isolated):
    isolated(
        """
        assert package.list_queues() == []
        addresses = sorted(kind.new_address() for _ in range(150))
        queues = [Queue(each, **kind.room(1, 1)) for each in addresses]
        assert [getattr(info, kind.ADDRESS) for info in package.list_queues()] == addresses
        for q in queues:
            kind.destroy(q)
        assert package.list_queues() == []
        """
    ).finish()


def test_listing_leaves_no_descriptor_and_no_mount(q):
    before, mounts = descriptors(), Path("/proc/self/mountinfo").read_text()
    for _ in range(3):
        kind.mq.list_queues()
        kind.mq.limits()
    assert descriptors() == before
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_queues_that_come_and_go_do_no_harm(address, spawn):
    child = spawn(
        """
        for _ in range(300):
            kind.destroy(Queue(address(), **kind.room(1, 16)))
        """,
        address,
    )
    while child.poll() is None:
        kind.mq.list_queues()
        kind.mq.limits()
    child.finish()
