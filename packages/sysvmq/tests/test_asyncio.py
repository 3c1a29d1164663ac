"""The asyncio queue: nothing is lost or repeated, whatever is cancelled, closed or shared."""

import asyncio
import contextlib
import gc
import itertools
import os
import pickle
import queue
import random
import resource
import threading
import time

import pytest

import sysvmq
from sysvmq import QueueError
from sysvmq.asyncio import Queue


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine to its end, in a loop of each kind."""
    factory = None
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop", reason="uvloop is not installed").new_event_loop

    def run(coroutine, limit=None):
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(asyncio.wait_for(coroutine, limit))

    return run


class Padded:
    """Pickles of 32 bytes."""

    @staticmethod
    def dumps(item):
        return pickle.dumps(item).ljust(32, b".")

    @staticmethod
    def loads(data):
        return pickle.loads(data)


@pytest.fixture
def aq(key):
    """An awaitable queue that holds 4 messages."""
    made = Queue(key, 128, serializer=Padded)
    yield made
    made.close()


async def steps(number=5):
    """Let the loop's other tasks run for a while."""
    for _ in range(number):
        await asyncio.sleep(0)


async def eventually(true):
    """Let the loop go on until this is true."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


async def waiting(call, q=None):
    """A task that has come to wait in the queue; if that is given, its thread watches for it."""
    task = asyncio.create_task(call)
    await asyncio.sleep(0.02)
    if q is not None:
        await eventually(lambda: q._watcher._selection is not None)
    assert not task.done()
    return task


async def cancel(task):
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


async def failure(task):
    """What a task ends with."""
    (error,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(error, Exception), error
    return error


# --- the interface -------------------------------------------------------------------------------


def test_put_get_and_receive(run, aq):
    async def main():
        await aq.put("one")
        await aq.put("seven", True, 7)
        assert (aq.qsize(), aq.empty(), aq.qattr()["size"], aq.stat().size) == (2, False, 2, 2)
        assert await aq.receive(msg_type=7) == sysvmq.Message("seven", 7)
        await aq.put("eight", msg_type=8)
        assert await aq.get(True, 1, exclude=True) == "eight"
        assert await aq.get() == "one"
        aq.put_nowait("x", 3)
        assert aq.get_nowait(3) == "x"

    run(main())


def test_the_constructor_is_the_synchronous_queues(key):
    with contextlib.closing(Queue(key, 100, serializer=sysvmq.RawSerializer, exclusive=True)) as q:
        assert (q.key, q.max_bytes, q.maxmsgsize, q.closed) == (key, 100, 100, False)
        with pytest.raises(QueueError) as caught:
            Queue(key, exclusive=True)
        assert caught.value.errno == QueueError.EXISTS
        assert str(key) in repr(q) and q.id == q.queue.id
    assert q.closed


def test_wraps_an_open_queue(run, aq):
    async def main():
        async with Queue.wrap(sysvmq.Queue.from_id(aq.id)) as q:
            await q.put(1)
            assert await q.get() == 1
        assert q.queue.closed and aq.empty()

    run(main())


def test_a_with_block_detaches_a_keyed_queue_and_removes_a_private_one(run, aq):
    async def main():
        async with Queue(aq.key) as keyed, Queue() as private:
            await keyed.put(1)
            reader = await waiting(private.get())
            other = await waiting(keyed.get(msg_type=5))
        for task in (reader, other):
            assert (await failure(task)).errno == QueueError.INVALID_DESCRIPTOR
        with pytest.raises(QueueError):
            sysvmq.Queue.from_id(private.id)
        assert await aq.get() == 1

    run(main())


def test_errors_are_the_synchronous_queues(run, aq):
    async def main():
        with pytest.raises(QueueError) as caught:
            await aq.put(bytes(999))
        assert caught.value.errno == QueueError.TOO_BIG_MESSAGE
        with pytest.raises(ValueError, match="non-negative"):
            await aq.get(timeout=-1)
        with pytest.raises(ValueError, match="non-negative"):
            await aq.get(timeout=float("nan"))
        with pytest.raises(OverflowError, match="too large"):
            await aq.put(1, timeout=1e10)
        with pytest.raises(TypeError, match="timeout must be a number or None"):
            await aq.put(1, timeout="1")
        with pytest.raises(queue.Empty):
            await aq.get(False)
        with pytest.raises(queue.Empty):
            await aq.get(timeout=0)
        for number in range(4):
            await aq.put(number, False)
        with pytest.raises(queue.Full):
            await aq.put(4, False)
        with pytest.raises(queue.Full):
            await aq.put(4, timeout=0)

    run(main())


def test_iterates_until_closed(run, aq):
    async def main():
        got = []

        async def consume():
            async for item in aq:
                got.append(item)

        consumer = asyncio.create_task(consume())
        for number in range(10):
            await aq.put(number)
        while not aq.empty():
            await asyncio.sleep(0.001)
        await steps()
        aq.close()
        await consumer
        assert got == list(range(10))

    run(main())


def test_many_in_one_await(run, aq):
    async def main():
        sender = asyncio.create_task(aq.put_many(range(20), msg_type=3))
        got = []
        while len(got) < 20:
            got += await aq.get_many()
        assert got == list(range(20))
        assert await sender == 20
        assert await aq.put_many(range(9), timeout=0.02) == 4
        with pytest.raises(queue.Full):
            await aq.put_many([1], timeout=0.02)
        assert await aq.get_many(3) == [0, 1, 2]
        assert await aq.get_many() == [3]
        with pytest.raises(queue.Empty):
            await aq.get_many(timeout=0.02)
        assert await aq.put_many([]) == 0

    run(main())


def test_a_cancelled_put_many_says_how_many_went(run, aq):
    async def main():
        counts = []

        async def put():
            try:
                await aq.put_many(range(9))
            except asyncio.CancelledError as error:
                counts.append(error.count)
                raise

        task = await waiting(put())
        task.cancel()
        await asyncio.wait([task])
        assert counts == [4] and task.cancelled()

    run(main())


def test_pickles_by_id(run, aq):
    copy = pickle.loads(pickle.dumps(aq))
    copy.put_nowait(1)
    copy.detach()
    assert aq.get_nowait() == 1


# --- cancellation --------------------------------------------------------------------------------


async def storm(q, messages, producers=4, consumers=8, seed=0):
    """Move messages while everybody is cancelled at random; return what was received."""
    chance = random.Random(seed)
    unsent = list(range(messages))
    got = []

    async def once(call):
        """Await a call in one of the ways that may be cancelled; None if it was."""
        way = chance.randrange(4)
        try:
            if way == 0:
                return await call
            if way == 1:
                return await asyncio.wait_for(call, chance.random() * 1e-3)
            async with asyncio.timeout(chance.random() * 1e-3):
                return await call
        except asyncio.CancelledError:
            asyncio.current_task().uncancel()
        except TimeoutError:
            pass

    async def put(number):
        await q.put(number)
        return True

    async def produce():
        while unsent:
            number = unsent.pop()
            if await once(put(number)) is None:
                unsent.append(number)

    async def get():
        got.append(await q.get())

    async def consume():
        while not over:
            await once(get())

    over = False
    senders = [asyncio.create_task(produce()) for _ in range(producers)]
    workers = senders + [asyncio.create_task(consume()) for _ in range(consumers)]
    while not (all(sender.done() for sender in senders) and q.empty()):
        if chance.random() < 0.5:
            chance.choice(workers).cancel()
        await asyncio.sleep(0 if chance.random() < 0.9 else 1e-4)
    over = True
    for worker in workers:
        worker.cancel()
    results = await asyncio.gather(*workers, return_exceptions=True)
    assert not [result for result in results if isinstance(result, Exception)]
    while not q.empty():  # what the last of them have left
        await get()
    return got


@pytest.mark.parametrize("messages", [10_000, pytest.param(100_000, marks=pytest.mark.endurance)])
def test_cancelling_at_random_loses_and_repeats_nothing(run, aq, messages):
    got = run(storm(aq, messages))
    lost, repeated = set(range(messages)) - set(got), len(got) - len(set(got))
    assert (len(lost), repeated) == (0, 0)
    assert aq.empty()


def test_cancelling_just_when_the_message_has_come(run, aq):
    async def main():
        for delay in range(8):
            first = await waiting(aq.get())
            second = await waiting(aq.get())
            await aq.put(delay)
            await steps(delay)
            first.cancel()
            await asyncio.wait([first])
            await aq.put(-1)
            results = [await second, None if first.cancelled() else first.result()]
            if first.cancelled():
                assert results[0] == delay and await aq.get() == -1
            else:
                assert sorted(results) == [-1, delay]

    run(main())


def test_the_end_of_a_loop_takes_no_message_along(run, aq):
    got = []

    async def get():
        got.append(await aq.get())

    async def leave(patience):
        for _ in range(3):
            await waiting(get())
        for number in range(4):
            aq.put_nowait(number)
        await steps(patience)

    for patience in range(6):
        run(leave(patience))
        while not aq.empty():
            got.append(aq.get_nowait())
        assert got == [0, 1, 2, 3]
        got.clear()


def test_a_loop_that_is_dropped_while_tasks_wait(aq):
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(aq.get()) for _ in range(3)]
    loop.run_until_complete(asyncio.sleep(0.02))
    loop.close()
    for task in tasks:
        task._log_destroy_pending = False
    del tasks, task
    aq.put_nowait(1)
    assert asyncio.run(aq.get(timeout=60)) == 1


# --- waiting -------------------------------------------------------------------------------------


def test_a_thousand_are_served_in_order(run, aq):
    async def main():
        served = []

        async def get(number):
            served.append((number, await aq.get()))

        async with asyncio.TaskGroup() as group:
            for number in range(1000):
                group.create_task(get(number))
            await steps(1)
            for number in range(1000):
                await aq.put(number)
        assert served == [(number, number) for number in range(1000)]

    run(main())


def test_who_waits_to_put_is_served_in_order(run, aq):
    async def main():
        for _ in range(4):
            await aq.put(None)
        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(aq.put(number))
            await steps(1)
            assert [await aq.get() for _ in range(104)] == [None] * 4 + list(range(100))

    run(main())


def test_timeouts_are_never_early(run, aq, times_out):
    for call in (aq.get, aq.receive, aq.get_many):
        times_out(0.05, lambda call=call: run(call(timeout=0.05)), late=1)
    for _ in range(4):
        aq.put_nowait(None)
    times_out(0.05, lambda: run(aq.put(None, timeout=0.05)), late=1)


def test_a_timeout_lets_the_next_in_line_go_on(run, aq):
    async def main():
        first = asyncio.create_task(aq.get(timeout=0.05))
        second = await waiting(aq.get())
        assert isinstance(await failure(first), queue.Empty)
        await aq.put(1)
        assert await second == 1

    run(main())


def test_waiting_costs_no_cpu(run, aq, in_time):
    def cost():
        used = resource.getrusage(resource.RUSAGE_SELF)
        return time.process_time() + (used.ru_nvcsw + used.ru_nivcsw) / 1000

    async def main():
        reader = await waiting(aq.get())
        await aq.put(None)
        await reader
        for _ in range(4):
            await aq.put(None)
        writer = await waiting(aq.put(None))
        await aq.get()
        await writer  # both ways have been watched: the queue is readable now, and then writable
        before = cost()
        await asyncio.sleep(0.2)
        await aq.get()
        await asyncio.sleep(0.2)
        spent = cost() - before
        await aq.get_many()
        return spent

    in_time(lambda: run(main()), 0.05)


def test_another_reader_takes_the_message_first(run, aq):
    async def main():
        task = await waiting(aq.get())
        for _ in range(100):
            aq.put_nowait("theirs")
            assert aq.get_nowait() == "theirs"  # before the loop could see it
            await steps(2)
        assert not task.done()
        await aq.put("ours")
        assert await task == "ours"

    run(main())


def test_a_queue_that_is_never_empty_does_not_starve_the_loop(run, aq):
    async def main():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticker = asyncio.create_task(tick())
        for number in range(2000):
            aq.put_nowait(number)
            assert await aq.get() == number
        ticker.cancel()
        assert ticks > 10

    run(main())


def test_there_is_one_daemon_thread_and_close_ends_it(run, aq):
    async def main():
        before = set(threading.enumerate())
        await aq.put(1)
        assert await aq.get() == 1
        assert set(threading.enumerate()) == before  # only who waits needs it
        tasks = [await waiting(aq.get(msg_type=number), aq) for number in (0, 0, 5, 6)]
        (thread,) = set(threading.enumerate()) - before
        assert thread.daemon
        aq.close()
        await asyncio.wait(tasks)
        for task in tasks:
            assert task.exception().errno == QueueError.INVALID_DESCRIPTOR
        thread.join(60)
        assert not thread.is_alive()

    run(main())


def test_removal_by_another_process_wakes_those_who_wait(run, aq):
    async def main():
        tasks = [await waiting(aq.get()) for _ in range(3)]
        tasks.append(await waiting(aq.get(msg_type=9)))
        sysvmq.remove(aq.id)
        for task in tasks:
            assert (await failure(task)).errno == QueueError.INVALID_DESCRIPTOR

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
            await cancel(await waiting(aq.get(msg_type=msg_type), aq))
        task = await waiting(aq.get(msg_type=9), aq)
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
            return await waiting(aq.get(msg_type=7), aq)

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


def until(true):
    """Wait without letting the loop go on."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


