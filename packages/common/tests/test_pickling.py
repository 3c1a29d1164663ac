"""Queues that go to other processes: a pickle opens the same queue, with its options."""

import contextlib
import copy
import json
import multiprocessing
import pickle
from types import SimpleNamespace

import pytest

import kind
from harness.errors import is_closed, refusal
from harness.queues import leave
from kind import Message, PickleSerializer, Queue, QueueError, RawSerializer, mark

every_protocol = pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))


class Plain(Queue):
    pass


class Jobs(Queue):
    """A subclass with a constructor and attributes of its own."""

    def __init__(self, label, address):
        super().__init__(address, serializer=json)
        self.label = label


class Suffix:
    """A serializer that has a state."""

    def __init__(self, suffix):
        self.suffix = suffix

    def dumps(self, obj):
        return obj + self.suffix

    def loads(self, data):
        return data.decode().removesuffix(self.suffix)


def options_of(queue):
    return {name: getattr(queue, name) for name in kind.ATTRIBUTES}


def again(queue, protocol=None):
    return pickle.loads(pickle.dumps(queue, protocol))


# --- what comes out ----------------------------------------------------------------------------------


@every_protocol
def test_a_pickle_opens_the_same_queue(q, protocol):
    with again(q, protocol) as other:
        assert type(other) is Queue
        assert other is not q
        assert other == q
        assert options_of(other) == options_of(q)
        assert getattr(other, "fileno", int)() != getattr(q, "fileno", lambda: None)()
        other.put("through the copy")
    assert q.get() == "through the copy"


@pytest.mark.parametrize(
    "options",
    [
        {"on_signal": "retry"},
        {"spin_us": 123},
        {"trusted": True},
        {"trusted": False},
        *({"serializer": each} for each in (None, PickleSerializer, RawSerializer, json, pickle)),
        *[{"readable": False}, {"writable": False}] * hasattr(Queue, "readable"),
    ],
    ids=str,
)
def test_the_options_are_kept(make, options):
    queue = make(**options)
    with again(queue) as other:
        assert options_of(other) == options_of(queue)


def test_a_module_is_pickled_by_the_name_it_is_imported_by(make):
    from xml.etree import ElementTree  # a submodule, with the wrong functions

    ElementTree.dumps = ElementTree.loads = str
    try:
        with again(make(serializer=ElementTree)) as other:
            assert other.serializer is ElementTree
    finally:
        del ElementTree.dumps, ElementTree.loads


def test_a_serializer_of_ones_own_goes_along(make):
    queue = make(serializer=Suffix("!"))
    with again(queue) as other:
        other.put("hello")
        assert other.serializer.suffix == "!"
    assert queue.get() == "hello"


def test_a_serializer_that_does_not_pickle_says_so(make):
    queue = make(serializer=SimpleNamespace(dumps=lambda obj: obj, loads=bytes))
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(queue)


@every_protocol
def test_a_subclass_comes_back_as_itself_with_its_state(address, protocol):
    with Jobs("printer", address) as jobs:
        jobs.since = 1970
        with again(jobs, protocol) as other:
            assert type(other) is Jobs
            assert (other.label, other.since) == ("printer", 1970)
            assert other == jobs
            assert other.serializer is json


def test_a_subclass_without_attributes_comes_back_as_itself(make):
    with again(make(cls=Plain)) as other:
        assert type(other) is Plain


def test_a_subclass_may_pickle_in_its_own_way(make):
    class Own(Queue):
        def __reduce__(self):
            return (str, ("own",))

    queue = make(cls=Own)
    assert again(queue) == "own"
    assert copy.copy(queue) == "own"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("serializer", [None, json])
def test_a_copy_is_a_handle_of_its_own(make, copied, serializer):
    queue = make(serializer=serializer)
    other = copied(queue)
    assert other == queue
    assert other.serializer is queue.serializer
    leave(other)
    assert not queue.closed
    queue.put("x")
    assert queue.get() == "x"


