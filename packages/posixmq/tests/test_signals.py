"""Signals that arrive while a call waits: handlers run, nothing is lost, timeouts go on."""

import ctypes
import os
import queue
import random
import signal
import threading
import time
import types

import pytest

from harness.calls import Call
from harness.measure import in_time, times_out
from harness.tasks import is_asleep, main_task, switches, until, until_asleep, until_spinning
from posixmq import QueueError

SIGNAL = signal.SIGUSR1
NEVER = "too busy a machine: the signal was never in time"
SIGNALS = 150  # how many come, each 20 ms after the last
RESTART = pytest.mark.parametrize("restart", [False, True], ids=["plain", "SA_RESTART"])
DIRECTION = pytest.mark.parametrize("direction", ["get", "put"])


class Oops(Exception):
    """What a handler raises."""


@pytest.fixture
def handle():
    """Install a handler and note its calls; everything is put back at the end."""
    before, calls = {}, []

    def handle(action=None, number=SIGNAL, restart=False):
        def handler(got, frame):
            calls.append(got)
            if action is not None:
                action()

        before.setdefault(number, signal.getsignal(number))
        signal.signal(number, handler)
        signal.siginterrupt(number, not restart)
        return calls

    yield handle
    signal.setitimer(signal.ITIMER_REAL, 0)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def poke():
    """Once the main thread sleeps in a queue send it signals, then do something."""
    task = main_task()

    def work(times, number, then):
        for _ in range(times):
            until_asleep(task)
            sleeps, _ = switches(task)
            signal.pthread_kill(threading.main_thread().ident, number)
            until(lambda sleeps=sleeps: switches(task)[0] > sleeps)  # it has been woken
        if then is not None:
            then()

    return lambda then=None, times=1, number=SIGNAL: Call(work, times, number, then)


@pytest.fixture
def scene(make):
    """A queue where the call blocks, that call, what unblocks it, and a look at what is in it."""

    def scene(direction, **options):
        q = make(maxsize=1, **options)
        if direction == "get":
            return q, q.get, lambda: q.put("late"), lambda: [q.get() for _ in range(q.qsize())]
        q.put("first")
        return (
            q,
            lambda timeout=None: q.put("second", timeout=timeout),
            lambda: q.get(),
            lambda: [q.get() for _ in range(q.qsize())],
        )

    return scene


# --- on_signal="raise", which is the default ------------------------------------------------------


@DIRECTION
@pytest.mark.parametrize("options", [{}, {"on_signal": "raise"}], ids=["default", "raise"])
@pytest.mark.parametrize("timeout", [None, 60])
def test_a_handled_signal_interrupts_the_main_thread(
    scene, handle, poke, direction, options, timeout
):
    _, call, _, contents = scene(direction, **options)
    calls = handle()
    poker = poke()
    with pytest.raises(QueueError) as caught:
        call(timeout=timeout)
    poker.result()
    assert caught.value.errno == caught.value.os_errno == QueueError.INTERRUPTED
    assert calls == [SIGNAL], "the handler runs before the call gives up"
    assert contents() == ([] if direction == "get" else ["first"])


def test_an_interruption_says_what_was_interrupted_and_the_way_out(q, handle, poke):
    handle()
    poke()
    with pytest.raises(QueueError) as caught:
        q.get()
    assert q.name in str(caught.value)
    assert "retry" in str(caught.value)


@DIRECTION
def test_an_interrupted_call_may_be_made_again(scene, handle, poke, direction):
    _, call, unblock, contents = scene(direction)
    handle()
    poke()
    with pytest.raises(QueueError):
        call()
    unblock()
    assert call() == ("late" if direction == "get" else None)
    assert contents() == ([] if direction == "get" else ["second"])


# --- on_signal="retry" ------------------------------------------------------------------------------


@DIRECTION
@RESTART
@pytest.mark.parametrize("timeout", [None, 60])
def test_retry_goes_on_waiting(scene, handle, poke, direction, restart, timeout):
    _, call, unblock, contents = scene(direction, on_signal="retry")
    calls = handle(restart=restart)
    poker = poke(unblock, times=3)
    assert call(timeout=timeout) == ("late" if direction == "get" else None)
    poker.result()
    assert calls, "the handler has run when the call returns"
    assert contents() == ([] if direction == "get" else ["second"])


