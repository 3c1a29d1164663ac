"""What private queues leave behind: nothing; common/test_lifecycle.py has what both kinds promise."""

from harness.measure import growth
from harness.process import descriptors
from kind import kernel_row
from sysvmq import Queue


def test_opening_and_closing_private_queues_leaks_nothing(key):
    ids = set()

    def work(times):
        for number in range(times):
            queue = Queue(key if number % 2 else None)
            ids.add(queue.id)
            queue.put_nowait(number)
            queue.get_nowait()
            queue.close()

    opened = descriptors()
    _, memory = growth(work, 1000)
    assert memory < 300_000
    assert descriptors() == opened
    assert not [msqid for msqid in ids if kernel_row(msqid)][:10]
