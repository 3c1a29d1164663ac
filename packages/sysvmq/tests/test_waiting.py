"""Waiting in the kernel: in order, one wake-up a message, at no cost when idle."""

import os
import shutil
import signal
import subprocess
import threading
import time
from queue import Empty

import pytest

from sysvmq import QueueError, RawSerializer


def cpu_of(thread) -> float:
    """Seconds of CPU that a thread has used."""
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


@pytest.mark.native("first come first served")
@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize("spin_us", [None, 0])
def test_threads_are_served_first_come_first_served(make, thread, timeout, spin_us):
    queue = make(spin_us=spin_us)
    waiters = [thread(queue.get, timeout=timeout).wait_blocked() for _ in range(8)]
    for number in range(8):
        queue.put(number)
    assert [waiter.result() for waiter in waiters] == list(range(8))


@pytest.mark.native("first come first served")
def test_processes_are_served_first_come_first_served(make, key, spawn):
    queue = make(key)
    waiters = [spawn("print(Queue(int(args[0])).get())", key).wait_blocked() for _ in range(4)]
    for number in range(4):
        queue.put(number)
    assert [waiter.finish() for waiter in waiters] == ["0", "1", "2", "3"]


@pytest.mark.native("first come first served")
def test_waiters_of_one_type_are_served_in_order(make, thread):
    queue = make()
    waiters = [thread(queue.get, msg_type=number % 2 + 1).wait_blocked() for number in range(6)]
    for number in range(6):
        queue.put(number, msg_type=(number + 1) % 2 + 1)
    assert [waiter.result() for waiter in waiters] == [1, 0, 3, 2, 5, 4]


@pytest.mark.native("first come first served")
def test_a_message_wakes_one_waiter_only(make, thread, count_switches):
    queue = make()
    waiters = [thread(queue.get).wait_blocked() for _ in range(8)]
    before = [count_switches(waiter.tid) for waiter in waiters]
    queue.put("x")
    assert waiters[0].result() == "x"
    after = [count_switches(waiter.tid) for waiter in waiters[1:]]
    assert after == before[1:]
    for _ in waiters[1:]:
        queue.put("x")
    for waiter in waiters[1:]:
        waiter.result()


def test_all_blocked_writers_get_their_turn(full, thread):
    writers = [thread(full.put, b"%016d" % n).wait_blocked() for n in range(6)]
    got = [full.get(timeout=20) for _ in range(7)]
    for writer in writers:
        writer.result()
    assert got[0] == b"f" * 16
    assert sorted(got[1:]) == [b"%016d" % n for n in range(6)]


@pytest.mark.native("a waiter that naps costs some CPU")
@pytest.mark.parametrize("way", ["get", "put", "timed get", "timed put"])
def test_an_idle_waiter_costs_nothing(full, thread, count_switches, way):
    timeout = 60 if "timed" in way else None
    if "get" in way:
        waiter = thread(full.get, msg_type=5, timeout=timeout).wait_blocked()
    else:
        waiter = thread(full.put, b"x", timeout=timeout).wait_blocked()
    cpu, switches = cpu_of(waiter), count_switches(waiter.tid)
    time.sleep(0.5)
    assert cpu_of(waiter) - cpu < 0.002
    assert count_switches(waiter.tid) == switches
    full.close()
    assert isinstance(waiter.outcome(), QueueError)


def waits(queue, times, timeout):
    """CPU seconds that this thread spends on waits in vain."""
    before = time.thread_time()
    for _ in range(times):
        with pytest.raises(Empty):
            queue.get(timeout=timeout)
    return time.thread_time() - before


several_cpus = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="never spins on one CPU")


def test_spin_0_does_not_spin(make, when_blocked):
    queue = make(spin_us=0)
    assert waits(queue, 1, 0.2) < 0.01
    when_blocked(lambda: queue.put("x"))
    assert queue.get() == "x"


