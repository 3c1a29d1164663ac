"""fork() while other threads are inside a queue: the child has a queue it can use and close."""

import pytest

# What each script shares: children report by their exit code, and nobody waits for ever.
FORK = """
import contextlib
import warnings

warnings.simplefilter("ignore", DeprecationWarning)  # that fork and threads are delicate


def in_child(work):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(100)  # what would never end
            work()
            code = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def start(function, *args, **kwargs):
    thread = threading.Thread(target=function, args=args, kwargs=kwargs, daemon=True)
    thread.start()
    until_asleep(task_of(thread))
    return thread


def refused(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except (QueueError, queue.Empty, queue.Full) as error:
        return error
    raise AssertionError("not refused")


def unwilling(call, *args, **kwargs):
    with contextlib.suppress(QueueError):
        call(*args, **kwargs)


name = sys.argv[1]
"""


@pytest.fixture
def fork_script(spawn, name, fresh):
    """Run a script about fork() on two names."""
    import textwrap

    def run(code):
        return spawn(FORK + textwrap.dedent(code), name, fresh()).finish()

    return run


def test_the_child_of_a_quiet_parent_shares_the_queue(fork_script):
    fork_script(
        """
        with Queue(name, 2, 64) as q:
            in_child(lambda: q.put("from the child"))
            assert q.get(timeout=60) == "from the child"
            q.unlink()
        """
    )


@pytest.mark.parametrize("timeout", [None, 100])
def test_the_child_can_use_and_close_a_queue_others_wait_in(fork_script, timeout):
    fork_script(
        f"""
        q, other = Queue(name, 1, 64), Queue(sys.argv[2], 1, 64)
        getters = [start(unwilling, q.get, timeout={timeout}) for _ in range(4)]

        def child():
            assert (q.qsize(), q.empty(), q.closed) == (0, True, False)
            assert isinstance(refused(q.get_nowait), queue.Empty)
            assert isinstance(refused(q.get, timeout=0.05), queue.Empty)
            other.put("x")
            assert other.get() == "x"
            q.close()  # would wait for ever for threads that the child does not have
            assert descriptors(name) == []
            assert refused(q.get).errno == QueueError.INVALID_DESCRIPTOR

        in_child(child)
        assert all(getter.is_alive() for getter in getters), "the parent's wait on"
        q.close()
        for getter in getters:
            getter.join(60)
            assert not getter.is_alive()
        q.unlink()
        other.unlink()
        """
    )


def test_the_child_can_close_a_queue_others_wait_to_put_into(fork_script):
    fork_script(
        """
        q = Queue(name, 1, 64)
        q.put("first")
        putters = [start(unwilling, q.put, "second", timeout=100) for _ in range(3)]

        def child():
            assert q.full()
            assert isinstance(refused(q.put, "third", timeout=0.05), queue.Full)
            q.close()
            assert descriptors(name) == []

        in_child(child)
        assert q.get() == "first"
        q.close()
        for putter in putters:
            putter.join(60)
            assert not putter.is_alive()
        q.unlink()
        """
    )


def test_deadlines_work_in_the_child_of_a_process_that_used_them(fork_script):
    """A POSIX timer is not inherited over fork(): with the parent's, a wait would never end."""
    fork_script(
        """
        q = Queue(name, 1, 64)
        refused(q.get, timeout=0.05)

        def child():
            for _ in range(3):
                started = time.monotonic()
                assert isinstance(refused(q.get, timeout=0.1), queue.Empty)
                assert time.monotonic() - started >= 0.1

        def grandchild():
            child()
            in_child(child)
            child()

        in_child(grandchild)
        child()
        q.unlink()
        q.close()
        """
    )


