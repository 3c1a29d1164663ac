"""Signals that arrive while a call waits: handlers run, nothing is lost, timeouts go on."""

import ctypes
import mmap
import os
import queue
import random
import signal
import sys
import threading
import time
import types

import pytest

import kind
from harness.calls import Call
from harness.measure import in_time, times_out
from harness.tasks import (
    is_asleep,
    main_task,
    read,
    switches,
    task_of,
    until,
    until_asleep,
    until_spinning,
)
from harness.ways import LONG_S, end_wait, make_stuck, wait
from kind import MARK, QueueError

MAIN = threading.main_thread().ident
MESSAGES = int(os.environ.get(f"{kind.PACKAGE.upper()}_TEST_MESSAGES", "12000"))

every_way = pytest.mark.parametrize("way", ["get", "put", "timed get", "timed put"])
either_policy = pytest.mark.parametrize("on_signal", ["raise", "retry"])
# Where a handler must run during the wait: SA_RESTART lets some kernels' calls go on without it.
where_it_runs = pytest.mark.parametrize(
    "restart",
    [False, True] if kind.SA_RESTART_INTERRUPTS else [False],
    ids=["EINTR", "SA_RESTART"][: 1 + kind.SA_RESTART_INTERRUPTS],
)
either_restart = pytest.mark.parametrize("restart", [False, True], ids=["EINTR", "SA_RESTART"])


def interrupt(number=signal.SIGUSR1):
    signal.pthread_kill(MAIN, number)


def interrupted(call, *args, **kwargs):
    """The error of a call that a signal interrupts."""
    with pytest.raises(QueueError) as caught:
        call(*args, **kwargs)
    assert caught.value.errno == caught.value.os_errno == QueueError.INTERRUPTED
    return caught.value


@pytest.fixture
def noted(handler):
    """A function: install a handler of SIGUSR1; the list that it returns holds its calls."""

    def noted(restart=False, number=signal.SIGUSR1):
        calls = []
        handler(number, lambda got, _: calls.append(got), restart)
        return calls

    return noted


@pytest.fixture
def timer():
    """setitimer of the real time, which is stopped at the end."""
    yield lambda *times: signal.setitimer(signal.ITIMER_REAL, *times)
    signal.setitimer(signal.ITIMER_REAL, 0)


# --- on_signal="raise", which is the default -----------------------------------------------------


@every_way
@pytest.mark.parametrize("options", [{}, {"on_signal": "raise"}], ids=["default", "raise"])
@where_it_runs
def test_a_handled_signal_interrupts_the_main_thread(
    make, noted, when_asleep, way, options, restart
):
    q = make_stuck(make, way, **options)
    size, calls = q.qsize(), noted(restart)
    when_asleep(interrupt)
    interrupted(wait, q, way)
    assert calls == [signal.SIGUSR1], "the handler runs before the call gives up"
    assert q.qsize() == size


@pytest.mark.parametrize("timeout", [200, 9e9])
def test_an_interruption_is_not_mistaken_for_a_timeout(q, noted, when_asleep, timeout):
    noted()
    when_asleep(interrupt)
    interrupted(q.get, timeout=timeout)


def test_an_interruption_says_what_was_interrupted_and_the_way_out(
    make, address, noted, when_asleep
):
    q = make(address)
    noted()
    when_asleep(interrupt)
    words = str(interrupted(q.get))
    assert str(address) in words
    assert "retry" in words


@every_way
def test_an_interrupted_call_may_be_made_again(make, noted, when_asleep, way):
    q = make_stuck(make, way)
    calls = noted()
    for number in range(1, 6):
        when_asleep(interrupt)
        interrupted(wait, q, way)
        assert len(calls) == number
    when_asleep(lambda: end_wait(q, way))
    assert wait(q, way) in (None, b"x")
    assert q.qsize() == ("put" in way)


# --- on_signal="retry" ---------------------------------------------------------------------------


