"""How waiting looks from outside: order among waiters, what it costs, which signal it takes."""

import os
import queue
import signal
import time

import pytest

import kind
from harness.calls import Call
from harness.errors import is_closed
from harness.measure import effort, in_time
from harness.tasks import cpu_seconds, is_asleep, read, switches, until, until_spinning
from harness.ways import LONG_S, WAYS, make_stuck, wait
from kind import QueueError, RawSerializer

WAITERS = 6
LONG_SPIN_US = 1_000_000  # a spin of a second: what it must not hold up takes less
SPIN_US = f"{kind.PACKAGE.upper()}_SPIN_US"
SIGNAL = f"{kind.PACKAGE.upper()}_SIGNAL"

in_order = pytest.mark.native("first come first served")
sleeps = pytest.mark.native("a waiter that naps costs some CPU")
claims_a_signal = pytest.mark.native("no signal is claimed")
spins = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU: nobody spins")


# --- first come, first served --------------------------------------------------------------------


@in_order
@pytest.mark.parametrize("spin_us", [None, 0], ids=["spin", "no spin"])
@pytest.mark.parametrize("timeouts", [(None,), (100,), (None, 100)], ids=["no", "all", "mixed"])
def test_waiting_readers_are_served_in_the_order_they_came(make, timeouts, spin_us):
    q = make(spin_us=spin_us)
    readers = [
        Call(q.get, timeout=timeouts[number % len(timeouts)]).until_asleep()
        for number in range(WAITERS)
    ]
    for number in range(WAITERS):
        q.put(number)
    assert [reader.result() for reader in readers] == list(range(WAITERS))


@in_order
def test_waiting_processes_are_served_in_the_order_they_came(make, address, spawn):
    q = make(address)
    processes = [
        spawn(f"print(Queue(address()).get(timeout={timeout}))", address).until_asleep()
        for timeout in (None, 100, None, 100)
    ]
    for number in range(4):
        q.put(number)
    assert [process.finish() for process in processes] == ["0", "1", "2", "3"]


@in_order
def test_a_long_wait_keeps_its_place(make):
    """Nothing moves a waiter back while it sleeps, timer ticks included."""
    q = make()
    readers = []
    for timeout in (100, None, 100):
        readers.append(Call(q.get, timeout=timeout).until_asleep())
        time.sleep(0.2)
    for number in range(3):
        q.put(number)
    assert [reader.result() for reader in readers] == [0, 1, 2]


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
    pytest.fail("the first never slept until the second did")


@in_order
def test_a_message_wakes_one_waiter_alone(make):
    q = make()
    readers = [Call(q.get, timeout=timeout).until_asleep() for timeout in (None, 100) * 4]
    before = [switches(reader.task) for reader in readers]
    for number in range(3):
        q.put(number)
        assert readers[number].result() == number
    assert [switches(reader.task) for reader in readers[3:]] == before[3:]
    q.close()
    assert all(is_closed(reader.failure()) for reader in readers[3:])


# --- what it costs -------------------------------------------------------------------------------


def in_vain(call, *args, **kwargs):
    """Make a call that must end by its timeout."""
    with pytest.raises((queue.Empty, queue.Full)):
        call(*args, **kwargs)


@sleeps
@pytest.mark.parametrize("way", WAYS)
def test_an_idle_waiter_costs_nothing(make, way):
    q = make_stuck(make, way)
    waiter = Call(wait, q, way).until_asleep()
    before = cpu_seconds(waiter), switches(waiter.task)
    time.sleep(0.5)
    assert (cpu_seconds(waiter), switches(waiter.task)) == before
    q.close()
    assert is_closed(waiter.failure())


@sleeps
@pytest.mark.parametrize("spin_us", [None, 0], ids=["spin", "no spin"])
@pytest.mark.parametrize("way", [way for way in WAYS if "timed" in way])
def test_a_timed_wait_costs_hardly_more(make, way, spin_us):
    """Under 10 ms of CPU in 10 s are promised; here half a second may cost as much."""
    q = make_stuck(make, way, spin_us=spin_us)

    def attempt():
        before = effort()
        in_vain(wait, q, way, 0.5)
        return effort() - before

    in_time(attempt, 0.010)


