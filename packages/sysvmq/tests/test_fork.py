"""A System V queue that goes through fork; see common/test_fork.py for the rest."""

from harness.calls import Call
from harness.errors import is_closed
from kind import kernel_row


def test_the_child_can_use_the_queue_beside_threads_that_want_other_types(q, fork):
    waiters = [Call(q.get, msg_type=71 + n, timeout=(None, 200)[n]).until_asleep() for n in (0, 1)]

    def child():
        q.put("mine", msg_type=2)
        assert q.get(msg_type=2) == "mine"
        assert q.qsize() == 0
        assert not q.closed

    fork(child)
    for number, waiter in enumerate(waiters):
        q.put(number, msg_type=71 + number)
        assert waiter.result() == number


def test_the_child_s_close_removes_the_queue_for_the_parent_too(make, fork):
    queue = make()
    waiter = Call(queue.get).until_asleep()
    fork(queue.close)
    assert kernel_row(queue.id) is None
    assert is_closed(waiter.failure())
    queue.close()
    assert queue.closed


def test_a_child_that_leaves_a_with_block_leaves_the_parent_its_private_queue(make, fork):
    queue = make(None)

    def child():
        with queue:
            queue.put("from the child")

    fork(child)
    assert kernel_row(queue.id)
    assert queue.get_nowait() == "from the child"
    queue.close()
