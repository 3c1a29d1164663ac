"""The asyncio queue: nothing is lost or repeated, whatever is cancelled, closed or shared."""

import asyncio
import itertools
import pickle
import queue
import random
import resource
import signal
import threading
import time

import pytest

import kind
from harness.aio import (
    AsyncQueue,
    Padded,
    cancel,
    eventually,
    failure,
    held,
    steps,
    waiting,
)
from harness.calls import Call
from harness.errors import is_closed, refusal
from harness.measure import in_time, times_out
from harness.tasks import main_task, sleeps_steadily, until
from kind import DEFAULT_MARK, QueueError, RawSerializer, mark


def fill(aq):
    """Put what aq holds."""
    for number in range(4):
        aq.put_nowait(number)


def leave(aq):
    getattr(aq, kind.LEAVE)()


def in_threads(times, function, *args):
    """Start a function in so many threads."""
    return [Call(function, *args) for _ in range(times)]


# --- the interface -------------------------------------------------------------------------------


def test_put_get_and_receive(run, aq):
    async def main():
        await aq.put("plain")
        await aq.put("marked", **mark(7))
        assert (aq.qsize(), aq.empty(), aq.qattr()["size"], aq.stat().size) == (2, False, 2, 2)
        messages = [await aq.receive(), await aq.receive()]
        assert sorted(messages) == [("marked", 7), ("plain", DEFAULT_MARK)]
        assert isinstance(messages[0], kind.Message)
        await aq.put("plain")
        assert await aq.get() == "plain"
        aq.put_nowait("x", **mark(1))
        assert aq.get_nowait() == "x"

    run(main())


def test_the_constructor_is_the_synchronous_queues(make, address):
    options = kind.room(2, 64)
    aq = make(address, cls=AsyncQueue, **options, serializer=RawSerializer, exclusive=True)
    assert {name: getattr(aq, name) for name in options} == options
    assert (kind.address_of(aq), aq.maxmsgsize, aq.closed) == (address, aq.queue.maxmsgsize, False)
    assert refusal(AsyncQueue, address, exclusive=True).errno == QueueError.EXISTS
    assert str(address) in repr(aq)
    kind.destroy(aq)
    assert aq.closed
    assert not kind.exists(address)


def test_wraps_an_open_queue(run, make):
    async def main():
        async with AsyncQueue.wrap(make()) as aq:
            await aq.put(1)
            assert await aq.get() == 1
        assert aq.queue.closed

    run(main())


def test_errors_are_the_synchronous_queues(run, aq):
    async def main():
        with pytest.raises(QueueError) as caught:
            await aq.put(bytes(999))
        assert caught.value.errno == QueueError.TOO_BIG_MESSAGE
        for timeout in (-1, float("nan")):
            with pytest.raises(ValueError, match="non-negative"):
                await aq.get(timeout=timeout)
        with pytest.raises(OverflowError, match="too large"):
            await aq.put(1, timeout=1e10)
        with pytest.raises(TypeError, match="timeout must be a number or None"):
            await aq.put(1, timeout="1")
        for options in ({"block": False}, {"timeout": 0}):
            with pytest.raises(queue.Empty):
                await aq.get(**options)
        for number in range(4):
            await aq.put(number, False)
        for options in ({"block": False}, {"timeout": 0}):
            with pytest.raises(queue.Full):
                await aq.put(4, **options)

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
        await eventually(lambda: len(got) == 10)
        aq.close()
        await consumer
        assert got == list(range(10))

    run(main())


def test_many_in_one_await(run, aq):
    async def main():
        sender = asyncio.create_task(aq.put_many(range(20), **mark(3)))
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

        await cancel(await waiting(put()))
        assert counts == [4]

    run(main())


def test_a_pickled_queue_leads_to_the_same_messages(aq):
    copy = pickle.loads(pickle.dumps(aq))
    copy.put_nowait(1)
    leave(copy)
    assert aq.get_nowait() == 1


# --- cancellation --------------------------------------------------------------------------------


async def disturbed(call, chance):
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


