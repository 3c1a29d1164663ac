"""A Queue object from birth to death: closed, dropped, subclassed, collected, constructed again."""

import contextlib
import gc
import pickle
import queue as stdlib_queue
import subprocess
import sys
import threading
import warnings
import weakref
from pathlib import Path

import pytest

import kind
from harness.calls import Call
from harness.errors import is_closed, refusal
from harness.measure import growth
from harness.process import descriptors
from harness.tasks import until
from kind import LEAVE, Queue, QueueError, RawSerializer, mark

ROOM = kind.room(2, 64)
# What constructing an object again may raise.
REFUSALS = (RuntimeError, QueueError, ValueError)


def leave(queue):
    getattr(queue, LEAVE)()


@contextlib.contextmanager
def dropping(address):
    """An open queue that is dropped inside gives all back, and its kind says whether it warns."""
    before = descriptors()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    told = [each.category for each in caught if str(address) in str(each.message)]
    assert told == [ResourceWarning] * kind.WARNS_WHEN_DROPPED
    assert descriptors() == before


@contextlib.contextmanager
def silence():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()


# --- closed, dropped, collected --------------------------------------------------------------------------


@pytest.mark.parametrize("end", kind.ENDS)
def test_closed_tells(make, end):
    queue = make()
    assert queue.closed is False
    getattr(queue, end)()
    assert queue.closed is True


def test_a_dropped_queue_gives_back_what_it_had(address):
    with dropping(address):
        queue = Queue(address)
        queue.put("x")
        del queue
    assert kind.exists(address)


def test_dropping_while_an_exception_passes_leaves_the_exception_alone(address):
    def work():
        queue = Queue(address)
        queue.qsize()
        raise ZeroDivisionError

    with dropping(address), pytest.raises(ZeroDivisionError):
        try:
            work()
        except ZeroDivisionError as error:
            error.__traceback__ = None
            raise


def test_a_closed_queue_dies_in_silence(address):
    queue = Queue(address)
    leave(queue)
    with silence():
        del queue


def test_a_queue_whose_opening_failed_dies_in_silence(address):
    with silence():
        with pytest.raises(QueueError):
            Queue(address, create=False)


def test_weak_references_die_with_the_queue(address):
    queue, told = Queue(address), []
    weak = weakref.ref(queue, told.append)
    assert weak() is queue
    leave(queue)
    del queue
    gc.collect()
    assert weak() is None
    assert told == [weak]


def test_a_queue_in_a_reference_cycle_is_collected(address):
    class Holding:
        def dumps(self, item):
            return item

        loads = dumps

    with dropping(address):
        holding = Holding()
        holding.queue = Queue(address, serializer=holding)
        weak = weakref.ref(holding.queue), weakref.ref(holding)
        del holding
    assert [each() for each in weak] == [None, None]


def test_a_subclass_in_a_cycle_with_itself_is_collected(address):
    class Own(Queue):
        pass

    with dropping(address):
        queue = Own(address)
        queue.me = queue
        weak = weakref.ref(queue)
        del queue
    assert weak() is None


def test_the_collector_sees_the_serializer(make):
    class Own(RawSerializer):
        pass

    serializer = Own()
    queue = make(serializer=serializer)
    assert gc.is_tracked(queue)
    assert any(held is serializer for held in gc.get_referents(queue))


# --- subclasses ------------------------------------------------------------------------------------------


def test_a_queue_may_be_subclassed_with_a_constructor_of_its_own(address):
    class Jobs(Queue):
        def __init__(self, size, *, colour):
            super().__init__(address, **kind.room(3, size), exclusive=True)
            self.colour = colour

        def put(self, item, *args, **options):
            super().put({"job": item}, *args, **options)

        def get(self, *args, **options):
            return super().get(*args, **options)["job"]

    with Jobs(64, colour="red") as jobs:
        assert isinstance(jobs, Queue)
        assert jobs.colour == "red"
        assert kind.address_of(jobs) == address
        assert {name: getattr(jobs, name) for name in kind.room(3, 64)} == kind.room(3, 64)
        jobs.put("page", **mark(2))
        assert jobs.get(timeout=60) == "page"
        assert jobs.get is not Queue.get
        assert "Jobs" in repr(jobs)
    assert jobs.closed