async def taken_for(q, msg_type=0, **selection):
    """A task for which the thread has just taken an empty message, and which knows nothing yet."""
    task = await waiting(q.receive(msg_type=msg_type, **selection), q)
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
        await cancel(await waiting(raw.get(), raw))
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
        await cancel(await waiting(raw.get(), raw))
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
        assert (await failure(task)).errno == QueueError.INVALID_DESCRIPTOR

    run(main())


def test_a_dropped_queue_gives_empty_messages_back_and_ends_its_thread(run, raw):
    async def main():
        before = set(threading.enumerate())
        q = Queue(raw.key, serializer=sysvmq.RawSerializer)
        await cancel(await waiting(q.get(), q))
        (thread,) = set(threading.enumerate()) - before
        q._watcher.reserved.append(((4, False), 4))
        del q
        gc.collect()
        thread.join(60)
        assert not thread.is_alive()
        assert await raw.receive(timeout=60) == (b"", 4)

    run(main())


def test_cancelling_at_random_loses_and_repeats_no_empty_message(run, raw):
    class Empties:
        empty = raw.empty

        async def put(self, number):
            await raw.put(b"", msg_type=number + 1)

        async def get(self):
            message = await raw.receive()
            assert message.item == b""
            return message.msg_type - 1

    got = run(storm(Empties(), 5000))
    assert sorted(got) == list(range(5000))
    assert raw.empty()


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


