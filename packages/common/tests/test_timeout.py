"""Timeouts: on the monotonic clock, never early, late only by scheduling, and no message lost."""

import contextlib
import ctypes
import decimal
import fractions
import itertools
import os
import queue
import random
import signal
import threading
import time
from pathlib import Path

import pytest

import kind
from harness.calls import Call
from harness.measure import times_out
from harness.tasks import until, until_asleep
from harness.ways import make_stuck
from kind import RawSerializer

RACES = int(os.environ.get(f"{kind.PACKAGE.upper()}_TEST_RACES", "2000"))


@pytest.fixture(params=[None, 0], ids=["spin", "no spin"])
def spin_us(request):
    return request.param


@pytest.fixture(params=["get", "put"])
def waiting(request, make, spin_us):
    """A call that waits for its timeout: get on an empty queue, put on a full one."""
    q = make_stuck(make, request.param, spin_us=spin_us)
    if request.param == "get":
        return lambda timeout, block=True: q.get(block, timeout=timeout)
    return lambda timeout, block=True: q.put(b"x", block, timeout=timeout)


# --- how long ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "timeout", [1e-9, 1e-6, 0.00002, 0.00005, 0.0001, 0.0007, 0.001, 0.003, 0.01, 0.05, 0.3]
)
def test_a_timeout_is_never_early_and_late_only_by_scheduling(waiting, timeout):
    for _ in range(max(1, min(50, int(0.2 / timeout)))):
        times_out(timeout, lambda: waiting(timeout), late=0.02)


def test_a_timeout_that_ends_on_the_way_into_the_wait_is_not_missed(waiting):
    """A single signal that came before the system call would leave it blocked."""
    for number in range(RACES):
        timeout = number % 300 * 1e-7
        started = time.monotonic()
        with pytest.raises((queue.Empty, queue.Full)):
            waiting(timeout)
        assert time.monotonic() - started >= timeout


@pytest.mark.parametrize("budget", [0, 50, 1_000_000])
def test_the_spin_does_not_move_the_deadline(make, budget):
    q = make(spin_us=budget)
    for timeout in (0.00001, 0.001, 0.02, 0.1):
        times_out(timeout, lambda timeout=timeout: q.get(timeout=timeout), late=0.5)


def test_many_short_waits_in_a_row_are_each_in_time(q):
    for _ in range(200):
        times_out(0.002, lambda: q.get(timeout=0.002))


class Index:
    def __index__(self):
        return 0


class Float:
    def __float__(self):
        return 0.01


@pytest.mark.parametrize(
    "timeout",
    [0, False, 0.0, -0.0, Index(), Float(), fractions.Fraction(1, 100), decimal.Decimal("0.01")],
    ids=repr,
)
def test_a_timeout_may_be_any_number(waiting, timeout):
    times_out(0, lambda: waiting(timeout))


def test_true_is_one_second(q):
    times_out(1, lambda: q.get(timeout=True))


def test_timeout_0_is_one_try(waiting, q):
    times_out(0, lambda: waiting(0), late=0.02)
    q.put("there")
    assert q.get(timeout=0) == "there"


@pytest.mark.parametrize("timeout", [1e6, 1e9, 9223372036, 9223372036.0, 2**33], ids=repr)
def test_the_longest_timeouts_wait(make, full, timeout):
    q = make()
    getter = Call(q.get, timeout=timeout).until_asleep()
    q.put("x")
    assert getter.result() == "x"
    putter = Call(full.put, b"second", timeout=timeout).until_asleep()
    assert full.get() == b"f" * 16
    putter.result()
    assert full.get() == b"second"


NOT_LOOKED_AT = [-1, float("nan"), float("inf"), 10**400, "soon", object(), None]


@pytest.mark.parametrize("timeout", NOT_LOOKED_AT, ids=str)
def test_without_blocking_the_timeout_is_not_even_looked_at(waiting, q, timeout):
    times_out(0, lambda: waiting(timeout, False))
    q.put("x", block=False, timeout=timeout)
    assert q.get(block=False, timeout=timeout) == "x"


def test_a_message_ends_the_wait_before_its_time(q, when_asleep):
    when_asleep(lambda: q.put("in time"))
    assert q.get(timeout=200) == "in time"


def test_room_ends_the_wait_before_its_time(full, when_asleep):
    when_asleep(full.get)
    full.put(b"second", timeout=200)
    assert full.get() == b"second"


def test_no_timeout_waits_on_and_on(q):
    waiter = Call(q.get).until_asleep()
    times_out(0.1, lambda: q.get(timeout=0.1))
    waiter.until_asleep()
    q.put("x")
    assert waiter.result() == "x"


