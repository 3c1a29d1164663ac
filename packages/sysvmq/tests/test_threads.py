"""Threads that share what only System V has; see common/test_threads.py for the rest."""

import threading

from harness.calls import Call
from sysvmq import Queue, QueueError, RawSerializer


def test_a_blocked_thread_blocks_no_other(q):
    """The GIL is released in the wait, and so is everything else."""
    waiter = Call(q.get, msg_type=5).until_asleep()
    for number in range(100):
        q.put(number)
        assert q.get(msg_type=1) == number
        assert q.qsize() == 0
        assert q.qattr()["size"] == 0
    assert waiter.is_alive()
    q.put("x", msg_type=5)
    assert waiter.result() == "x"


def test_readers_and_writers_may_block_on_one_object_at_once(make):
    queue = make(max_bytes=16, serializer=RawSerializer)
    queue.put(b"f" * 16, msg_type=1)
    writer = Call(queue.put, b"second", msg_type=2).until_asleep()
    reader = Call(queue.get, msg_type=2).until_asleep()
    assert queue.get(msg_type=1) == b"f" * 16
    writer.result()
    assert reader.result() == b"second"


def test_threads_may_create_one_key_at_once(fresh, make):
    for _ in range(50):
        key, barrier = fresh(), threading.Barrier(4)

        def work(key=key, barrier=barrier):
            barrier.wait()
            return make(key, 1000).id

        workers = [Call(work) for _ in range(4)]
        assert len({worker.result() for worker in workers}) == 1


def test_looking_and_changing_may_meet_a_detach(make):
    """On a free-threaded Python nothing else keeps the id from being let go meanwhile."""
    queue = make(serializer=RawSerializer)
    queue.put(b"x", msg_type=3)
    for _ in range(50):
        handle, start = Queue.from_id(queue.id, serializer=RawSerializer), threading.Barrier(4)

        def work(call, handle=handle, start=start):
            start.wait()
            try:
                while True:
                    call(handle)
            except QueueError as error:
                return error.errno

        workers = [
            Call(work, Queue.peek),
            Call(work, Queue.stat),
            Call(work, lambda handle: handle.set(mode=0o640)),
        ]
        start.wait()
        handle.detach()
        assert {worker.result() for worker in workers} == {QueueError.INVALID_DESCRIPTOR}
    assert queue.receive() == (b"x", 3)