# --- sharing -------------------------------------------------------------------------------------


def test_several_queues_in_one_loop(run, aq):
    async def main():
        async with Queue(aq.key, serializer=Padded) as other:
            tasks = [await waiting(aq.get()), await waiting(other.get())]
            await other.put(1)
            await other.put(2)
            assert sorted(await asyncio.gather(*tasks)) == [1, 2]

    run(main())


def test_loops_in_several_threads_share_a_queue(run, aq):
    loops, messages = 3, 3000
    got = [[] for _ in range(loops)]

    async def consume(mine):
        async def one():
            while (item := await aq.get()) is not None:
                mine.append(item)

        await asyncio.gather(one(), one())

    async def produce():
        for number in range(messages):
            await aq.put(number)
        for _ in range(2 * loops):
            await aq.put(None)

    threads = [
        threading.Thread(target=lambda mine=mine: run(consume(mine)), daemon=True) for mine in got
    ]
    for thread in threads:
        thread.start()
    run(produce())
    for thread in threads:
        thread.join(60)
    assert sorted(itertools.chain.from_iterable(got)) == list(range(messages))


def test_closing_wakes_the_tasks_of_all_loops(run, aq):
    ready, errors = threading.Barrier(3), []

    async def wait():
        tasks = [await waiting(aq.get()) for _ in range(3)]
        await asyncio.to_thread(ready.wait, 60)
        errors.extend([await failure(task) for task in tasks])

    threads = [threading.Thread(target=lambda: run(wait()), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    ready.wait(60)
    aq.close()
    for thread in threads:
        thread.join(60)
    assert [error.errno for error in errors] == [QueueError.INVALID_DESCRIPTOR] * 6


def test_closing_in_the_loop_wakes_both_sides(run, fresh_key):
    async def main():
        q = Queue(fresh_key(), 128, serializer=Padded)
        reader = await waiting(q.get())
        q.close()
        assert (await failure(reader)).errno == QueueError.INVALID_DESCRIPTOR
        async with Queue(max_bytes=128, serializer=Padded) as q:
            for number in range(4):
                await q.put(number)
            writer = await waiting(q.put(4))
        assert (await failure(writer)).errno == QueueError.INVALID_DESCRIPTOR
        with pytest.raises(QueueError) as caught:
            await q.get()
        assert caught.value.errno == QueueError.INVALID_DESCRIPTOR

    run(main())


def test_between_processes(run, key, fresh_key, spawn):
    other = fresh_key()
    echo = spawn(
        """
        import asyncio
        from sysvmq.asyncio import Queue
        async def main():
            async with Queue(int(sys.argv[1])) as requests, Queue(int(sys.argv[2])) as replies:
                async for item in requests:
                    await replies.put(item)
                    if item is None:
                        break
        asyncio.run(main())
        """,
        key,
        other,
    )

    async def main():
        async with Queue(key) as requests, Queue(other) as replies:
            for number in range(500):
                await requests.put(number)
                assert await replies.get() == number
            await requests.put(None)
            assert await replies.get() is None

    run(main())
    echo.finish()


# --- the surroundings ----------------------------------------------------------------------------


def test_importing_the_package_does_not_import_asyncio(spawn):
    assert spawn("print('asyncio' in sys.modules)").finish() == "False"


def test_waiting_tasks_do_not_hold_up_the_end(spawn, key):
    child = spawn(
        """
        import asyncio, threading, time
        from sysvmq.asyncio import Queue
        q = Queue(int(sys.argv[1]))
        def other():
            asyncio.run(q.get())
        threading.Thread(target=other, daemon=True).start()
        wait_until(lambda: q._watcher._selection)
        time.sleep(0.05)
        """,
        key,
    )
    child.finish()


def test_after_fork_the_child_waits_for_itself(key, spawn):
    child = spawn(
        """
        import asyncio, os
        from sysvmq.asyncio import Queue
        q = Queue(int(sys.argv[1]))
        async def wait():
            try:
                await q.get(timeout=0.05)
            except Exception as error:
                return type(error).__name__
        assert asyncio.run(wait()) == "Empty"
        child = os.fork()
        if child == 0:
            assert asyncio.run(q.get(timeout=200)) == "for the child"
            os._exit(0)
        wait_until(lambda: any(is_blocked(tid, child) for tid in os.listdir(f"/proc/{child}/task")))
        q.put_nowait("for the child")
        assert os.waitpid(child, 0)[1] == 0
        """,
        key,
    )
    child.finish()


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
            wait_until(lambda: any(is_blocked(t, child) for t in os.listdir(f"/proc/{child}/task")))
        wait_for_the_child()
        q.put_nowait(1)
        wait_until(q.empty)
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
