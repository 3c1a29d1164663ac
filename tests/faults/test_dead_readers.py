"""A full queue whose readers have died: writers are told in time, and no message is lost."""

import queue
import time

import pytest
from families import DEPTH

READER = """
    queue_ = family.open(address)
    ready()
    print([queue_.get() for _ in iter(int, 1)])
"""

WRITER = """
    queue_ = family.open(address)
    ready()
    started = time.monotonic()
    try:
        queue_.put('late' * 50, timeout=0.5)
    except queue.Full:
        print('Full', time.monotonic() - started)
"""


@pytest.fixture
def shared(family, address):
    """A queue whose readers are all dead."""
    made = family.make(address)
    yield made
    family.let_go(made)


def kill_readers(call_in_process, family, address):
    """Have two readers die while they wait in the queue."""
    readers = [call_in_process(READER, family, address) for _ in range(2)]
    for reader in readers:
        reader.until_asleep()
    for reader in readers:
        reader.end()


def test_writers_get_full_in_time_and_a_new_reader_finds_all(
    call_in_process, family, address, shared, fill, figures
):
    kill_readers(call_in_process, family, address)
    took = fill(shared, lambda number: (number, "x" * 100))
    if family.name == "posixmq":
        assert took == DEPTH
    writers = [call_in_process(WRITER, family, address) for _ in range(4)]
    ends = [writer.result() for writer in writers]
    assert [error for error, _ in ends] == ["Full"] * 4
    waited = [float(seconds) for _, seconds in ends]
    figures(
        f"{took} messages fill it; 4 writers waited {min(waited):.3f} to {max(waited):.3f} s "
        "for a timeout of 0.5 s"
    )
    assert min(waited) >= 0.5
    assert max(waited) < 30  # not for ever; how late a busy machine is, is not ours to say
    reader = family.open(address)
    assert [reader.get_nowait() for _ in range(took)] == [(n, "x" * 100) for n in range(took)]
    with pytest.raises(queue.Empty):
        reader.get_nowait()
    family.let_go(reader)


def test_writers_that_wait_for_ever_go_on_once_a_new_reader_comes(
    call_in_process, family, address, shared, fill
):
    kill_readers(call_in_process, family, address)
    took = fill(shared, lambda number: (number, "x" * 100))
    writer = call_in_process(WRITER.replace(", timeout=0.5", ""), family, address)
    writer.until_asleep()
    got = [shared.get(timeout=60) for _ in range(took + 1)]
    assert got == [(n, "x" * 100) for n in range(took)] + ["late" * 50]
    writer.result()


def test_a_message_put_after_its_only_reader_died_waits_for_the_next(
    call_in_process, family, address, shared
):
    """A reader that dies asleep leaves no place in the line to which a message could go."""
    for number in range(20):
        reader = call_in_process(READER, family, address)
        reader.until_asleep()
        reader.process.kill()
        time.sleep(number * 0.0002)  # at any moment of its dying
        shared.put(number)
        reader.end()
        left = []
        while not shared.empty():
            left.append(shared.get_nowait())
        # It may have got the message before the signal got it, or never.
        assert left in ([number], [])
        shared.put("again")
        assert shared.get_nowait() == "again"