# --- nobody else's timeout -----------------------------------------------------------------------


def test_threads_have_deadlines_of_their_own(q):
    long = Call(q.get, timeout=100).until_asleep()

    def work(timeout):
        times_out(timeout, lambda: q.get(timeout=timeout))

    for waiter in [Call(work, timeout) for timeout in (0.3, 0.25, 0.1, 0.1, 0.2, 0.05)]:
        waiter.result()
    long.until_asleep()
    q.put("x")
    assert long.result() == "x"


def test_a_deadline_of_an_earlier_call_does_not_end_a_later_one(q):
    over = threading.Event()

    def work():
        with pytest.raises(queue.Empty):
            q.get(timeout=0.01)
        over.set()
        return q.get()

    getter = Call(work)
    over.wait()
    getter.until_asleep()
    time.sleep(0.05)  # a deadline that is left over is told every millisecond
    getter.until_asleep()
    q.put("late")
    assert getter.result() == "late"


@pytest.mark.parametrize("ending", ["message", "timeout"])
def test_a_timed_wait_leaves_nothing_armed(q, when_asleep, ending):
    """A stray signal would make system calls of others fail with EINTR."""
    if ending == "message":
        when_asleep(lambda: q.put(1))
    for timeout in (0.2, 2, 20):  # the message must come in time
        with contextlib.suppress(queue.Empty):
            q.get(timeout=timeout)
            break
        if ending == "timeout":
            break
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.usleep(int((timeout + 0.1) * 1e6)) == 0


def test_a_timed_wait_disturbs_no_other_thread(q):
    libc = ctypes.CDLL(None, use_errno=True)
    others = [Call(libc.usleep, 300_000) for _ in range(3)]
    for _ in range(30):
        with pytest.raises(queue.Empty):
            q.get(timeout=0.005)
    assert [other.result() for other in others] == [0, 0, 0]


# --- the system ----------------------------------------------------------------------------------


def test_no_timer_follows_the_wall_clock(q):
    timers = Path("/proc/self/timers")
    if not timers.exists():
        pytest.skip("/proc/self/timers needs CONFIG_CHECKPOINT_RESTORE")
    waiter = Call(q.get, timeout=100).until_asleep()
    clocks = [line for line in timers.read_text().splitlines() if "ClockID" in line]
    q.put(1)
    waiter.result()
    assert "ClockID: 0" not in clocks  # CLOCK_REALTIME


def test_where_the_system_has_no_timer_left_a_wait_fails_and_does_not_hang(make, address, spawn):
    make(address, **kind.room(1, 16), serializer=RawSerializer)
    spawn(
        """
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_SIGPENDING)
        resource.setrlimit(resource.RLIMIT_SIGPENDING, (0, hard))
        q = Queue(address(), serializer=RawSerializer)

        def try_in_vain(call, *args):
            try:
                call(*args, timeout=0.1)
            except (queue.Empty, queue.Full):
                pass
            except QueueError as error:
                assert error.errno == QueueError.NO_SYSTEM_RESOURCES, error
            else:
                raise AssertionError("nothing was raised")

        try_in_vain(q.get)
        q.put(b"f" * 16)
        try_in_vain(q.put, b"second")
        assert q.get() == b"f" * 16
        assert q.empty()
        """,
        address,
    ).finish()


# --- races between a message and the timeout -----------------------------------------------------


class Steering:
    """A timeout that meets a delay: shorter after each hit, longer after each miss.

    However slow the machine is: the timeout that makes either as likely lies somewhere between
    a microsecond and 20 seconds, which are 170 steps apart, and so are hits and misses at most.
    """

    def __init__(self):
        self.timeout, self.hits, self.misses = 300e-6, 0, 0

    def __iter__(self):
        for number in itertools.count(1):
            if number > RACES and min(self.hits, self.misses) > RACES / 10:
                return
            yield number, self.timeout * random.uniform(0.8, 1.2)

    def hit(self):
        self.hits += 1
        self.timeout /= 1.1

    def miss(self):
        self.misses += 1
        self.timeout *= 1.1


DELAY = 200e-6
PRECISELY = """
ctypes.CDLL(None).prctl(29, 1, 0, 0, 0)  # PR_SET_TIMERSLACK: 1 ns
data, asked, answered = [Queue(address(number), serializer=RawSerializer) for number in range(3)]
delay = float(args[3])
"""


@pytest.fixture
def racers(make, fresh):
    """The data's queue, which holds one message, and two for the protocol; and their addresses."""
    addresses = [fresh() for _ in range(3)]
    made = [make(each, **kind.room(1, 16), serializer=RawSerializer) for each in addresses]
    return made, addresses


