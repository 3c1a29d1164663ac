"""Waiting in the kernel: in order, one wake-up a message, at no cost when idle."""

import os
import signal
import threading
import time
from queue import Empty

import pytest

from harness.calls import Call
from harness.measure import effort, in_time, times_out
from harness.tasks import cpu_seconds, switches, until_spinning
from sysvmq import QueueError, RawSerializer

RACES = int(os.environ.get("SYSVMQ_TEST_RACES", "1000"))


@pytest.mark.native("first come first served")
@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize("spin_us", [None, 0])
def test_threads_are_served_first_come_first_served(make, timeout, spin_us):
    queue = make(spin_us=spin_us)
    waiters = [Call(queue.get, timeout=timeout).until_asleep() for _ in range(8)]
    for number in range(8):
        queue.put(number)
    assert [waiter.result() for waiter in waiters] == list(range(8))


@pytest.mark.native("first come first served")
def test_processes_are_served_first_come_first_served(make, key, spawn):
    queue = make(key)
    waiters = [spawn("print(Queue(int(args[0])).get())", key).until_asleep() for _ in range(4)]
    for number in range(4):
        queue.put(number)
    assert [waiter.finish() for waiter in waiters] == ["0", "1", "2", "3"]


@pytest.mark.native("first come first served")
def test_waiters_of_one_type_are_served_in_order(make):
    queue = make()
    waiters = [Call(queue.get, msg_type=number % 2 + 1).until_asleep() for number in range(6)]
    for number in range(6):
        queue.put(number, msg_type=(number + 1) % 2 + 1)
    assert [waiter.result() for waiter in waiters] == [1, 0, 3, 2, 5, 4]


@pytest.mark.native("first come first served")
def test_a_message_wakes_one_waiter_only(make):
    queue = make()
    waiters = [Call(queue.get).until_asleep() for _ in range(8)]
    before = [switches(waiter.task)[0] for waiter in waiters]
    queue.put("x")
    assert waiters[0].result() == "x"
    after = [switches(waiter.task)[0] for waiter in waiters[1:]]
    assert after == before[1:]
    for _ in waiters[1:]:
        queue.put("x")
    for waiter in waiters[1:]:
        waiter.result()


def test_all_blocked_writers_get_their_turn(full):
    writers = [Call(full.put, b"%016d" % n).until_asleep() for n in range(6)]
    got = [full.get(timeout=60) for _ in range(7)]
    for writer in writers:
        writer.result()
    assert got[0] == b"f" * 16
    assert sorted(got[1:]) == [b"%016d" % n for n in range(6)]


@pytest.mark.native("a waiter that naps costs some CPU")
def test_an_idle_waiter_costs_nothing(full):
    waiters = [
        Call(full.get, msg_type=5).until_asleep(),
        Call(full.get, msg_type=5, timeout=100).until_asleep(),
        Call(full.put, b"x").until_asleep(),
        Call(full.put, b"x", timeout=100).until_asleep(),
    ]
    before = [(cpu_seconds(waiter), switches(waiter.task)[0]) for waiter in waiters]
    time.sleep(0.5)
    assert [(cpu_seconds(waiter), switches(waiter.task)[0]) for waiter in waiters] == before
    full.close()
    assert all(isinstance(waiter.outcome(), QueueError) for waiter in waiters)


def in_vain(queue, times, timeout):
    """Wait so often for nothing."""
    for _ in range(times):
        with pytest.raises(Empty):
            queue.get(timeout=timeout)


several_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="never spins on one CPU")


@pytest.fixture
def seconds_awake():
    """A function: how long a waiter took until it slept in the queue.

    A spin keeps it awake, and so may a busy machine; nothing makes it sleep before a spin is over.
    """

    def seconds_awake(queue):
        start = time.monotonic()
        waiter = Call(queue.get).until_asleep()
        awake = time.monotonic() - start
        queue.put("x")
        assert waiter.result() == "x"
        return awake

    return seconds_awake


@pytest.mark.native("who spins and who naps look alike")
def test_spin_0_does_not_spin_whatever_the_environment_says(make, seconds_awake, monkeypatch):
    monkeypatch.setenv("SYSVMQ_SPIN_US", "1000000")
    in_time(lambda: seconds_awake(make(spin_us=0)), 1)


@several_cpus
@pytest.mark.native("who spins and who naps look alike")
@pytest.mark.parametrize("spin_us", [1000, 300_000])
def test_a_spin_lasts_as_long_as_asked(make, seconds_awake, spin_us):
    assert seconds_awake(make(spin_us=spin_us)) >= spin_us / 1e6


@several_cpus
def test_a_spin_ends_with_the_timeout(make):
    times_out(0.05, lambda: make(spin_us=1_000_000).get(timeout=0.05), late=0.5)


@several_cpus
@pytest.mark.native("who spins and who naps look alike")
def test_spins_that_do_not_pay_are_given_up(make, seconds_awake):
    def attempt():
        queue = make(spin_us=200_000)
        Call(in_vain, queue, 1, 0.25).result()
        return seconds_awake(queue)

    in_time(attempt, 0.2)