@DIRECTION
def test_retry_runs_each_handler_while_it_waits(scene, handle, poke, direction):
    _, call, unblock, _ = scene(direction, on_signal="retry")
    calls = handle()

    def then():
        until(lambda: len(calls) == 3)
        unblock()

    poker = poke(then, times=3)
    call()
    poker.result()
    assert calls == [SIGNAL] * 3


@DIRECTION
def test_a_handler_may_do_what_the_call_waits_for(scene, handle, poke, direction):
    q, call, unblock, _ = scene(direction, on_signal="retry")
    handle(unblock)
    poker = poke()
    assert call() == ("late" if direction == "get" else None)
    poker.result()
    assert q.qsize() == (0 if direction == "get" else 1)


@DIRECTION
def test_a_timeout_is_not_restarted_by_signals(scene, handle, direction):
    """Were it restarted, it would last as long as the signals come."""
    _, call, _, _ = scene(direction, on_signal="retry")
    calls = []

    def signals_come():
        calls.append(1)
        if len(calls) == SIGNALS:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def wait():
        calls.clear()
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        call(timeout=0.4)

    handle(signals_come, number=signal.SIGALRM)
    while len(calls) <= 3:
        times_out(0.4, wait)


@pytest.fixture
def signalled():
    """Make a call with a timeout, in which a signal comes; return whether it came in time."""
    main = threading.main_thread()
    task = main_task()

    def work(deadline, over):
        until(lambda: is_asleep(task) or over.is_set())
        in_time = not over.is_set() and time.monotonic() < deadline
        if in_time:
            signal.pthread_kill(main.ident, SIGNAL)
        return in_time

    def signalled(call, timeout):
        over = threading.Event()
        sender = Call(work, time.monotonic() + timeout, over)
        try:
            call()
        finally:
            over.set()
            in_time = sender.result()
        return in_time

    return signalled


def test_a_wait_inside_a_handler_leaves_the_outer_deadline_alone(make, handle):
    outer, inner = make(on_signal="retry"), make(on_signal="retry")

    def wait():
        with pytest.raises(queue.Empty):
            inner.get(timeout=0.05)

    calls = handle(wait, number=signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.15)
    while len(calls) < 2:
        times_out(0.5, lambda: outer.get(timeout=0.5))
    signal.setitimer(signal.ITIMER_REAL, 0)


def test_a_handler_that_outlasts_the_timeout_ends_the_wait(make, handle, signalled):
    """It would go on for ever otherwise."""
    q = make(on_signal="retry")
    over = []

    def outlast():
        while time.monotonic() < deadline + 0.1:
            time.sleep(0.01)
        over.append(1)

    def get(timeout):
        with pytest.raises(queue.Empty):
            q.get(timeout=timeout)

    handle(outlast)
    for timeout in (0.2, 2, 20):
        deadline = time.monotonic() + timeout
        if signalled(lambda timeout=timeout: get(timeout), timeout):
            assert over == [1]
            return
    pytest.skip(NEVER)


# --- SA_RESTART: the kernel goes on by itself ------------------------------------------------------


@DIRECTION
@pytest.mark.parametrize("on_signal", ["raise", "retry"])
@pytest.mark.parametrize("timeout", [None, 60])
def test_a_restarting_handler_never_looks_like_a_timeout(
    scene, handle, poke, direction, on_signal, timeout
):
    _, call, unblock, contents = scene(direction, on_signal=on_signal)
    calls = handle(restart=True)
    poker = poke(unblock)
    try:
        assert call(timeout=timeout) == ("late" if direction == "get" else None)
    except QueueError as error:
        assert on_signal == "raise"
        assert error.errno == QueueError.INTERRUPTED
        poker.result()
        assert contents() == (["late"] if direction == "get" else [])
    else:
        poker.result()
        assert contents() == ([] if direction == "get" else ["second"])
    assert calls == [SIGNAL]


