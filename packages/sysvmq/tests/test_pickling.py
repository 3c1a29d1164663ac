"""A queue pickles by its id, compares and hashes by it."""

import copy
import json
import operator
import pickle
from types import SimpleNamespace

import pytest

from kind import kernel_row, remove_id
from sysvmq import (
    Message,
    PickleSerializer,
    Queue,
    QueueError,
    RawSerializer,
    limits,
    list_queues,
)

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Plain(Queue):
    pass


class Jobs(Queue):
    """A subclass with an __init__ and attributes of its own."""

    __slots__ = ("__dict__", "slot")

    def __init__(self, name, key):
        super().__init__(key, serializer=json)
        self.name = name
        self.slot = [name]


class Suffix:
    def __init__(self, suffix):
        self.suffix = suffix

    def dumps(self, obj):
        return obj + self.suffix

    def loads(self, data):
        return data.decode().removesuffix(self.suffix)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_is_the_same_queue_of_the_kernel(q, protocol):
    same = pickle.loads(pickle.dumps(q, protocol))
    assert type(same) is Queue
    assert same is not q
    assert (same.id, same.key, same.closed) == (q.id, q.key, False)
    same.put("through the copy")
    assert q.get() == "through the copy"


def test_the_options_go_along(make):
    queue = make(serializer=RawSerializer, on_signal="retry", spin_us=17)
    same = pickle.loads(pickle.dumps(queue))
    assert (same.serializer, same.on_signal, same.spin_us) == (RawSerializer, "retry", 17)


@pytest.mark.parametrize(
    "serializer", [None, PickleSerializer, RawSerializer, json, pickle], ids=str
)
def test_the_serializer_goes_along_even_a_module(make, serializer):
    queue = make(serializer=serializer)
    assert pickle.loads(pickle.dumps(queue)).serializer is queue.serializer


def test_a_serializer_of_one_s_own_goes_along(make):
    queue = make(serializer=Suffix("!"))
    same = pickle.loads(pickle.dumps(queue))
    same.put("hello")
    assert same.serializer.suffix == "!"
    assert queue.get() == "hello"


def test_a_serializer_that_does_not_pickle_says_so(make):
    queue = make(serializer=SimpleNamespace(dumps=lambda obj: obj, loads=bytes))
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(queue)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_subclass_is_rebuilt_as_itself_with_its_attributes(fresh, protocol):
    with Jobs("printer", fresh()) as jobs:
        jobs.since = 1970
        same = pickle.loads(pickle.dumps(jobs, protocol))
        assert type(same) is Jobs
        assert (same.name, same.slot, same.since) == ("printer", ["printer"], 1970)
        assert same == jobs
        assert same.serializer is json


def test_a_subclass_without_attributes_is_rebuilt_as_itself(make):
    assert type(pickle.loads(pickle.dumps(make(cls=Plain)))) is Plain


def test_a_private_queue_pickles_and_its_copy_is_no_owner():
    with Queue() as queue:
        with pickle.loads(pickle.dumps(queue)) as same:
            same.put("x")
        assert kernel_row(queue.id)
        assert queue.get() == "x"


@pytest.mark.parametrize("end", ["close", "detach"])
def test_a_closed_queue_refuses_to_pickle(q, end):
    getattr(q, end)()
    with pytest.raises(QueueError, match=r"cannot pickle .*: it is closed") as caught:
        pickle.dumps(q)
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR


def test_a_queue_that_was_never_opened_refuses_to_pickle():
    with pytest.raises(QueueError, match=r"cannot pickle .*: it is not open"):
        pickle.dumps(Queue.__new__(Queue))


def test_a_pickle_of_a_removed_queue_does_not_exist(q):
    data = pickle.dumps(q)
    remove_id(q.id)
    with pytest.raises(QueueError, match=str(q.id)) as caught:
        pickle.loads(data)
    assert caught.value.errno == QueueError.DOES_NOT_EXIST


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("serializer", [None, json])
def test_a_copy_is_a_handle_of_its_own(make, copied, serializer):
    queue = make(serializer=serializer)
    same = copied(queue)
    assert (same.id, same.serializer) == (queue.id, queue.serializer)
    same.detach()
    assert not queue.closed
    queue.put("x")
    assert queue.get() == "x"


def test_a_queue_goes_through_a_queue(q, make):
    other = make()
    q.put(other)
    assert q.get() == other


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_a_queue_is_handed_to_a_process_of_multiprocessing(make, spawn, method, tmp_path):
    queue = make()
    script = tmp_path / "work.py"
    script.write_text(
        """\
import multiprocessing, sys
from sysvmq import Queue

def echo(queue):
    message = queue.receive(timeout=60)
    queue.put(["got", message.item], msg_type=2)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    process = context.Process(target=echo, args=(Queue.from_id(int(sys.argv[1])),))
    process.start()
    process.join(60)
    print(process.exitcode)
"""
    )
    queue.put("sent")
    code = "os.execv(sys.executable, [sys.executable, *args])"
    assert spawn(code, script, queue.id, method).finish(100) == "0"
    assert queue.get(msg_type=2) == ["got", "sent"]


def test_a_message_pickles(q):
    q.put("x", msg_type=4)
    message = q.receive()
    assert pickle.loads(pickle.dumps(message)) == message
    assert type(pickle.loads(pickle.dumps(message))) is Message
    for result in (q.stat(), limits(), list_queues()[0]):
        assert pickle.loads(pickle.dumps(result)) == result


# --------------------------------------------------------------- equality and hash


def test_objects_of_one_queue_are_equal(q, make):
    same, by_id, other = make(q.key), Queue.from_id(q.id), make()
    assert q == q == same == by_id
    assert operator.ne(q, same) is False
    assert hash(q) == hash(same) == hash(by_id)
    assert q != other
    assert operator.eq(q, other) is False
    assert len({q, same, by_id, other}) == 2
    assert {q: 1, other: 2}[same] == 1


def test_a_subclass_s_object_is_equal_as_well(q):
    assert Plain.from_id(q.id) == q
    assert q == Plain.from_id(q.id)


@pytest.mark.parametrize("end", ["close", "detach"])
def test_a_closed_queue_keeps_its_identity(q, make, end):
    same = make(q.key)
    before = hash(q)
    getattr(q, end)()
    assert q == same
    assert hash(q) == before


def test_a_new_queue_of_the_same_key_is_another(make, key):
    first = make(key)
    first.close()
    assert make(key) != first


def test_what_was_never_opened_equals_itself_alone(q):
    one, two = Queue.__new__(Queue), Queue.__new__(Queue)
    assert one == one
    assert one != two
    assert one != q
    assert hash(one) == hash(one)
    assert len({one, two, q}) == 3


def test_a_queue_equals_nothing_else_and_has_no_order(q):
    for other in (q.id, q.key, None, "q", object()):
        assert q != other
        assert operator.eq(q, other) is False
    with pytest.raises(TypeError):
        sorted([q, q])
    assert q != SimpleNamespace(id=q.id)