@pytest.mark.native("a waiter that naps costs some CPU")
def test_an_idle_queue_asked_again_and_again_costs_little(make):
    """Ten seconds of it must cost less than 10 ms; half of one, and its switches, generously."""
    queue = make()
    in_vain(queue, 5, 0.01)

    def attempt():
        before = effort()
        in_vain(queue, 10, 0.05)
        return effort() - before

    in_time(attempt, 0.03)


AWAKE = """\
if args[1] == "one":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
options = {"spin_us": int(args[2])} if args[2:] else {}
waiting = Queue(int(args[0]), **options)
start = time.monotonic()
thread = threading.Thread(target=waiting.get)
thread.start()
until_asleep(task_of(thread))
print(time.monotonic() - start)
waiting.put("x")
thread.join()
"""


@pytest.fixture
def seconds_awake_there(make, key, spawn):
    """A function: as seconds_awake, in a process of its own."""
    make(key)
    return lambda *args, **env: float(spawn(AWAKE, key, *args, **env).finish())


@several_cpus
@pytest.mark.native("who spins and who naps look alike")
def test_the_environment_sets_the_spin(seconds_awake_there):
    assert seconds_awake_there("all", SYSVMQ_SPIN_US="200000") >= 0.2
    in_time(lambda: seconds_awake_there("all", SYSVMQ_SPIN_US="0"), 0.2)


@several_cpus
@pytest.mark.native("who spins and who naps look alike")
def test_the_keyword_overrides_the_environment(seconds_awake_there):
    in_time(lambda: seconds_awake_there("all", 0, SYSVMQ_SPIN_US="1000000"), 1)
    assert seconds_awake_there("all", 200_000, SYSVMQ_SPIN_US="0") >= 0.2


@pytest.mark.native("who spins and who naps look alike")
def test_one_usable_cpu_means_no_spin(seconds_awake_there):
    in_time(lambda: seconds_awake_there("one", 1_000_000), 1)


def test_a_message_is_not_missed_in_the_spin(make):
    queue = make(spin_us=1_000_000)
    for number in range(20):
        waiter = Call(queue.get)
        queue.put(number)
        assert waiter.result() == number


# What ends a spin of a second, or goes on beside it, must take less than that second.
LONG_SPIN_US, SHORT_OF_IT = 1_000_000, 0.7


@several_cpus
def test_a_spinning_thread_lets_others_run(make):
    def attempt():
        queue = make(spin_us=LONG_SPIN_US)
        start = time.monotonic()
        waiter = Call(queue.get)
        until_spinning(waiter)
        for _ in range(10):
            time.sleep(0)
        taken = time.monotonic() - start
        queue.put("x")
        assert waiter.result() == "x"
        return taken

    in_time(attempt, SHORT_OF_IT)


@several_cpus
@pytest.mark.parametrize("whole_process", [False, True], ids=["to the thread", "to the process"])
def test_a_signal_in_a_spin_runs_its_handler_at_once(make, handler, whole_process):
    """It does not interrupt the call, as if it had come just before; it may raise."""
    main, ready = threading.main_thread(), threading.Event()
    handler(signal.SIGUSR1, lambda *_: 1 / 0)

    def shoot():
        ready.wait()
        until_spinning(main)
        if whole_process:
            os.kill(os.getpid(), signal.SIGUSR1)
        else:
            signal.pthread_kill(main.ident, signal.SIGUSR1)

    def attempt():
        queue = make(spin_us=LONG_SPIN_US)
        ready.clear()
        shooter, start = Call(shoot), time.monotonic()
        with pytest.raises(ZeroDivisionError):
            ready.set()
            queue.get(timeout=100)
        taken = time.monotonic() - start
        shooter.result()
        return taken

    in_time(attempt, SHORT_OF_IT)


@several_cpus
@pytest.mark.parametrize("end", ["close", "detach"])
def test_the_end_of_the_queue_ends_a_spin(make, end):
    def attempt():
        queue = make(spin_us=LONG_SPIN_US)
        start = time.monotonic()
        waiter = Call(queue.get)
        until_spinning(waiter)
        getattr(queue, end)()
        assert waiter.outcome().errno == QueueError.INVALID_DESCRIPTOR
        return waiter.ended - start

    in_time(attempt, SHORT_OF_IT)


CAUGHT = """\
import resource
def caught():
    for line in open("/proc/self/status"):
        if line.startswith("SigCgt"):
            mask = int(line.split()[1], 16)
            return {n for n in range(signal.SIGRTMIN, signal.SIGRTMAX + 1) if mask >> (n - 1) & 1}
def wait():
    # A busy machine may let the time be over before the wait has come to sleep.
    waiting, before = Queue(int(args[0])), count_sleeps()
    while count_sleeps() == before:
        try:
            waiting.get(timeout=0.02)
        except queue.Empty:
            pass
    return True
def count_sleeps():
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
"""


