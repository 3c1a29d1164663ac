"""The asyncio queue: nothing is lost or repeated, whatever is cancelled, closed or shared."""

import asyncio
import contextlib
import fcntl
import gc
import itertools
import os
import pickle
import queue
import random
import signal
import threading
import time

import pytest

import posixmq
from posixmq import QueueError
from posixmq.asyncio import Queue


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """Run a coroutine to its end, in a loop of each kind."""
    factory = None
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop", reason="uvloop is not installed").new_event_loop

    def run(coroutine, limit=100):
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(asyncio.wait_for(coroutine, limit))

    return run


@pytest.fixture
def aq(unique):
    """An awaitable queue of 4 messages of 256 bytes."""
    made = Queue(unique(), 4, 256)
    yield made
    made.close()


async def steps(number=5):
    """Let the loop's other tasks run for a while."""
    for _ in range(number):
        await asyncio.sleep(0)


async def waiting(call):
    """A task that has come to wait in the queue."""
    task = asyncio.create_task(call)
    await asyncio.sleep(0.02)
    assert not task.done()
    return task


async def failure(task):
    """What a task ends with."""
    (error,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(error, Exception), error
    return error


# --- the interface -------------------------------------------------------------------------------


def test_put_get_and_receive(run, aq):
    async def main():
        await aq.put("low")
        await aq.put("high", True, None, 7)
        assert (aq.qsize(), aq.empty(), aq.full(), aq.qattr()["size"]) == (2, False, False, 2)
        assert await aq.receive() == posixmq.Message("high", 7)
        assert await aq.get() == "low"
        aq.put_nowait("x", priority=1)
        assert aq.get_nowait() == "x"

    run(main())


def test_the_constructor_is_the_synchronous_queues(unique):
    name = unique()
    with contextlib.closing(
        Queue(name, 2, maxmsgsize=64, serializer=posixmq.RawSerializer, exclusive=True)
    ) as q:
        assert (q.name, q.maxsize, q.maxmsgsize, q.closed) == (name, 2, 64, False)
        with pytest.raises(QueueError) as caught:
            Queue(name, exclusive=True)
        assert caught.value.errno == QueueError.EXISTS
        assert name in repr(q)
        q.unlink()
    assert q.closed


def test_wraps_an_open_queue(run):
    async def main():
        async with Queue.wrap(posixmq.Queue.anonymous(1, 64)) as q:
            await q.put(1)
            assert q.name is None and await q.get() == 1
        assert q.queue.closed

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
        sender = asyncio.create_task(aq.put_many(range(20), priority=3))
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


def test_pickles_by_name(run, aq):
    copy = pickle.loads(pickle.dumps(aq))
    copy.put_nowait(1)
    copy.close()
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
    await asyncio.sleep(0.05)
    over = True
    for worker in workers:
        worker.cancel()
    results = await asyncio.gather(*workers, return_exceptions=True)
    assert not [result for result in results if isinstance(result, Exception)]
    return got


@pytest.mark.parametrize("messages", [10_000, pytest.param(100_000, marks=pytest.mark.endurance)])
def test_cancelling_at_random_loses_and_repeats_nothing(run, aq, messages):
    got = run(storm(aq, messages), None)
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


def test_a_loop_that_is_dropped_while_tasks_wait(aq, descriptors):
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(aq.get()) for _ in range(3)]
    loop.run_until_complete(asyncio.sleep(0.02))
    loop.close()
    for task in tasks:
        task._log_destroy_pending = False
    del tasks, task
    aq.put_nowait(1)
    assert asyncio.run(aq.get(timeout=60)) == 1
    aq.close()
    assert not descriptors(aq.name)


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


def test_timeouts_are_never_early(run, aq, in_time):
    async def wait(call, *args):
        start = time.monotonic()
        with pytest.raises((queue.Empty, queue.Full)):
            await call(*args, timeout=0.05)
        return time.monotonic() - start

    def attempt(call, *args):
        waited = run(wait(call, *args))
        assert waited >= 0.05
        return waited

    for call in (aq.get, aq.receive, aq.get_many):
        in_time(lambda call=call: attempt(call), 1)
    for _ in range(4):
        aq.put_nowait(None)
    in_time(lambda: attempt(aq.put, None), 1)


def test_a_timeout_lets_the_next_in_line_go_on(run, aq):
    async def main():
        first = asyncio.create_task(aq.get(timeout=0.05))
        second = await waiting(aq.get())
        assert isinstance(await failure(first), queue.Empty)
        await aq.put(1)
        assert await second == 1

    run(main())


def test_waiting_costs_no_cpu(run, aq, in_time, effort):
    async def main():
        reader = await waiting(aq.get())
        await aq.put(None)
        await reader
        for _ in range(4):
            await aq.put(None)
        writer = await waiting(aq.put(None))
        await aq.get()
        await writer  # both ways have been watched: the queue is readable now, and then writable
        before = effort()
        await asyncio.sleep(0.2)
        await aq.get()
        await asyncio.sleep(0.2)
        spent = effort() - before
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