@every_way
@where_it_runs
def test_retry_runs_each_handler_while_it_waits_and_goes_on(make, noted, when_asleep, way, restart):
    q, calls, task = make_stuck(make, way, on_signal="retry"), noted(restart), task_of()

    def disturb():
        for number in range(1, 4):
            interrupt()
            until(lambda number=number: len(calls) == number, "the handler")
            until_asleep(task)
        end_wait(q, way)

    when_asleep(disturb)
    assert wait(q, way) in (None, b"x")
    assert calls == [signal.SIGUSR1] * 3
    assert q.qsize() == ("put" in way)


@every_way
@where_it_runs
def test_a_handler_may_do_what_the_call_waits_for(make, handler, when_asleep, way, restart):
    q = make_stuck(make, way, on_signal="retry")
    handler(signal.SIGUSR1, lambda *_: end_wait(q, way), restart)
    when_asleep(interrupt)
    assert wait(q, way) in (None, b"x")
    assert q.qsize() == ("put" in way)


@where_it_runs
def test_a_handler_may_take_the_message_away(make, handler, when_asleep, restart):
    q, taken = make(on_signal="retry"), []

    def take(*_):
        q.put("first")
        taken.append(q.get())
        q.put("second")

    handler(signal.SIGUSR1, take, restart)
    when_asleep(interrupt)
    assert q.get() == "second"
    assert taken == ["first"]


@where_it_runs
def test_a_handler_may_wait_on_the_queue_that_waits(make, handler, when_asleep, restart):
    q, inner = make(on_signal="retry"), []

    def nested(*_):
        with pytest.raises(queue.Empty):
            q.get(timeout=0.1)
        inner.append(1)
        q.put("outer")

    handler(signal.SIGUSR1, nested, restart)
    when_asleep(interrupt)
    assert q.get(timeout=200) == "outer"
    assert inner == [1]


# --- timeouts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["timed get", "timed put"])
@either_restart
def test_a_timeout_is_not_restarted_by_signals(make, noted, way, restart):
    """They come as long as it waits: were it restarted, it would never end."""
    q, calls, over = make_stuck(make, way, on_signal="retry"), noted(restart), threading.Event()

    def disturb():
        while not over.wait(0.02):
            interrupt()

    noise = Call(disturb)
    try:
        while len(calls) <= 3:
            times_out(0.4, lambda: wait(q, way, 0.4))
    finally:
        over.set()
        noise.result()


@pytest.fixture
def signalled():
    """A function: make a call that waits so long; return whether a signal came in time."""

    def signalled(call, timeout):
        over, deadline = threading.Event(), time.monotonic() + timeout

        def shoot():
            until(lambda: over.is_set() or is_asleep(main_task()), "the test to sleep")
            came_in_time = not over.is_set() and time.monotonic() < deadline
            if came_in_time:
                interrupt()
            return came_in_time

        shooter = Call(shoot)
        try:
            call(timeout)
        finally:
            over.set()
            came_in_time = shooter.result()
        return came_in_time

    return signalled


@either_restart
@pytest.mark.parametrize("same", [True, False], ids=["the same queue", "another queue"])
def test_a_timeout_survives_a_handler_that_waits_too(make, handler, signalled, restart, same):
    """It would be lost with the timeout of the handler's wait, and the wait never end."""
    outer, nested = make(on_signal="retry"), []
    inner = outer if same else make(on_signal="retry")

    def nest(*_):
        with pytest.raises(queue.Empty):
            inner.get(timeout=0.05)
        nested.append(1)

    handler(signal.SIGUSR1, nest, restart)

    def call(timeout):
        times_out(timeout, lambda: outer.get(timeout=timeout))

    assert any(signalled(call, timeout) for timeout in (0.2, 2, 20))
    assert nested