@sleeps
def test_an_idle_process_sleeps(make, address, spawn):
    make(address)
    process = spawn("Queue(address()).get()", address).until_asleep()

    def ticks():
        fields = read(f"{process.task}/stat").rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    woken, spent = sum(switches(process.task)), ticks()
    time.sleep(0.5)
    assert sum(switches(process.task)) - woken <= 1
    assert ticks() - spent <= 1


def seconds_awake(q):
    """How long a waiter took until it slept in the queue.

    A spin keeps it awake, and so may a busy machine; nothing makes it sleep before a spin is over.
    """
    started = time.monotonic()
    getter = Call(q.get).until_asleep()
    awake = time.monotonic() - started
    q.put("x")
    assert getter.result() == "x"
    return awake


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


def test_a_spin_that_did_not_pay_is_not_repeated_at_once(make):
    def attempt():
        q = make(spin_us=200_000)
        Call(in_vain, q.get, timeout=0.25).result()
        return seconds_awake(q)

    in_time(attempt, 0.2)


@sleeps
def test_an_idle_queue_asked_again_and_again_costs_little(make):
    """Ten seconds of it must cost less than 10 ms; half of one, and its switches, generously."""
    q = make()
    for _ in range(5):
        in_vain(q.get, timeout=0.01)

    def attempt():
        before = effort()
        for _ in range(10):
            in_vain(q.get, timeout=0.05)
        return effort() - before

    in_time(attempt, 0.03)


# --- the spin ------------------------------------------------------------------------------------


@spins
@pytest.mark.parametrize("spin_us", [1000, 300_000])
def test_nobody_sleeps_before_the_budget_is_spent(make, spin_us):
    assert seconds_awake(make(spin_us=spin_us)) >= spin_us / 1e6


@spins
def test_a_spin_is_spent_on_the_cpu(make):
    q = make(spin_us=LONG_SPIN_US)

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


@spins
def test_the_spin_runs_without_the_gil(make):
    """While one thread spins, the others compute."""

    def attempt():
        q = make(spin_us=LONG_SPIN_US)
        started = time.monotonic()
        getter = Call(q.get)
        until_spinning(getter)
        counted = sum(1 for _ in range(10_000))
        for _ in range(10):
            time.sleep(0)
        taken = time.monotonic() - started
        q.put(counted)
        assert getter.result() == 10_000
        return taken

    in_time(attempt, 0.7)


@pytest.mark.parametrize("spin_us", [None, 0, 1, 50, LONG_SPIN_US])
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


def test_a_message_is_not_missed_in_the_spin(make):
    q = make(spin_us=LONG_SPIN_US)
    for number in range(20):
        getter = Call(q.get)
        q.put(number)
        assert getter.result() == number


def test_a_budget_of_0_spends_nothing_whatever_the_environment_says(make, monkeypatch):
    monkeypatch.setenv(SPIN_US, str(LONG_SPIN_US))
    in_time(lambda: seconds_awake(make(spin_us=0)), 1)


AWAKE = """
if args[1] == "one CPU":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
q = Queue(address(), **json.loads(args[2]))
started = time.monotonic()
getter = threading.Thread(target=q.get)
getter.start()
until_asleep(task_of(getter))
print(q.spin_us, time.monotonic() - started)
q.put("x")
getter.join()
"""


@pytest.fixture
def awake_there(make, address, spawn):
    """A function: the budget and what seconds_awake() says, in a process of its own."""
    make(address)

    def awake_there(options="{}", cpus="all CPUs", **env):
        spin_us, seconds = spawn(AWAKE, address, cpus, options, **env).finish().split()
        return int(spin_us), float(seconds)

    return awake_there


