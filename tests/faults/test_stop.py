"""SIGSTOP and SIGCONT: what waits goes on waiting; late is not lost."""

import os
import signal
import time

import pytest
from crew import Crew, count, stop_and_go


@pytest.fixture
def small(family, address):
    """A queue that one message fills."""
    options = {"maxsize": 1, "maxmsgsize": 64} if family.name == "posixmq" else {"max_bytes": 64}
    made = family.make(address, **options)
    yield made
    family.let_go(made)


def stop(process):
    """Stop it, and return once it is, or has ended."""
    os.kill(process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


def go(process):
    os.kill(process.pid, signal.SIGCONT)


CALL = """
    queue_ = family.open(address)
    ready()
    started = time.monotonic()
    try:
        print({call}, time.monotonic() - started)
    except (queue.Empty, queue.Full) as error:
        print(type(error).__name__, time.monotonic() - started)
    family.let_go(queue_)
"""
GET = "queue_.get(timeout={timeout})"
PUT = "queue_.put('x' * 50, timeout={timeout})"


@pytest.fixture
def stop_waiting(call_in_process, family, address):
    """Call with a call: it is started, and stopped while it waits; return it and its timeout.

    A slow machine may stop it only when the timeout has passed. That proves nothing, so it is tried
    again with a longer one.
    """

    def stop_in_time(call):
        for timeout in (0.5, 2, 8, 32):
            code = CALL.format(call=call.format(timeout=timeout))
            caller = call_in_process(code, family, address)
            end = caller.ready_at + timeout  # or later
            while not caller.is_asleep() and time.monotonic() < end:
                time.sleep(0.001)
            stop(caller)
            if time.monotonic() < end:
                return caller, timeout
            caller.end()
        raise AssertionError("the machine is too slow to stop a process within 32 s")

    return stop_in_time


def test_a_message_that_came_while_a_waiting_process_was_stopped_is_received(
    stop_waiting, small, figures
):
    caller, timeout = stop_waiting(GET)
    small.put("came")
    time.sleep(timeout)
    go(caller)
    item, seconds = caller.result()
    figures(f"{float(seconds):.2f} s for a timeout of {timeout} s: {item}")
    assert item == "came"


def test_room_that_came_while_a_waiting_process_was_stopped_is_used(stop_waiting, small):
    small.put("x" * 50)
    caller, timeout = stop_waiting(PUT)
    assert small.get() == "x" * 50
    time.sleep(timeout)
    go(caller)
    assert caller.result()[0] == "None"
    assert small.get_nowait() == "x" * 50


@pytest.mark.parametrize("call", [GET, PUT], ids=["get", "put"])
def test_a_timeout_that_passes_while_stopped_ends_the_wait_at_once_afterwards(
    stop_waiting, small, figures, call
):
    if call is PUT:
        small.put("x" * 50)
    caller, timeout = stop_waiting(call)
    time.sleep(timeout)
    resumed = time.monotonic()
    go(caller)
    error, seconds = caller.result()
    late = time.monotonic() - resumed
    figures(f"{error} after {float(seconds):.3f} s, {late * 1000:.0f} ms after SIGCONT")
    assert error == ("Full" if call is PUT else "Empty")
    assert float(seconds) >= timeout
    assert small.qsize() == (call is PUT)


@pytest.mark.parametrize("timeout", [None, 600])
def test_stopping_a_wait_that_is_not_over_does_not_end_it(
    call_in_process, family, address, small, timeout
):
    code = CALL.format(call=GET.format(timeout=timeout))
    caller = call_in_process(code, family, address)
    for _ in range(5):
        caller.until_asleep()
        stop(caller)
        go(caller)
    caller.until_asleep()
    small.put("after")
    assert caller.result()[0] == "after"


def test_a_stopped_reader_holds_no_message_back_from_the_others(
    call_in_process, family, address, small
):
    code = CALL.format(call=GET.format(timeout=600))
    stopped = call_in_process(code, family, address)
    stopped.until_asleep()  # it stands first in the line
    other = call_in_process(code, family, address)
    other.until_asleep()
    stop(stopped)
    small.put("first")
    assert other.result()[0] == "first"
    go(stopped)
    stopped.until_asleep()
    small.put("second")
    assert stopped.result()[0] == "second"


def test_nothing_is_missing_when_processes_at_work_are_stopped_and_go_on(
    family, address, tmp_path, full, figures
):
    times = 10 if full else 2
    with Crew(family, address, tmp_path) as crew:
        for _ in range(2):
            crew.add_producer("put,timed,polled")
            crew.add_consumer("get,timed,polled")
        stops = []
        crew.start()
        crew.harm(lambda worker: stops.append(stop_and_go(worker)), times, 300)
        crew.stop()
        result = count(crew)
    figures(f"{len(stops)} stops; {result}")
    result.check()
    assert result.missing == 0
    assert len(stops) == times * 4