@either_restart
def test_a_handler_that_outlasts_the_timeout_ends_the_wait(make, handler, signalled, restart):
    """It would go on for ever otherwise."""
    q, outlasted = make(on_signal="retry"), []

    def outlast(*_):
        end = time.monotonic() + lasting
        while time.monotonic() < end:
            time.sleep(0.01)
        outlasted.append(1)

    def call(timeout):
        with pytest.raises(queue.Empty):
            q.get(timeout=timeout)

    handler(signal.SIGUSR1, outlast, restart)
    for lasting in (0.2, 2, 20):
        if signalled(call, lasting / 2):
            break
    assert outlasted == [1]


@pytest.mark.parametrize("way", ["timed get", "timed put"])
@either_policy
def test_a_restarting_handler_does_not_move_the_timeout(make, noted, signalled, way, on_signal):
    q, calls = make_stuck(make, way, on_signal=on_signal), noted(restart=True)

    def call(timeout):
        started = time.monotonic()
        try:
            wait(q, way, timeout)
        except (queue.Empty, queue.Full):
            assert timeout <= time.monotonic() - started
        except QueueError as error:
            assert (on_signal, error.errno) == ("raise", QueueError.INTERRUPTED)

    assert any(signalled(call, timeout) for timeout in (0.3, 3, 30))
    assert calls == [signal.SIGUSR1]


@every_way
@either_policy
def test_a_restarting_handler_never_looks_like_a_timeout(make, noted, when_asleep, way, on_signal):
    """The call goes on or says that it was interrupted; the message is there or was taken."""
    q, calls, task = make_stuck(make, way, on_signal=on_signal), noted(restart=True), main_task()

    def disturb():
        sleeps, _ = switches(task)
        interrupt()
        until(lambda: switches(task)[0] > sleeps)  # it has been woken
        end_wait(q, way)

    disturber = when_asleep(disturb)
    returned = True
    try:
        assert wait(q, way) in (None, b"x")
    except QueueError as error:
        assert (on_signal, error.errno) == ("raise", QueueError.INTERRUPTED)
        returned = False
    disturber.result()
    assert q.qsize() == (returned if "put" in way else not returned)
    assert calls == [signal.SIGUSR1]


# --- handlers that raise -------------------------------------------------------------------------


@every_way
@either_policy
@where_it_runs
def test_what_a_handler_raises_passes_through(make, handler, when_asleep, way, on_signal, restart):
    def fail(*_):
        raise ZeroDivisionError("from the handler")

    handler(signal.SIGUSR1, fail, restart)
    q = make_stuck(make, way, on_signal=on_signal)
    size = q.qsize()
    when_asleep(interrupt)
    with pytest.raises(ZeroDivisionError, match="from the handler"):
        wait(q, way)
    assert q.qsize() == size


