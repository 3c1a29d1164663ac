"""Limits reached in the middle of work: clear words, nothing lost, and work goes on afterwards."""

import queue
import secrets
import time

import pytest
from families import Posix, SysV

USER = 61_000 + secrets.randbelow(4_000)  # nobody's, so that nobody else's limits are touched


def test_work_goes_on_at_the_end_of_rlimit_msgqueue(call_in_process, new_address, figures):
    """As a user of its own, because the limit counts all queues of a user."""
    script = call_in_process(
        f"""
        become({USER})
        _, hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (100_000, hard))
        queues = []
        def one_more():
            queues.append(family.module.Queue(f"{{address}}-{{len(queues)}}", 10, 1024))
            queues[-1].unlink()
        one_more()
        took = fill(queues[0])
        ready()
        said = refusal(lambda: [one_more() for _ in range(100)])
        opened = len(queues)
        assert "RLIMIT_MSGQUEUE is 100000 bytes" in said, said
        assert refusal(lambda: family.module.Queue.anonymous(10, 1024)).count("RLIMIT_MSGQUEUE")
        assert [queues[0].get_nowait() for _ in range(took)] == list(range(took))
        queues[0].put("still at work")
        queues.pop().close()
        one_more()  # what was given back can be had
        refusal(one_more)
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (200_000, hard))
        one_more()
        assert queues[0].get_nowait() == "still at work"
        for each in queues:
            each.close()
        print(opened, took)
        """,
        Posix,
        new_address(Posix),
    )
    opened, took = script.result()
    figures(f"refused after {opened} queues, {took} messages kept, goes on once raised")


def test_work_goes_on_at_the_end_of_rlimit_nofile(call_in_process, new_address, figures):
    """System V queues need no descriptor; they must not begin to when an error is explained."""
    script = call_in_process(
        """
        made, sysv = family.make(address), SysV.module.Queue()
        took, took_sysv = fill(made), fill(sysv)
        ready()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        files = []
        try:
            while True:
                files.append(open(os.devnull))
        except OSError:
            pass
        for call in (
            lambda: family.open(address),
            lambda: family.module.Queue.anonymous(1, 16),
        ):
            said = refusal(call)
            assert "RLIMIT_NOFILE" in said or "Too many open files" in said, said
        assert [made.get_nowait() for _ in range(took)] == list(range(took))
        assert [sysv.get_nowait() for _ in range(took_sysv)] == list(range(took_sysv))
        for each in made, sysv:
            each.put("at work", timeout=5)
            assert each.get(timeout=5) == "at work"
            try:
                each.get(timeout=0.01)
            except queue.Empty:
                pass
        SysV.module.Queue().close()
        for each in made, sysv:
            try:
                each.put(b"x" * 100_000)
            except OSError as error:
                assert error.errno == error.TOO_BIG_MESSAGE, error
        files.pop().close()
        family.open(address).close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        family.module.Queue.anonymous(1, 16).close()
        sysv.close()
        made.close()
        print(took, took_sysv)
        """,
        Posix,
        new_address(Posix),
    )
    took, took_sysv = script.result()
    figures(f"{took} and {took_sysv} messages kept without a descriptor to spare")


def test_a_full_sysv_queue_goes_on_once_it_may_hold_more(call_in_process, new_address, figures):
    """max_bytes is raised under writers that wait."""
    address = new_address(SysV)
    made = SysV.make(address, max_bytes=100, serializer=SysV.module.RawSerializer)
    made.put(b"x" * 60)
    writer = call_in_process(
        """
        queue_ = family.open(address, serializer=family.module.RawSerializer)
        ready()
        queue_.put(b"y" * 60, timeout=60)
        print(time.monotonic())
        """,
        SysV,
        address,
    )
    writer.until_asleep()
    raised = time.monotonic()
    SysV.open(address, max_bytes=200, serializer=SysV.module.RawSerializer).detach()
    (when,) = writer.result()
    figures(f"a waiting writer went on {(float(when) - raised) * 1000:.1f} ms after it was raised")
    assert [made.get_nowait(), made.get_nowait()] == [b"x" * 60, b"y" * 60]
    made.close()


def test_a_sysv_queue_that_may_hold_less_keeps_what_it_holds(new_address):
    made = SysV.make(new_address(SysV), max_bytes=1000, serializer=SysV.module.RawSerializer)
    for number in range(9):
        made.put(bytes([number]) * 100)
    SysV.module.Queue(made.key, 150, serializer=SysV.module.RawSerializer).detach()
    assert made.max_bytes == 150
    with pytest.raises(queue.Full):
        made.put(b"late", timeout=0.05)
    assert [made.get_nowait() for _ in range(9)] == [bytes([n]) * 100 for n in range(9)]
    made.put(b"x" * 150)
    assert made.get_nowait() == b"x" * 150
    made.close()


def test_msgmnb_and_queues_max_are_named_and_work_goes_on_once_they_are_raised(
    call_in_process, new_address, figures
):
    """In an IPC namespace of its own, whose limits are nobody else's."""
    script = call_in_process(
        """
        import ctypes
        ready()
        def write(name, value):
            with open(f"/proc/sys/{name}", "w") as file:
                file.write(str(value))
        if ctypes.CDLL(None).unshare(0x08000000) != 0:
            skip("no right to an IPC namespace of its own")
        try:
            write("kernel/msgmnb", 1000)
        except OSError as error:
            skip(f"no right to set limits in /proc/sys: {error.strerror}")
        made = SysV.module.Queue()
        assert made.max_bytes == 1000
        took = fill(made)
        refused = []
        for call in (lambda: SysV.module.Queue(None, 2000), lambda: made.put(b"x" * 1001)):
            try:
                call()
            except SysV.module.QueueError as error:
                refused.append(str(error))
        assert len(refused) >= 1
        write("kernel/msgmnb", 4000)
        roomy = SysV.module.Queue()
        assert roomy.max_bytes == 4000
        assert [made.get_nowait() for _ in range(took)] == list(range(took))

        write("fs/mqueue/queues_max", 3)
        drop_capabilities()
        family = Posix
        queues = []
        def one_more():
            queues.append(Posix.module.Queue(f"{address}-{len(queues)}", 2, 16))
        said = refusal(lambda: [one_more() for _ in range(4)])
        assert "queues_max = 3" in said, said
        assert len(queues) == 3
        queues[0].put("kept")
        gone = queues.pop()
        gone.unlink()
        gone.close()
        one_more()
        assert queues[0].get_nowait() == "kept"
        for each in made, roomy:
            each.close()
        print(took)
        """,
        Posix,
        "/limits",
    )
    (took,) = script.result()
    figures(f"{took} messages kept in a queue of msgmnb = 1000 bytes")