async def storm(put, get, empty, messages, producers=4, consumers=8):
    """Move numbers while everybody is cancelled at random; return those that were received."""
    chance = random.Random(0)
    unsent = list(range(messages))
    got = []
    over = False

    async def send(number):
        await put(number)
        return True

    async def produce():
        while unsent:
            number = unsent.pop()
            if await disturbed(send(number), chance) is None:
                unsent.append(number)

    async def receive():
        got.append(await get())

    async def consume():
        while not over:
            await disturbed(receive(), chance)

    senders = [asyncio.create_task(produce()) for _ in range(producers)]
    workers = senders + [asyncio.create_task(consume()) for _ in range(consumers)]
    while not (all(sender.done() for sender in senders) and empty()):
        if chance.random() < 0.5:
            chance.choice(workers).cancel()
        await asyncio.sleep(0 if chance.random() < 0.9 else 1e-4)
    over = True
    for worker in workers:
        worker.cancel()
    results = await asyncio.gather(*workers, return_exceptions=True)
    assert not [result for result in results if isinstance(result, Exception)]
    while not empty():  # what the last of them have left
        await receive()
    return got


@pytest.mark.parametrize("messages", [10_000, pytest.param(100_000, marks=pytest.mark.endurance)])
def test_cancelling_at_random_loses_and_repeats_nothing(run, aq, messages):
    got = run(storm(aq.put, aq.get, aq.empty, messages), None)
    lost, repeated = set(range(messages)) - set(got), len(got) - len(set(got))
    assert (len(lost), repeated) == (0, 0)


def test_cancelling_at_random_loses_and_repeats_no_empty_message(run, make):
    aq = make(cls=AsyncQueue, serializer=RawSerializer)

    async def put(number):
        await aq.put(b"", **mark(number + 1))

    async def get():
        item, number = await aq.receive()
        assert item == b""
        return number - 1

    got = run(storm(put, get, aq.empty, 5000), None)
    assert sorted(got) == list(range(5000))
    aq.close()


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
                assert results[0] == delay
                assert await aq.get() == -1
            else:
                assert sorted(results) == [-1, delay]

    run(main())


def test_the_end_of_a_loop_takes_no_message_along(run, aq):
    got = []

    async def get():
        got.append(await aq.get())

    async def end(patience):
        for _ in range(3):
            await waiting(get())
        fill(aq)
        await steps(patience)

    for patience in range(6):
        run(end(patience))
        while not aq.empty():
            got.append(aq.get_nowait())
        assert got == [0, 1, 2, 3]
        got.clear()


def test_a_loop_that_is_dropped_while_tasks_wait_leaves_the_queue_usable(aq):
    loop = asyncio.new_event_loop()

    async def begin():
        return [await waiting(aq.get()) for _ in range(3)]

    tasks = loop.run_until_complete(begin())
    loop.close()
    for task in tasks:
        task._log_destroy_pending = False
    del tasks, task
    aq.put_nowait(1)
    assert asyncio.run(aq.get(timeout=60)) == 1
    aq.close()
    assert not held(kind.address_of(aq))


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
        fill(aq)
        async with asyncio.TaskGroup() as group:
            for number in range(4, 100):
                group.create_task(aq.put(number))
            await steps(1)
            assert [await aq.get() for _ in range(100)] == list(range(100))

    run(main())


def test_timeouts_are_never_early(run, aq):
    for call in (aq.get, aq.receive, aq.get_many):
        times_out(0.05, lambda call=call: run(call(timeout=0.05)), late=1)
    fill(aq)
    times_out(0.05, lambda: run(aq.put(None, timeout=0.05)), late=1)


def test_a_timeout_lets_the_next_in_line_go_on(run, aq):
    async def main():
        first = asyncio.create_task(aq.get(timeout=0.05))
        await steps(1)
        second = await waiting(aq.get())
        assert isinstance(await failure(first), queue.Empty)
        await aq.put(1)
        assert await second == 1

    run(main())


