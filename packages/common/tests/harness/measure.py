"""Times, effort and growth.

A busy machine may delay any thread by any time. So no test is red because something came late
once: what must not take long is tried again until it was quick (in_time), and the limits end what
will never come.
"""

import gc
import os
import queue
import resource
import sys
import time

import pytest

from harness.tasks import WAIT_LIMIT_S, read, switches, task_of

LATE_S = 2  # what a timeout may be late where no other program delays the thread
TRIES = 20


def effort():
    """What this thread has cost so far: its seconds of CPU, and a millisecond a switch.

    Where other programs want the CPU, a thread that naps or yields all the time uses little of it,
    but it is switched often.
    """
    return time.thread_time() + sum(switches(task_of())) / 1000


def in_time(attempt, limit):
    """Repeat an attempt, which returns seconds, until these are below a limit.

    A busy machine makes an attempt take longer, never shorter: so one that is below the limit
    proves as much as all would.
    """
    taken = []
    while len(taken) < TRIES and sum(taken) < 2 * WAIT_LIMIT_S:
        taken.append(attempt())
        if taken[-1] < limit:
            return
    raise AssertionError(f"never below {limit} s: {taken}")


def times_out(timeout, call, late=LATE_S):
    """Make a call that must end by its timeout: never early, and late only by scheduling.

    The last exception is returned.
    """
    caught = None

    def attempt():
        nonlocal caught
        started = time.monotonic_ns()
        with pytest.raises((queue.Empty, queue.Full)) as caught:
            call()
        waited = time.monotonic_ns() - started
        assert waited >= int(timeout * 1e9)
        return waited / 1e9

    in_time(attempt, timeout + late)
    return caught.value


def memory():
    """Python's blocks, and the resident bytes of this process."""
    gc.collect()
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        return sys.getallocatedblocks(), 0  # it keeps what was freed, to see who uses it
    pages = int(read("/proc/self/statm").split()[1])
    return sys.getallocatedblocks(), pages * resource.getpagesize()


def growth(function, times, rounds=4):
    """What calling function(times) leaves behind: blocks of Python's, bytes of all.

    Caches grow once, leaks every time: so the least growth of the rounds counts.
    """
    grown = []
    function(times)
    for _ in range(rounds):
        before = memory()
        function(times)
        grown.append([after - value for after, value in zip(memory(), before, strict=True)])
    return [min(values) for values in zip(*grown, strict=True)]