def test_close_wakes_the_threads_of_the_child(fork_script):
    fork_script(
        """
        q = Queue(name, 1, 64)
        getters = [start(unwilling, q.get, timeout=100) for _ in range(3)]
        refused(q.get, timeout=0.01)

        def child():
            own = [start(unwilling, q.get, timeout=t) for t in (None, 200, None)]
            q.close()
            for thread in own:
                thread.join()

        in_child(child)
        assert all(getter.is_alive() for getter in getters)
        q.unlink()
        q.close()
        """
    )


def test_a_thread_may_fork_while_the_main_thread_waits(fork_script):
    """In the child that thread is the main one."""
    fork_script(
        """
        q, other = Queue(name, 1, 64), Queue(sys.argv[2], 1, 64)

        def child():
            assert isinstance(refused(q.get, timeout=0.05), queue.Empty)
            other.put("x")
            assert other.get() == "x"
            other.close()
            q.close()

        def fork():
            until_asleep(main_task())
            try:
                refused(other.get, timeout=0.01)
                in_child(child)
            finally:
                q.put("done")

        thread = threading.Thread(target=fork)
        thread.start()
        assert q.get() == "done"
        thread.join()
        q.unlink()
        other.unlink()
        """
    )


def test_forking_at_any_moment_leaves_usable_children(fork_script):
    """Threads use a queue without pause while the main thread forks again and again."""
    fork_script(
        """
        q, other = Queue(name, 2, 64), Queue(sys.argv[2], 1, 64)
        done = threading.Event()

        def work(call, *args):
            while not done.is_set():
                with contextlib.suppress(queue.Empty, queue.Full):
                    call(*args, timeout=0.001)

        threads = [threading.Thread(target=work, args=args) for args in
                   ((q.put, 1), (q.put, 2), (q.get,), (q.get,))]
        for thread in threads:
            thread.start()

        def child():
            assert isinstance(refused(other.get, timeout=0.002), queue.Empty)
            other.close()
            q.close()
            assert descriptors(name) == descriptors(sys.argv[2]) == []

        try:
            for _ in range(60):
                in_child(child)
        finally:
            done.set()
        for thread in threads:
            thread.join()
        q.unlink()
        other.unlink()
        """
    )


def test_closing_in_the_child_leaves_the_parents_queue_open(fork_script):
    fork_script(
        """
        q = Queue(name, 1, 64)
        in_child(q.close)
        q.put("still")
        assert q.get() == "still"
        q.unlink()
        q.close()
        """
    )


def test_forked_workers_share_the_work(fork_script):
    """Copies of one Queue object in several processes, each message handled once."""
    fork_script(
        """
        jobs, results = Queue(name, 4, 64), Queue(sys.argv[2], 4, 64)

        def work():
            while (job := jobs.get(timeout=60)) is not None:
                results.put((job, job * job), timeout=60)

        workers = []
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                try:
                    work()
                except BaseException:
                    os._exit(1)
                os._exit(0)
            workers.append(pid)
        answers = {}
        collector = threading.Thread(
            target=lambda: answers.update(results.get(timeout=60) for _ in range(300))
        )
        collector.start()
        for job in range(300):
            jobs.put(job, timeout=60)
        collector.join()
        for _ in workers:
            jobs.put(None)
        assert [os.waitpid(pid, 0)[1] for pid in workers] == [0, 0, 0]
        assert answers == {job: job * job for job in range(300)}
        jobs.unlink()
        results.unlink()
        """
    )


def test_an_on_signal_raise_thread_that_forked_is_interrupted_in_the_child(fork_script):
    """The thread that called fork() is the main thread of the child and runs its handlers."""
    fork_script(
        """
        q = Queue(name, 1, 64)

        def child():
            calls = []
            signal.signal(signal.SIGALRM, lambda *_: calls.append(1))
            signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)  # the first may come before the wait
            error = refused(q.get, timeout=100)
            assert isinstance(error, QueueError) and error.errno == QueueError.INTERRUPTED, error
            assert calls

        failed = []

        def fork():
            try:
                refused(q.get, timeout=0.01)
                in_child(child)
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
        assert not failed, failed
        q.unlink()
        """
    )