@spins
def test_the_environment_sets_the_budget(awake_there):
    spin_us, seconds = awake_there(**{SPIN_US: "200000"})
    assert spin_us == 200_000
    assert seconds >= 0.2
    assert awake_there(**{SPIN_US: "0"})[0] == 0
    in_time(lambda: awake_there(**{SPIN_US: "0"})[1], 0.2)


@spins
def test_the_keyword_overrides_the_environment(awake_there):
    in_time(lambda: awake_there('{"spin_us": 0}', **{SPIN_US: str(LONG_SPIN_US)})[1], 1)
    assert awake_there('{"spin_us": 200000}', **{SPIN_US: "0"})[1] >= 0.2


def test_with_one_cpu_nobody_spins(awake_there):
    """A spin of a second would keep the waiter from its sleep for so long."""
    in_time(lambda: awake_there('{"spin_us": 1000000}', "one CPU")[1], 1)


@pytest.mark.parametrize("value", ["nonsense", "-1", "1000001", "1.5", "99999999999999999999"])
def test_a_senseless_budget_is_refused(make, address, spawn, value):
    make(address)
    spawn(
        """
        try:
            Queue(address())
        except ValueError as error:
            assert f"{kind.PACKAGE.upper()}_SPIN_US" in str(error), error
        else:
            raise AssertionError("opened")
        Queue(address(), spin_us=10).close()
        """,
        address,
        **{SPIN_US: value},
    ).finish()


# --- the wake-up signal --------------------------------------------------------------------------

WAIT = """
import resource

q = Queue(address())
before = caught_signals()


def claimed():
    # The C library takes signals below these for its threads.
    return {number for number in caught_signals() - before if number >= signal.SIGRTMIN}


def count_sleeps():
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def wait():
    # A busy machine may let the time be over before the wait has come to sleep.
    sleeps = count_sleeps()
    while count_sleeps() == sleeps:
        try:
            q.get(timeout=0.02)
        except queue.Empty:
            pass


def waiting_thread():
    thread = threading.Thread(target=lambda: outcomes.append(refusal(q.get)))
    thread.start()
    until_asleep(task_of(thread))
    return thread


outcomes = []


def end_wait(thread):
    getattr(q, kind.LEAVE)()
    thread.join()
    assert is_closed(outcomes[0])
"""


@pytest.fixture
def waiting_script(make, address, spawn):
    """Run a script with what WAIT defines."""
    make(address)
    return lambda code, *args, **env: spawn(WAIT + code, address, *args, **env).finish()


@claims_a_signal
def test_no_signal_is_claimed_before_a_wait_needs_it(waiting_script):
    waiting_script("""
for timeout in (None, 1):
    q.put(1, timeout=timeout)
    assert q.get(timeout=timeout) == 1
for call in q.get_nowait, lambda: q.get(False), lambda: q.get(timeout=0):
    try:
        call()
    except queue.Empty:
        pass
assert caught_signals() == before
wait()
assert claimed() == {signal.SIGRTMAX - 2}
""")


@claims_a_signal
def test_one_signal_serves_all_waits_and_threads(waiting_script):
    waiting_script("""
for _ in range(3):
    wait()
    thread = threading.Thread(target=wait)
    thread.start()
    thread.join()
    assert claimed() == {signal.SIGRTMAX - 2}
""")


@claims_a_signal
def test_a_signal_in_use_is_never_claimed(waiting_script):
    waiting_script("""
used = []
handler = lambda number, _: used.append(number)
mine = {
    signal.SIGRTMAX - 2: handler, signal.SIGRTMAX - 3: signal.SIG_IGN, signal.SIGRTMAX - 5: handler
}
for number, how in mine.items():
    signal.signal(number, how)
before = caught_signals()
wait()
assert claimed() == {signal.SIGRTMAX - 4}
assert used == []
for number, how in mine.items():
    assert signal.getsignal(number) is how
    signal.raise_signal(number)
assert used == [signal.SIGRTMAX - 2, signal.SIGRTMAX - 5]
""")


