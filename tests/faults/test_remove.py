"""The queue removed under callers of other processes: nobody waits on for nothing."""

import queue
import time

import pytest
from crew import until
from families import Posix, SysV

CALLERS = 6

# Prints how the call ended, and when on the clock that all processes share.
CALL = """
    from families import SysV
    queue_ = family.open(address)
    ready()
    try:
        print({call}, time.monotonic())
    except family.module.QueueError as error:
        names = [name for name in dir(error) if name.isupper() and getattr(error, name) == error.errno]
        print(names[0], time.monotonic())
    queue_.close() if family is not SysV else queue_.detach()
"""
BLOCKED_GETS = ["queue_.get()", "queue_.get(timeout=600)", "queue_.get(True, 7)"]
BLOCKED_PUTS = ["queue_.put('x' * 50)", "queue_.put('x' * 50, timeout=600)"]


@pytest.fixture
def sysv(new_address):
    """A System V queue that one message fills, and its key."""
    address = new_address(SysV)
    made = SysV.make(address, max_bytes=64)
    yield made, address
    made.detach()


@pytest.fixture
def posix(new_address):
    """A POSIX queue that one message fills, and its name."""
    address = new_address(Posix)
    made = Posix.make(address, maxsize=1, maxmsgsize=64)
    yield made, address
    made.close()


def start_callers(call_in_process, family, address, calls):
    """Start processes that all sleep in the queue."""
    each = [calls[number % len(calls)] for number in range(CALLERS)]
    callers = [call_in_process(CALL.format(call=call), family, address) for call in each]
    for caller in callers:
        caller.until_asleep()
    return callers


def check_all_refused(callers, started, figures):
    """Everybody must be told, long before the timeouts pass."""
    ends = [caller.result() for caller in callers]
    latest = max(float(when) for _, when in ends) - started
    figures(f"{len(callers)} callers told within {latest * 1000:.1f} ms")
    assert [error for error, _ in ends] == ["INVALID_DESCRIPTOR"] * len(callers)
    assert latest < 60


@pytest.mark.parametrize("calls", [BLOCKED_GETS, BLOCKED_PUTS], ids=["get", "put"])
@pytest.mark.parametrize("way", ["close", "ipcrm"])
def test_callers_that_wait_on_a_removed_sysv_queue_are_told(
    call_in_process, sysv, figures, calls, way
):
    made, address = sysv
    if calls is BLOCKED_PUTS:
        made.put("x" * 50)
    callers = start_callers(call_in_process, SysV, address, calls)
    started = time.monotonic()
    if way == "close":
        made.close()
    else:
        SysV.remove(address)
    check_all_refused(callers, started, figures)


def test_a_new_sysv_queue_of_the_same_key_is_none_of_the_callers_business(
    call_in_process, sysv, figures
):
    made, address = sysv
    callers = start_callers(call_in_process, SysV, address, BLOCKED_GETS)
    started = time.monotonic()
    made.close()
    anew = SysV.make(address)
    anew.put("not for them")
    check_all_refused(callers, started, figures)
    assert anew.get_nowait() == "not for them"
    anew.close()


def test_a_sysv_queue_removed_at_work_is_told_to_everybody(call_in_process, sysv, figures):
    """The calls run into the removal at any moment of their work."""
    made, address = sysv
    work = CALL.format(call="[queue_.{} for _ in iter(int, 1)]")
    callers = [
        call_in_process(work.replace("{}", call), SysV, address)
        for call in ("put('x' * 20)", "get()") * (CALLERS // 2)
    ]
    unseen = {caller.pid for caller in callers}

    def all_work():
        seen = made.stat()
        unseen.difference_update([seen.last_put_pid, seen.last_get_pid])
        return not unseen

    until(all_work, "each process has put or got something")
    started = time.monotonic()
    SysV.remove(address)
    check_all_refused(callers, started, figures)


def test_handles_of_an_unlinked_posix_queue_live_on(call_in_process, posix, figures):
    made, address = posix
    callers = start_callers(call_in_process, Posix, address, BLOCKED_GETS[:1])
    made.unlink()
    for caller in callers:
        caller.until_asleep()  # it fails if the wait has ended
    for number in range(CALLERS):
        made.put(f"message{number}", timeout=60)
    got = sorted(caller.result()[0] for caller in callers)
    assert got == [f"message{number}" for number in range(CALLERS)]
    figures(f"{CALLERS} callers received {len(got)} messages through the unlinked queue")


def test_a_new_posix_queue_of_the_same_name_is_another(call_in_process, posix):
    made, address = posix
    caller = call_in_process(CALL.format(call=BLOCKED_GETS[0]), Posix, address)
    caller.until_asleep()
    made.unlink()
    with Posix.make(address, maxsize=1, maxmsgsize=64) as anew:
        anew.put("new")
        made.put("old")
        assert caller.result()[0] == "old"
        assert anew.get_nowait() == "new"


def test_the_last_handle_of_an_unlinked_posix_queue_takes_it_along(call_in_process, posix):
    made, address = posix
    made.put("x" * 50)
    caller = call_in_process(CALL.format(call=BLOCKED_PUTS[0]), Posix, address)
    caller.until_asleep()
    made.unlink()
    assert made.get() == "x" * 50
    assert caller.result()[0] == "None"
    assert made.get(timeout=5) == "x" * 50
    with pytest.raises(queue.Empty):
        made.get_nowait()
    with pytest.raises(Posix.module.QueueError):
        Posix.open(address)