@every_way
@either_policy
def test_control_c_is_a_keyboard_interrupt(make, handler, when_asleep, way, on_signal):
    handler(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    q = make_stuck(make, way, on_signal=on_signal)
    size = q.qsize()
    when_asleep(lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        wait(q, way)
    assert q.qsize() == size


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_ends_a_program_ends_its_wait(make, address, spawn, number):
    make(address)
    child = spawn(
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests
        Queue(address(), on_signal="retry").get()
        """,
        address,
    ).until_asleep()
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    assert child.returncode == -number
    assert err.strip().endswith("KeyboardInterrupt") == (number == signal.SIGINT)


@pytest.mark.parametrize("whole_process", [False, True], ids=["to the thread", "to the process"])
def test_a_signal_in_a_spin_runs_its_handler_at_once(make, handler, whole_process):
    """It does not interrupt the call, as if it had come just before; it may raise."""
    ready = threading.Event()
    handler(signal.SIGINT, signal.default_int_handler)

    def press():
        ready.wait()
        until_spinning(threading.main_thread())
        if whole_process:
            os.kill(os.getpid(), signal.SIGINT)
        else:
            interrupt(signal.SIGINT)

    def attempt():
        q = make(spin_us=1_000_000)
        ready.clear()
        presser, started = Call(press), time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            ready.set()
            q.get(timeout=100)
        taken = time.monotonic() - started
        presser.result()
        return taken

    in_time(attempt, 0.7)  # it spins for a second


@pytest.mark.parametrize("way", ["get", "receive", "get_many"])
def test_control_c_while_a_message_fails_to_decode_is_heard(make, handler, way):
    """loads is C code, so that the handler runs only when the next Python code does."""
    handler(signal.SIGINT, signal.default_int_handler)
    interrupt_and_fail = ctypes.pythonapi["PyErr_SetInterrupt"]
    interrupt_and_fail.restype = bytes.fromhex  # a TypeError for any int
    q = make(serializer=types.SimpleNamespace(dumps=bytes, loads=interrupt_and_fail))
    q.put(b"precious")
    with pytest.raises(KeyboardInterrupt) as caught:
        getattr(q, way)()
    assert (caught.value.data, getattr(caught.value, MARK)) == (b"precious", kind.DEFAULT_MARK)
    assert isinstance(caught.value.__context__, TypeError)
    assert q.empty()


# --- other threads go on -------------------------------------------------------------------------


@every_way
@either_policy
@either_restart
def test_other_threads_always_go_on(make, noted, way, on_signal, restart):
    q, calls = make_stuck(make, way, on_signal=on_signal), noted(restart)
    waiter = Call(wait, q, way).until_asleep()
    for number in range(1, 4):
        signal.pthread_kill(waiter.ident, signal.SIGUSR1)
        until(lambda number=number: len(calls) == number, "the handler")
        waiter.until_asleep()
    end_wait(q, way)
    assert waiter.result() in (None, b"x")
    assert q.qsize() == ("put" in way)


@either_restart
def test_signals_do_not_restart_the_timeout_of_other_threads(q, noted, restart):
    """Were it restarted, it would last as long as the signals come."""
    calls, over, leave = noted(restart), threading.Event(), threading.Event()

    def work():
        try:
            while len(calls) <= 3:
                times_out(0.4, lambda: q.get(timeout=0.4))
        finally:
            over.set()
            leave.wait()  # no signal may be sent to a thread that has ended

    waiter = Call(work)
    while not over.wait(0.02):
        signal.pthread_kill(waiter.ident, signal.SIGUSR1)
    leave.set()
    waiter.result()


# --- signals without a handler -------------------------------------------------------------------


def test_signals_without_a_handler_do_not_end_a_wait(make, address, spawn):
    q = make(address)
    process = spawn(
        """
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        print(Queue(address()).get(timeout=100))
        """,
        address,
    ).until_asleep()
    for number in (signal.SIGUSR2, signal.SIGCHLD, signal.SIGWINCH, signal.SIGURG):
        process.send_signal(number)
    process.until_asleep()
    q.put("there")
    assert process.finish() == "there"


@pytest.mark.parametrize("timeout", [None, 200])
def test_a_stopped_process_waits_on_when_it_is_continued(make, address, spawn, timeout):
    """Some system calls fail with EINTR after SIGCONT though no handler has run, signal(7)."""
    q = make(address)
    code = f"print(Queue(address(), on_signal='retry').get(timeout={timeout}))"
    process = spawn(code, address)

    def is_stopped():
        return read(f"{process.task}/stat").rpartition(")")[2].split()[0] == "T"

    for _ in range(3):
        process.until_asleep()
        process.send_signal(signal.SIGSTOP)
        until(is_stopped)
        process.send_signal(signal.SIGCONT)
        until(lambda: not is_stopped())
    process.until_asleep()
    q.put("still there")
    assert process.finish() == "still there"


# --- signals and messages at once ----------------------------------------------------------------


@either_policy
def test_a_storm_of_signals_loses_no_message(make, noted, timer, on_signal):
    ask, answer = make(on_signal=on_signal), make()
    calls, count, got = noted(number=signal.SIGALRM), MESSAGES // 12, []

    def mirror():
        for _ in range(count):
            answer.put(ask.get())

    def persist(call, *args):
        while True:
            try:
                return call(*args)
            except QueueError as error:
                assert error.errno == QueueError.INTERRUPTED

    mirroring = Call(mirror)
    timer(0.0003, 0.0003)
    for number in range(count):
        persist(ask.put, number)
        got.append(persist(answer.get))
    timer(0)
    mirroring.result()
    assert got == list(range(count))
    assert calls


def test_calls_that_need_not_wait_are_not_interrupted(q, noted, timer):
    """The handler runs, at the latest right after, and the work is done."""
    calls = noted(number=signal.SIGALRM)
    timer(0.0001, 0.0001)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        number = random.random()
        interrupt(signal.SIGALRM)
        q.put(number)
        interrupt(signal.SIGALRM)
        assert q.get() == number
        for call in (q.get_nowait, lambda: q.get(timeout=0)):
            with pytest.raises(queue.Empty):
                call()
    assert calls


def test_a_signal_during_a_short_timeout_is_never_lost(q, noted, timer):
    """The wait ends by the timeout or by the signal; the handler has run in the latter case."""
    calls = noted(number=signal.SIGALRM)
    for _ in range(300):
        timer(0.001)
        before = len(calls)
        try:
            q.get(timeout=0.001)
        except queue.Empty:
            pass
        except QueueError as error:
            assert error.errno == QueueError.INTERRUPTED
            assert len(calls) == before + 1
        timer(0)


SHOOTER = """\
import random, mmap
path, rounds, reach, target = args[1], int(args[2]), float(args[3]), os.getppid()
q, lost = Queue(address()), 0
with open(path, "r+b") as file:
    entered_handled = memoryview(mmap.mmap(file.fileno(), 8)).cast("I")

def sleeps_on():
    # Whether the signal is no longer on its way, and the target sleeps in the queue.
    status = read(f"/proc/{target}/status").splitlines()
    pending = [int(line.split()[1], 16) for line in status if line[:7] in ("SigPnd:", "ShdPnd:")]
    return not any(pending) and is_asleep(f"/proc/{target}")

for number in range(rounds):
    while entered_handled[0] == number:
        os.sched_yield()
    end = time.perf_counter() + random.uniform(0, reach)
    while time.perf_counter() < end:
        pass
    os.kill(target, signal.SIGUSR1)
    while entered_handled[1] == number:
        if sleeps_on() and entered_handled[1] == number:
            lost += 1
            break
    q.put(number)
print(lost)
"""


@pytest.mark.parametrize(("spin_us", "reach"), [(0, 20e-6), (None, 100e-6), (100, 200e-6)])
def test_a_signal_at_any_moment_runs_its_handler_at_once(
    make, handler, address, spawn, tmp_path, spin_us, reach
):
    """Shots in the dark around the entry into the wait.

    As in Python's own waits, there is an instant between the last look at the signals
    and the system call; all other moments must be safe.
    """
    q, rounds, path = make(address, on_signal="retry", spin_us=spin_us), 120, tmp_path / "shared"
    path.write_bytes(bytes(8))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 8) as memory:

        def count(*_):
            handled = int.from_bytes(memory[4:8], sys.byteorder)
            memory[4:8] = (handled + 1).to_bytes(4, sys.byteorder)

        handler(signal.SIGUSR1, count)
        shooter = spawn(SHOOTER, address, path, rounds, reach)
        for number in range(rounds):
            memory[0:4] = (number + 1).to_bytes(4, sys.byteorder)
            assert q.get(timeout=LONG_S) == number
        assert int(shooter.finish()) <= rounds / 20
        assert int.from_bytes(memory[4:8], sys.byteorder) == rounds
