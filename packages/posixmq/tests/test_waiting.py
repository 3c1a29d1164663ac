"""How waiting looks from outside: order among waiters, what it costs, which signal it takes."""

import os
import queue
import signal
import time
from pathlib import Path

import pytest

from harness.calls import Call
from harness.measure import effort, in_time
from harness.tasks import is_asleep, switches, until, until_spinning
from posixmq import QueueError

WAITERS = 6
SPINS = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU: nobody spins")


# --- first come, first served -----------------------------------------------------------------------


@pytest.mark.native("first come first served")
@pytest.mark.parametrize("timeouts", [(None,), (100,), (None, 100)], ids=["no", "all", "mixed"])
def test_waiting_readers_are_served_in_the_order_they_came(make, timeouts):
    q = make()
    readers = [
        Call(q.get, timeout=timeouts[number % len(timeouts)]).until_asleep()
        for number in range(WAITERS)
    ]
    for number in range(WAITERS):
        q.put(number)
    assert [reader.result() for reader in readers] == list(range(WAITERS))


@pytest.mark.native("first come first served")
@pytest.mark.parametrize("timeouts", [(None,), (100,), (None, 100)], ids=["no", "all", "mixed"])
def test_waiting_writers_are_served_in_the_order_they_came(full, timeouts):
    writers = [
        Call(full.put, b"%d" % number, timeout=timeouts[number % len(timeouts)]).until_asleep()
        for number in range(WAITERS)
    ]
    assert full.get() == b"f" * 16
    assert [full.get() for _ in writers] == [b"%d" % number for number in range(WAITERS)]
    for writer in writers:
        writer.result()


@pytest.mark.native("first come first served")
def test_waiting_processes_are_served_in_the_order_they_came(make, spawn):
    q = make(maxsize=4, maxmsgsize=64)
    code = """
        with Queue(sys.argv[1]) as q:
            print(q.get(timeout=None if sys.argv[2] == "None" else 100))
    """
    processes = []
    for number in range(4):
        processes.append(spawn(code, q.name, (None, 100)[number % 2]))
        processes[-1].until_asleep()
    for number in range(4):
        q.put(number)
    assert [process.finish() for process in processes] == ["0", "1", "2", "3"]


@pytest.mark.native("first come first served")
def test_a_long_wait_keeps_its_place(make):
    """Nothing moves a waiter back while it sleeps, timer ticks included."""
    q = make()
    first = Call(q.get, timeout=100).until_asleep()
    time.sleep(0.2)
    second = Call(q.get).until_asleep()
    time.sleep(0.2)
    third = Call(q.get, timeout=100).until_asleep()
    for number in range(3):
        q.put(number)
    assert [first.result(), second.result(), third.result()] == [0, 1, 2]


def test_who_gives_up_leaves_no_gap(make):
    q = make()
    for timeout in (0.3, 3, 30):  # it must not end before both sleep
        first = Call(q.get, timeout=timeout)
        until(lambda first=first: is_asleep(first.task) or first.ended)
        second = Call(q.get).until_asleep()
        both_slept = first.ended is None
        assert isinstance(first.failure(), queue.Empty)
        q.put("x")
        assert second.result() == "x"
        if both_slept:
            return
    pytest.skip("too busy a machine: the first never slept until the second did")


def test_urgent_messages_of_waiting_writers_come_first_once_inside(full):
    writer = Call(full.put, b"urgent", priority=9).until_asleep()
    assert full.get() == b"f" * 16
    writer.result()
    assert full.get() == b"urgent"


# --- what it costs ------------------------------------------------------------------------------------


def in_vain(call, *args, **kwargs):
    """Make a call that must end by its timeout."""
    with pytest.raises((queue.Empty, queue.Full)):
        call(*args, **kwargs)


@pytest.mark.native("first come first served")
def test_a_message_wakes_one_waiter_alone(make):
    q = make()
    readers = [Call(q.get, timeout=t).until_asleep() for t in (None, 100) * 4]
    before = [switches(reader.task) for reader in readers]
    for number in range(3):
        q.put(number)
        assert readers[number].result() == number
    assert [switches(reader.task) for reader in readers[3:]] == before[3:]
    q.close()


@pytest.mark.native("a waiter that naps costs some CPU")
@pytest.mark.parametrize("options", [{}, {"spin_us": 0}], ids=["spin", "no spin"])
def test_an_idle_waiter_costs_no_cpu(make, options):
    """Under 10 ms of CPU in 10 s are promised; here half a second may cost as much."""
    q = make(**options)

    def attempt():
        before = effort()
        in_vain(q.get, timeout=0.5)
        return effort() - before

    in_time(attempt, 0.010)


@pytest.mark.native("a waiter that naps costs some CPU")
def test_an_idle_writer_costs_no_cpu(full):
    def attempt():
        before = effort()
        in_vain(full.put, b"x", timeout=0.5)
        return effort() - before

    in_time(attempt, 0.010)