# --- sharing -------------------------------------------------------------------------------------


def test_several_queues_and_the_programs_own_watcher_in_one_loop(run, aq):
    async def main():
        seen = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(aq.queue.fileno(), seen.set)
        async with Queue(aq.name) as other:
            tasks = [await waiting(aq.get()), await waiting(other.get())]
            await other.put(1)
            await other.put(2)
            assert sorted(await asyncio.gather(*tasks)) == [1, 2]
        await aq.put(3)
        await asyncio.wait_for(seen.wait(), 60)
        loop.remove_reader(aq.queue.fileno())
        assert await aq.get() == 3

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


def test_closing_wakes_the_tasks_of_all_loops(run, aq, descriptors):
    name, ready, errors = aq.name, threading.Barrier(3), []

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
    assert not descriptors(name)


def test_closing_in_the_loop_wakes_both_sides(run, unique, descriptors):
    async def main():
        q = Queue(unique(), 1, 64)
        reader = await waiting(q.get())
        q.close()
        assert (await failure(reader)).errno == QueueError.INVALID_DESCRIPTOR
        async with Queue(q.name) as q:
            await q.put(1)
            writer = await waiting(q.put(2))
        assert (await failure(writer)).errno == QueueError.INVALID_DESCRIPTOR
        with pytest.raises(QueueError) as caught:
            await q.get()
        assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
        assert not descriptors(q.name)

    run(main())


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("way", ["reader", "writer"])
def test_a_signal_handler_may_close_while_its_loop_begins_to_watch(run, aq, when, way, descriptors):
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
        assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
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


def test_a_signal_handler_that_closes_wakes_a_loop_that_sleeps(run, aq):
    async def main():
        task = await waiting(aq.get())
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        assert (await failure(task)).errno == QueueError.INVALID_DESCRIPTOR

    before = signal.signal(signal.SIGALRM, lambda *_: aq.close())
    try:
        run(main())
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_loop_that_ends_does_not_take_notify_back(run, aq, descriptors):
    async def wait():
        with pytest.raises(queue.Empty):
            await aq.get(timeout=0.05)

    def two_loops():
        together.wait(60)
        run(wait())

    together = threading.Barrier(2)
    threads = [threading.Thread(target=two_loops, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    aq.queue.notify(print)
    for _ in range(3):
        run(wait())
    assert aq.stat().notify_pid == os.getpid()
    assert len(descriptors(aq.name)) <= 3
    aq.close()
    assert not descriptors(aq.name)


def test_one_loop_after_the_other_leaves_no_descriptors(run, aq, descriptors):
    async def wait():
        with pytest.raises(queue.Empty):
            await aq.get(timeout=0.01)

    for _ in range(5):
        run(wait())
    assert len(descriptors(aq.name)) <= 2


def test_the_synchronous_queue_still_blocks(run, aq, background):
    """Some loops set O_NONBLOCK on what they watch."""

    async def main():
        task = await waiting(aq.get())
        assert not fcntl.fcntl(aq.queue.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK
        await aq.put(1)
        await task

    run(main())
    call = background(aq.queue.get).until_asleep()
    aq.put_nowait(2)
    assert call.result() == 2


def test_between_processes(run, aq, start_script, finish):
    echo = start_script(
        """
        import asyncio
        from posixmq.asyncio import Queue
        async def main():
            async with Queue(sys.argv[1]) as requests, Queue(sys.argv[2]) as replies:
                async for item in requests:
                    await replies.put(item)
                    if item is None:
                        break
        asyncio.run(main())
        """,
        aq.name,
        aq.name + "-replies",
    )

    async def main():
        async with Queue(aq.name + "-replies", 4, 256) as replies:
            try:
                for number in range(500):
                    await aq.put(number)
                    assert await replies.get() == number
                await aq.put(None)
                assert await replies.get() is None
            finally:
                replies.unlink()

    run(main())
    finish(echo)


# --- the surroundings ----------------------------------------------------------------------------


def test_importing_the_package_does_not_import_asyncio(run_script):
    assert run_script("print('asyncio' in sys.modules)").strip() == "False"


def test_waiting_tasks_do_not_hold_up_the_end(run_script, name):
    run_script(
        """
        import asyncio
        from posixmq.asyncio import Queue
        q = Queue(sys.argv[1], 1, 64)
        def other():
            asyncio.run(q.get())
        threading.Thread(target=other, daemon=True).start()
        wait_until(lambda: q._states)  # the loop is about to sleep
        time.sleep(0.05)
        """,
        name,
        env={"PYTHONWARNINGS": "ignore"},
    )


def test_dropped_unclosed_it_warns_and_leaves_no_descriptor(unique, descriptors):
    name = unique()

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