def process_effort():
    """What the process has cost so far: its seconds of CPU, and a millisecond a switch."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.process_time() + (used.ru_nvcsw + used.ru_nivcsw) / 1000


def test_waiting_costs_no_cpu(run, aq):
    async def main():
        reader = await waiting(aq.get())
        await aq.put(None)
        await reader
        fill(aq)
        writer = await waiting(aq.put(None))
        await aq.get()
        await writer  # both ways have been watched: the queue is readable now, and then writable
        before = process_effort()
        await asyncio.sleep(0.2)
        await aq.get()
        await asyncio.sleep(0.2)
        spent = process_effort() - before
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


# --- sharing -------------------------------------------------------------------------------------


def test_several_queues_in_one_loop(run, make, aq):
    async def main():
        async with make(kind.address_of(aq), cls=AsyncQueue, serializer=Padded) as other:
            tasks = [await waiting(aq.get()), await waiting(other.get())]
            await other.put(1)
            await other.put(2)
            assert sorted(await asyncio.gather(*tasks)) == [1, 2]

    run(main())


def test_loops_in_several_threads_share_a_queue(run, aq):
    loops, messages = 3, 3000

    async def consume():
        got = []

        async def one():
            while (item := await aq.get()) is not None:
                got.append(item)

        await asyncio.gather(one(), one())
        return got

    async def produce():
        for number in range(messages):
            await aq.put(number)
        for _ in range(2 * loops):
            await aq.put(None)

    consumers = in_threads(loops, lambda: run(consume()))
    run(produce())
    got = [consumer.result() for consumer in consumers]
    assert sorted(itertools.chain.from_iterable(got)) == list(range(messages))


def test_closing_wakes_the_tasks_of_all_loops(run, aq):
    ready = threading.Barrier(3)

    async def wait():
        tasks = [await waiting(aq.get()) for _ in range(3)]
        await asyncio.to_thread(ready.wait, 60)
        return [await failure(task) for task in tasks]

    threads = in_threads(2, lambda: run(wait()))
    ready.wait(60)
    aq.close()
    for thread in threads:
        assert all(map(is_closed, thread.result()))
    assert not held(kind.address_of(aq))


def test_closing_in_the_loop_wakes_both_sides(run, make, aq):
    async def main():
        reader = await waiting(aq.get())
        aq.close()
        assert is_closed(await failure(reader))
        async with make(cls=AsyncQueue, **kind.room(4, 32), serializer=Padded) as full:
            fill(full)
            writer = await waiting(full.put(4))
        assert is_closed(await failure(writer))
        for closed in (aq, full):
            with pytest.raises(QueueError) as caught:
                await closed.get()
            assert is_closed(caught.value)
            assert not held(kind.address_of(closed))

    run(main())


def test_a_signal_handler_that_closes_wakes_a_loop_that_sleeps(run, aq, handler):
    main_thread = threading.main_thread().ident
    handler(signal.SIGUSR1, lambda *_: aq.close())

    def interrupt():
        until(lambda: sleeps_steadily(main_task()), "the loop to sleep")
        signal.pthread_kill(main_thread, signal.SIGUSR1)

    async def main():
        task = await waiting(aq.get())
        interrupter = Call(interrupt)
        assert is_closed(await failure(task))
        interrupter.result()

    run(main())


def test_one_loop_after_the_other_leaves_nothing_behind(run, aq):
    async def wait():
        with pytest.raises(queue.Empty):
            await aq.get(timeout=0.01)

    run(wait())
    threads = threading.active_count()
    for _ in range(5):
        run(wait())
    assert len(held(kind.address_of(aq))) <= 2
    assert threading.active_count() <= threads


def test_the_synchronous_queue_still_blocks(run, aq):
    async def main():
        task = await waiting(aq.get())
        await aq.put(1)
        await task

    run(main())
    call = Call(aq.queue.get).until_asleep()
    aq.put_nowait(2)
    assert call.result() == 2


def test_tasks_in_two_processes_talk(run, make, fresh, spawn):
    addresses = fresh(), fresh()
    queues = [make(address, cls=AsyncQueue) for address in addresses]
    echo = spawn(
        """
        import asyncio
        from harness.aio import AsyncQueue
        async def main():
            async with AsyncQueue(address(0)) as requests, AsyncQueue(address(1)) as replies:
                async for item in requests:
                    await replies.put(item)
                    if item is None:
                        break
        asyncio.run(main())
        """,
        *addresses,
    )

    async def main():
        requests, replies = queues
        for item in [*range(500), None]:
            await requests.put(item)
            assert await replies.get() == item

    run(main())
    echo.finish()
    for each in queues:
        each.close()


# --- the surroundings ----------------------------------------------------------------------------


def test_importing_the_package_does_not_import_asyncio(spawn):
    assert spawn("print('asyncio' in sys.modules)").finish() == "False"


def test_waiting_tasks_do_not_hold_up_the_end(spawn, address):
    spawn(
        """
        import asyncio
        from harness.aio import AsyncQueue, waiting
        q, ready = AsyncQueue(address()), threading.Event()
        async def main():
            task = await waiting(q.get())
            ready.set()
            await task
        loop = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
        loop.start()
        ready.wait()
        """,
        address,
    ).finish()


def test_after_fork_the_child_waits_for_itself(run, aq, fork):
    """Though a loop of its parent has waited, too."""

    async def wait():
        with pytest.raises(queue.Empty):
            await aq.get(timeout=0.05)

    async def wait_in_the_child():
        task = await waiting(aq.get())
        sender = Call(aq.queue.put, "for the child")  # as anybody may
        assert await task == "for the child"
        sender.result()

    run(wait())
    fork(lambda: run(wait_in_the_child()))
