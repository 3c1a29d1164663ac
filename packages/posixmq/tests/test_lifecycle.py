"""A Queue object from birth to death: with, closed, dropped, subclassed, collected."""

import contextlib
import gc
import pickle
import queue
import sys
import threading
import warnings
import weakref
from pathlib import Path

import pytest

import posixmq
from harness.calls import Call
from harness.measure import growth
from harness.process import descriptors
from posixmq import Queue, QueueError


def test_closed_tells(name):
    q = Queue(name, 1, 16)
    assert q.closed is False
    q.close()
    assert q.closed is True


def test_close_gives_the_descriptor_back(make, name):
    q = make(name)
    assert len(descriptors(name)) == 1
    q.close()
    assert descriptors(name) == []


def test_each_object_has_one_descriptor_whatever_it_did(make, name):
    q = make(name)
    q.put(1)
    q.get(timeout=1)
    with pytest.raises(posixmq.QueueError):
        q.put("x" * 1000)
    assert len(descriptors(name)) == 1


def test_a_dropped_queue_closes_its_descriptor_and_warns(name):
    q = Queue(name, 1, 16)
    with pytest.warns(ResourceWarning, match=name):
        del q
        gc.collect()
    assert descriptors(name) == []


def test_a_closed_queue_dies_in_silence(name):
    q = Queue(name, 1, 16)
    q.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del q
        gc.collect()


def test_dropping_while_an_exception_passes_leaves_the_exception_alone(name):
    def work():
        q = Queue(name, 1, 16)
        q.qsize()
        raise ZeroDivisionError

    with pytest.warns(ResourceWarning), pytest.raises(ZeroDivisionError):
        try:
            work()
        except ZeroDivisionError as error:
            error.__traceback__ = None
            raise


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_warning_made_an_error_does_not_keep_the_descriptor_open(name, monkeypatch):
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", lambda hint: unraisable.append(hint.exc_type))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Queue(name, 1, 16)
        gc.collect()
    assert unraisable == [ResourceWarning]
    assert descriptors(name) == []


