"""Calls that fail where they hardly ever do: a preloaded library lets the next one fail."""

import pytest

import kind

# The last call of an opening, and how it may fail.
OPENING, REASONS = {
    "posixmq": ("FCHMOD", ["EPERM"]),
    "sysvmq": ("IPC_SET", ["EPERM", "EINVAL"]),
}[kind.PACKAGE]


@pytest.mark.parametrize("reason", REASONS)
def test_a_new_queue_that_cannot_be_set_up_is_not_left_behind(with_faults, reason):
    with_faults(f"""
        before = descriptors()
        fail({OPENING}, errno.{reason})
        error = error_of(Queue, address(), **kind.room(1, 100))
        assert error.errno == QueueError.NO_PERMISSIONS, error
        assert descriptors() == before
        assert error_of(Queue, address(), create=False).errno == QueueError.DOES_NOT_EXIST
    """)


@pytest.mark.native("timers end the waits")
@pytest.mark.parametrize("call", ["TIMER_CREATE", "TIMER_SETTIME"])
def test_a_wait_without_a_timer_says_so_and_the_next_one_waits(with_faults, call):
    with_faults(f"""
        with Queue(address(), spin_us=0) as q:
            fail({call}, errno.EAGAIN if {call} == TIMER_CREATE else errno.ENOMEM)
            error = error_of(q.get, timeout=100)
            assert error.errno == QueueError.NO_SYSTEM_RESOURCES, error
            start = time.monotonic()
            try:
                q.get(timeout=0.05)
            except queue.Empty:
                assert time.monotonic() - start >= 0.05
            else:
                raise AssertionError("something was there")
            q.put("x")
            assert q.get() == "x"
    """)


def test_a_child_of_fork_that_ends_in_the_ordinary_way_harms_nothing(spawn, address):
    """Its end closes its own descriptors alone."""
    spawn(
        """
        import warnings

        warnings.simplefilter("ignore")
        q = Queue(address())
        q.put("from the parent")
        pid = os.fork()
        if pid == 0:
            assert q.get(timeout=60) == "from the parent"
            q.put("from the child")
            sys.exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert q.get(timeout=60) == "from the child"
        q.close()
        """,
        address,
    ).finish()
