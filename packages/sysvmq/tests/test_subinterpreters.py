"""Interpreters with a GIL of their own use queues side by side."""

import sys

import pytest

from harness.tasks import until_asleep

OPEN = """\
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
def create():
    try:
        number = interpreters.create("isolated")
    except TypeError:
        number = interpreters.create(isolated=True)
    # In a thread, Python 3.12 hangs in the import of any C module, pickle's included.
    run(number, "import sysvmq; sysvmq.Queue().close()")
    return number
def run(number, code):
    problem = interpreters.run_string(number, code)
    if problem:
        raise RuntimeError(problem)
"""

own_gil = pytest.mark.skipif(
    sys.version_info < (3, 12), reason="a GIL of one's own came with Python 3.12"
)


@own_gil
def test_an_isolated_interpreter_uses_a_queue(make, key, spawn):
    queue = make(key)
    child = spawn(
        OPEN
        + """\
run(create(), f'''
import queue, sysvmq
q = sysvmq.Queue({args[0]})
q.put(["from", "inside"], msg_type=3)
assert q.get(msg_type=3) == ["from", "inside"]
try:
    q.get(timeout=0.02)
except queue.Empty:
    pass
try:
    q.put(1, msg_type=0)
except sysvmq.QueueError as error:
    assert error.errno == sysvmq.QueueError.INVALID_VALUE
q.put("result", msg_type=2)
''')
print("done")
""",
        key,
    )
    assert child.finish() == "done"
    assert queue.get(msg_type=2) == "result"


@own_gil
def test_two_interpreters_exchange_messages_at_full_speed(make, key, spawn):
    make(key)
    child = spawn(
        OPEN
        + """\
producer, consumer = create(), create()
jobs = [
    (producer, f'''
import sysvmq
q = sysvmq.Queue({args[0]})
for number in range(5000):
    q.put(number)
'''),
    (consumer, f'''
import sysvmq
q = sysvmq.Queue({args[0]})
for number in range(5000):
    assert q.get(timeout=60) == number
q.put("all in order", msg_type=2)
'''),
]
threads = [threading.Thread(target=run, args=job) for job in jobs]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(Queue(int(args[0])).get(msg_type=2, timeout=60))
for number in (producer, consumer):
    interpreters.destroy(number)
print("destroyed")
""",
        key,
    )
    assert child.finish(60) == "all in order\ndestroyed"


@own_gil
def test_each_interpreter_has_types_of_its_own(make, key, spawn):
    make(key)
    child = spawn(
        OPEN
        + """\
inner = create()
run(inner, f'''
import sysvmq
sysvmq.Queue({args[0]}).put([id(sysvmq.Queue), id(sysvmq.QueueError)])
''')
print(set(Queue(int(args[0])).get()) & {id(Queue), id(QueueError)} or "apart")
""",
        key,
    )
    assert child.finish() == "apart"


@own_gil
def test_an_isolated_interpreter_receives_looks_and_pickles(make, key, spawn):
    queue = make(key)
    queue.put("x", msg_type=3)
    child = spawn(
        OPEN
        + """\
code = f'''
import pickle, sysvmq
q = pickle.loads(pickle.dumps(sysvmq.Queue({args[0]})))
assert q.peek() == ("x", 3)
assert type(q.peek()) is sysvmq.Message
assert q.stat().size == 1
assert q.id in [info.id for info in sysvmq.list_queues()]
assert sysvmq.limits().queues > 0
q.set(mode=0o640)
q.put([id(sysvmq.Message), id(sysvmq.QueueStat)], msg_type=9)
'''
for _ in range(2):
    number = create()
    run(number, code)
    ids = Queue(int(args[0])).get(msg_type=9)
    exec(code)
    print(set(ids) & set(q.get(msg_type=9)) or "apart")
    interpreters.destroy(number)
""",
        key,
    )
    assert child.finish() == "apart\napart"
    assert queue.stat().mode == 0o640
    assert queue.receive() == ("x", 3)


@own_gil
def test_interpreters_come_and_go(make, key, spawn):
    make(key)
    child = spawn(
        OPEN
        + """\
for _ in range(8):
    number = create()
    run(number, f'''
import queue, sysvmq
q = sysvmq.Queue({args[0]})
try:
    q.get(timeout=0.001)
except queue.Empty:
    pass
''')
    interpreters.destroy(number)
q = Queue(int(args[0]))
q.put("x")
print(q.get(timeout=1))
try:
    q.get(timeout=0.01)
except queue.Empty:
    print("empty")
""",
        key,
    )
    assert child.finish() == "x\nempty"


@own_gil
def test_close_in_one_interpreter_wakes_another(make, key, spawn):
    make(key)
    child = spawn(
        OPEN
        + """\
inner = create()
thread = threading.Thread(target=run, args=(inner, f'''
import sysvmq
try:
    sysvmq.Queue({args[0]}).get()
except sysvmq.QueueError as error:
    assert error.errno == sysvmq.QueueError.INVALID_DESCRIPTOR
    print("woken", flush=True)
'''))
thread.start()
print(thread.native_id, flush=True)
thread.join()
print("ended")
""",
        key,
    )
    until_asleep(f"{child.task}/task/{child.line()}")
    make(key).close()
    assert child.finish() == "woken\nended"