@several_cpus
def test_a_spin_lasts_as_long_as_asked(make):
    # The CPU may be taken by others: what sleeps costs a tenth of this.
    assert any(waits(make(spin_us=300_000), 1, 0.4) > 0.003 for _ in range(5))


@several_cpus
def test_a_spin_ends_with_the_timeout(make):
    start = time.monotonic()
    waits(make(spin_us=1_000_000), 1, 0.05)
    assert 0.05 <= time.monotonic() - start < 0.5


@several_cpus
def test_spins_that_do_not_pay_are_given_up(make):
    queue = make(spin_us=3000)
    waits(queue, 40, 0.004)
    assert any(waits(queue, 40, 0.004) / 40 < 0.001 for _ in range(5))


@pytest.mark.native("a waiter that naps costs some CPU")
def test_an_idle_queue_asked_again_and_again_costs_little(make):
    """Ten seconds of it must cost less than 10 ms; one second, generously."""
    queue = make()
    waits(queue, 5, 0.01)
    assert any(waits(queue, 10, 0.1) < 0.01 for _ in range(3))


SPIN = """\
if args[1] == "one":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
options = {"spin_us": int(args[2])} if args[2:] else {}
spinning = Queue(int(args[0]), **options)
before = time.thread_time()
try:
    spinning.get(timeout=0.4)
except queue.Empty:
    print(time.thread_time() - before)
"""


@several_cpus
def test_the_environment_sets_the_spin(make, key, spawn):
    make(key)
    long = {"SYSVMQ_SPIN_US": "300000"}
    assert any(float(spawn(SPIN, key, "all", **long).finish()) > 0.03 for _ in range(5))
    assert float(spawn(SPIN, key, "all", SYSVMQ_SPIN_US="0").finish()) < 0.01


@several_cpus
def test_the_keyword_overrides_the_environment(make, key, spawn):
    make(key)
    assert float(spawn(SPIN, key, "all", 0, SYSVMQ_SPIN_US="300000").finish()) < 0.01
    none = {"SYSVMQ_SPIN_US": "0"}
    assert any(float(spawn(SPIN, key, "all", 300_000, **none).finish()) > 0.03 for _ in range(5))


def test_one_usable_cpu_means_no_spin(make, key, spawn):
    make(key)
    assert float(spawn(SPIN, key, "one", 300_000).finish()) < 0.01


def test_a_message_is_not_missed_in_the_spin(make, thread):
    queue = make(spin_us=1_000_000)
    for number in range(20):
        waiter = thread(queue.get)
        queue.put(number)
        assert waiter.result() == number


@several_cpus
def test_a_spinning_thread_lets_others_run(make, thread):
    queue = make(spin_us=1_000_000)
    waiter = thread(queue.get)
    start, turns = time.monotonic(), 0
    while turns < 1000:
        turns += 1
        time.sleep(0)
    assert time.monotonic() - start < 5
    queue.put("x")
    assert waiter.result() == "x"


@several_cpus
@pytest.mark.parametrize("whole_process", [False, True], ids=["to the thread", "to the process"])
def test_a_signal_in_a_spin_runs_its_handler_at_once(make, handler, thread, whole_process):
    """It does not interrupt the call, as if it had come just before; it may raise."""
    ran = []

    def raising(*_):
        ran.append(time.monotonic())
        raise ZeroDivisionError

    handler(signal.SIGUSR1, raising)
    queue = make(spin_us=1_000_000)

    def shoot():
        time.sleep(0.02)  # into the spin, which no look from outside can tell
        if whole_process:
            os.kill(os.getpid(), signal.SIGUSR1)
        else:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
        return time.monotonic()

    shooter = thread(shoot)
    with pytest.raises(ZeroDivisionError):
        queue.get(timeout=3)
    assert ran[0] - shooter.result() < 0.5