@pytest.mark.native("a waiter that naps costs some CPU")
def test_an_idle_process_sleeps(make, spawn):
    q = make()
    process = spawn(
        """
        with Queue(sys.argv[1]) as q:
            q.get()
        """,
        q.name,
    )
    process.until_asleep()

    def ticks():
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    woken, spent = sum(switches(process.task)), ticks()
    time.sleep(0.5)
    assert sum(switches(process.task)) - woken <= 1
    assert ticks() - spent <= 1


def test_waiting_in_short_turns_learns_not_to_spin(make):
    """Spins that do not pay are given up: 150 waits of 2 ms with a budget of 2 ms."""
    waits = 150

    def spent(spin_us):
        q = make(spin_us=spin_us)
        before = effort()
        for _ in range(waits):
            in_vain(q.get, timeout=0.002)
        return effort() - before

    in_time(lambda: spent(2000) - spent(0), 0.3 * 0.002 * waits)


def test_with_one_cpu_nobody_spins(spawn, name):
    """A spin of a second would keep the waiter from its sleep for so long."""
    spawn(
        """
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        for _ in range(10):  # others may want the CPU, too
            q = Queue(sys.argv[1], 1, 64, spin_us=1_000_000)
            started = time.monotonic()
            getter = threading.Thread(target=q.get)
            getter.start()
            until_asleep(task_of(getter))
            taken = time.monotonic() - started
            q.put("x")
            getter.join()
            q.unlink()
            q.close()
            if taken < 1:
                sys.exit()
        raise AssertionError("it spins")
        """,
        name,
    ).finish()


def seconds_awake(q):
    """How long a waiter took until it slept in the queue."""
    started = time.monotonic()
    getter = Call(q.get).until_asleep()
    awake = time.monotonic() - started
    q.put("x")
    getter.result()
    return awake


@SPINS
@pytest.mark.parametrize("spin_us", [1000, 300_000])
def test_nobody_sleeps_before_the_budget_is_spent(make, spin_us):
    assert seconds_awake(make(spin_us=spin_us)) >= spin_us / 1e6


@SPINS
def test_a_spin_is_spent_on_the_cpu(make):
    q = make(spin_us=1_000_000)

    def attempt():
        """Look for a while whether a waiter goes to sleep."""
        started = time.monotonic()
        getter = Call(q.get)
        until_spinning(getter)
        before, _ = switches(getter.task)
        time.sleep(0.05)
        slept = switches(getter.task)[0] > before
        taken = time.monotonic() - started
        q.put("x")
        getter.result()
        assert not slept or taken >= 1
        return taken

    in_time(attempt, 1)


def test_a_budget_of_0_spends_nothing_whatever_the_environment_says(make, monkeypatch):
    monkeypatch.setenv("POSIXMQ_SPIN_US", "1000000")
    in_time(lambda: seconds_awake(make(spin_us=0)), 1)


@SPINS
def test_the_spin_runs_without_the_gil(make):
    """While one thread spins, the others compute."""

    def attempt():
        q = make(spin_us=1_000_000)
        started = time.monotonic()
        getter = Call(q.get)
        until_spinning(getter)
        counted = sum(1 for _ in range(10_000))
        taken = time.monotonic() - started
        q.put(counted)
        assert getter.result() == 10_000
        return taken

    in_time(attempt, 1)  # it spins so long


@pytest.mark.parametrize("spin_us", [None, 0, 1, 50, 1_000_000])
def test_every_spin_budget_passes_messages(make, spin_us):
    ask, answer = make(spin_us=spin_us), make(spin_us=spin_us)

    def mirror():
        for _ in range(200):
            answer.put(ask.get())

    mirroring = Call(mirror)
    for number in range(200):
        ask.put(number)
        assert answer.get() == number
    mirroring.result()


SPIN = """
def seconds_awake():
    with Queue(sys.argv[1], 1, 64) as q:
        q.unlink()
        started = time.monotonic()
        getter = threading.Thread(target=q.get)
        getter.start()
        until_asleep(task_of(getter))
        awake = time.monotonic() - started
        q.put("x")
        getter.join()
        return awake


"""


@SPINS
def test_the_environment_sets_the_budget(spawn, name):
    spawn(SPIN + "assert seconds_awake() >= 0.2", name, POSIXMQ_SPIN_US="200000").finish()


def test_the_environment_may_say_that_nobody_spins(spawn, name):
    code = """
        with Queue(sys.argv[1], 1, 64) as q:
            q.unlink()
            assert q.spin_us == 0
        """
    spawn(code, name, POSIXMQ_SPIN_US="0").finish()


# --- the wake-up signal -------------------------------------------------------------------------------

WAIT = """
q = Queue(sys.argv[1], 1, 64)
q.unlink()


def wait():
    try:
        q.get(timeout=0.05)
    except queue.Empty:
        pass


"""


