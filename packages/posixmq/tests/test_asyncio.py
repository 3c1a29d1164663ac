"""What the asyncio queue does with its descriptor; see common/test_asyncio.py for the rest."""

import asyncio
import contextlib
import fcntl
import gc
import itertools
import os
import queue
import threading

import pytest

import posixmq
from harness.aio import waiting
from harness.calls import Call
from harness.errors import is_closed
from harness.process import descriptors
from posixmq import QueueError
from posixmq.asyncio import Queue


def test_the_highest_priority_comes_first_and_arguments_have_the_synchronous_order(run, aq):
    async def main():
        await aq.put("low")
        await aq.put("high", True, None, 7)
        assert not aq.full()
        assert await aq.receive() == posixmq.Message("high", 7)
        assert await aq.get() == "low"
        aq.put_nowait("x", 1)
        assert await aq.receive(False) == ("x", 1)

    run(main())


def test_wraps_a_queue_without_a_name(run):
    async def main():
        async with Queue.wrap(posixmq.Queue.anonymous(1, 64)) as q:
            await q.put(1)
            assert q.full()
            assert q.name is None
            assert await q.get() == 1
        assert q.queue.closed

    run(main())


def test_the_programs_own_watcher_sees_messages_too(run, aq):
    async def main():
        seen = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(aq.queue.fileno(), seen.set)
        task = await waiting(aq.get())
        await aq.put(1)
        assert await task == 1
        seen.clear()
        await aq.put(2)
        await asyncio.wait_for(seen.wait(), 60)
        loop.remove_reader(aq.queue.fileno())
        assert await aq.get() == 2

    run(main())


def test_watching_leaves_the_synchronous_queue_blocking(run, aq):
    """Some loops set O_NONBLOCK on what they watch."""

    async def main():
        task = await waiting(aq.get())
        assert not fcntl.fcntl(aq.queue.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK
        await aq.put(1)
        await task

    run(main())


def test_there_is_no_thread(run, aq):
    async def main():
        before = threading.active_count()
        tasks = [await waiting(aq.get()) for _ in range(2)]
        assert threading.active_count() == before
        aq.close()
        await asyncio.wait(tasks)
        for task in tasks:
            task.exception()

    run(main())


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("way", ["reader", "writer"])
def test_a_signal_handler_may_close_while_its_loop_begins_to_watch(run, aq, when, way):
    name = aq.name
    for _ in range(4 if way == "writer" else 0):
        aq.put_nowait(None)

    async def main():
        loop = asyncio.get_running_loop()
        add = getattr(loop, f"add_{way}")

        def interrupted(fd, callback):
            if when == "before":
                aq.close()  # as a handler would, in this very thread
            add(fd, callback)
            if when == "after":
                aq.close()

        setattr(loop, f"add_{way}", interrupted)
        with pytest.raises(QueueError) as caught:
            await (aq.get() if way == "reader" else aq.put(None))
        assert is_closed(caught.value)
        delattr(loop, f"add_{way}")
        assert not descriptors(name)
        for _ in range(4):  # who has the number next is watched
            ends, seen = os.pipe(), asyncio.Event()
            for end in ends:
                seen.clear()
                os.write(ends[1], b"x")
                getattr(loop, "add_reader" if end == ends[0] else "add_writer")(end, seen.set)
                await asyncio.wait_for(seen.wait(), 60)
            pipes.append(ends)
        for reader, writer in pipes:
            loop.remove_reader(reader)
            loop.remove_writer(writer)

    pipes = []
    run(main())
    for end in itertools.chain.from_iterable(pipes):
        os.close(end)


def test_a_loop_that_ends_does_not_take_notify_back(run, aq):
    async def wait():
        with pytest.raises(queue.Empty):
            await aq.get(timeout=0.05)

    def two_loops():
        together.wait(60)
        run(wait())

    together = threading.Barrier(2)
    for thread in [Call(two_loops) for _ in range(2)]:
        thread.result()
    aq.queue.notify(print)
    for _ in range(3):
        run(wait())
    assert aq.stat().notify_pid == os.getpid()
    assert len(descriptors(aq.name)) <= 3
    aq.close()
    assert not descriptors(aq.name)


def test_dropped_unclosed_it_warns_and_leaves_no_descriptor(fresh):
    name = fresh()

    async def main():
        q = Queue(name, 1, 64)
        with pytest.raises(queue.Empty):
            await q.get(timeout=0.01)
        with pytest.warns(ResourceWarning, match="unclosed"):
            del q
            gc.collect()

    asyncio.run(main())
    gc.collect()
    assert not descriptors(name)


def test_trio_waits_on_the_descriptor(aq):
    trio = pytest.importorskip("trio", reason="trio is not installed")

    async def get():
        while True:
            await trio.lowlevel.wait_readable(aq.queue.fileno())
            with contextlib.suppress(queue.Empty):
                return aq.get_nowait()

    async def put_later():
        await trio.sleep(0.02)
        aq.put_nowait("hello")

    async def main():
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(put_later)
                assert await get() == "hello"

    trio.run(main)
