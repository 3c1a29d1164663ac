"""Timeouts: accurate, never early, without polling, and no message lost to one."""

import ctypes
import os
import random
import resource
import signal
import threading
import time
from pathlib import Path
from queue import Empty, Full

import pytest

from sysvmq import RawSerializer

RACES = int(os.environ.get("SYSVMQ_TEST_RACES", "4000"))


def timed_out(queue, way, timeout):
    """Nanoseconds that a call took that must time out."""
    start = time.monotonic_ns()
    if way == "get":
        with pytest.raises(Empty):
            queue.get(timeout=timeout)
    else:
        with pytest.raises(Full):
            queue.put(b"x", timeout=timeout)
    return time.monotonic_ns() - start


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
    took = [timed_out(stuck, way, timeout) / 1e9 for _ in range(6)]
    assert min(took) >= timeout
    assert min(took) < timeout + 0.02


def test_timeouts_are_never_early_however_often(stuck, way):
    for number in range(300):
        timeout = number * 7e-6
        assert timed_out(stuck, way, timeout) >= int(timeout * 1e9)


def test_a_timeout_that_ends_on_the_way_into_the_wait_is_not_lost(stuck, way):
    """A single signal that comes before the system call would leave it blocked."""
    for number in range(5000):
        timed_out(stuck, way, number % 100 * 1e-7)


@pytest.mark.native("one sleep a wait")
def test_a_timed_wait_does_not_poll(stuck, way):
    timed_out(stuck, way, 0.01)
    before = resource.getrusage(resource.RUSAGE_THREAD)
    took = timed_out(stuck, way, 1)
    after = resource.getrusage(resource.RUSAGE_THREAD)
    assert took >= 1e9
    assert after.ru_nvcsw - before.ru_nvcsw <= 6
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 0.02


def test_a_timed_wait_in_a_thread_of_its_own_times_out(stuck, way, thread):
    threads = [thread(timed_out, stuck, way, 0.05) for _ in range(4)]
    for waiter in threads:
        assert 0.05 <= waiter.result() / 1e9 < 5


def test_timeout_zero_is_one_try(stuck, way):
    assert min(timed_out(stuck, way, 0) for _ in range(5)) < 20e6


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


def test_a_message_ends_a_timed_wait(q, when_blocked):
    for timeout in (15, 1e6, 9223372036):
        when_blocked(lambda: q.put("in time"))
        start = time.monotonic()
        assert q.get(timeout=timeout) == "in time"
        assert time.monotonic() - start < 10


def test_room_ends_a_timed_wait(full, when_blocked):
    when_blocked(full.get)
    full.put(b"second", timeout=15)
    assert full.get() == b"second"


def test_a_message_of_another_type_does_not_end_a_timed_wait(q, when_blocked):
    when_blocked(lambda: q.put("other", msg_type=2))
    start = time.monotonic()
    with pytest.raises(Empty):
        q.get(msg_type=3, timeout=0.2)
    assert time.monotonic() - start >= 0.2
    assert q.get_nowait() == "other"


def test_no_timeout_waits_on_and_on(q, thread):
    waiter = thread(q.get).wait_blocked()
    timed = thread(q.get, msg_type=5, timeout=0.3)
    assert isinstance(timed.outcome(), Empty)
    assert waiter.is_alive()
    q.put("x")
    assert waiter.result() == "x"


def test_no_timer_follows_the_wall_clock(q, thread):
    timers = Path("/proc/self/timers")
    if not timers.exists():
        pytest.skip("/proc/self/timers needs CONFIG_CHECKPOINT_RESTORE")
    waiter = thread(q.get, timeout=15).wait_blocked()
    clocks = [line for line in timers.read_text().splitlines() if "ClockID" in line]
    q.put(1)
    waiter.result()
    assert "ClockID: 0" not in clocks  # CLOCK_REALTIME


@pytest.mark.parametrize("ending", ["message", "timeout"])
def test_a_timed_wait_leaves_nothing_armed(q, when_blocked, ending):
    """A stray signal would make system calls of others fail with EINTR."""
    if ending == "message":
        when_blocked(lambda: q.put(1))
        q.get(timeout=0.5)
    else:
        with pytest.raises(Empty):
            q.get(timeout=0.1)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.usleep(600_000) == 0


def test_a_timed_wait_disturbs_no_other_thread(q, thread):
    libc = ctypes.CDLL(None, use_errno=True)
    others = [thread(libc.usleep, 400_000) for _ in range(3)]
    for _ in range(30):
        with pytest.raises(Empty):
            q.get(timeout=0.005)
    assert [other.result() for other in others] == [0, 0, 0]