def test_a_queue_travels_through_a_queue(make):
    carrier, queue = make(**kind.room(1, 1024)), make()
    carrier.put(queue)
    with carrier.get() as other:
        assert other == queue


def test_results_pickle(q):
    q.put("x", **mark(4))
    results = [q.receive(), q.stat(), kind.mq.limits()]
    assert type(results[0]) is Message
    with contextlib.suppress(QueueError):  # an ordinary user may be unable to list POSIX queues
        results += kind.mq.list_queues()[:1]
    for result in results:
        same = again(result)
        assert same == result
        assert type(same) is type(result)


# --- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize("end", kind.ENDS)
def test_a_closed_queue_refuses_to_pickle(q, end):
    getattr(q, end)()
    with pytest.raises(QueueError, match=r"cannot pickle .*: it is closed") as caught:
        pickle.dumps(q)
    assert is_closed(caught.value)


def test_a_queue_never_opened_refuses_to_pickle():
    with pytest.raises(QueueError, match=r"cannot pickle .*not open"):
        pickle.dumps(Queue.__new__(Queue))


def test_a_pickle_of_a_removed_queue_does_not_exist(q):
    pickled = pickle.dumps(q)
    kind.remove_address(kind.address_of(q))
    error = refusal(pickle.loads, pickled)
    assert error.errno == QueueError.DOES_NOT_EXIST
    assert str(getattr(q, "id", kind.address_of(q))) in error.msg


# --- multiprocessing ---------------------------------------------------------------------------------

# A module of its own: what starts anew imports it, and must not find the tests there.
MODULE = f"""
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from {kind.PACKAGE} import Queue, RawSerializer

SIZES = {kind.room(2)!r}


class Kind(Queue):
    pass


def anonymous(cls, **options):
    if hasattr(cls, "anonymous"):
        return cls.anonymous(**SIZES, **options)
    return cls(None, **SIZES, **options)


def described(q):
    address = q.{kind.ADDRESS} or None
    return [type(q).__name__, address, q.spin_us, q.trusted, q.serializer.__name__]


def answer(queues, text):
    for q in queues:
        with q:
            assert not hasattr(q, "fileno") or not os.get_inheritable(q.fileno())
            q.put([text, *described(q)], timeout=60)


kept = None


def keep(q):
    global kept
    kept = q


def put(number):
    kept.put(number, timeout=60)
    return number


def main(method, address):
    context = multiprocessing.get_context(method)
    address = int(address) if address.isdigit() else address
    queues = [
        Queue(address, **SIZES, serializer=json),
        anonymous(Queue, serializer=json, spin_us=11),
        anonymous(Kind, trusted=True),
    ]
    expected = [
        ["Queue", address, queues[0].spin_us, False, "json"],
        ["Queue", None, 11, False, "json"],
        ["Kind", None, queues[2].spin_us, True, "PickleSerializer"],
    ]
    for _ in range(2):
        process = context.Process(target=answer, args=(queues, method))
        process.start()
        got = [q.get(timeout=60) for q in queues]
        process.join()
        assert process.exitcode == 0
        assert got == [[method, *each] for each in expected], got
    for q in queues[:2]:
        with ProcessPoolExecutor(1, mp_context=context, initializer=keep, initargs=(q,)) as pool:
            assert list(pool.map(put, range(2))) == [0, 1]
        assert [q.get(timeout=60) for _ in range(2)] == [0, 1]
    for q in queues:
        q.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
"""


@pytest.mark.semaphores
@pytest.mark.slow
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_queues_are_arguments_of_processes_and_pools(spawn, address, tmp_path, method):
    module = tmp_path / "service.py"
    module.write_text(MODULE)
    code = """
    import subprocess

    sys.exit(subprocess.run([sys.executable, *args], timeout=100).returncode)
    """
    spawn(code, "-Wignore::DeprecationWarning", module, method, address).finish()