@DIRECTION
@pytest.mark.parametrize("on_signal", ["raise", "retry"])
def test_a_restarting_handler_does_not_move_the_timeout(
    scene, handle, signalled, direction, on_signal
):
    _, call, _, _ = scene(direction, on_signal=on_signal)
    calls = handle(restart=True)

    def wait(timeout):
        started = time.monotonic()
        try:
            call(timeout=timeout)
        except (queue.Empty, queue.Full):
            assert timeout <= time.monotonic() - started
        except QueueError as error:
            assert (on_signal, error.errno) == ("raise", QueueError.INTERRUPTED)

    for timeout in (0.3, 3, 30):
        if signalled(lambda timeout=timeout: wait(timeout), timeout):
            assert calls == [SIGNAL]
            return
    pytest.skip(NEVER)


# --- handlers that raise ------------------------------------------------------------------------------


@DIRECTION
@pytest.mark.parametrize("on_signal", ["raise", "retry"])
@pytest.mark.parametrize("timeout", [None, 60])
def test_what_a_handler_raises_passes_through(scene, handle, poke, direction, on_signal, timeout):
    _, call, unblock, contents = scene(direction, on_signal=on_signal)

    def fail():
        raise Oops

    handle(fail)
    poker = poke()
    with pytest.raises(Oops):
        call(timeout=timeout)
    poker.result()
    unblock()
    assert contents() == (["late"] if direction == "get" else [])