@pytest.mark.native("no signal is claimed")
def test_the_wake_up_signal_is_claimed_only_when_needed(make, key, spawn):
    make(key)
    child = spawn(
        CAUGHT
        + """\
before = caught()
waiting = Queue(int(args[0]))
waiting.put(1)
waiting.get()
waiting.put(1, timeout=1)
waiting.get(timeout=1)
try:
    waiting.get_nowait()
except queue.Empty:
    print(caught() == before)
wait()
print(*caught() - before)
""",
        key,
    )
    assert child.finish().split() == ["True", str(signal.SIGRTMAX - 2)]


@pytest.mark.native("no signal is claimed")
@pytest.mark.parametrize("kind", ["handler", "SIG_IGN"])
def test_the_wake_up_signal_is_never_one_in_use(make, key, spawn, kind):
    make(key)
    child = spawn(
        CAUGHT
        + """\
ran = []
mine = [signal.SIGRTMAX - 2, signal.SIGRTMAX - 4]
how = signal.SIG_IGN if args[1] == "SIG_IGN" else lambda *_: ran.append(1)
for number in mine:
    signal.signal(number, how)
before = caught()
print(wait(), *caught() - before)
for number in mine:
    assert signal.getsignal(number) is how
    signal.raise_signal(number)
print(len(ran))
""",
        key,
        kind,
    )
    first, second = child.finish().splitlines()
    assert first.split() == ["True", str(signal.SIGRTMAX - 3)]
    assert second == ("0" if kind == "SIG_IGN" else "2")


@pytest.mark.native("no signal is claimed")
@pytest.mark.parametrize("later", ["handler", "SIG_DFL", "SIG_IGN"])
def test_a_program_may_take_the_wake_up_signal_later(make, key, spawn, later):
    """Its handler stays, and waits go on: the wake-up never kills and never goes missing."""
    make(key)
    child = spawn(
        CAUGHT
        + """\
before = caught()
wait()
number, = caught() - before
ran = []
handler = {"handler": lambda *_: ran.append(1)}
handler = handler.get(args[1]) or getattr(signal, args[1])
signal.signal(number, handler)
print([wait() for _ in range(3)], signal.getsignal(number) is handler)
waiting = Queue(int(args[0]))
thread = threading.Thread(target=lambda: print(type(outcome(waiting)).__name__))
def outcome(waiting):
    try:
        waiting.get()
    except QueueError as error:
        return error
thread.start()
until_asleep(task_of(thread))
waiting.detach()
thread.join()
""",
        key,
        later,
    )
    assert child.finish() == "[True, True, True] True\nQueueError"


@pytest.mark.native("no signal is claimed")
def test_the_wake_up_signal_can_be_chosen(make, key, spawn):
    make(key)
    chosen = signal.SIGRTMIN + 5
    child = spawn(
        CAUGHT + "before = caught()\nprint(wait(), *caught() - before)",
        key,
        SYSVMQ_SIGNAL=str(int(chosen)),
    )
    assert child.finish() == f"True {int(chosen)}"


@pytest.mark.native("no signal is claimed")
def test_one_signal_serves_all_queues_and_threads(make, key, spawn):
    make(key)
    child = spawn(
        CAUGHT
        + """\
before = caught()
for _ in range(3):
    wait()
    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
print(len(caught() - before))
""",
        key,
    )
    assert child.finish() == "1"


def test_waiting_works_in_a_thread_that_blocks_all_signals(make, key):
    """Libraries start such threads, and the wake-up is a signal."""
    make(key)

    def deaf(call):
        everything = signal.valid_signals()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, everything)
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        try:
            return call()
        finally:
            after = signal.pthread_sigmask(signal.SIG_SETMASK, before)
            assert after == blocked, "the mask was not put back"

    queue = make(key)
    timed = Call(deaf, lambda: queue.get(timeout=0.1))
    assert isinstance(timed.outcome(), Empty)  # it would wait for ever
    waiter = Call(deaf, queue.get).until_asleep()
    queue.detach()
    assert waiter.outcome().errno == QueueError.INVALID_DESCRIPTOR


def test_the_wake_up_signal_does_not_wake_python(make, key, spawn):
    """set_wakeup_fd sees the signals of the program, not ours."""
    make(key)
    child = spawn(
        CAUGHT
        + """\
import socket
ours, theirs = socket.socketpair()
for end in (ours, theirs):
    end.setblocking(False)
signal.set_wakeup_fd(theirs.fileno())
wait()
try:
    print(ours.recv(10))
except BlockingIOError:
    print("nothing")
""",
        key,
    )
    assert child.finish() == "nothing"


def test_a_child_process_does_not_inherit_the_wake_up_signal(make, key, spawn):
    make(key)
    child = spawn(
        CAUGHT
        + """\
import subprocess
wait()
code = "for line in open('/proc/self/status'): 'Sig' in line and print(line.strip())"
print(subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True).stdout)
""",
        key,
    )
    masks = dict(line.split() for line in child.finish().splitlines() if "SigQ" not in line)
    bit = 1 << (signal.SIGRTMAX - 3)
    for name in ("SigBlk:", "SigIgn:", "SigCgt:"):
        assert not int(masks[name], 16) & bit


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
