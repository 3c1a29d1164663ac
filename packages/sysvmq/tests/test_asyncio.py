"""The thread, the types and the empty messages of the asyncio queue; see common/test_asyncio.py."""

import asyncio
import contextlib
import gc
import os
import queue
import random
import threading
import time

import pytest

import sysvmq
from harness.aio import cancel, eventually, failure, steps, waiting
from harness.errors import is_closed
from harness.tasks import until
from sysvmq import QueueError
from sysvmq.asyncio import Queue


def test_each_call_selects_its_types_and_arguments_have_the_synchronous_order(run, aq):
    async def main():
        await aq.put("one")
        await aq.put("seven", True, 7)
        assert await aq.receive(msg_type=7) == sysvmq.Message("seven", 7)
        await aq.put("eight", msg_type=8)
        assert await aq.get(True, 1, exclude=True) == "eight"
        assert await aq.get() == "one"
        aq.put_nowait("x", 3)
        assert aq.get_nowait(3) == "x"

    run(main())


def test_wraps_a_queue_that_was_opened_by_its_id(run, aq):
    async def main():
        async with Queue.wrap(sysvmq.Queue.from_id(aq.id)) as q:
            assert q.id == q.queue.id == aq.id
            await q.put(1)
            assert await q.get() == 1
        assert aq.empty()

    run(main())


def test_a_with_block_detaches_a_keyed_queue_and_removes_a_private_one(run, aq):
    async def main():
        async with Queue(aq.key) as keyed, Queue() as private:
            await keyed.put(1)
            reader = await waiting(private.get())
            other = await waiting(keyed.get(msg_type=5))
        for task in (reader, other):
            assert is_closed(await failure(task))
        with pytest.raises(QueueError):
            sysvmq.Queue.from_id(private.id)
        assert await aq.get() == 1

    run(main())


# --- waiting -------------------------------------------------------------------------------------


def test_there_is_one_daemon_thread_and_close_ends_it(run, aq):
    async def main():
        before = set(threading.enumerate())
        await aq.put(1)
        assert await aq.get() == 1
        assert set(threading.enumerate()) == before  # only who waits needs it
        tasks = [await waiting(aq.get(msg_type=number)) for number in (0, 0, 5, 6)]
        (thread,) = set(threading.enumerate()) - before
        assert thread.daemon
        aq.close()
        await asyncio.wait(tasks)
        for task in tasks:
            assert is_closed(task.exception())
        thread.join(60)
        assert not thread.is_alive()

    run(main())


def test_removal_by_another_process_wakes_those_who_wait(run, aq):
    async def main():
        tasks = [await waiting(aq.get()) for _ in range(3)]
        tasks.append(await waiting(aq.get(msg_type=9)))
        sysvmq.remove(aq.id)
        for task in tasks:
            assert is_closed(await failure(task))

    run(main())


