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
    """Stop it, and return once it is."""
    os.kill(process.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)


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
BIG = "'x' * 50"


def test_a_message_that_came_while_a_waiting_process_was_stopped_is_received(
    call_in_process, family, address, small, figures
):
    caller = call_in_process(CALL.format(call="queue_.get(timeout=0.5)"), family, address)
    caller.until_asleep()
    stop(caller)
    small.put("came")
    time.sleep(0.8)
    go(caller)
    item, seconds = caller.result()
    figures(f"{float(seconds):.2f} s for a timeout of 0.5 s, stopped for 0.8 s: {item}")
    assert item == "came"


def test_room_that_came_while_a_waiting_process_was_stopped_is_used(
    call_in_process, family, address, small
):
    small.put("x" * 50)
    caller = call_in_process(CALL.format(call=f"queue_.put({BIG}, timeout=0.5)"), family, address)
    caller.until_asleep()
    stop(caller)
    assert small.get() == "x" * 50
    time.sleep(0.8)
    go(caller)
    assert caller.result()[0] == "None"
    assert small.get_nowait() == "x" * 50


@pytest.mark.parametrize("call", ["queue_.get(timeout=0.3)", f"queue_.put({BIG}, timeout=0.3)"])
def test_a_timeout_that_passes_while_stopped_ends_the_wait_at_once_afterwards(
    call_in_process, family, address, small, figures, call
):
    if "put" in call:
        small.put("x" * 50)
    caller = call_in_process(CALL.format(call=call), family, address)
    caller.until_asleep()
    stop(caller)
    time.sleep(0.6)
    resumed = time.monotonic()
    go(caller)
    error, seconds = caller.result()
    late = time.monotonic() - resumed
    figures(f"{error} after {float(seconds):.3f} s, {late * 1000:.0f} ms after SIGCONT")
    assert error == ("Full" if "put" in call else "Empty")
    assert float(seconds) >= 0.3
    assert small.qsize() == ("put" in call)


@pytest.mark.parametrize("timeout", ["None", "30"])
def test_stopping_a_wait_that_is_not_over_does_not_end_it(
    call_in_process, family, address, small, timeout
):
    caller = call_in_process(CALL.format(call=f"queue_.get(timeout={timeout})"), family, address)
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
    stopped, other = (
        call_in_process(CALL.format(call="queue_.get(timeout=30)"), family, address)
        for _ in range(2)
    )
    stopped.until_asleep()  # it stands first in the line
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
    messages = 100_000 if full else 10_000
    with Crew(family, address, tmp_path) as crew:
        for _ in range(2):
            crew.add_producer(messages, "put,timed,polled")
            crew.add_consumer(2 * messages, "get,timed,polled")
        stops = []
        crew.start()
        crew.harm(lambda worker: stops.append(stop_and_go(worker)), 1000)
        crew.stop()
        result = count(crew, messages)
    figures(f"{len(stops)} stops; {result}")
    result.check()
    assert result.missing == 0
    assert len(stops) >= 2, "too few to prove anything"
