"""Waiting writers of a POSIX queue; see common/test_waiting.py for the rest."""

import pytest

from harness.calls import Call

WAITERS = 6


@pytest.mark.native("first come first served")
@pytest.mark.parametrize("timeouts", [(None,), (100,), (None, 100)], ids=["no", "all", "mixed"])
def test_waiting_writers_are_served_in_the_order_they_came(full, timeouts):
    writers = [
        Call(full.put, b"%d" % number, timeout=timeouts[number % len(timeouts)]).until_asleep()
        for number in range(WAITERS)
    ]
    assert full.get() == b"f" * 16
    assert [full.get() for _ in writers] == [b"%d" % number for number in range(WAITERS)]
    for writer in writers:
        writer.result()


def test_urgent_messages_of_waiting_writers_come_first_once_inside(full):
    writer = Call(full.put, b"urgent", priority=9).until_asleep()
    assert full.get() == b"f" * 16
    writer.result()
    assert full.get() == b"urgent"