@pytest.mark.native("no signal is claimed")
def test_no_signal_is_claimed_before_a_wait_needs_it(spawn, name):
    spawn(
        WAIT
        + """
before = caught_signals()
q.put(1)
assert q.get() == 1
for call in q.get_nowait, lambda: q.get(False), lambda: q.get(timeout=0):
    try:
        call()
    except queue.Empty:
        pass
assert caught_signals() == before
wait()
assert caught_signals() - before == {signal.SIGRTMAX - 2}
wait()
assert caught_signals() - before == {signal.SIGRTMAX - 2}
""",
        name,
    ).finish()


@pytest.mark.native("no signal is claimed")
def test_a_signal_in_use_is_never_claimed(spawn, name):
    spawn(
        WAIT
        + """
used = []
signal.signal(signal.SIGRTMAX - 2, lambda *_: used.append(1))
signal.signal(signal.SIGRTMAX - 3, signal.SIG_IGN)
before = caught_signals()
wait()
assert caught_signals() - before == {signal.SIGRTMAX - 4}
assert used == []
signal.raise_signal(signal.SIGRTMAX - 2)
signal.raise_signal(signal.SIGRTMAX - 3)
assert used == [1]
""",
        name,
    ).finish()


@pytest.mark.native("no signal is claimed")
def test_the_signal_can_be_chosen(spawn, name):
    chosen = signal.SIGRTMIN + 5
    spawn(
        WAIT
        + """
before = caught_signals()
wait()
assert caught_signals() - before == {int(sys.argv[2])}
getter = threading.Thread(target=lambda: [q.get() for _ in range(1)], daemon=True)
threading.excepthook = lambda *_: None
getter.start()
until_asleep(task_of(getter))
q.close()
getter.join(60)
assert not getter.is_alive()
""",
        name,
        chosen,
        POSIXMQ_SIGNAL=str(int(chosen)),
    ).finish()


def test_a_chosen_signal_that_is_in_use_is_not_taken(spawn, name):
    spawn(
        WAIT
        + """
used = []
number = int(os.environ["POSIXMQ_SIGNAL"])
signal.signal(number, lambda *_: used.append(1))
try:
    q.get(timeout=0.05)
except queue.Empty:
    pass  # it found another one
except QueueError as error:
    assert "POSIXMQ_SIGNAL" in str(error), error
signal.raise_signal(number)
assert used == [1]
""",
        name,
        POSIXMQ_SIGNAL=str(int(signal.SIGRTMIN + 5)),
    ).finish()


@pytest.mark.parametrize(
    "value", ["", "nonsense", "0", "-1", "9", "65", "1e3", "99999999999999999999"]
)
def test_a_senseless_choice_breaks_nothing(spawn, name, value):
    spawn(
        WAIT
        + """
try:
    q.get(timeout=0.05)
except queue.Empty:
    pass
except QueueError as error:
    assert "POSIXMQ_SIGNAL" in str(error), error
q.put(1)
assert q.get() == 1
""",
        name,
        POSIXMQ_SIGNAL=value,
    ).finish()


@pytest.mark.parametrize("value", ["nonsense", "-1", "1000001", "1.5", "99999999999999999999"])
def test_a_senseless_budget_is_refused(spawn, name, value):
    spawn(
        """
        try:
            Queue(sys.argv[1], 1, 64)
        except ValueError as error:
            assert "POSIXMQ_SPIN_US" in str(error), error
        else:
            raise AssertionError("opened")
        Queue(sys.argv[1], 1, 64, spin_us=10).close()
        posixmq.unlink(sys.argv[1])
        """,
        name,
        POSIXMQ_SPIN_US=value,
    ).finish()


def test_the_wake_up_signal_does_not_kill_programs_that_are_started(spawn, name):
    """Handlers do not survive exec, so what the program starts must not inherit the signal."""
    spawn(
        WAIT
        + """
import subprocess

wait()
code = "import signal; print(signal.getsignal(signal.SIGRTMAX - 2) is signal.SIG_DFL)"
out = subprocess.run([sys.executable, "-I", "-c", code], stdout=-1, text=True).stdout
assert out == "True\\n", out
""",
        name,
    ).finish()


def test_other_system_calls_of_the_program_are_not_disturbed(make):
    """The deadline's signal goes to the thread that waits and ends with its call."""
    q = make()

    def wait():
        for _ in range(20):
            with pytest.raises(queue.Empty):
                q.get(timeout=0.002)

    waiting = [Call(wait) for _ in range(3)]
    read, write = os.pipe()
    try:
        started = time.monotonic()
        time.sleep(0.05)
        assert time.monotonic() - started >= 0.05
        os.write(write, b"x")
        assert os.read(read, 1) == b"x"
    finally:
        os.close(read)
        os.close(write)
    for each in waiting:
        each.result()


def test_interrupted_is_for_signals_of_the_program_alone(make):
    """The library's own wake-ups never show up as an interruption in the main thread."""
    q, other = make(), make(maxsize=1)
    other.put("first")
    for _ in range(200):
        try:
            q.get(timeout=0.0005)
        except queue.Empty:
            pass
        except QueueError as error:
            raise AssertionError("interrupted by nobody") from error
        with pytest.raises(queue.Full):
            other.put("x", timeout=0.0005)