def test_a_subclass_of_a_subclass_with_slots_works(address):
    class Slotted(Queue):
        __slots__ = ("extra",)

    class Deeper(Slotted):
        __slots__ = ()

    with Deeper(address) as queue:
        queue.extra = [1]
        queue.put(queue.extra)
        assert queue.get() == [1]
        with pytest.raises(AttributeError):
            queue.other = 1


def test_a_subclass_among_other_bases_works(address):
    class Mixin:
        def twice(self, item):
            self.put(item)
            self.put(item)

    class Both(Mixin, Queue):
        pass

    with Both(address) as queue:
        queue.twice("x")
        assert [queue.get(), queue.get()] == ["x", "x"]


def test_a_queue_has_no_stray_attributes(q):
    with pytest.raises(AttributeError):
        q.stray = 1


class Forgetful(Queue):
    def __init__(self):
        pass


@pytest.mark.parametrize("make_it", [Forgetful, lambda: Queue.__new__(Queue)], ids=["own", "new"])
def test_what_was_never_opened_is_a_closed_queue(make_it):
    queue = make_it()
    assert queue.closed
    names = (
        *("get", "get_nowait", "receive", "get_many", "peek"),
        *("qsize", "qattr", "empty", "full", "stat", "set"),
    )
    calls = [getattr(queue, name) for name in names if hasattr(queue, name)]
    for call in (*calls, lambda: queue.put(1), lambda: pickle.dumps(queue)):
        assert is_closed(refusal(call)), call
    assert repr(queue)
    for name in kind.ATTRIBUTES:
        with contextlib.suppress(QueueError, AttributeError):
            getattr(queue, name)
    for end in kind.ENDS:
        getattr(queue, end)()


def test_a_subclass_dropped_by_a_failing_constructor_gives_back_what_it_had(address):
    class Failing(Queue):
        def __init__(self):
            super().__init__(address)
            raise ZeroDivisionError

    with dropping(address):
        with pytest.raises(ZeroDivisionError) as caught:
            Failing()
        caught = None
    assert caught is None


def test_with_leaves_a_subclass_by_its_own_method(address):
    """As files and sockets do."""

    def say_farewell(self):
        self.farewell += ("bye",)
        getattr(Queue, LEAVE)(self)

    careful = type("Careful", (Queue,), {"farewell": (), LEAVE: say_farewell})
    with careful(address) as queue:
        pass
    assert queue.farewell == ("bye",)
    assert queue.closed


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_queue_pickles_into_itself_or_not_at_all(make, protocol):
    """What pickles without complaint must be usable when it comes out."""
    queue = make()
    try:
        data = pickle.dumps(queue, protocol)
    except (TypeError, pickle.PicklingError):
        with pytest.raises((TypeError, pickle.PicklingError)):
            queue.put(queue, pickle_protocol=protocol)
        assert queue.empty()
    else:
        with pickle.loads(data) as again:
            again.put("x")
            assert queue.get() == "x"


def test_subclasses_come_and_go_without_leaking():
    def once(base):
        class Passing(base):
            pass

        return weakref.ref(Passing)

    def survivors(base):
        gone = [once(base) for _ in range(20)]
        gc.collect()
        return sum(weak() is not None for weak in gone)

    # A free-threaded Python 3.13 keeps every class for ever once a thread was started.
    assert survivors(Queue) <= survivors(object)


# --- constructed again -----------------------------------------------------------------------------------


def test_constructing_an_open_queue_again_leaves_a_whole_queue(make, fresh):
    first, second = fresh(), fresh()
    queue = make(first)
    queue.put("first")
    before = len(descriptors())
    for _ in range(3):
        with contextlib.suppress(*REFUSALS):
            queue.__init__(second, **ROOM)
    assert kind.address_of(queue) in (first, second)
    if kind.address_of(queue) == first:
        assert queue.get() == "first"
    queue.put("usable")
    assert queue.get() == "usable"
    assert len(descriptors()) == before
    leave(queue)
    assert len(descriptors()) <= before


