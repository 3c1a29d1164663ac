"""Threads and processes at once: nothing lost, doubled or out of order."""

import os
import threading

import pytest

from harness.calls import Call
from sysvmq import Queue, QueueError, RawSerializer

MESSAGES = int(os.environ.get("SYSVMQ_TEST_MESSAGES", "20000"))

SIDE = """\
import struct, zlib
side, key, each, typed = args[0], int(args[1]), int(args[2]), args[3] == "typed"
queue = Queue(key, serializer=RawSerializer)
failures = []

def message(producer, number):
    head = struct.pack("<II", producer, number) + bytes(number * 37 % 200)
    return head + struct.pack("<I", zlib.crc32(head))

def produce(producer):
    for number in range(each):
        queue.put(message(producer, number), msg_type=producer + 1)

def consume(consumer, seen):
    while data := queue.get(msg_type=consumer + 1 if typed else 0):
        producer, number = struct.unpack_from("<II", data)
        assert data == message(producer, number), "damaged"
        assert not seen[producer] or seen[producer][-1] < number, "reordered"
        assert not typed or producer == consumer, "of another type"
        seen[producer].append(number)

def run(*call):
    try:
        call[0](*call[1:])
    except BaseException as error:
        failures.append(repr(error))
        raise

seen = [[[] for _ in range(4)] for _ in range(4)]
if side == "produce":
    threads = [threading.Thread(target=run, args=(produce, n)) for n in range(4)]
else:
    threads = [
        threading.Thread(target=run, args=(consume, n, seen[n])) for n in range(4)
    ]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if side == "produce":
    for n in range(4):
        queue.put(b"", msg_type=n + 1)
else:
    for producer in range(4):
        numbers = sorted(n for consumer in seen for n in consumer[producer])
        if numbers != list(range(each)):
            failures.append(f"{producer}: {len(numbers)} of {each}")
print(failures or "all well")
"""


@pytest.mark.parametrize("types", ["typed", "any type"])
def test_two_processes_of_four_threads_lose_double_and_reorder_nothing(make, key, spawn, types):
    make(key)
    sides = [spawn(SIDE, side, key, MESSAGES // 4, types) for side in ("consume", "produce")]
    patience = 60 + MESSAGES / 500
    assert [side.finish(patience) for side in sides] == ["all well"] * 2


@pytest.mark.parametrize("max_bytes", [None, 60])
def test_eight_threads_on_one_object_lose_double_and_reorder_nothing(make, max_bytes):
    queue, each = make(max_bytes=max_bytes), MESSAGES // 8

    def produce(producer):
        for number in range(each):
            queue.put((producer, number))

    def consume():
        seen = []
        while (item := queue.get()) is not None:
            seen.append(item)
        return seen

    consumers = [Call(consume) for _ in range(4)]
    producers = [Call(produce, producer) for producer in range(4)]
    for producer in producers:
        producer.result(60 + MESSAGES / 500)
    for _ in consumers:
        queue.put(None)
    seen = [consumer.result() for consumer in consumers]
    for items in seen:
        for producer in range(4):
            numbers = [number for who, number in items if who == producer]
            assert numbers == sorted(numbers)
    assert sorted(item for items in seen for item in items) == [
        (producer, number) for producer in range(4) for number in range(each)
    ]
    assert queue.empty()


def test_a_blocked_thread_blocks_no_other(q):
    """The GIL is released in the wait, and so is everything else."""
    waiter = Call(q.get, msg_type=5).until_asleep()
    for number in range(100):
        q.put(number)
        assert q.get(msg_type=1) == number
        assert q.qsize() == 0
        assert q.qattr()["size"] == 0
    assert waiter.is_alive()
    q.put("x", msg_type=5)
    assert waiter.result() == "x"


def test_readers_and_writers_may_block_on_one_object_at_once(make):
    queue = make(max_bytes=16, serializer=RawSerializer)
    queue.put(b"f" * 16, msg_type=1)
    writer = Call(queue.put, b"second", msg_type=2).until_asleep()
    reader = Call(queue.get, msg_type=2).until_asleep()
    assert queue.get(msg_type=1) == b"f" * 16
    writer.result()
    assert reader.result() == b"second"


def test_a_put_that_waits_has_its_own_copy_or_holds_the_buffer(full):
    """Nobody can change or free the bytes of a put under way."""
    data = bytearray(b"original")
    writer = Call(full.put, data).until_asleep()
    try:
        data.extend(b"!" * 100_000)
    except BufferError:
        assert data == b"original"
    full.get()
    writer.result()
    assert full.get() == b"original"


def test_threads_may_open_and_close_at_once(fresh, make):
    key, barrier = fresh(), threading.Barrier(8)

    def work():
        barrier.wait()
        for _ in range(100):
            with make(key) as queue:
                queue.put("x")
                assert queue.get() == "x"

    for worker in [Call(work) for _ in range(8)]:
        worker.result()


def test_threads_may_create_one_key_at_once(fresh, make):
    for _ in range(50):
        key, barrier = fresh(), threading.Barrier(4)

        def work(key=key, barrier=barrier):
            barrier.wait()
            return make(key, 1000).id

        workers = [Call(work) for _ in range(4)]
        assert len({worker.result() for worker in workers}) == 1


def test_the_survivors_go_on_when_a_waiting_process_is_killed(make, key, spawn):
    queue = make(key)
    victims = [spawn("Queue(int(args[0])).get()", key).until_asleep() for _ in range(2)]
    survivor = spawn("print(Queue(int(args[0])).get())", key).until_asleep()
    for victim in victims:
        victim.kill()
        victim.wait()
    queue.put("still works")
    assert survivor.finish() == "still works"


def test_looking_and_changing_may_meet_a_detach(make):
    """On a free-threaded Python nothing else keeps the id from being let go meanwhile."""
    queue = make(serializer=RawSerializer)
    queue.put(b"x", msg_type=3)
    for _ in range(50):
        handle, start = Queue.from_id(queue.id, serializer=RawSerializer), threading.Barrier(4)

        def work(call, handle=handle, start=start):
            start.wait()
            try:
                while True:
                    call(handle)
            except QueueError as error:
                return error.errno

        workers = [
            Call(work, Queue.peek),
            Call(work, Queue.stat),
            Call(work, lambda handle: handle.set(mode=0o640)),
        ]
        start.wait()
        handle.detach()
        assert {worker.result() for worker in workers} == {QueueError.INVALID_DESCRIPTOR}
    assert queue.receive() == (b"x", 3)
