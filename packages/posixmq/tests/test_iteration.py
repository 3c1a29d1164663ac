"""Iterating over a POSIX queue: by priority, and only with the right to read."""

from harness.errors import is_closed, refusal


def test_next_gets_the_item_of_the_highest_priority(q):
    q.put("low", priority=1)
    q.put("high", priority=2)
    assert next(q) == "high"
    assert next(q) == "low"


def test_iterating_over_a_queue_opened_for_writing_is_an_error_while_it_is_open(make):
    q = make(readable=False)
    assert is_closed(refusal(next, q))
    q.close()
    assert list(q) == []
