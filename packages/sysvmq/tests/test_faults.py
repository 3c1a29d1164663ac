"""Calls that fail where they hardly ever do: a preloaded library lets the next one fail."""

import os

import pytest

FAULTS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/ipc.h>
#include <sys/msg.h>

long fault_number = -1; /* of the system call, or -2 for IPC_SET */
int fault_error;
size_t fault_size; /* the next malloc of this size or more fails */

extern void *__libc_malloc(size_t size);

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
int msgctl(int id, int command, struct msqid_ds *status)
{
    static int (*next)(int, int, struct msqid_ds *);
    if (command == IPC_SET && strikes(-2))
        return -1;
    if (!next)
        next = (int (*)(int, int, struct msqid_ds *))dlsym(RTLD_NEXT, "msgctl");
    return next(id, command, status);
}
void *malloc(size_t size)
{
    if (fault_size && size >= fault_size) {
        fault_size = 0;
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(size);
}
"""

SCRIPT = """\
import errno, platform
if platform.machine() != "x86_64":
    print("other numbers")
    sys.exit(77)
LIBRARY = ctypes.CDLL(None)
IPC_SET, TIMER_CREATE, TIMER_SETTIME = -2, 222, 223

def fail(number, error):
    ctypes.c_int.in_dll(LIBRARY, "fault_error").value = error
    ctypes.c_long.in_dll(LIBRARY, "fault_number").value = number

def fail_malloc(size):
    ctypes.c_size_t.in_dll(LIBRARY, "fault_size").value = size

def error_of(function, *args, **kwargs):
    try:
        function(*args, **kwargs)
    except (QueueError, MemoryError) as error:
        assert ctypes.c_long.in_dll(LIBRARY, "fault_number").value == -1, "no call failed"
        assert ctypes.c_size_t.in_dll(LIBRARY, "fault_size").value == 0, "no malloc failed"
        return error
    raise AssertionError("nothing was raised")

key = int(args[0])
"""


@pytest.fixture
def with_faults(preloaded, spawn, key):
    """Run a script that may call fail(number, errno) and fail_malloc(size)."""
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("the sanitizer has a malloc of its own")
    return lambda code: spawn(SCRIPT + code, key, **preloaded("faults", FAULTS)).finish()


@pytest.mark.parametrize("reason", ["EPERM", "EINVAL"])
def test_a_new_queue_whose_size_cannot_be_set_is_not_left_behind(with_faults, reason):
    with_faults(f"""
fail(IPC_SET, errno.{reason})
assert error_of(Queue, key, 100).errno == QueueError.NO_PERMISSIONS
assert error_of(Queue, key, create=False).errno == QueueError.DOES_NOT_EXIST
""")


def test_a_long_message_without_memory_to_send_it_is_not_sent(with_faults):
    with_faults("""
q = Queue(key, serializer=RawSerializer)
if q.maxmsgsize <= 16384:
    q.max_bytes > 16384 or print("no long message here")
try:
    data = b"x" * min(q.maxmsgsize, 17000)
    if len(data) > 16384:
        fail_malloc(16385)
        assert isinstance(error_of(q.put, data), MemoryError)
        assert q.qsize() == 0
        q.put(data)
        assert q.get() == data
finally:
    q.close()
""")


def test_a_long_message_without_memory_to_receive_it_stays(isolated_faults):
    isolated_faults("""
for limit in ("msgmax", "msgmnb"):
    with open("/proc/sys/kernel/" + limit, "w") as file:
        file.write("100000")
q = Queue(serializer=RawSerializer)
try:
    data = b"x" * 40000
    fail_malloc(16385)
    assert isinstance(error_of(q.put, data), MemoryError)
    assert q.qsize() == 0
    q.put(b"short")
    assert q.get() == b"short"  # what a short message needs is set aside from now on
    q.put(data)
    fail_malloc(16385)  # while the buffer grows
    assert error_of(q.get).errno == QueueError.NO_SYSTEM_RESOURCES
    assert q.get() == data
    q.put(data)
    fail_malloc(16385)  # before anything is received
    assert isinstance(error_of(q.get), MemoryError)
    assert q.get() == data
finally:
    q.close()
""")


@pytest.fixture
def isolated_faults(with_faults):
    """The same in an IPC namespace, whose limits can be raised."""
    start = """
if ctypes.CDLL(None).unshare(0x08000000):
    print("not permitted")
    sys.exit(77)
"""
    return lambda code: with_faults(start + code)


@pytest.mark.native("timers end the waits")
@pytest.mark.parametrize("call", ["TIMER_CREATE", "TIMER_SETTIME"])
def test_a_wait_without_a_timer_says_so_and_the_next_one_waits(with_faults, call):
    with_faults(f"""
q = Queue(key, spin_us=0)
try:
    fail({call}, errno.EAGAIN if {call} == TIMER_CREATE else errno.ENOMEM)
    error = error_of(q.get, timeout=100)
    assert error.errno == QueueError.NO_SYSTEM_RESOURCES, error
    start = time.monotonic()
    try:
        q.get(timeout=0.05)
    except queue.Empty:
        assert time.monotonic() - start >= 0.05
    q.put("x")
    assert q.get() == "x"
finally:
    q.close()
""")


def test_a_child_of_fork_that_ends_in_the_ordinary_way_harms_nothing(spawn, key):
    child = spawn(
        """\
q = Queue(int(args[0]))
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
        key,
    )
    child.finish()
