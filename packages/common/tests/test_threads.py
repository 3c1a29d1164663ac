"""Many threads and processes at once: nothing lost, nothing twice, nothing out of order.

The package's variable ..._TEST_MESSAGES raises the number of messages (200000 is the promise).
"""

import json
import os
import queue
import threading
import time

import pytest

import kind
from harness.calls import Call
from harness.errors import is_closed
from harness.ways import make_stuck
from kind import MARK, RawSerializer, mark

MESSAGES = int(os.environ.get(f"{kind.PACKAGE.upper()}_TEST_MESSAGES", "20000"))
PATIENCE_S = 60 + MESSAGES / 500


def verify(received, producers, count):
    """See that the consumers' lists of (producer, number) have all, once, and in order."""
    for got in received:
        last = {}
        for producer, number in got:
            assert number > last.get(producer, -1), "out of order"
            last[producer] = number
    everything = sorted(tuple(each) for got in received for each in got)
    assert everything == [(who, number) for who in range(producers) for number in range(count)]


@pytest.mark.parametrize("spin_us", [None, 0], ids=["spin", "no spin"])
@pytest.mark.parametrize("room", [kind.room(3, 64), kind.OPTIONS], ids=["narrow", "wide"])
def test_eight_threads_share_one_object(make, spin_us, room):
    q, count = make(**room, spin_us=spin_us), MESSAGES // 8

    def produce(producer):
        for number in range(count):
            q.put((producer, number))

    def consume():
        got = []
        while (item := q.get(timeout=100)) is not None:
            got.append(item)
        return got

    consumers = [Call(consume) for _ in range(4)]
    producers = [Call(produce, producer) for producer in range(4)]
    for producer in producers:
        producer.result(PATIENCE_S)
    for _ in consumers:
        q.put(None)
    verify([consumer.result() for consumer in consumers], 4, count)
    assert q.empty()


def test_eight_threads_of_every_kind_of_call_share_one_object(make):
    """Waiting, timed and impatient calls, large and small, with marks and without."""
    q, count, stop = make(**kind.room(3, 1024)), MESSAGES // 48, threading.Event()

    def produce(producer):
        for number in range(count):
            item = (producer, number, "x" * (number % 800))
            timeout = 0.001 if number % 3 == 1 else None
            while True:
                try:
                    q.put(item, number % 3 != 0, timeout=timeout, **mark(1 + number % 2))
                    break
                except queue.Full:
                    pass

    def consume(turn):
        got = []
        while not stop.is_set():
            try:
                turn += 1
                producer, number, text = q.get(turn % 3 != 0, timeout=0.001)
                assert len(text) == number % 800
                got.append((producer, number))
            except queue.Empty:
                pass
        return got

    consumers = [Call(consume, turn) for turn in range(4)]
    producers = [Call(produce, producer) for producer in range(4)]
    for producer in producers:
        producer.result(PATIENCE_S)
    while not q.empty():
        time.sleep(0.001)
    stop.set()
    received = [each for consumer in consumers for each in consumer.result()]
    assert sorted(received) == [(p, n) for p in range(4) for n in range(count)]


WORKER = """
import zlib

first, count, typed = int(args[1]), int(args[2]), args[3] == "typed"
q = Queue(address(), serializer=RawSerializer, create=False)
failures, received = [], [[], []]

def message(producer, number):
    body = b"%d %d " % (producer, number) + bytes(number * 37 % 40)
    return b"%08x " % zlib.crc32(body) + body

def produce(producer):
    for number in range(count):
        q.put(message(producer, number), **kind.mark(producer + 1 if typed else 1))

def consume(consumer, got):
    wanted = {"msg_type": consumer + 1} if typed else {}
    while data := q.get(**wanted):
        producer, number = map(int, data[9:].split(b" ")[:2])
        assert data == message(producer, number), "damaged"
        assert not typed or producer == consumer, "of another type"
        got.append((producer, number))

def run(*call):
    try:
        call[0](*call[1:])
    except BaseException as error:
        failures.append(repr(error))
        raise

producers = [threading.Thread(target=run, args=(produce, first + n)) for n in range(2)]
consumers = [threading.Thread(target=run, args=(consume, first + n, received[n])) for n in range(2)]
for thread in producers + consumers:
    thread.start()
for thread in producers:
    thread.join()
print("produced", flush=True)
for thread in consumers:
    thread.join()
assert not failures, failures
print(json.dumps(received))
"""


