"""Timed waits for a type; see common/test_timeout.py for the rest."""

from harness.calls import Call
from harness.measure import times_out


def test_a_message_of_another_type_does_not_end_a_timed_wait(q):
    waiter = Call(q.get, msg_type=3, timeout=100).until_asleep()
    q.put("other", msg_type=2)
    waiter.until_asleep()
    q.put("its own", msg_type=3)
    assert waiter.result() == "its own"
    times_out(0.05, lambda: q.get(msg_type=3, timeout=0.05))
    assert q.get_nowait() == "other"