def test_constructing_an_open_queue_again_in_vain_leaves_it_as_it_was(q, fresh):
    q.put("kept")
    with pytest.raises(REFUSALS):
        q.__init__(fresh(), create=False)
    if not q.closed:
        assert q.get() == "kept"


def test_constructing_a_closed_queue_again_opens_it_or_refuses(make, fresh):
    first, second = fresh(), fresh()
    before = descriptors()
    queue = make(first)
    leave(queue)
    try:
        queue.__init__(second, **ROOM)
    except REFUSALS:
        assert queue.closed
    else:
        assert (kind.address_of(queue), queue.closed) == (second, False)
        assert {name: getattr(queue, name) for name in ROOM} == ROOM
        queue.put("x")
        assert queue.get() == "x"
    leave(queue)
    assert descriptors() == before


def test_constructing_again_in_vain_leaves_a_closed_queue_closed(make, fresh):
    before = descriptors()
    queue = make()
    leave(queue)
    with pytest.raises(REFUSALS):
        queue.__init__(fresh(), create=False)
    assert queue.closed
    assert is_closed(refusal(queue.get_nowait))
    assert descriptors() == before


def test_constructing_amid_constructing_leaks_nothing(fresh):
    """An argument's own code runs in the middle of it."""
    first, second = fresh(), fresh()
    queue = Queue.__new__(Queue)
    name, size = next(iter(ROOM.items()))

    class Nested:
        def __index__(self):
            queue.__init__(first, **ROOM)
            return size

    before = len(descriptors())
    with contextlib.suppress(RuntimeError, QueueError):
        queue.__init__(second, **{**ROOM, name: Nested()})
    assert len(descriptors()) <= before + 1
    leave(queue)
    assert len(descriptors()) == before


def test_threads_that_construct_one_object_at_once_leak_nothing(fresh):
    before = len(descriptors())
    addresses = [fresh() for _ in range(4)]
    for _ in range(50):
        queue, start = Queue.__new__(Queue), threading.Barrier(4)

        def construct(address, queue=queue, start=start):
            start.wait()
            with contextlib.suppress(RuntimeError, QueueError):
                queue.__init__(address, **ROOM)

        for call in [Call(construct, address) for address in addresses]:
            call.result()
        leave(queue)
        assert len(descriptors()) == before


def test_queues_opened_and_closed_by_threads_leave_no_descriptor(address):
    before = descriptors()

    def work():
        for _ in range(50):
            with Queue(address) as queue:
                queue.qsize()

    for call in [Call(work) for _ in range(4)]:
        call.result()
    assert descriptors() == before


# --- what is left behind ---------------------------------------------------------------------------------


def assert_no_growth(function, times, rounds=4):
    blocks, memory = growth(function, times, rounds)
    assert blocks < 100
    assert memory < 2**19


@pytest.mark.parametrize("way", ["leave", "destroy", "drop"])
def test_opening_and_closing_leaks_nothing(address, way):
    end = {"leave": leave, "destroy": kind.destroy, "drop": lambda queue: None}[way]

    def cycle(times):
        for _ in range(times):
            queue = Queue(address)
            queue.put_nowait(None)
            queue.get_nowait()
            end(queue)
            del queue

    opened = len(descriptors())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        assert_no_growth(cycle, 1500)
    assert len(descriptors()) == opened
    assert kind.exists(address) == (way != "destroy")


def test_messages_leak_nothing(make):
    queue = make(**kind.room(4, 2048))

    def cycle(times):
        for number in range(times):
            queue.put({"n": number, "text": "x" * 1000}, **mark(number % 100 + 1))
            queue.put_nowait(number)
            queue.get()
            queue.get(timeout=1)

    assert_no_growth(cycle, 2000)


def test_long_messages_leak_nothing(make):
    queue, data = make(**kind.room(1, 8000), serializer=RawSerializer), b"x" * 8000

    def cycle(times):
        for _ in range(times):
            queue.put(data)
            queue.get()

    assert_no_growth(cycle, 1000)


def test_refused_long_messages_leak_nothing(raw, full):
    def cycle(times):
        for _ in range(times):
            with pytest.raises(QueueError):
                raw.put(b"x" * 100_000)
            with pytest.raises(QueueError):
                full.put(bytearray(5000), timeout=0)

    assert_no_growth(cycle, 200)


