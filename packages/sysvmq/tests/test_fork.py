"""A queue goes through fork, with threads of the parent blocked inside it."""

import os
import signal
import threading
import warnings
from queue import Empty

import pytest

from harness.calls import Call
from harness.measure import times_out
from kind import kernel_row
from sysvmq import QueueError, RawSerializer


@pytest.fixture
def crowded(make):
    """A queue with threads blocked in it, timed and not."""
    queue = make()
    waiters = [
        Call(queue.get, msg_type=71).until_asleep(),
        Call(queue.get, msg_type=72, timeout=200).until_asleep(),
    ]
    yield queue
    queue.put("one", msg_type=71)
    queue.put("two", msg_type=72)
    assert [waiter.result() for waiter in waiters] == ["one", "two"]


def test_the_child_can_use_the_queue(crowded, fork):
    def child():
        crowded.put("mine", msg_type=2)
        assert crowded.get(msg_type=2) == "mine"
        assert crowded.qsize() == 0
        assert not crowded.closed

    fork(child)


def test_the_child_can_wait_with_a_timeout(crowded, fork):
    """Timers do not survive fork, and the child's thread has another number: it would never end."""
    with pytest.raises(Empty):
        crowded.get(timeout=0.01)

    def child():
        times_out(0.1, lambda: crowded.get(timeout=0.1))

    fork(child)


def test_the_child_can_detach_and_the_parent_goes_on(crowded, fork):
    def child():
        crowded.detach()
        assert crowded.closed
        with pytest.raises(QueueError):
            crowded.qsize()

    fork(child)
    assert kernel_row(crowded.id)
    assert not crowded.closed
    crowded.put("still", msg_type=3)
    assert crowded.get(msg_type=3) == "still"


def test_the_child_can_leave_a_with_block(crowded, fork):
    def child():
        with crowded:
            pass

    fork(child)
    assert kernel_row(crowded.id)


def test_the_child_s_close_removes_the_queue_for_the_parent_too(make, fork):
    queue = make()
    waiter = Call(queue.get).until_asleep()
    fork(queue.close)
    assert kernel_row(queue.id) is None
    assert waiter.outcome().errno == QueueError.INVALID_DESCRIPTOR
    queue.close()
    assert queue.closed


def test_threads_of_the_child_can_wait_and_be_woken(crowded, fork):
    def child():
        waiters = [
            Call(crowded.get, msg_type=5).until_asleep(),
            Call(crowded.get, msg_type=5, timeout=60).until_asleep(),
        ]
        crowded.put("x", msg_type=5)
        crowded.put("x", msg_type=5)
        assert [waiter.result() for waiter in waiters] == ["x", "x"]
        waiter = Call(crowded.get, msg_type=5).until_asleep()
        crowded.detach()
        assert waiter.outcome().errno == QueueError.INVALID_DESCRIPTOR

    fork(child)


def test_parent_and_child_talk(make, fork):
    queue = make()

    def child():
        assert queue.get(msg_type=1) == "ping"
        queue.put("pong", msg_type=2)

    queue.put("ping")
    fork(child)
    assert queue.get(msg_type=2) == "pong"


def test_signals_reach_a_child_that_waits(crowded, fork, handler, when_asleep):
    handler(signal.SIGUSR1, lambda *_: None)

    def child():
        main = threading.main_thread().ident
        when_asleep(lambda: signal.pthread_kill(main, signal.SIGUSR1))
        with pytest.raises(QueueError) as caught:
            crowded.get(msg_type=9)
        assert caught.value.errno == QueueError.INTERRUPTED

    fork(child)


def test_a_fork_from_a_thread_that_is_not_the_main_one_works(crowded, fork):
    def child():
        crowded.put("x", msg_type=2)
        assert crowded.get(msg_type=2, timeout=60) == "x"
        with pytest.raises(Empty):
            crowded.get(msg_type=2, timeout=0.02)

    pids = []

    def forking():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            status = 1
            try:
                child()
                status = 0
            finally:
                os._exit(status)
        pids.append(os.waitpid(pid, 0)[1])

    Call(forking).result()
    assert pids == [0]


def test_forks_in_a_crowd_of_calls_are_all_well(make, fork):
    """Whatever the other threads are doing at that moment."""
    queue, over = make(serializer=RawSerializer), threading.Event()

    def work(msg_type):
        while not over.is_set():
            queue.put(b"x" * 500, msg_type=msg_type)
            queue.get(msg_type=msg_type)
            try:
                queue.get(msg_type=99, timeout=0.0005)
            except Empty:
                pass

    workers = [Call(work, number) for number in (1, 2, 3)]

    def child():
        queue.put(b"y", msg_type=50, timeout=60)
        assert queue.get(msg_type=50) == b"y"
        with pytest.raises(Empty):
            queue.get(msg_type=99, timeout=0.001)
        queue.detach()

    try:
        for _ in range(30):
            fork(child)
    finally:
        over.set()
    for worker in workers:
        worker.result()
    assert queue.empty()


def test_a_child_that_leaves_a_with_block_leaves_the_parent_its_private_queue(make, fork):
    queue = make(None)

    def child():
        with queue:
            queue.put("from the child")

    fork(child)
    assert kernel_row(queue.id)
    assert queue.get_nowait() == "from the child"
    queue.close()
