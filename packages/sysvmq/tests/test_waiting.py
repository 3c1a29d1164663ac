"""Waiting for types, for room, and on the way into the kernel; see common/test_waiting.py."""

import os

import pytest

from harness.calls import Call
from sysvmq import RawSerializer

RACES = int(os.environ.get("SYSVMQ_TEST_RACES", "1000"))


@pytest.mark.native("first come first served")
def test_waiters_of_one_type_are_served_in_order(make):
    queue = make()
    waiters = [Call(queue.get, msg_type=number % 2 + 1).until_asleep() for number in range(6)]
    for number in range(6):
        queue.put(number, msg_type=(number + 1) % 2 + 1)
    assert [waiter.result() for waiter in waiters] == [1, 0, 3, 2, 5, 4]


def test_all_blocked_writers_get_their_turn(full):
    writers = [Call(full.put, b"%016d" % n).until_asleep() for n in range(6)]
    got = [full.get(timeout=60) for _ in range(7)]
    for writer in writers:
        writer.result()
    assert got[0] == b"f" * 16
    assert sorted(got[1:]) == [b"%016d" % n for n in range(6)]


def test_a_queue_that_fills_and_empties_all_the_time_never_stalls(make, key, spawn):
    """Every put and every get of this ping-pong has to wait."""
    queue = make(key, 16, serializer=RawSerializer)
    echo = spawn(
        """\
queue = Queue(int(args[0]), serializer=RawSerializer)
for _ in range(int(args[1])):
    queue.put(queue.get(msg_type=1), msg_type=2)
""",
        key,
        RACES,
    )
    for number in range(RACES):
        queue.put(b"%016d" % number)
        assert queue.get(msg_type=2) == b"%016d" % number
    echo.finish()


# The instant before the system call, made long: a signal in it is lost to the call. It lasts until
# 30 ms after the script has set ended, which it does once entered is set.
SLOW_ENTRY = """\
#include <stddef.h>
#include <sys/ipc.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
volatile int entered, ended;
static long now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}
static void dawdle(int flags)
{
    long start;
    if (flags & IPC_NOWAIT)
        return;
    entered = 1;
    while (!ended)
        ;
    for (start = now(); now() - start < 30000000;)
        ;
}
ssize_t msgrcv(int id, void *message, size_t size, long type, int flags)
{
    dawdle(flags);
    return syscall(SYS_msgrcv, id, message, size, type, flags);
}
int msgsnd(int id, const void *message, size_t size, int flags)
{
    dawdle(flags);
    return syscall(SYS_msgsnd, id, message, size, flags);
}
"""


@pytest.mark.native("the way into a sleep")
@pytest.mark.parametrize("way", ["get", "put"])
@pytest.mark.parametrize("end", ["timeout", "detach", "close"])
def test_what_ends_a_wait_is_not_lost_on_the_way_into_it(make, key, spawn, preloaded, way, end):
    """If it were, the wait would never end."""
    full = make(key, 16, serializer=RawSerializer)
    full.put(b"f" * 16)
    child = spawn(
        """\
slow = Queue(int(args[0]), serializer=RawSerializer, spin_us=0)
entered, ended = (ctypes.c_int.in_dll(ctypes.CDLL(None), name) for name in ("entered", "ended"))
def wait(timeout):
    try:
        if args[1] == "get":
            slow.get(msg_type=7, timeout=timeout)
        else:
            slow.put(b"x", timeout=timeout)
    except (queue.Empty, queue.Full, QueueError) as error:
        print(type(error).__name__)
if args[2] == "timeout":
    ended.value = 1
    while not entered.value:  # the time may have been over before
        wait(0.02)
    sys.exit()
thread = threading.Thread(target=wait, args=(None,), daemon=True)
thread.start()
while not entered.value:
    time.sleep(0.001)
ended.value = 1
getattr(slow, args[2])()
thread.join()
""",
        key,
        way,
        end,
        **preloaded("slow_entry", SLOW_ENTRY),
    )
    error = "QueueError" if end != "timeout" else {"get": "Empty", "put": "Full"}[way]
    assert set(child.finish().split()) == {error}
