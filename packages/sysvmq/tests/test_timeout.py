"""Timeouts: accurate, never early, without polling, and no message lost to one."""

import contextlib
import ctypes
import itertools
import os
import random
import signal
import threading
import time
from pathlib import Path
from queue import Empty, Full

import pytest

from harness.calls import Call
from harness.measure import effort, in_time, times_out
from harness.tasks import until, until_asleep
from sysvmq import RawSerializer

RACES = int(os.environ.get("SYSVMQ_TEST_RACES", "2000"))


def wait(queue, way, timeout):
    """Wait in that way."""
    return queue.get(timeout=timeout) if way == "get" else queue.put(b"x", timeout=timeout)


def in_vain(queue, way, timeout):
    """Wait in that way for what does not come."""
    with pytest.raises((Empty, Full)):
        wait(queue, way, timeout)


@pytest.fixture(params=["get", "put"])
def way(request):
    return request.param


@pytest.fixture(params=[None, 0], ids=["spin", "no spin"])
def stuck(request, make, way):
    """A queue on which that way blocks."""
    queue = make(max_bytes=16, serializer=RawSerializer, spin_us=request.param)
    if way == "put":
        queue.put(b"f" * 16)
    return queue


@pytest.mark.parametrize("timeout", [1e-9, 1e-6, 0.00002, 0.001, 0.01, 0.1])
def test_a_timeout_is_never_early_and_only_a_little_late(stuck, way, timeout):
    for _ in range(2):
        times_out(timeout, lambda: wait(stuck, way, timeout), late=0.02)


def test_timeouts_are_never_early_however_often(stuck, way):
    for number in range(200):
        timeout = number * 7e-6
        times_out(timeout, lambda timeout=timeout: wait(stuck, way, timeout))


def test_a_timeout_that_ends_on_the_way_into_the_wait_is_not_lost(stuck, way):
    """A single signal that comes before the system call would leave it blocked."""
    for number in range(RACES):
        in_vain(stuck, way, number % 100 * 1e-7)


@pytest.mark.native("one sleep a wait")
def test_a_timed_wait_does_not_poll(stuck, way):
    in_vain(stuck, way, 0.01)

    def attempt():
        before = effort()
        in_vain(stuck, way, 0.5)
        return effort() - before

    in_time(attempt, 0.01)


def test_a_timed_wait_in_a_thread_of_its_own_times_out(stuck, way):
    threads = [Call(times_out, 0.05, lambda: wait(stuck, way, 0.05)) for _ in range(4)]
    for waiter in threads:
        waiter.result()


def test_timeout_zero_is_one_try(stuck, way):
    times_out(0, lambda: wait(stuck, way, 0), late=0.02)


def test_timeout_zero_takes_what_is_there(q):
    q.put(1)
    assert q.get(timeout=0) == 1


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "x", None, object()])
def test_without_block_the_timeout_is_not_even_looked_at(stuck, way, timeout):
    if way == "get":
        with pytest.raises(Empty):
            stuck.get(block=False, timeout=timeout)
    else:
        with pytest.raises(Full):
            stuck.put(b"x", block=False, timeout=timeout)
        assert stuck.get(block=False, timeout=timeout) == b"f" * 16
        stuck.put(b"x", block=False, timeout=timeout)


def test_a_message_ends_a_timed_wait(q, when_asleep):
    for timeout in (200, 1e6, 9223372036):
        when_asleep(lambda: q.put("in time"))
        start = time.monotonic()
        assert q.get(timeout=timeout) == "in time"
        assert time.monotonic() - start < 200


def test_room_ends_a_timed_wait(full, when_asleep):
    when_asleep(full.get)
    full.put(b"second", timeout=100)
    assert full.get() == b"second"


def test_a_message_of_another_type_does_not_end_a_timed_wait(q):
    waiter = Call(q.get, msg_type=3, timeout=100).until_asleep()
    q.put("other", msg_type=2)
    waiter.until_asleep()
    q.put("its own", msg_type=3)
    assert waiter.result() == "its own"
    times_out(0.05, lambda: q.get(msg_type=3, timeout=0.05))
    assert q.get_nowait() == "other"


def test_no_timeout_waits_on_and_on(q):
    waiter = Call(q.get).until_asleep()
    timed = Call(q.get, msg_type=5, timeout=0.1)
    assert isinstance(timed.outcome(), Empty)
    assert waiter.is_alive()
    q.put("x")
    assert waiter.result() == "x"


def test_no_timer_follows_the_wall_clock(q):
    timers = Path("/proc/self/timers")
    if not timers.exists():
        pytest.skip("/proc/self/timers needs CONFIG_CHECKPOINT_RESTORE")
    waiter = Call(q.get, timeout=100).until_asleep()
    clocks = [line for line in timers.read_text().splitlines() if "ClockID" in line]
    q.put(1)
    waiter.result()
    assert "ClockID: 0" not in clocks  # CLOCK_REALTIME


@pytest.mark.parametrize("ending", ["message", "timeout"])
def test_a_timed_wait_leaves_nothing_armed(q, when_asleep, ending):
    """A stray signal would make system calls of others fail with EINTR."""
    timeout = 0.1
    if ending == "message":
        when_asleep(lambda: q.put(1))
        for timeout in (0.2, 2, 20):  # the message must come in time
            with contextlib.suppress(Empty):
                q.get(timeout=timeout)
                break
    else:
        in_vain(q, "get", timeout)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.usleep(int((timeout + 0.1) * 1e6)) == 0


