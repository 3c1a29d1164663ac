"""receive() of POSIX queues: by priority, and with the timeout by place."""

import pytest

from harness.measure import times_out


def test_messages_come_by_priority_and_then_by_age(q):
    for item, priority in (("low", 1), ("high", 9), ("low too", 1), ("high too", 9)):
        q.put(item, priority=priority)
    received = [("high", 9), ("high too", 9), ("low", 1), ("low too", 1)]
    assert [q.receive() for _ in range(4)] == received


def test_receive_takes_its_arguments_in_the_documented_order(q):
    for args in ((True, 0), (False, 100)):
        times_out(0, lambda args=args: q.receive(*args))
    q.put("x", priority=2)
    assert q.receive(True, 0) == ("x", 2)


def test_no_priority_is_chosen(q):
    q.put("untouched")
    with pytest.raises(TypeError):
        q.receive(priority=0)
    assert q.get_nowait() == "untouched"
