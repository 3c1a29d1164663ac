"""Objects come and go: subclasses, cycles, weak references, nothing leaks."""

import gc
import os
import pickle
import subprocess
import sys
import weakref
from pathlib import Path
from queue import Empty

import pytest

import sysvmq
from harness.calls import Call
from harness.tasks import until
from kind import kernel_row
from sysvmq import Queue, QueueError, RawSerializer


def rss() -> int:
    """Resident bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        return 0  # it keeps what was freed, to see who uses it
    return pages * os.sysconf("SC_PAGE_SIZE")


def grown(work, times, rounds=4):
    """The least growth of memory over several rounds of work."""
    work(times)
    growth = []
    for _ in range(rounds):
        gc.collect()
        before = rss()
        work(times)
        gc.collect()
        growth.append(rss() - before)
    return min(growth)


def test_opening_and_closing_5000_times_leaks_nothing(key):
    ids = set()

    def work(times):
        for number in range(times):
            queue = Queue(key if number % 2 else None)
            ids.add(queue.id)
            queue.put_nowait(number)
            queue.get_nowait()
            queue.close()

    descriptors = len(os.listdir("/proc/self/fd"))
    assert grown(work, 1000) < 300_000
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert not [msqid for msqid in ids if kernel_row(msqid)][:10]


def test_dropping_1000_objects_leaks_nothing(make):
    queue = make()

    def work(times):
        for _ in range(times):
            Queue(queue.key).qsize()

    assert grown(work, 1000) < 300_000


def test_threads_that_wait_and_end_leak_nothing(raw):
    def wait():
        with pytest.raises(Empty):
            raw.get(timeout=0.001)

    def work(times):
        for _ in range(times):
            Call(wait).result()

    timers = Path("/proc/self/timers")
    before = timers.read_text().count("ID:") if timers.exists() else 0
    assert grown(work, 100, 2) < 2_000_000
    if timers.exists():  # each goes with its thread, which ends a little after Python's thread
        until(lambda: timers.read_text().count("ID:") <= before + 2, what="timers to go")


def test_long_messages_leak_nothing(raw):
    data = b"x" * 8000

    def work(times):
        for _ in range(times):
            raw.put(data)
            raw.get()

    assert grown(work, 1000) < 1_000_000


def test_refused_long_messages_leak_nothing(raw, full):
    def work(times):
        for _ in range(times):
            with pytest.raises(QueueError):
                raw.put(b"x" * 100_000)
            with pytest.raises(QueueError):
                full.put(bytearray(5000), timeout=0)

    assert grown(work, 200) < 1_000_000


def test_counts_of_references_stay_the_same(make):
    item, serializer = b"item of its own" * 3, RawSerializer()
    queue = make(serializer=serializer)
    before = sys.getrefcount(item), sys.getrefcount(queue), sys.getrefcount(serializer)
    for _ in range(100):
        queue.put(item)
        assert queue.get() == item
        queue.qattr()
        queue.empty()
        repr(queue)
        with pytest.raises(TypeError):
            queue.put(item, msg_type="x")
    after = sys.getrefcount(item), sys.getrefcount(queue), sys.getrefcount(serializer)
    assert after == before


def test_a_queue_can_be_referred_to_weakly(make):
    queue = make()
    reference = weakref.ref(queue)
    assert reference() is queue
    del queue
    gc.collect()
    assert reference() is None


def test_a_queue_in_a_cycle_is_collected(make):
    class Serializer:
        queue = None

        def dumps(self, obj):
            return obj

        def loads(self, data):
            return data

    class Sub(Queue):
        pass

    serializer = Serializer()
    serializer.queue = make(serializer=serializer)
    sub = make(cls=Sub)
    sub.itself = sub
    references = [weakref.ref(serializer), weakref.ref(serializer.queue), weakref.ref(sub)]
    del serializer, sub
    gc.collect()
    assert [reference() for reference in references] == [None] * 3


def test_the_collector_sees_what_a_queue_holds(make):
    class Serializer(RawSerializer):
        pass

    serializer = Serializer()
    queue = make(serializer=serializer)
    assert gc.is_tracked(queue)
    assert any(held is serializer for held in gc.get_referents(queue))


def test_a_queue_can_be_subclassed_with_an_init_of_its_own(fresh, make):
    class Jobs(Queue):
        def __init__(self, name, *, size):
            super().__init__(fresh(), size, serializer=RawSerializer)
            self.name = name

        def put(self, item, *arguments, **options):
            super().put(item.encode(), *arguments, **options)

        def get(self, *arguments, **options):
            return super().get(*arguments, **options).decode()

    with Jobs("printer", size=500) as jobs:
        assert isinstance(jobs, Queue)
        assert (jobs.name, jobs.max_bytes) == ("printer", 500)
        jobs.put("page", msg_type=2)
        assert jobs.get(msg_type=2) == "page"
        assert "Jobs" in repr(jobs)


def test_a_subclass_that_forgets_init_is_a_closed_queue():
    class Forgetful(Queue):
        def __init__(self):
            pass

    for queue in (Forgetful(), Queue.__new__(Queue)):
        for call in (
            queue.get,
            queue.qsize,
            queue.qattr,
            queue.empty,
            queue.get_nowait,
            queue.receive,
            queue.peek,
            queue.stat,
            queue.set,
            lambda queue=queue: pickle.dumps(queue),
            lambda queue=queue: queue.put(1),
        ):
            with pytest.raises(QueueError) as caught:
                call()
            assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
        assert queue.closed
        assert repr(queue)
        queue.detach()
        queue.close()
        for name in ("key", "id", "max_bytes", "maxmsgsize", "serializer", "on_signal", "spin_us"):
            try:
                getattr(queue, name)
            except (QueueError, AttributeError):
                pass


def test_init_called_again_leaves_a_whole_queue(make, fresh):
    key, other = fresh(), fresh()
    queue = make(key)
    queue.put("first")
    for _ in range(3):
        try:
            queue.__init__(other)
        except Exception as error:
            assert not isinstance(error, SystemError)
    queue.put("again")
    assert queue.get() in ("first", "again")
    assert queue.key in (key, other)
    assert make(key).id
    queue.close()


def test_init_that_fails_again_leaves_the_queue_as_it_was(q):
    q.put("kept")
    with pytest.raises((QueueError, TypeError, RuntimeError)):
        q.__init__(-1)
    if not q.closed:
        assert q.get() == "kept"


def test_a_queue_has_no_stray_attributes(q):
    with pytest.raises(AttributeError):
        q.stray = 1


@pytest.mark.parametrize(
    "last",
    [
        "pass",
        "queue.get()",
        "queue.close()",
        "queue.detach()",
        "del queue",
        "queue.itself = queue",
        "Thread(target=queue.get, kwargs={'msg_type': 9}, daemon=True).start()",
        "Thread(target=queue.get, args=(True, 9), daemon=True).start(); queue.detach()",
    ],
)
def test_an_interpreter_ends_quietly_with_a_queue_open(key, make, last):
    make(key).put("x")
    code = f"""\
from threading import Thread
import sysvmq
class Mine(sysvmq.Queue): pass
queue = Mine({key})
Thread.run = lambda self, run=Thread.run: quietly(run, self)
def quietly(run, self):
    try:
        run(self)
    except sysvmq.QueueError:
        pass
{last}
"""
    done = subprocess.run(
        [sys.executable, "-I", "-X", "dev", "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_module_can_be_imported_anew(key):
    """A second copy of the module lives beside the first, with types of its own."""
    code = f"""\
import sys, sysvmq
first = sysvmq.Queue({key})
first.put("x")
for name in [name for name in sys.modules if name.split(".")[0] == "sysvmq"]:
    del sys.modules[name]
import sysvmq as again
second = again.Queue({key})
assert second.get() == "x"
try:
    second.get_nowait(2**80)
except again.QueueError:
    pass
second.put("y")
assert first.get() == "y"
second.close()
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_known():
    assert sysvmq.__version__