@pytest.mark.parametrize("types", ["any type", *["typed"] * kind.HAS_TYPES])
def test_two_processes_of_four_threads_lose_double_and_reorder_nothing(make, address, spawn, types):
    q, count = make(address, **kind.room(10, 64), serializer=RawSerializer), MESSAGES // 4
    processes = [spawn(WORKER, address, first, count, types) for first in (0, 2)]
    for process in processes:
        assert process.line() == "produced"
    for number in range(4):
        q.put(b"", **mark(number + 1 if types == "typed" else 1))
    received = [got for process in processes for got in json.loads(process.finish(PATIENCE_S))]
    verify(received, 4, count)
    assert q.empty()


# --- killed processes ----------------------------------------------------------------------------


def test_a_killed_process_leaves_the_others_at_work(make, fresh, spawn):
    """SIGKILL amid a wait: the next message goes to somebody who is alive."""
    addresses = fresh(), fresh()
    q, results = (make(address) for address in addresses)
    code = """
        q, results = Queue(address(0)), Queue(address(1))
        while (item := q.get()) is not None:
            results.put((os.getpid(), item))
    """
    workers = [spawn(code, *addresses).until_asleep() for _ in range(4)]
    for victim in workers[:2]:
        victim.kill()
        victim.wait()
    alive = {worker.pid for worker in workers[2:]}
    for number in range(20):
        q.put(number)
        pid, item = results.get(timeout=60)
        assert item == number
        assert pid in alive
    for _ in alive:
        q.put(None)
    for worker in workers[2:]:
        worker.finish()


def test_a_process_killed_while_it_sends_leaves_the_queue_usable(make, address, spawn):
    q = make(address, **kind.room(2, 64))
    sender = spawn(
        """
        q = Queue(address())
        for number in range(10**9):
            q.put(number)
        """,
        address,
    )
    got = [q.get(timeout=60) for _ in range(100)]
    sender.kill()
    sender.wait()
    while not q.empty():
        got.append(q.get_nowait())
    assert got == list(range(len(got)))
    q.put("usable")
    assert q.get() == "usable"


# --- one object ----------------------------------------------------------------------------------


def test_threads_may_look_at_a_queue_while_others_use_and_close_it(make):
    for _ in range(10):
        q = make()

        def look(q=q):
            while True:
                q.qsize(), q.empty(), q.qattr(), repr(q), getattr(q, "full", q.empty)()
                [getattr(q, name) for name in kind.ATTRIBUTES]

        def use(q=q):
            while True:
                q.put(1)
                q.get()

        calls = [Call(look), Call(look), Call(use)]
        q.close()
        assert all(is_closed(call.failure()) for call in calls)


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


def test_a_thread_that_waits_holds_up_no_other(make):
    """The GIL is released in the wait, and so is everything else."""
    full, other = make_stuck(make, "put"), make()
    waiter = Call(full.put, b"x").until_asleep()
    for number in range(100):
        assert full.qsize() == full.qattr()["size"] == 1
        other.put(number)
        assert other.get() == number
    waiter.until_asleep()
    assert full.get() == b"f" * 16
    waiter.result()
    assert getattr(full.receive(), MARK) == kind.DEFAULT_MARK


def test_threads_may_open_and_leave_at_once(make, address):
    barrier = threading.Barrier(8)

    def work():
        barrier.wait()
        for _ in range(100):
            with make(address) as q:
                q.put("x")
                assert q.get() == "x"

    for worker in [Call(work) for _ in range(8)]:
        worker.result()


@pytest.mark.slow
def test_threads_come_and_go(make):
    q = make()
    for number in range(300):
        getter = Call(q.get, timeout=60)
        q.put(number)
        assert getter.result() == number
