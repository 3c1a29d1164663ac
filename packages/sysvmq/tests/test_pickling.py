"""A private queue goes to other processes by its id."""

import pickle

from kind import Queue, kernel_row


def test_a_private_queue_pickles_and_its_copy_is_no_owner():
    with Queue() as queue:
        with pickle.loads(pickle.dumps(queue)) as same:
            same.put("x")
        assert kernel_row(queue.id)
        assert queue.get() == "x"
