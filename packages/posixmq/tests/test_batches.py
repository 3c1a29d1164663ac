"""put_many and get_many: whole batches inside C, in order, with every message accounted for."""

import time


def test_a_batch_larger_than_the_queue_goes_whole_however_slow_the_reader(make, background):
    """From the main thread, too, which wakes between the messages to look for signals."""
    q = make(maxsize=2)

    def read():
        got = []
        for _ in range(12):
            time.sleep(0.02)  # longer than a spin, and than a look for signals
            got.append(q.get(timeout=20))
        return got

    reader = background(read)
    assert q.put_many(range(12)) == 12
    assert reader.result() == list(range(12))