def test_a_queue_whose_opening_failed_dies_in_silence(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(QueueError):
            Queue(name, create=False)
        gc.collect()


def test_weak_references_die_with_the_queue(name):
    q = Queue(name, 1, 16)
    told = []
    weak = weakref.ref(q, told.append)
    assert weak() is q
    q.close()
    del q
    gc.collect()
    assert weak() is None
    assert told == [weak]


def test_a_queue_in_a_reference_cycle_is_collected(name):
    class Holding:
        def dumps(self, obj):
            return obj

        loads = dumps

    holding = Holding()
    holding.queue = Queue(name, 1, 16, serializer=holding)
    weak = weakref.ref(holding.queue)
    with pytest.warns(ResourceWarning, match=name):
        del holding
        gc.collect()
    assert weak() is None
    assert descriptors(name) == []


def test_a_subclass_in_a_cycle_with_itself_is_collected(name):
    class Own(Queue):
        pass

    q = Own(name, 1, 16)
    q.me = q
    weak = weakref.ref(q)
    with pytest.warns(ResourceWarning, match=name):
        del q
        gc.collect()
    assert weak() is None
    assert descriptors(name) == []


def test_the_collector_can_see_the_serializer(make):
    class Own:
        @staticmethod
        def dumps(obj):
            return obj

        loads = dumps

    assert gc.is_tracked(make())
    assert any(thing is Own for thing in gc.get_referents(make(serializer=Own)))


def test_a_queue_may_be_subclassed_with_a_constructor_of_its_own(name):
    class Jobs(Queue):
        def __init__(self, number, *, colour):
            super().__init__(name, number, 64, exclusive=True)
            self.colour = colour

        def put(self, item, **options):
            super().put({"job": item}, **options)

        def get(self, *args):
            return super().get(*args)["job"]

    with Jobs(3, colour="red") as q:
        assert isinstance(q, Queue)
        assert (q.maxsize, q.colour, q.name) == (3, "red", name)
        q.put("x", priority=1)
        assert q.get() == "x"
        assert q.get is not Queue.get
    assert q.closed


def test_a_subclass_of_a_subclass_with_slots_works(name):
    class Slotted(Queue):
        __slots__ = ("extra",)

    class Deeper(Slotted):
        __slots__ = ()

    with Deeper(name, 1, 64) as q:
        q.extra = [1]
        q.put(q.extra)
        assert q.get() == [1]
        with pytest.raises(AttributeError):
            q.other = 1


def test_a_subclass_among_other_bases_works(name):
    class Mixin:
        def twice(self, item):
            self.put(item)
            self.put(item)

    class Both(Mixin, Queue):
        pass

    with Both(name, 2, 64) as q:
        q.twice("x")
        assert [q.get(), q.get()] == ["x", "x"]


def test_a_subclass_that_forgets_the_constructor_is_a_closed_queue():
    class Forgetful(Queue):
        def __init__(self):
            pass

    q = Forgetful()
    assert q.closed
    with pytest.raises(QueueError) as caught:
        q.put(1)
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
    q.close()


def test_a_subclass_dropped_by_a_failing_constructor_closes_its_descriptor(name):
    class Failing(Queue):
        def __init__(self):
            super().__init__(name, 1, 16)
            raise ZeroDivisionError

    with pytest.warns(ResourceWarning, match=name):
        with pytest.raises(ZeroDivisionError) as caught:
            Failing()
        caught = None
        gc.collect()
    assert caught is None
    assert descriptors(name) == []


def test_with_closes_a_subclass_by_its_own_close(name):
    """As files and sockets do."""

    class Careful(Queue):
        farewell = ()

        def close(self):
            self.farewell += ("bye",)
            super().close()

    with Careful(name, 1, 16) as q:
        pass
    assert q.farewell == ("bye",)
    assert q.closed


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_queue_pickles_into_itself_or_not_at_all(make, name, protocol):
    """What pickles without complaint must be usable when it comes out."""
    q = make(name)
    try:
        data = pickle.dumps(q, protocol)
    except (TypeError, pickle.PicklingError):
        with pytest.raises((TypeError, pickle.PicklingError)):
            q.put(q, pickle_protocol=protocol)
        assert q.empty()
    else:
        with pickle.loads(data) as again:
            again.put("x")
            assert q.get() == "x"


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


def test_constructing_an_open_queue_again_leaks_nothing(make, fresh):
    first, second = fresh(), fresh()
    q = make(first)
    before = len(descriptors())
    try:
        q.__init__(second, 1, 16)
    except (RuntimeError, QueueError, ValueError):
        assert q.name == first
        q.put("usable")
    else:
        assert q.name == second
    assert len(descriptors()) == before
    q.close()
    assert len(descriptors()) == before - 1


def test_constructing_a_closed_queue_again_opens_it_or_refuses(make, fresh):
    first, second = fresh(), fresh()
    q = make(first)
    q.close()
    try:
        q.__init__(second, 1, 64)
    except (RuntimeError, QueueError, ValueError):
        assert q.closed
    else:
        assert (q.name, q.maxsize, q.closed) == (second, 1, False)
        q.put("x")
        assert q.get() == "x"
    q.close()
    assert descriptors(first) == descriptors(second) == []


def test_constructing_again_in_vain_leaves_a_closed_queue_closed(make, name, fresh):
    q = make(name)
    q.close()
    with pytest.raises((RuntimeError, QueueError, ValueError)):
        q.__init__(fresh(), create=False)
    assert q.closed
    with pytest.raises(QueueError):
        q.get_nowait()
    assert descriptors(name) == []


def test_constructing_amid_constructing_leaks_nothing(fresh):
    """An argument's own code runs in the middle of it."""
    first, second = fresh(), fresh()
    q = Queue.__new__(Queue)

    class Nested:
        def __index__(self):
            q.__init__(first, 1, 16)
            return 1

    before = len(descriptors())
    with contextlib.suppress(RuntimeError, QueueError):
        q.__init__(second, Nested(), 16)
    assert len(descriptors()) <= before + 1
    q.close()
    assert len(descriptors()) == before


def test_threads_that_construct_one_object_at_once_leak_nothing(fresh):
    before = len(descriptors())
    names = [fresh() for _ in range(4)]
    for _ in range(50):
        q = Queue.__new__(Queue)
        start = threading.Barrier(4)

        def construct(name, q=q, start=start):
            start.wait()
            with contextlib.suppress(RuntimeError, QueueError):
                q.__init__(name, 1, 16)

        threads = [threading.Thread(target=construct, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        q.close()
        assert len(descriptors()) == before


def test_opening_and_closing_leaks_neither_descriptors_nor_memory(name):
    def cycle(times):
        for _ in range(times):
            with Queue(name, 1, 16) as q:
                q.put(None)
                q.get()

    opened = len(descriptors())
    blocks, memory = growth(cycle, 2000)
    assert len(descriptors()) == opened
    assert blocks < 100
    assert memory < 2**19


def test_messages_leak_no_memory(make):
    q = make(maxmsgsize=2048)

    def cycle(times):
        for number in range(times):
            q.put({"n": number, "text": "x" * 1000}, priority=number % 100)
            q.put_nowait(number)
            q.get()
            q.get(timeout=1)

    blocks, memory = growth(cycle, 2000)
    assert blocks < 100
    assert memory < 2**19


def test_waiting_in_vain_leaks_no_memory(q, full):
    def cycle(times):
        for _ in range(times):
            with pytest.raises(queue.Empty):
                q.get(timeout=1e-6)
            with pytest.raises(queue.Full):
                full.put_nowait(b"x")

    blocks, memory = growth(cycle, 1000)
    assert blocks < 100
    assert memory < 2**19


def test_short_lived_threads_leave_no_timers_behind(q):
    """A deadline costs a kernel timer a thread; they must end with their threads."""
    timers = Path("/proc/self/timers")
    if not timers.exists():
        pytest.skip("this kernel does not list timers")

    def wait():
        with pytest.raises(queue.Empty):
            q.get(timeout=0.001)

    for _ in range(50):
        Call(wait).result()
    gc.collect()
    assert timers.read_text().count("ID:") < 10


def test_a_program_that_ends_while_a_daemon_thread_waits_ends_well(spawn, name):
    spawn(
        """
        q = Queue(sys.argv[1], 1, 16)
        for timeout in None, 100:
            thread = threading.Thread(target=q.get, kwargs={"timeout": timeout}, daemon=True)
            thread.start()
            until_asleep(task_of(thread))
        q.unlink()
        """,
        name,
    ).finish()


def test_a_queue_left_open_in_a_module_is_no_trouble_at_exit(spawn, name):
    spawn(
        """
        class Own(Queue):
            pass

        q, own = Queue(sys.argv[1], 1, 16), Own(sys.argv[1])
        own.me = own
        """,
        name,
    ).finish()


def test_the_package_may_be_imported_anew(spawn, name):
    spawn(
        """
        import gc

        for number in range(5):
            with posixmq.Queue(sys.argv[1], 1, 16) as q:
                q.put(number)
                assert q.get() == number
            old = posixmq
            for module in [m for m in sys.modules if m.partition(".")[0] == "posixmq"]:
                del sys.modules[module]
            del posixmq, Queue, QueueError, DecodeError, RawSerializer, q
            import posixmq
            from posixmq import DecodeError, Queue, QueueError, RawSerializer

            assert posixmq is not old
            gc.collect()
        posixmq.unlink(sys.argv[1])
        """,
        name,
    ).finish()


def test_queues_opened_and_dropped_by_threads_are_closed(name):
    def work():
        for _ in range(50):
            with Queue(name, 1, 64) as q:
                q.qsize()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert descriptors(name) == []
