"""Interpreters with a GIL of their own use the package side by side in one process."""

import sys
import textwrap

import pytest

import kind

if sys.version_info < (3, 12):
    pytest.skip("own-GIL interpreters come with Python 3.12", allow_module_level=True)


@pytest.fixture
def apart(make, fresh, spawn):
    """Run a script that may run code in other interpreters; it is given two queues."""
    addresses = fresh(), fresh()
    for address in addresses:
        make(address, **kind.room(4, 64))

    def apart(code):
        head = "from harness.interp import *\nfrom harness.calls import Call\n"
        return spawn(head + textwrap.dedent(code), *addresses).finish()

    return apart


def test_an_interpreter_of_its_own_gil_uses_the_package(apart):
    apart(f'''
    run_alone("""
    with Queue(addresses[0]) as q:
        q.put({{"a": 1}}, {kind.MARK}=3)
        message = q.receive()
        assert (message.item, message.{kind.MARK}) == ({{"a": 1}}, 3)
        assert type(message) is package.Message
        started = time.monotonic()
        try:
            q.get(timeout=0.05)
            raise AssertionError("a message")
        except queue.Empty:
            assert time.monotonic() - started >= 0.05
        for item, mark, expected in (
            (1, -1, QueueError.INVALID_VALUE), (bytes(999), 1, QueueError.TOO_BIG_MESSAGE)
        ):
            try:
                q.put(item, {kind.MARK}=mark)
                raise AssertionError("it was put")
            except QueueError as error:
                assert error.errno == expected, error
    """)
    ''')


def test_two_interpreters_exchange_objects(apart):
    apart('''
    run_all("""
    with Queue(addresses[0]) as q, Queue(addresses[1]) as answers:
        for number in range(5000):
            q.put({"n": number})
        q.put(None)
        assert answers.get(timeout=60) == "all in order"
        for number in range(1000):
            q.put({"n": number})
            assert answers.get(timeout=60) == [number]
    """, """
    with Queue(addresses[0]) as q, Queue(addresses[1]) as answers:
        assert [q.get(timeout=60) for _ in range(5000)] == [{"n": n} for n in range(5000)]
        assert q.get(timeout=60) is None
        answers.put("all in order")
        for _ in range(1000):
            answers.put([q.get(timeout=60)["n"]])
    """)
    ''')


def test_the_main_interpreter_and_another_share_the_work(apart):
    apart('''
    number = create()
    worker = Call(run, number, """
    with Queue(addresses[0]) as jobs, Queue(addresses[1]) as results:
        while (job := jobs.get()) is not None:
            results.put(job * 2)
    """)
    with Queue(address(0)) as jobs, Queue(address(1)) as results:
        for job in range(500):
            jobs.put(job)
            assert results.get(timeout=60) == job * 2
        jobs.put(None)
    worker.result()
    ''')


def test_classes_are_each_interpreters_own(apart):
    apart('''
    run_alone("""
    with Queue(addresses[0]) as q:
        q.put([id(Queue), id(QueueError)])
    """)
    with Queue(address()) as q:
        assert not set(q.get()) & {id(Queue), id(QueueError)}
    ''')


def test_waits_in_several_interpreters_keep_their_own_time(apart):
    apart('''
    run_all(*["""
    with Queue(addresses[0]) as q:
        for timeout in (0.01, 0.05, 0.2):
            started = time.monotonic()
            try:
                q.get(timeout=timeout)
                raise AssertionError("a message")
            except queue.Empty:
                assert time.monotonic() - started >= timeout
    """] * 3)
    ''')


def test_leaving_wakes_waiting_threads_of_its_interpreter(apart):
    apart(f'''
    number, (told, tell) = create(), os.pipe()
    leaver = Call(run, number, f"""
    q, seen = Queue(addresses[0]), []

    def wait(timeout):
        try:
            q.get(timeout=timeout)
        except QueueError as error:
            seen.append(error.errno)

    threads = [threading.Thread(target=wait, args=(timeout,)) for timeout in (None, 100)]
    for thread in threads:
        thread.start()
    os.read({{told}}, 1)
    q.{kind.LEAVE}()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert seen == [QueueError.INVALID_DESCRIPTOR] * 2
    """)

    def asleep():
        return [task for task in os.listdir("/proc/self/task") if is_asleep(f"/proc/self/task/{{task}}")]

    until(lambda: len(asleep()) == 2 or leaver.ended)
    os.write(tell, b"x")
    leaver.result()
    ''')


def test_interpreters_come_and_go(apart):
    """Neither a module's end nor a thread's may take down what others use."""
    apart('''
    with Queue(address()) as q:
        for _ in range(8):
            run_alone("""
            with Queue(addresses[0]) as q:
                q.put(1)
                assert q.get() == 1
                try:
                    q.get(timeout=0.001)
                    raise AssertionError("a message")
                except queue.Empty:
                    pass
            """)
            q.put("still")
            assert q.get(timeout=1) == "still"
        try:
            q.get(timeout=0.01)
            raise AssertionError("a message")
        except queue.Empty:
            pass
    ''')
