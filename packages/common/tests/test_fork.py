"""fork() while other threads are inside a queue: the child has a queue it can use and leave."""

import contextlib
import queue
import signal
import threading

import pytest

import kind
from harness.calls import Call
from harness.errors import is_closed, refusal
from harness.measure import times_out
from harness.process import descriptors
from harness.tasks import main_task, until_asleep
from harness.ways import make_stuck
from kind import QueueError


def leave(q):
    """Leave a queue and see that nothing is held any more."""
    getattr(q, kind.LEAVE)()
    assert q.closed
    assert descriptors(str(kind.address_of(q))) == []


def get_in_vain(q, timeout=0.05):
    with pytest.raises(queue.Empty):
        q.get(timeout=timeout)


@pytest.fixture
def crowded(make):
    """A queue in which threads of the parent wait for a message, before and after the fork."""
    q = make()
    getters = [Call(q.get, timeout=timeout).until_asleep() for timeout in (None, 100) * 2]
    yield q
    for getter in getters:
        getter.until_asleep()
    getattr(q, kind.LEAVE)()
    assert all(is_closed(getter.failure()) for getter in getters)


def test_the_child_of_a_quiet_parent_shares_the_queue(q, fork):
    def child():
        assert q.get(timeout=60) == "from the parent"
        q.put("from the child")

    q.put("from the parent")
    fork(child)
    assert q.get(timeout=60) == "from the child"


def test_the_child_can_use_and_leave_a_queue_others_wait_in(crowded, q, fork):
    def child():
        assert (crowded.qsize(), crowded.empty(), crowded.closed) == (0, True, False)
        with pytest.raises(queue.Empty):
            crowded.get_nowait()
        get_in_vain(crowded)
        q.put("x")
        assert q.get() == "x"
        leave(crowded)  # it would wait for ever for threads that the child does not have
        for call in (crowded.get, crowded.qsize):
            assert is_closed(refusal(call))

    fork(child)


def test_the_child_can_leave_a_queue_others_wait_to_put_into(make, fork):
    full = make_stuck(make, "put")
    putters = [Call(full.put, b"x" * 16, timeout=timeout).until_asleep() for timeout in (None, 100)]

    def child():
        with pytest.raises(queue.Full):
            full.put(b"third", timeout=0.05)
        leave(full)

    fork(child)
    for putter in putters:
        putter.until_asleep()
    assert full.get() == b"f" * 16
    assert [full.get(timeout=60) for _ in putters] == [b"x" * 16] * 2
    for putter in putters:
        putter.result()


def test_deadlines_work_in_the_child_of_a_process_that_used_them(crowded, q, fork):
    """A timer is not inherited over fork(): with the parent's, a wait would never end."""
    get_in_vain(q)

    def child():
        for _ in range(3):
            times_out(0.1, lambda: q.get(timeout=0.1))
        get_in_vain(crowded)

    def grandchild():
        child()
        fork(child)
        child()

    fork(grandchild)
    child()


def test_threads_of_the_child_wait_and_are_woken(crowded, q, fork):
    get_in_vain(q, 0.01)

    def child():
        getters = [Call(q.get, timeout=timeout).until_asleep() for timeout in (None, 60)]
        for _ in getters:
            q.put("x")
        assert [getter.result() for getter in getters] == ["x", "x"]
        for each in (crowded, q):
            getters = [Call(each.get, timeout=timeout).until_asleep() for timeout in (None, 200)]
            leave(each)
            assert all(is_closed(getter.failure()) for getter in getters)

    fork(child)


@pytest.mark.parametrize("way", ["leave", "with"])
def test_leaving_in_the_child_leaves_the_parents_queue_open(crowded, make, fork, address, way):
    q = make(address)

    def child():
        for each in (crowded, q):
            if way == "leave":
                leave(each)
            else:
                with each:
                    pass

    fork(child)
    assert kind.exists(address)
    assert not q.closed
    q.put("still")
    assert q.get() == "still"


def test_a_thread_may_fork_while_the_main_thread_waits(make, q, fork):
    """In the child that thread is the main one."""
    other = make()

    def child():
        get_in_vain(q)
        other.put("x")
        assert other.get(timeout=60) == "x"
        leave(other)
        leave(q)

    def forking():
        until_asleep(main_task())
        try:
            get_in_vain(other, 0.01)
            fork(child)
        finally:
            q.put("done")

    forker = Call(forking)
    assert q.get() == "done"
    forker.result()


def test_forking_at_any_moment_leaves_usable_children(make, fork):
    """Threads use a queue without pause while the main thread forks again and again."""
    busy, other, over = make(), make(), threading.Event()

    def work(call, *args):
        while not over.is_set():
            with contextlib.suppress(queue.Empty, queue.Full):
                call(*args, timeout=0.001)

    calls = [(busy.put, 1), (busy.put, 2), (busy.get,), (busy.get,)]
    workers = [Call(work, *call) for call in calls]

    def child():
        get_in_vain(other, 0.002)
        other.put("x", timeout=60)
        assert other.get() == "x"
        leave(other)
        leave(busy)

    try:
        for _ in range(60):
            fork(child)
    finally:
        over.set()
    for worker in workers:
        worker.result()


def test_forked_workers_share_the_work(make, fork):
    """Copies of one Queue object in several processes, each message handled once."""
    jobs, results = make(), make()

    def work():
        while (job := jobs.get(timeout=60)) is not None:
            results.put((job, job * job), timeout=60)

    workers = [Call(fork, work) for _ in range(3)]
    collector = Call(lambda: dict(results.get(timeout=60) for _ in range(300)))
    for job in range(300):
        jobs.put(job, timeout=60)
    assert collector.result() == {job: job * job for job in range(300)}
    for _ in workers:
        jobs.put(None)
    for worker in workers:
        worker.result()


@pytest.mark.parametrize("forking", ["the main thread", "another thread"])
def test_a_signal_interrupts_the_child_whichever_thread_has_forked(
    crowded, q, fork, when_asleep, forking
):
    """The thread that called fork() is the main thread of the child and runs its handlers."""

    def child():
        calls, main = [], threading.get_ident()
        signal.signal(signal.SIGUSR1, lambda number, _: calls.append(number))
        for waited_in in (q, crowded):
            when_asleep(lambda: signal.pthread_kill(main, signal.SIGUSR1))
            error = refusal(waited_in.get, timeout=100)
            assert error.errno == QueueError.INTERRUPTED, error
        assert calls == [signal.SIGUSR1] * 2

    if forking == "the main thread":
        fork(child)
    else:
        Call(fork, child).result()
