"""Many threads and processes at once: nothing lost, nothing twice, nothing out of order.

POSIXMQ_TEST_MESSAGES raises the number of messages (200000 is the promise, 12000 the default).
"""

import json
import os
import queue
import threading
import time
import zlib

import pytest

from harness.calls import Call
from posixmq import QueueError, RawSerializer

MESSAGES = int(os.environ.get("POSIXMQ_TEST_MESSAGES", "12000"))


def message(producer, number):
    body = b"%d %d " % (producer, number) + bytes(number % 40)
    return b"%08x " % zlib.crc32(body) + body


def check(data):
    """The producer and number of a message whose checksum is right."""
    checksum, body = data[:8], data[9:]
    assert int(checksum, 16) == zlib.crc32(body)
    producer, number = body.split(b" ")[:2]
    return int(producer), int(number)


def verify(received, producers, count):
    """received holds what each consumer got, in its order."""
    for got in received:
        last = {}
        for producer, number in got:
            assert number > last.get(producer, -1), "out of order"
            last[producer] = number
    everything = sorted(tuple(each) for got in received for each in got)
    expected = [(producer, number) for producer in range(producers) for number in range(count)]
    assert everything == expected


@pytest.mark.parametrize("spin_us", [None, 0], ids=["spin", "no spin"])
def test_eight_threads_share_one_object(make, spin_us):
    q = make(maxsize=3, serializer=RawSerializer, spin_us=spin_us)
    count = MESSAGES // 8

    def produce(producer):
        for number in range(count):
            q.put(message(producer, number))

    def consume():
        got = []
        while data := q.get(timeout=100):
            got.append(check(data))
        return got

    consumers = [Call(consume) for _ in range(4)]
    producers = [Call(produce, producer) for producer in range(4)]
    for producer in producers:
        producer.result(100)
    for _ in consumers:
        q.put(b"")
    verify([consumer.result() for consumer in consumers], 4, count)


def test_eight_threads_of_every_kind_of_call_share_one_object(make):
    """Waiting, timed and impatient calls, large and small, with and without priority."""
    q = make(maxsize=3, maxmsgsize=1024)
    count = MESSAGES // 48
    stop = threading.Event()

    def produce(producer):
        for number in range(count):
            item = (producer, number, "x" * (number % 800))
            while True:
                try:
                    q.put(item, number % 3 != 0, 0.001 if number % 3 == 1 else None, number % 2)
                    break
                except queue.Full:
                    pass

    def consume(turn):
        got = []
        while not stop.is_set():
            try:
                turn += 1
                producer, number, text = q.get(turn % 3 != 0, 0.001)
                assert len(text) == number % 800
                got.append((producer, number))
            except queue.Empty:
                pass
        return got

    consumers = [Call(consume, turn) for turn in range(4)]
    producers = [Call(produce, producer) for producer in range(4)]
    for producer in producers:
        producer.result(100)
    while not q.empty():
        time.sleep(0.001)
    stop.set()
    received = [each for consumer in consumers for each in consumer.result()]
    assert sorted(received) == [(p, n) for p in range(4) for n in range(count)]


WORKER = """
import zlib

def message(producer, number):
    body = b"%d %d " % (producer, number) + bytes(number % 40)
    return b"%08x " % zlib.crc32(body) + body

def check(data):
    checksum, body = data[:8], data[9:]
    assert int(checksum, 16) == zlib.crc32(body)
    producer, number = body.split(b" ")[:2]
    return int(producer), int(number)

name, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
q = Queue(name, serializer=RawSerializer, create=False)
received = [[], []]

def produce(producer):
    for number in range(count):
        q.put(message(producer, number))

def consume(got):
    while data := q.get():
        got.append(check(data))

producers = [threading.Thread(target=produce, args=(first + n,)) for n in range(2)]
consumers = [threading.Thread(target=consume, args=(got,)) for got in received]
for thread in producers + consumers:
    thread.start()
for thread in producers:
    thread.join()
print("produced", flush=True)
for thread in consumers:
    thread.join()
print(json.dumps(received))
q.close()
"""


def test_two_processes_of_four_threads_lose_nothing(make, spawn):
    q = make(maxsize=10, maxmsgsize=64, serializer=RawSerializer)
    count = MESSAGES // 4
    processes = [spawn(WORKER, q.name, first, count) for first in (0, 2)]
    for process in processes:
        assert process.line() == "produced"
    for _ in range(4):
        q.put(b"")
    received = [got for process in processes for got in json.loads(process.finish())]
    verify(received, 4, count)
    assert q.empty()


def test_a_killed_process_leaves_the_others_at_work(make, spawn):
    """SIGKILL amid a wait: the next message goes to somebody who is alive."""
    q, results = make(maxsize=10, maxmsgsize=64), make(maxsize=10, maxmsgsize=64)
    code = """
        with Queue(sys.argv[1]) as q, Queue(sys.argv[2]) as results:
            while (item := q.get()) is not None:
                results.put((os.getpid(), item))
    """
    workers = [spawn(code, q.name, results.name) for _ in range(3)]
    for worker in workers:
        worker.until_asleep()
    workers[0].kill()
    workers[0].wait()
    for number in range(20):
        q.put(number)
        pid, item = results.get(timeout=60)
        assert item == number
        assert pid != workers[0].pid
    for _ in workers[1:]:
        q.put(None)
    for worker in workers[1:]:
        worker.finish()


def test_a_process_killed_while_it_sends_leaves_the_queue_usable(make, spawn):
    q = make(maxsize=2, maxmsgsize=64)
    sender = spawn(
        """
        with Queue(sys.argv[1]) as q:
            for number in range(10**9):
                q.put(number)
        """,
        q.name,
    )
    got = [q.get(timeout=60) for _ in range(100)]
    sender.kill()
    sender.wait()
    while not q.empty():
        got.append(q.get_nowait())
    assert got == list(range(len(got)))
    q.put("usable")
    assert q.get() == "usable"


def test_threads_may_look_at_a_queue_while_others_use_and_close_it(fresh, make):
    for _ in range(10):
        q = make(fresh())

        def look(q=q):
            while True:
                q.qsize(), q.empty(), q.full(), q.qattr(), q.closed, repr(q), q.name

        def use(q=q):
            while True:
                q.put(1)
                q.get()

        calls = [Call(look), Call(look), Call(use)]
        q.close()
        for call in calls:
            error = call.failure()
            assert isinstance(error, QueueError)
            assert error.errno == QueueError.INVALID_DESCRIPTOR


@pytest.mark.slow
def test_threads_come_and_go(make):
    q = make()
    for number in range(300):
        getter = Call(q.get, timeout=60)
        q.put(number)
        assert getter.result() == number