@several_cpus
@pytest.mark.parametrize("end", ["close", "detach"])
def test_the_end_of_the_queue_ends_a_spin(make, thread, end):
    queue = make(spin_us=1_000_000)
    waiter = thread(queue.get)
    time.sleep(0.01)  # into the spin, which no look from outside can tell
    start = time.monotonic()
    getattr(queue, end)()
    assert waiter.outcome().errno == QueueError.INVALID_DESCRIPTOR
    assert waiter.ended - start < 0.5


CAUGHT = """\
def caught():
    for line in open("/proc/self/status"):
        if line.startswith("SigCgt"):
            mask = int(line.split()[1], 16)
            return {n for n in range(signal.SIGRTMIN, signal.SIGRTMAX + 1) if mask >> (n - 1) & 1}
def wait():
    try:
        Queue(int(args[0])).get(timeout=0.2)
    except queue.Empty:
        return True
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
task = f"/proc/self/task/{thread.native_id}/stat"
while open(task).read().rpartition(")")[2].split()[0] != "S":
    time.sleep(0.001)
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


def test_waiting_works_in_a_thread_that_blocks_all_signals(make, key, thread):
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
    start = time.monotonic()
    timed = thread(deaf, lambda: queue.get(timeout=0.1))
    assert isinstance(timed.outcome(), Empty)
    assert timed.ended - start < 5
    waiter = thread(deaf, queue.get).wait_blocked()
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
for _ in range(3000):
    queue.put(queue.get(msg_type=1), msg_type=2)
""",
        key,
    )
    for number in range(3000):
        queue.put(b"%016d" % number)
        assert queue.get(msg_type=2) == b"%016d" % number
    echo.finish()


# The instant before the system call, made 30 ms long: a signal in it is lost to the call.
SLOW_ENTRY = """\
#include <stddef.h>
#include <sys/ipc.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>
static void dawdle(int flags)
{
    struct timespec now, start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (!(flags & IPC_NOWAIT) &&
             (now.tv_sec - start.tv_sec) * 1000000000L + now.tv_nsec - start.tv_nsec < 30000000);
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


@pytest.fixture(scope="module")
def slow_entry(tmp_path_factory):
    """The environment of a process whose calls take long to get into the kernel."""
    folder = tmp_path_factory.mktemp("slow")
    source, library = folder / "slow.c", folder / "slow.so"
    source.write_text(SLOW_ENTRY)
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        pytest.skip("needs a C compiler")
    command = [compiler, "-shared", "-fPIC", "-o", library, source]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot compile the slow entry: {done.stderr}")
    before = os.environ.get("LD_PRELOAD", "")  # a sanitizer, which wants to be the first
    return {"LD_PRELOAD": f"{before} {library}".strip()}


@pytest.mark.native("the way into a sleep")
@pytest.mark.parametrize("way", ["get", "put"])
@pytest.mark.parametrize("end", ["timeout", "detach", "close"])
def test_what_ends_a_wait_is_not_lost_on_the_way_into_it(make, key, spawn, slow_entry, way, end):
    full = make(key, 16, serializer=RawSerializer)
    full.put(b"f" * 16)
    child = spawn(
        """\
slow = Queue(int(args[0]), serializer=RawSerializer, spin_us=0)
timeout = 0.01 if args[2] == "timeout" else None
def wait():
    try:
        if args[1] == "get":
            slow.get(msg_type=7, timeout=timeout)
        else:
            slow.put(b"x", timeout=timeout)
    except (queue.Empty, queue.Full, QueueError) as error:
        print(type(error).__name__)
thread = threading.Thread(target=wait, daemon=True)
start = time.monotonic()
thread.start()
if args[2] != "timeout":
    time.sleep(0.01)
    getattr(slow, args[2])()
thread.join(10)
print(0.03 <= time.monotonic() - start < 5)
""",
        key,
        way,
        end,
        **slow_entry,
    )
    error = "QueueError" if end != "timeout" else {"get": "Empty", "put": "Full"}[way]
    assert child.finish() == f"{error}\nTrue"
