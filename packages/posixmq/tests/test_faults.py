"""System calls that fail where they hardly ever do: a preloaded library lets the next one fail."""

import os

import pytest

from harness.calls import Call

FAULTS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/stat.h>

long fault_number = -1; /* of the system call, or -2 for fchmod */
int fault_error;

static int strikes(long number)
{
    if (number != fault_number)
        return 0;
    fault_number = -1;
    errno = fault_error;
    return 1;
}
long syscall(long number, ...)
{
    static long (*next)(long, ...);
    long arguments[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    if (strikes(number))
        return -1;
    if (!next)
        next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    return next(number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4],
                arguments[5]);
}
int fchmod(int fd, mode_t mode)
{
    static int (*next)(int, mode_t);
    if (strikes(-2))
        return -1;
    if (!next)
        next = (int (*)(int, mode_t))dlsym(RTLD_NEXT, "fchmod");
    return next(fd, mode);
}
"""

SCRIPT = """
import ctypes, platform
if platform.machine() != "x86_64":
    skip("the numbers of the system calls are those of x86-64")
LIBRARY = ctypes.CDLL(None)
FCHMOD, GETATTR, TIMER_CREATE, TIMER_SETTIME = -2, 245, 222, 223

def fail(number, error):
    ctypes.c_int.in_dll(LIBRARY, "fault_error").value = error
    ctypes.c_long.in_dll(LIBRARY, "fault_number").value = number

def error_of(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except QueueError as error:
        assert ctypes.c_long.in_dll(LIBRARY, "fault_number").value == -1, "no call failed"
        return error
    raise AssertionError("nothing was raised")
"""


@pytest.fixture
def with_faults(preloaded, spawn, name):
    """Run a script that may call fail(number, errno)."""
    return lambda code: spawn(SCRIPT + code, name, **preloaded("faults", FAULTS)).finish()


def test_a_new_queue_whose_mode_cannot_be_set_is_not_left_behind(with_faults):
    with_faults("""
before = descriptors()
fail(FCHMOD, errno.EPERM)
assert error_of(Queue, sys.argv[1]).errno == QueueError.NO_PERMISSIONS
assert descriptors() == before
assert error_of(Queue, sys.argv[1], create=False).errno == QueueError.DOES_NOT_EXIST
""")


def test_a_queue_that_cannot_be_looked_at_is_closed_again(with_faults):
    with_faults("""
Queue(sys.argv[1]).close()
before = descriptors()
fail(GETATTR, errno.ENOMEM)
assert error_of(Queue, sys.argv[1]).errno == QueueError.NO_SYSTEM_RESOURCES
assert descriptors() == before
""")


@pytest.mark.native("a wait needs a timer")
@pytest.mark.parametrize("call", ["TIMER_CREATE", "TIMER_SETTIME"])
def test_a_wait_without_a_timer_says_so_and_the_next_one_waits(with_faults, call):
    with_faults(f"""
with Queue(sys.argv[1], spin_us=0) as q:
    fail({call}, errno.EAGAIN if {call} == TIMER_CREATE else errno.ENOMEM)
    error = error_of(q.get, timeout=0.05)
    assert error.errno == QueueError.NO_SYSTEM_RESOURCES, error
    start = time.monotonic()
    try:
        q.get(timeout=0.05)
    except queue.Empty:
        assert time.monotonic() - start >= 0.05
    q.put("x")
    assert q.get() == "x"
""")


def test_a_child_of_fork_that_ends_in_the_ordinary_way_harms_nothing(spawn, name):
    """Its end closes its own descriptors alone."""
    spawn(
        """
        import warnings

        warnings.simplefilter("ignore")
        q = Queue(sys.argv[1])
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
        name,
    ).finish()


@pytest.fixture
def patient(make):
    """A queue whose descriptor somebody has made non-blocking, as event loops do."""
    q = make(maxsize=1, spin_us=0)
    if not hasattr(q, "fileno"):
        pytest.skip("no fileno() yet")
    os.set_blocking(q.fileno(), False)
    return q


def test_a_descriptor_made_non_blocking_still_waits(patient):
    reader = Call(patient.get)
    Call(patient.put, "x").result()
    assert reader.result() == "x"
    patient.put(1)
    writer = Call(patient.put, 2, timeout=60)
    assert patient.get() == 1
    writer.result()
    assert patient.get(timeout=60) == 2


def test_a_descriptor_made_non_blocking_waits_no_longer_than_it_should(patient):
    import queue
    import time

    start = time.monotonic()
    with pytest.raises(queue.Empty):
        patient.get(timeout=0.05)
    patient.put(1)
    with pytest.raises(queue.Full):
        patient.put(2, timeout=0.05)
    assert time.monotonic() - start >= 0.1