def test_a_timed_wait_disturbs_no_other_thread(q):
    libc = ctypes.CDLL(None, use_errno=True)
    others = [Call(libc.usleep, 300_000) for _ in range(3)]
    for _ in range(30):
        with pytest.raises(Empty):
            q.get(timeout=0.005)
    assert [other.result() for other in others] == [0, 0, 0]


def test_many_timed_waits_end_each_at_its_own_time(q):
    long = Call(q.get, timeout=100).until_asleep()
    timeouts = [0.05 * number for number in range(1, 7)]
    waiters = [
        Call(times_out, timeout, lambda timeout=timeout: q.get(timeout=timeout))
        for timeout in reversed(timeouts)
    ]
    for waiter in waiters:
        waiter.result()
    long.until_asleep()
    q.put("x")
    assert long.result() == "x"


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
PRECISELY = "ctypes.CDLL(None).prctl(29, 1, 0, 0, 0)  # PR_SET_TIMERSLACK: 1 ns\n"


def test_no_message_is_lost_when_it_races_the_timeout(make, key, spawn):
    queue, steering = make(key), Steering()
    sender = spawn(
        PRECISELY
        + """\
queue = Queue(int(args[0]))
while number := queue.get(msg_type=2):
    time.sleep(float(args[1]))
    queue.put(number)
""",
        key,
        DELAY,
    )
    for number, timeout in steering:
        queue.put(number, msg_type=2)
        try:
            got = queue.get(msg_type=1, timeout=timeout)
            steering.hit()
        except Empty:
            steering.miss()
            got = queue.get(msg_type=1, timeout=60)
        assert got == number
    queue.put(0, msg_type=2)
    sender.finish()
    assert queue.empty()


def test_no_put_is_lost_or_doubled_when_room_races_the_timeout(make, key, spawn):
    control, steering = make(), Steering()
    data = make(key, 16, serializer=RawSerializer)
    taker = spawn(
        PRECISELY
        + """\
data = Queue(int(args[0]), serializer=RawSerializer)
control = Queue(int(args[1]))
while control.get(msg_type=2):
    time.sleep(float(args[2]))
    control.put(data.get(timeout=60), msg_type=3)
""",
        key,
        control.key,
        DELAY,
    )
    data.put(b"%016d" % 0)
    for number, timeout in steering:
        control.put(True, msg_type=2)
        try:
            data.put(b"%016d" % number, timeout=timeout)
            steering.hit()
            went = True
        except Full:
            steering.miss()
            went = False
        assert control.get(msg_type=3, timeout=60) == b"%016d" % (number - 1)
        assert data.qsize() == went
        if not went:
            data.put_nowait(b"%016d" % number)
    control.put(False, msg_type=2)
    taker.finish()
    assert data.get() == b"%016d" % number
    assert data.empty()


def test_no_message_is_lost_among_threads_that_keep_timing_out(q):
    """Eight readers that give up all the time, one writer: each message once."""
    done = threading.Event()

    def read():
        got = []
        while True:
            try:
                got.append(q.get(timeout=0.0002))
            except Empty:
                if done.is_set():
                    return got

    readers = [Call(read) for _ in range(8)]
    count = RACES // 2
    for number in range(count):
        q.put(number)
    done.set()
    got = [number for reader in readers for number in reader.result()]
    assert sorted(got) == list(range(count))


def test_what_came_in_time_is_found_when_a_handler_ran_beyond_the_deadline(make, handler):
    queue = make(on_signal="retry")
    came = []

    def late(*_):
        came.append(time.monotonic())
        queue.put("in time")
        while time.monotonic() <= deadline + 0.05:  # beyond the deadline, which is the point
            time.sleep(0.01)

    handler(signal.SIGUSR1, late)
    for timeout in (0.2, 2, 20):  # the handler must begin in time
        came.clear()
        started, timer = time.monotonic(), threading.Timer(timeout / 4, shoot)
        deadline = started + timeout
        timer.start()
        with contextlib.suppress(Empty):
            assert queue.get(timeout=timeout) == "in time"
            return
        timer.join()
        assert not came or came[0] >= deadline
        queue.get()
    pytest.fail("the signal never came in time")


def shoot():
    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)


READER = """\
timeout = float(args[1])
waiting = Queue(int(args[0]))
print(time.monotonic() + timeout, flush=True)
try:
    print(waiting.get(timeout=timeout))
except queue.Empty:
    print("nothing")
"""


def test_what_came_in_time_while_the_process_was_stopped_is_received(make, spawn, key):
    queue = make(key)
    for timeout in (0.4, 4, 40):  # it must be stopped, and sent the message, in time
        reader = spawn(READER, key, timeout)
        deadline = float(reader.line())  # of a clock that all processes share
        with contextlib.suppress(AssertionError):  # it waits no more
            until_asleep(reader.task, deadline - time.monotonic())
        reader.send_signal(signal.SIGSTOP)
        until(lambda: os.waitpid(reader.pid, os.WUNTRACED | os.WNOHANG)[0], what="a stop")
        queue.put("in time")
        in_time = time.monotonic() < deadline
        time.sleep(max(0, deadline + 0.1 - time.monotonic()))
        reader.send_signal(signal.SIGCONT)
        received = reader.finish()
        if in_time:
            assert received == "in time"
            return
        if received == "nothing":
            queue.get()
    pytest.fail("the message never came in time")