def test_many_timed_waits_end_each_at_its_own_time(q, thread):
    start = time.monotonic()
    timeouts = [0.05 * number for number in range(1, 9)]
    threads = [thread(q.get, timeout=timeout) for timeout in reversed(timeouts)]
    for waiter, timeout in zip(reversed(threads), timeouts, strict=True):
        assert isinstance(waiter.outcome(), Empty)
        assert timeout <= waiter.ended - start < timeout + 5


class Steering:
    """A delay that meets the timeout: longer after each hit, shorter after each miss."""

    def __init__(self):
        self.delay, self.hits, self.misses = TIMEOUT, 0, 0

    def __iter__(self):
        for number in range(1, RACES + 1):
            yield number, self.delay * random.uniform(0.8, 1.2)

    def hit(self):
        self.hits += 1
        self.delay = min(self.delay * 1.03, 5e-3)

    def miss(self):
        self.misses += 1
        self.delay = max(self.delay * 0.97, 1e-6)

    def check(self):
        assert self.hits + self.misses == RACES
        assert min(self.hits, self.misses) > RACES / 10, "they did not really race"


TIMEOUT = 200e-6
PRECISELY = "ctypes.CDLL(None).prctl(29, 1, 0, 0, 0)  # PR_SET_TIMERSLACK: 1 ns\n"


def test_no_message_is_lost_when_it_races_the_timeout(make, key, spawn):
    queue, steering = make(key), Steering()
    sender = spawn(
        PRECISELY
        + """\
queue = Queue(int(args[0]))
while number := queue.get(msg_type=2):
    time.sleep(queue.get(msg_type=3))
    queue.put(number)
""",
        key,
    )
    for number, delay in steering:
        queue.put(number, msg_type=2)
        queue.put(delay, msg_type=3)
        try:
            got = queue.get(msg_type=1, timeout=TIMEOUT)
            steering.hit()
        except Empty:
            steering.miss()
            got = queue.get(msg_type=1, timeout=20)
        assert got == number
    queue.put(0, msg_type=2)
    sender.finish()
    assert queue.empty()
    steering.check()


def test_no_put_is_lost_or_doubled_when_room_races_the_timeout(make, key, spawn):
    control, steering = make(), Steering()
    data = make(key, 16, serializer=RawSerializer)
    taker = spawn(
        PRECISELY
        + """\
data = Queue(int(args[0]), serializer=RawSerializer)
control = Queue(int(args[1]))
while delay := control.get(msg_type=2):
    time.sleep(delay)
    control.put(data.get(timeout=20), msg_type=3)
""",
        key,
        control.key,
    )
    data.put(b"%016d" % 0)
    for number, delay in steering:
        control.put(delay, msg_type=2)
        try:
            data.put(b"%016d" % number, timeout=TIMEOUT)
            steering.hit()
            went = True
        except Full:
            steering.miss()
            went = False
        assert control.get(msg_type=3, timeout=20) == b"%016d" % (number - 1)
        assert data.qsize() == went
        if not went:
            data.put_nowait(b"%016d" % number)
    control.put(0, msg_type=2)
    taker.finish()
    assert data.get() == b"%016d" % RACES
    steering.check()


def test_no_message_is_lost_among_threads_that_keep_timing_out(q, thread):
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

    readers = [thread(read) for _ in range(8)]
    count = RACES // 2
    for number in range(count):
        q.put(number)
    done.set()
    got = [number for reader in readers for number in reader.result(60)]
    assert sorted(got) == list(range(count))


def test_what_came_in_time_is_found_when_a_handler_ran_beyond_the_deadline(make, handler):
    queue = make(on_signal="retry")

    def late(*_):
        queue.put("in time")
        time.sleep(0.3)  # beyond the deadline, which is the point

    handler(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    assert queue.get(timeout=0.2) == "in time"


def test_what_came_in_time_while_the_process_was_stopped_is_received(make, spawn, until, key):
    queue = make(key)
    reader = spawn("print(Queue(int(args[0])).get(timeout=0.4))", key).wait_blocked()
    reader.send_signal(signal.SIGSTOP)
    until(lambda: os.waitpid(reader.pid, os.WUNTRACED | os.WNOHANG)[0], what="a stop")
    queue.put("in time")
    time.sleep(0.6)
    reader.send_signal(signal.SIGCONT)
    assert reader.finish() == "in time"