@pytest.fixture
def control_c():
    """Let SIGINT raise KeyboardInterrupt; a job in the background of a shell ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@DIRECTION
@pytest.mark.parametrize("on_signal", ["raise", "retry"])
def test_control_c_interrupts_a_wait(scene, control_c, poke, direction, on_signal):
    _, call, unblock, contents = scene(direction, on_signal=on_signal)
    poker = poke(number=signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        call()
    poker.result()
    unblock()
    assert contents() == (["late"] if direction == "get" else [])


def test_control_c_ends_a_program_that_waits(spawn, name):
    process = spawn(
        """
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever started the tests
        with Queue(sys.argv[1], 1, 16) as q:
            q.get()
        """,
        name,
    )
    process.until_asleep()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert err.strip().endswith("KeyboardInterrupt")


def test_control_c_is_heard_during_the_spin(make, control_c):
    main = threading.main_thread()
    ready = threading.Event()

    def press():
        ready.wait()
        until_spinning(main)
        signal.pthread_kill(main.ident, signal.SIGINT)

    def attempt():
        q = make(spin_us=1_000_000)
        ready.clear()
        presser = Call(press)
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            ready.set()
            q.get(timeout=60)
        taken = time.monotonic() - started
        presser.result()
        return taken

    in_time(attempt, 1)  # it spins so long


# --- other threads go on --------------------------------------------------------------------------


@DIRECTION
@RESTART
@pytest.mark.parametrize("on_signal", ["raise", "retry"])
@pytest.mark.parametrize("timeout", [None, 60])
def test_other_threads_always_go_on(scene, handle, direction, restart, on_signal, timeout):
    _, call, unblock, contents = scene(direction, on_signal=on_signal)
    calls = handle(restart=restart)
    waiter = Call(call, timeout=timeout).until_asleep()
    for count in (1, 2, 3):
        signal.pthread_kill(waiter.ident, SIGNAL)
        until(lambda count=count: len(calls) == count)
        waiter.until_asleep()
    unblock()
    assert waiter.result() == ("late" if direction == "get" else None)
    assert contents() == ([] if direction == "get" else ["second"])


def test_signals_do_not_restart_the_timeout_of_other_threads(q, handle):
    """Were it restarted, it would last as long as the signals come."""
    calls = handle()
    over, leave = threading.Event(), threading.Event()

    def get():
        calls.clear()
        q.get(timeout=0.4)

    def wait():
        try:
            while len(calls) <= 3:
                times_out(0.4, get)
        finally:
            over.set()
            leave.wait()  # a thread that has ended takes no signals

    waiter = Call(wait)
    while not over.wait(0.02):
        if len(calls) < SIGNALS:
            signal.pthread_kill(waiter.ident, SIGNAL)
    leave.set()
    waiter.result()


# --- signals and messages at once -------------------------------------------------------------------


@pytest.mark.parametrize("on_signal", ["raise", "retry"])
def test_a_storm_of_signals_loses_no_message(make, handle, on_signal):
    ask, answer = make(maxsize=2, on_signal=on_signal), make(maxsize=2)
    count = int(os.environ.get("POSIXMQ_TEST_MESSAGES", "12000")) // 12

    def mirror():
        for _ in range(count):
            answer.put(ask.get())

    def persist(call, *args):
        while True:
            try:
                return call(*args)
            except QueueError as error:
                assert error.errno == QueueError.INTERRUPTED

    calls = handle(number=signal.SIGALRM)
    mirroring = Call(mirror)
    signal.setitimer(signal.ITIMER_REAL, 0.0003, 0.0003)
    got = []
    for number in range(count):
        persist(ask.put, number)
        got.append(persist(answer.get))
    signal.setitimer(signal.ITIMER_REAL, 0)
    mirroring.result()
    assert got == list(range(count))
    assert calls


def test_signals_without_a_handler_do_not_end_a_wait(spawn, make):
    q = make()
    process = spawn(
        """
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        with Queue(sys.argv[1]) as q:
            print(q.get(timeout=100))
        """,
        q.name,
    )
    process.until_asleep()
    for number in (signal.SIGUSR2, signal.SIGCHLD, signal.SIGWINCH, signal.SIGURG):
        process.send_signal(number)
    process.until_asleep()
    q.put("there")
    assert process.finish() == "there"


def test_stopping_and_continuing_a_process_does_not_end_its_wait(spawn, make):
    q = make()
    process = spawn(
        """
        with Queue(sys.argv[1]) as q:
            print(q.get(timeout=100))
        """,
        q.name,
    )

    def state():
        with open(f"/proc/{process.pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]

    for _ in range(3):
        process.until_asleep()
        process.send_signal(signal.SIGSTOP)
        until(lambda: state() == "T")
        process.send_signal(signal.SIGCONT)
        until(lambda: state() != "T")
    process.until_asleep()
    q.put("there")
    assert process.finish() == "there"


def test_a_signal_does_not_turn_a_ready_call_into_an_interruption(q, handle):
    """Nothing waits here, so there is nothing to interrupt."""
    calls = handle(number=signal.SIGALRM)
    signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        number = random.random()
        q.put(number)
        assert q.get() == number
        with pytest.raises(queue.Empty):
            q.get_nowait()
        with pytest.raises(queue.Empty):
            q.get(timeout=0)
    assert calls


def test_a_signal_during_a_short_timeout_is_never_lost(make, handle):
    """Whoever raises is told; whoever retries waits on; the handler runs in any case."""
    q = make(on_signal="raise")
    calls = handle(number=signal.SIGALRM)
    outcomes = {"timeout": 0, "signal": 0}
    for _ in range(300):
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        before = len(calls)
        try:
            q.get(timeout=0.001)
        except queue.Empty:
            outcomes["timeout"] += 1
        except QueueError as error:
            assert error.errno == QueueError.INTERRUPTED
            assert len(calls) == before + 1
            outcomes["signal"] += 1
        signal.setitimer(signal.ITIMER_REAL, 0)
    assert sum(outcomes.values()) == 300


@pytest.mark.parametrize("way", ["get", "receive", "get_many"])
def test_control_c_while_a_message_fails_to_decode_is_heard(make, control_c, way):
    """loads is C code, so that the handler runs only when the next Python code does."""
    interrupt_and_fail = ctypes.pythonapi["PyErr_SetInterrupt"]
    interrupt_and_fail.restype = bytes.fromhex  # a TypeError for any int
    serializer = types.SimpleNamespace(dumps=bytes, loads=interrupt_and_fail)
    q = make(serializer=serializer)
    q.put(b"precious")
    with pytest.raises(KeyboardInterrupt) as caught:
        getattr(q, way)()
    assert (caught.value.data, caught.value.priority) == (b"precious", 0)
    assert isinstance(caught.value.__context__, TypeError)
    assert q.empty()