def test_no_message_is_lost_when_it_races_the_timeout(racers, spawn):
    (data, asked, _), addresses = racers
    sender = spawn(
        PRECISELY
        + """
while number := asked.get():
    time.sleep(delay)
    data.put(number)
""",
        *addresses,
        DELAY,
    )
    steering = Steering()
    for number, timeout in steering:
        asked.put(b"%d" % number)
        try:
            got = data.get(timeout=timeout)
            steering.hit()
        except queue.Empty:
            steering.miss()
            got = data.get(timeout=60)
        assert int(got) == number
    asked.put(b"")
    sender.finish()
    assert data.empty()


def test_no_put_is_lost_or_doubled_when_room_races_the_timeout(racers, spawn):
    (data, asked, answered), addresses = racers
    taker = spawn(
        PRECISELY
        + """
while asked.get():
    time.sleep(delay)
    answered.put(data.get(timeout=60))
""",
        *addresses,
        DELAY,
    )
    steering = Steering()
    data.put(b"%016d" % 0)
    for number, timeout in steering:
        asked.put(b"go on")
        try:
            data.put(b"%016d" % number, timeout=timeout)
            steering.hit()
            went = True
        except queue.Full:
            steering.miss()
            went = False
        assert int(answered.get(timeout=60)) == number - 1
        assert data.qsize() == went
        if not went:
            data.put_nowait(b"%016d" % number)
    asked.put(b"")
    taker.finish()
    assert int(data.get()) == number
    assert data.empty()


def test_no_message_is_lost_among_threads_that_keep_timing_out(q):
    """Eight readers and a writer that give up all the time, as often as messages come."""
    enough, done = threading.Event(), threading.Event()
    misses = []

    def read():
        got = []
        while not done.is_set() or not q.empty():
            try:
                got.append(q.get(timeout=0.0001))
            except queue.Empty:
                misses.append(1)
        return got

    def write():
        for number in itertools.count():
            if enough.is_set():
                return number
            while True:
                with contextlib.suppress(queue.Full):
                    q.put(number, timeout=0.00005)
                    break
            if number >= 2 * RACES and len(misses) >= 100:
                enough.set()
            if number % 3 == 0:
                time.sleep(0.00001 * (number % 10))

    readers, writer = [Call(read) for _ in range(8)], Call(write)
    sent = writer.result()
    done.set()
    got = [number for reader in readers for number in reader.result()]
    assert sorted(got) == list(range(sent))


# --- a message that came in time -----------------------------------------------------------------


def interrupt():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)


def test_what_came_in_time_is_found_when_a_handler_ran_beyond_the_deadline(make, handler):
    q = make(on_signal="retry")
    came = []

    def late(*_):
        came.append(time.monotonic())
        q.put("in time")
        while time.monotonic() <= deadline + 0.05:  # beyond the deadline, which is the point
            time.sleep(0.01)

    handler(signal.SIGUSR1, late)
    for timeout in (0.2, 2, 20):  # the handler must begin in time
        came.clear()
        started, timer = time.monotonic(), threading.Timer(timeout / 4, interrupt)
        deadline = started + timeout
        timer.start()
        with contextlib.suppress(queue.Empty):
            assert q.get(timeout=timeout) == "in time"
            return
        timer.join()
        assert not came or came[0] >= deadline
        q.get()
    pytest.fail("the signal never came in time")


READER = """\
timeout = float(args[1])
q = Queue(address())
print(time.monotonic() + timeout, flush=True)
try:
    print(q.get(timeout=timeout))
except queue.Empty:
    print("nothing")
"""


def test_what_came_in_time_while_the_process_was_stopped_is_received(make, spawn, address):
    q = make(address)
    for timeout in (0.4, 4, 40):  # it must be stopped, and sent the message, in time
        reader = spawn(READER, address, timeout)
        deadline = float(reader.line())  # of a clock that all processes share
        slept = False
        with contextlib.suppress(AssertionError):  # it waits no more
            until_asleep(reader.task, deadline - time.monotonic())
            slept = True
        reader.send_signal(signal.SIGSTOP)
        until(lambda reader=reader: stopped_or_ended(reader), "a stop")
        q.put("in time")
        came_in_time = slept and time.monotonic() < deadline
        time.sleep(max(0, deadline + 0.1 - time.monotonic()))
        reader.send_signal(signal.SIGCONT)
        received = reader.finish()
        if came_in_time:
            assert received == "in time"
            return
        if received == "nothing":
            q.get()
    pytest.fail("the message never came in time")


def stopped_or_ended(process):
    """Whether a child of this process is stopped, or has ended."""
    if process.poll() is not None:
        return True
    return os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT | os.WNOHANG) is not None
