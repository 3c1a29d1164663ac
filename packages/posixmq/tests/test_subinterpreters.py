"""Two interpreters in one process, each with its own GIL, use the package side by side."""

import sys

import pytest

import posixmq
from harness.calls import Call
from harness.children import PATHS
from harness.process import descriptors

if sys.version_info >= (3, 13):
    import _interpreters as interpreters
elif sys.version_info >= (3, 12):
    import _xxsubinterpreters as interpreters
else:
    pytest.skip("own-GIL interpreters come with Python 3.12", allow_module_level=True)


def create():
    if sys.version_info >= (3, 13):
        return interpreters.create("isolated")
    return interpreters.create(isolated=True)


def run_in(number, code):
    failed = interpreters.run_string(number, code)
    if failed is not None:
        raise AssertionError(getattr(failed, "formatted", failed))


def run_alone(code):
    """Run code in an interpreter that this very thread makes and ends: Python 3.12 needs that."""
    number = create()
    try:
        run_in(number, code)
    finally:
        interpreters.destroy(number)


@pytest.fixture
def run_all():
    """Run pieces of code at once, each in a thread and an interpreter of its own."""

    def run_all(*codes):
        for call in [Call(run_alone, code) for code in codes]:
            call.result()

    return run_all


SETUP = """
import posixmq, queue, time
name, other = {!r}, {!r}
"""


def test_an_interpreter_of_its_own_gil_imports_and_uses_the_package(run_all, name):
    run_all(
        SETUP.format(name, "")
        + """
with posixmq.Queue(name, 2, 64) as q:
    q.put({"a": 1}, priority=3)
    assert q.get() == {"a": 1}
    started = time.monotonic()
    try:
        q.get(timeout=0.05)
    except queue.Empty:
        assert time.monotonic() - started >= 0.05
    try:
        posixmq.Queue("no slash")
    except posixmq.QueueError as error:
        assert error.errno == posixmq.QueueError.INVALID_VALUE
    try:
        q.put("x" * 1000)
    except posixmq.QueueError as error:
        assert error.errno == posixmq.QueueError.TOO_BIG_MESSAGE
"""
    )


def test_two_interpreters_exchange_objects(run_all, make):
    ask, answer = make(), make()
    setup = SETUP.format(ask.name, answer.name)
    run_all(
        setup
        + """
with posixmq.Queue(name) as ask, posixmq.Queue(other) as answer:
    for number in range(2000):
        ask.put({"n": number})
        assert answer.get(timeout=60) == [number]
    ask.put(None)
""",
        setup
        + """
with posixmq.Queue(name) as ask, posixmq.Queue(other) as answer:
    while (item := ask.get()) is not None:
        answer.put([item["n"]], timeout=60)
""",
    )


def test_classes_are_each_interpreters_own(run_all, name):
    run_all(
        SETUP.format(name, "")
        + f"""
assert id(posixmq.Queue) != {id(posixmq.Queue)}
assert id(posixmq.QueueError) != {id(posixmq.QueueError)}
"""
    )


def test_waits_in_several_interpreters_keep_their_own_time(run_all, make):
    q = make()
    code = (
        SETUP.format(q.name, "")
        + """
with posixmq.Queue(name) as q:
    for timeout in (0.01, 0.05, 0.2):
        started = time.monotonic()
        try:
            q.get(timeout=timeout)
        except queue.Empty:
            pass
        assert time.monotonic() - started >= timeout
"""
    )
    run_all(code, code, code)


def test_close_wakes_waiting_threads_of_its_interpreter(run_all, make):
    q = make()
    run_all(
        SETUP.format(q.name, "")
        + f"""
import sys, threading
sys.path[:0] = {PATHS!r}
from harness.tasks import task_of, until_asleep

q = posixmq.Queue(name)
seen = []


def wait(timeout):
    try:
        q.get(timeout=timeout)
    except posixmq.QueueError as error:
        seen.append(error.errno)


threads = [threading.Thread(target=wait, args=(t,)) for t in (None, 100)]
for thread in threads:
    thread.start()
for thread in threads:
    until_asleep(task_of(thread))
q.close()
for thread in threads:
    thread.join(60)
    assert not thread.is_alive()
assert seen == [posixmq.QueueError.INVALID_DESCRIPTOR] * 2
"""
    )


def test_an_interpreter_that_ends_closes_its_queues(make, name):
    make(name)
    number = create()
    run_in(
        number,
        SETUP.format(name, "")
        + """
import warnings

warnings.simplefilter("ignore")
q = posixmq.Queue(name)
q.put(1)
""",
    )
    assert len(descriptors(name)) == 2
    interpreters.destroy(number)
    assert len(descriptors(name)) == 1


def test_interpreters_come_and_go(make, name):
    """Neither a module's end nor a thread's may take down what others use."""
    q = make(name)
    for _ in range(5):
        number = create()
        run_in(
            number,
            SETUP.format(name, "")
            + """
with posixmq.Queue(name) as q:
    q.put(1)
    q.get()
    try:
        q.get(timeout=0.001)
    except queue.Empty:
        pass
""",
        )
        interpreters.destroy(number)
        q.put("still")
        assert q.get(timeout=1) == "still"


def test_the_main_interpreter_and_another_share_the_work(make):
    q, results = make(), make()
    worker = Call(
        run_alone,
        SETUP.format(q.name, results.name)
        + """
with posixmq.Queue(name) as jobs, posixmq.Queue(other) as results:
    while (job := jobs.get()) is not None:
        results.put(job * 2)
""",
    )
    for number in range(500):
        q.put(number)
        assert results.get(timeout=60) == number * 2
    q.put(None)
    worker.result()