def test_without_a_thread_it_still_works(run, aq, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    async def main():
        monkeypatch.setattr(threading.Thread, "start", refuse)
        task = await waiting(aq.get())
        await aq.put(1)
        assert await task == 1

    run(main())


def test_a_thread_that_fails_leaves_nobody_waiting(run, aq):
    class Broken:
        def _watch(self, *_):
            raise ZeroDivisionError

        def detach(self):
            pass

    async def main():
        before = set(threading.enumerate())
        aq._watcher._handle = Broken()
        task = await waiting(aq.get())
        await eventually(lambda: aq._watcher._ended and set(threading.enumerate()) == before)
        await aq.put(1)
        assert await task == 1

    run(main())


def test_who_has_given_up_is_not_watched_for(run, aq):
    async def main():
        for msg_type in (7, 8):
            with pytest.raises(queue.Empty):
                await aq.get(msg_type=msg_type, timeout=0.02)
            assert aq._watcher._selection is None
            await cancel(await waiting(aq.get(msg_type=msg_type)))
        task = await waiting(aq.get(msg_type=9))
        assert aq._watcher._selection == (9, False)
        await aq.put(1, msg_type=9)
        assert await task == 1

    run(main())


def test_a_loop_that_stands_still_is_not_watched_for(aq):
    async def main():
        task = await waiting(aq.get(msg_type=8))
        await eventually(lambda: aq._watcher._selection == (8, False))
        await aq.put("8", msg_type=8)
        assert await task == "8"

    with asyncio.Runner() as other:

        async def start():
            return await waiting(aq.get(msg_type=7))

        task = other.run(start())
        assert aq._watcher._selection == (7, False)
        asyncio.run(main())
        aq.put_nowait("7", 7)

        async def end():
            return await asyncio.wait_for(task, 60)

        assert other.run(end()) == "7"


# --- types ---------------------------------------------------------------------------------------


def test_each_waits_for_the_types_it_wants(run, aq):
    async def main():
        other = await waiting(aq.get(msg_type=1, exclude=True))
        tasks = {number: await waiting(aq.get(msg_type=number)) for number in (2, 3, 4)}
        other.cancel()
        await asyncio.wait([other])
        await aq.put("foreign", msg_type=9)
        for number in (4, 2, 3):
            await aq.put(number, msg_type=number)
            assert await tasks[number] == number
        assert await aq.get(msg_type=-9) == "foreign"

    run(main())


def test_a_message_of_another_type_is_no_reason_to_be_busy(run, aq, monkeypatch):
    """Who is not watched over tries now and then, and fewer and fewer times."""
    tries, take = [], aq._get_nowait
    monkeypatch.setattr(aq, "_get_nowait", lambda *wanted: tries.append(1) or take(*wanted))

    async def main():
        await aq.put("foreign", msg_type=9)
        tasks = [await waiting(aq.get(msg_type=number)) for number in (1, 2, 3)]
        tries.clear()
        await asyncio.sleep(0.3)
        assert len(tries) < 100
        for number in (1, 2, 3):
            await aq.put(number, msg_type=number)
        assert await asyncio.gather(*tasks) == [1, 2, 3]

    run(main())


def test_many_types_leave_nothing_behind(run, aq):
    async def main():
        for number in range(1, 500):
            task = asyncio.create_task(aq.get(msg_type=number))
            await steps(1)
            await aq.put(number, msg_type=number)
            assert await task == number
        assert len(aq._watcher._waiters) < 200

    run(main())


# --- messages of no bytes, which the thread cannot leave in the queue -----------------------------


@pytest.fixture
def raw(key):
    """An awaitable queue of bytes."""
    made = Queue(key, serializer=sysvmq.RawSerializer)
    yield made
    made.close()


async def taken_for(q, msg_type=0, **selection):
    """A task for which the thread has just taken an empty message, and which knows nothing yet."""
    task = await waiting(q.receive(msg_type=msg_type, **selection))
    q.put_nowait(b"", abs(msg_type) or 1)
    until(lambda: q._watcher.reserved)
    return task


def test_an_empty_message_wakes_who_waits(run, raw):
    async def main():
        for msg_type in (1, 5):
            task = await waiting(raw.receive())
            await raw.put(b"", msg_type=msg_type)
            assert await task == (b"", msg_type)

    run(main())


def test_who_has_given_up_takes_no_empty_message(run, raw):
    async def main():
        with pytest.raises(queue.Empty):
            await raw.get(timeout=0.02)
        await cancel(await waiting(raw.get()))
        raw.queue.put(b"")
        time.sleep(0.05)  # so long would a thread that still watches not need
        assert raw.queue.get(timeout=60) == b""

    run(main())


def test_an_empty_message_goes_back_when_its_taker_is_cancelled(run, raw):
    async def main():
        task = await taken_for(raw, 5)
        with pytest.raises(queue.Empty):
            raw.queue.get_nowait()
        assert raw.qsize() == 1 and not raw.empty() and raw.qattr()["size"] == 1
        await cancel(task)
        assert raw.qsize() == 1
        assert raw.queue.receive(False) == (b"", 5)
        assert raw.empty()

    run(main())


def test_a_process_that_ends_takes_no_empty_message_with_it(spawn, raw):
    for _ in range(6):
        child = spawn(
            """
            import asyncio, sysvmq.asyncio
            from queue import Empty
            async def main():
                q = sysvmq.asyncio.Queue.wrap(Queue.from_id(int(args[0]), serializer=RawSerializer))
                try:
                    await q.get(timeout=0.02)
                except Empty:
                    print("gone", flush=True)
            asyncio.run(main())
            """,
            raw.id,
        )
        child.line()
        time.sleep(random.uniform(0, 0.01))  # anywhere in its end
        raw.queue.put(b"")
        child.finish()
        assert raw.queue.get_nowait() == b""


def test_an_empty_message_goes_back_when_its_taker_comes_too_late(run, raw, monkeypatch):
    async def main():
        monkeypatch.setattr(raw._watcher, "_end_watch", lambda: None)
        await cancel(await waiting(raw.get()))
        raw.queue.put(b"")  # for another reader, and the thread still watches
        time.sleep(0.05)
        assert raw.queue.get(timeout=60) == b""

    run(main())


def test_an_empty_message_is_of_those_for_whom_it_was_taken(run, raw):
    async def main():
        task = await taken_for(raw, 5)
        await raw.put(b"later", msg_type=5)
        await raw.put(b"other", msg_type=3)
        assert raw.get_nowait() == b"later"  # as if the task had the empty one already
        assert raw.get_nowait(-5) == b"other"
        with pytest.raises(queue.Empty):
            raw.get_nowait()
        assert await task == (b"", 5)
        task = await taken_for(raw, 5)
        await raw.put(b"later", msg_type=5)
        assert await raw.get(msg_type=5) == b"later"  # in line behind the task
        assert await task == (b"", 5)

    run(main())


def test_the_lowest_type_is_taken_first(run, raw):
    async def main():
        task = await taken_for(raw, -5)
        await raw.put(b"lower", msg_type=1)
        assert await task == (b"", 5)  # it came first, and the task was waiting
        assert await raw.receive(msg_type=-5) == (b"lower", 1)

    run(main())


def test_empty_messages_that_cannot_go_back_are_given_last(run, raw, monkeypatch):
    async def main():
        monkeypatch.setattr(raw._watcher, "_id", -1)
        for msg_type in (3, 8, 5, 6):
            raw._watcher.unclaimed.append(msg_type)
        for msg_type in (9, 4):
            await raw.put(b"whole", msg_type=msg_type)
        assert raw.qsize() == 6
        assert await raw.receive(msg_type=-5) == (b"", 3)
        assert await raw.receive(msg_type=-5) == (b"whole", 4)
        assert await raw.receive(msg_type=-5) == (b"", 5)
        assert await raw.receive() == (b"whole", 9)
        assert await raw.receive(msg_type=8, exclude=True) == (b"", 6)
        with pytest.raises(queue.Empty):
            await raw.get(False, 7)
        assert await raw.get_many() == [b""]
        assert raw.empty()
        raw._watcher.unclaimed.append(2)
        monkeypatch.undo()
        assert await raw.receive() == (b"", 2)

    run(main())


@pytest.mark.parametrize("name", ["get", "receive", "get_many"])
@pytest.mark.parametrize(
    "wrong",
    [
        {"msg_type": 5.0},
        {"msg_type": "5"},
        {"msg_type": 0, "exclude": True},
        {"msg_type": -5, "exclude": 1},
        {"msg_type": 2**63},
        {"msg_type": -(2**63) - 1},
    ],
    ids=str,
)
def test_wrong_types_are_refused_at_once(run, raw, name, wrong):
    async def main():
        with pytest.raises((TypeError, QueueError)) as expected:
            getattr(raw.queue, name)(timeout=0, **wrong)
        for prepare in (lambda: None, lambda: raw._watcher.unclaimed.append(5)):
            prepare()
            for options in ({}, {"block": False}, {"timeout": 5}):
                with pytest.raises(expected.type) as caught:
                    await getattr(raw, name)(**options, **wrong)
                assert str(caught.value) == str(expected.value)
        with pytest.raises(expected.type):
            raw.get_nowait(wrong["msg_type"], exclude=wrong.get("exclude", False))
        task = await waiting(raw.get(msg_type=6))
        assert await raw.get(msg_type=5) == b""
        with pytest.raises(expected.type):  # and while somebody stands in line
            await getattr(raw, name)(timeout=5, **wrong)
        await cancel(task)
        task = await waiting(raw.get(msg_type=5))  # the right one is not spoilt
        await raw.put(b"x", msg_type=5)
        assert await task == b"x"

    run(main())


def test_types_are_what_an_index_is(run, raw):
    class Five:
        def __index__(self):
            return 5

    async def main():
        task = await waiting(raw.receive(msg_type=Five()))
        other = await waiting(raw.receive(msg_type=True, exclude=1))
        await cancel(task)
        await raw.put(b"x", msg_type=1)
        await raw.put(b"y", msg_type=5)
        assert await other == (b"y", 5)

    run(main())


def test_empty_messages_go_back_when_the_queue_is_left(run, raw):
    async def main():
        async with Queue.wrap(sysvmq.Queue.from_id(raw.id, serializer=sysvmq.RawSerializer)) as q:
            task = await taken_for(q, 3)
            assert raw.empty()
        assert await raw.receive() == (b"", 3)
        assert is_closed(await failure(task))

    run(main())


def test_a_dropped_queue_gives_empty_messages_back_and_ends_its_thread(run, raw):
    async def main():
        before = set(threading.enumerate())
        q = Queue(raw.key, serializer=sysvmq.RawSerializer)
        await cancel(await waiting(q.get()))
        (thread,) = set(threading.enumerate()) - before
        q._watcher.reserved.append(((4, False), 4))
        del q
        gc.collect()
        thread.join(60)
        assert not thread.is_alive()
        assert await raw.receive(timeout=60) == (b"", 4)

    run(main())


def test_an_empty_message_that_does_not_decode(run, aq):
    async def main():
        sysvmq.Queue.from_id(aq.id, serializer=sysvmq.RawSerializer).put(b"")
        with pytest.raises(sysvmq.DecodeError):
            await aq.get()
        task = await waiting(aq.get())
        sysvmq.Queue.from_id(aq.id, serializer=sysvmq.RawSerializer).put(b"", msg_type=6)
        error = await failure(task)
        assert isinstance(error, sysvmq.DecodeError)
        assert (error.data, error.msg_type) == (b"", 6)
        task = await waiting(aq.get_many())
        sysvmq.Queue.from_id(aq.id, serializer=sysvmq.RawSerializer).put(b"", msg_type=6)
        error = await failure(task)
        assert isinstance(error, sysvmq.DecodeError)
        assert (error.items, error.failures) == ([], [error])

    run(main())


def test_what_interrupts_the_decoding_of_an_empty_message_holds_it(key):
    class Interrupted(sysvmq.RawSerializer):
        @staticmethod
        def loads(data):
            raise KeyboardInterrupt

    with contextlib.closing(Queue(key, serializer=Interrupted)) as q:
        q._watcher.reserved.append(((0, False), 6))
        with pytest.raises(KeyboardInterrupt) as caught:
            q._watcher._is_awaited = lambda _: True
            q.get_nowait()
        assert (caught.value.data, caught.value.msg_type) == (b"", 6)


# --- fork ----------------------------------------------------------------------------------------


def test_after_fork_the_child_may_go_on_with_the_loop(key, spawn):
    child = spawn(
        """
        import asyncio, os, queue, time
        from sysvmq.asyncio import Queue
        q = Queue(int(sys.argv[1]))
        loop = asyncio.new_event_loop()
        async def begin():
            try:
                await q.get(timeout=0.05)
            except queue.Empty:
                pass
            task = asyncio.create_task(q.get(msg_type=2))
            while q._watcher._selection is None:
                await asyncio.sleep(0.001)
            return task
        task = loop.run_until_complete(begin())
        locked, over = threading.Event(), threading.Event()
        def hold():
            with q._watcher._change:
                locked.set()
                over.wait()
        holder = threading.Thread(target=hold)
        holder.start()
        locked.wait()
        child = os.fork()
        if child == 0:
            async def end():
                got = await q.get(timeout=200), await asyncio.wait_for(task, 200)
                assert got == (1, 2) and q._watcher._thread is not None
            loop.run_until_complete(end())
            os._exit(0)
        over.set()
        def wait_for_the_child():
            threads = f"/proc/{child}/task"
            until(lambda: any(is_asleep(f"{threads}/{tid}") for tid in os.listdir(threads)))
        wait_for_the_child()
        q.put_nowait(1)
        until(q.empty)
        wait_for_the_child()
        q.put_nowait(2, 2)
        assert os.waitpid(child, 0)[1] == 0
        task.cancel()
        """,
        key,
    )
    child.finish()


def test_what_the_thread_has_taken_stays_with_the_parent_of_a_fork(key):
    q = Queue(key, serializer=sysvmq.RawSerializer)
    q._watcher.unclaimed.append(7)  # as the thread does with a message of no bytes
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with pytest.raises(queue.Empty):
                q.get_nowait()
            q.detach()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert q.queue.empty()
    assert q.get_nowait() == b""
    q.close()
