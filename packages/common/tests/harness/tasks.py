"""The states of threads and processes, as /proc shows them.

A task is a folder of /proc: /proc/self/task/TID for a thread of this process, /proc/PID for the
main thread of another. Nothing here sleeps and hopes: a test goes on when the kernel says that the
task has reached the state.
"""

import os
import threading
import time

import kind

WAIT_LIMIT_S = 60  # for what comes at once unless it never comes


def until(condition, what="", limit=WAIT_LIMIT_S):
    """Return when condition() is true; fail when that takes longer than limit seconds."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"still waiting for {what or condition} after {limit} s"
        time.sleep(0.0005)


def read(path):
    """Read a file of /proc."""
    with open(path) as file:
        return file.read()


def task_of(thread=None):
    """The task of a thread of this process; of the calling thread if none is given."""
    number = threading.get_native_id() if thread is None else thread.native_id
    return f"/proc/self/task/{number}"


def main_task():
    """The task of this process's main thread."""
    return f"/proc/self/task/{os.getpid()}"


def switches(task):
    """How often the task went to sleep, and how often the CPU was taken from it."""
    lines = (line.partition(":") for line in read(f"{task}/status").splitlines())
    counts = {name: number for name, _, number in lines}
    return int(counts["voluntary_ctxt_switches"]), int(counts["nonvoluntary_ctxt_switches"])


def is_sleeping(task):
    """Whether the task sleeps, and does not wait for a page or a disk (state D)."""
    return read(f"{task}/stat").rpartition(")")[2].split()[0] == "S"


def sleeps_steadily(task):
    """Whether the task sleeps for a while; where the system call is not shown, this must do."""
    before = switches(task)
    time.sleep(0.05)
    return is_sleeping(task) and switches(task) == before


def first_word(path):
    """The first word of a file of /proc, empty where it is not shown."""
    try:
        return (read(path).split() or [""])[0]
    except PermissionError:
        return ""


def is_asleep(task):
    """Whether the task sleeps inside a queue, in the system call that waits there."""
    try:
        if kind.WAIT_CHANNEL and first_word(f"{task}/wchan") == kind.WAIT_CHANNEL:
            return True
        call = first_word(f"{task}/syscall")
        if not call or not kind.WAIT_CALLS:
            return sleeps_steadily(task)
        return call in kind.WAIT_CALLS and is_sleeping(task)
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return False


def until_asleep(task, limit=WAIT_LIMIT_S):
    """Return when the task sleeps inside a queue."""
    until(lambda: is_asleep(task), f"{task} to sleep in a queue", limit)


def cpu_seconds(thread):
    """The seconds of CPU that a thread of this process has used."""
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def until_spinning(thread):
    """Return when a thread spins, or sleeps inside a queue already.

    A spin uses the CPU, or yields it again and again where other threads want it.
    """
    task = task_of(thread)
    used, yielded = cpu_seconds(thread) + 0.003, switches(task)[1] + 5
    until(
        lambda: cpu_seconds(thread) > used or switches(task)[1] > yielded or is_asleep(task),
        f"{task} to spin",
    )