@claims_a_signal
@pytest.mark.parametrize("later", ["handler", "SIG_DFL", "SIG_IGN"])
def test_a_program_may_take_the_wake_up_signal_later(waiting_script, later):
    """Its handler stays, and waits go on: the wake-up never kills and never goes missing."""
    code = """
wait()
(number,) = claimed()
handler = {"handler": lambda *_: None}.get(args[1]) or getattr(signal, args[1])
signal.signal(number, handler)
for _ in range(3):
    wait()
assert signal.getsignal(number) is handler
end_wait(waiting_thread())
"""
    waiting_script(code, later)


@claims_a_signal
def test_the_signal_can_be_chosen(waiting_script):
    chosen = signal.SIGRTMIN + 5
    code = """
wait()
assert claimed() == {int(args[1])}
end_wait(waiting_thread())
"""
    waiting_script(code, int(chosen), **{SIGNAL: str(int(chosen))})


TIMED = """
def timed_wait():
    try:
        q.get(timeout=0.05)
    except queue.Empty:
        pass
    except QueueError as error:
        assert f"{kind.PACKAGE.upper()}_SIGNAL" in str(error), error
"""


def test_a_chosen_signal_that_is_in_use_is_not_taken(waiting_script):
    code = """
used = []
number = int(os.environ[f"{kind.PACKAGE.upper()}_SIGNAL"])
signal.signal(number, lambda *_: used.append(1))
timed_wait()
signal.raise_signal(number)
assert used == [1]
"""
    waiting_script(TIMED + code, **{SIGNAL: str(int(signal.SIGRTMIN + 5))})


@pytest.mark.parametrize(
    "value", ["", "nonsense", "0", "-1", "9", "65", "1e3", "99999999999999999999"]
)
def test_a_senseless_choice_breaks_nothing(waiting_script, value):
    code = """
timed_wait()
q.put(1)
assert q.get() == 1
"""
    waiting_script(TIMED + code, **{SIGNAL: value})


def test_a_started_program_does_not_inherit_the_wake_up_signal(waiting_script):
    """A handler does not survive exec, and the signal is neither blocked nor ignored there."""
    waiting_script("""
import subprocess

wait()
code = "print(open('/proc/self/status').read())"
out = subprocess.run([sys.executable, "-I", "-c", code], stdout=-1, text=True).stdout
masks = dict(line.split() for line in out.splitlines() if line[:6] in ("SigBlk", "SigIgn", "SigCgt"))
assert len(masks) == 3
assert not any(int(mask, 16) >> signal.SIGRTMAX - 3 & 1 for mask in masks.values()), masks
""")


def test_the_wake_up_signal_does_not_wake_python(waiting_script):
    """set_wakeup_fd sees the signals of the program, not ours."""
    waiting_script("""
import socket

ours, theirs = socket.socketpair()
for end in (ours, theirs):
    end.setblocking(False)
signal.set_wakeup_fd(theirs.fileno())
wait()
try:
    raise AssertionError(ours.recv(10))
except BlockingIOError:
    pass
""")


@pytest.mark.parametrize("way", ["get", "put"])
def test_waiting_works_in_a_thread_that_blocks_all_signals(make, way):
    """Libraries start such threads, and the wake-up is a signal."""
    q = make_stuck(make, way)

    def deaf(way, timeout):
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        try:
            wait(q, way, timeout)
        finally:
            assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before, "the mask was not kept"

    timed = Call(deaf, f"timed {way}", 0.1)
    assert isinstance(timed.failure(), (queue.Empty, queue.Full))  # it would wait for ever
    waiter = Call(deaf, way, LONG_S).until_asleep()
    getattr(q, kind.LEAVE)()
    assert is_closed(waiter.failure())


def test_interrupted_is_for_signals_of_the_program_alone(make):
    """The library's own wake-ups never show up as an interruption in the main thread."""
    empty = make(serializer=RawSerializer)
    full = make_stuck(make, "put")
    for _ in range(200):
        try:
            in_vain(empty.get, timeout=0.0005)
            in_vain(full.put, b"x", timeout=0.0005)
        except QueueError as error:
            raise AssertionError("interrupted by nobody") from error