def test_waiting_in_vain_leaks_nothing(q, full):
    def cycle(times):
        for _ in range(times):
            with pytest.raises(stdlib_queue.Empty):
                q.get(timeout=1e-6)
            with pytest.raises(stdlib_queue.Full):
                full.put_nowait(b"x")

    assert_no_growth(cycle, 1000)


def test_threads_that_wait_and_end_leak_nothing(q):
    """A deadline costs a kernel timer a thread, and ends with it, a little after Python's thread."""

    def wait():
        with pytest.raises(stdlib_queue.Empty):
            q.get(timeout=0.001)

    def cycle(times):
        for _ in range(times):
            Call(wait).result()

    timers = Path("/proc/self/timers")
    before = timers.read_text().count("ID:") if timers.exists() else 0
    _, memory = growth(cycle, 100, 2)
    assert memory < 2_000_000
    if timers.exists():
        until(lambda: timers.read_text().count("ID:") <= before + 2, "timers to go")


def test_counts_of_references_stay_the_same(make):
    item, serializer = b"item of its own" * 3, RawSerializer()
    queue = make(serializer=serializer)
    before = [sys.getrefcount(each) for each in (item, queue, serializer)]
    for _ in range(100):
        queue.put(item)
        assert queue.get() == item
        queue.qattr()
        queue.empty()
        repr(queue)
        with pytest.raises(TypeError):
            queue.put(item, **mark("x"))
    assert [sys.getrefcount(each) for each in (item, queue, serializer)] == before


# --- the end of the program --------------------------------------------------------------------------------

WAITS = "Thread(target=queue.get, kwargs={}, daemon=True).start()"
LAST = [
    "pass",
    "queue.get()",
    *(f"queue.{end}()" for end in kind.ENDS),
    "del queue",
    "queue.itself = queue",
    f"queue.get(); {WAITS.format({})}",
    f"queue.get(); {WAITS.format({'timeout': 100})}; queue.{LEAVE}()",
    *[WAITS.format(mark(9)), f"{WAITS.format(mark(9))}; queue.{LEAVE}()"] * kind.HAS_TYPES,
]


@pytest.mark.parametrize("last", LAST)
def test_an_interpreter_ends_quietly_with_a_queue_open(make, address, last):
    make(address).put("x")
    code = f"""\
from threading import Thread
import {kind.PACKAGE} as mq
class Mine(mq.Queue): pass
queue = Mine({address!r})
Thread.run = lambda self, run=Thread.run: quietly(run, self)
def quietly(run, self):
    try:
        run(self)
    except mq.QueueError:
        pass
{last}
"""
    options = ["-X", "dev", "-W", "error"]
    if kind.WARNS_WHEN_DROPPED:
        options += ["-W", "ignore::ResourceWarning"]
    command = [sys.executable, "-I", *options, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_program_that_ends_while_daemon_threads_wait_ends_well(spawn, address):
    spawn(
        """
        q = Queue(address())
        for timeout in None, 100:
            thread = threading.Thread(target=q.get, kwargs={"timeout": timeout}, daemon=True)
            thread.start()
            until_asleep(task_of(thread))
        """,
        address,
    ).finish()


def test_the_package_may_be_imported_anew(spawn, address):
    """Each copy of the module lives beside the older ones, with types of its own."""
    spawn(
        """
        import gc, importlib

        package, first = kind.PACKAGE, Queue(address())
        modules = set()
        for number in range(5):
            for module in [m for m in sys.modules if m.partition(".")[0] == package]:
                del sys.modules[module]
            again = importlib.import_module(package)
            assert again not in modules and again.Queue is not Queue
            modules.add(again)
            second = again.Queue(address())
            first.put(number)
            assert second.get() == number
            second.put("back")
            assert first.get() == "back"
            getattr(second, kind.LEAVE)()
            try:
                second.qsize()
            except again.QueueError as error:
                assert not isinstance(error, QueueError)
            else:
                raise AssertionError("not refused")
            del second
            gc.collect()
        kind.destroy(first)
        """,
        address,
    ).finish()
