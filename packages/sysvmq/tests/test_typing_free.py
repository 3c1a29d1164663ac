"""Queue is generic at run time, without typing being imported for it."""

import typing

import pytest

from sysvmq import Queue, RawSerializer


def test_queue_takes_the_type_of_its_items(key):
    alias = Queue[dict[str, int]]
    assert typing.get_origin(alias) is Queue
    assert typing.get_args(alias) == (dict[str, int],)
    assert "Queue[dict[str, int]]" in repr(alias)


def test_a_generic_queue_can_be_made(key):
    with Queue[int](key) as queue:
        assert type(queue) is Queue
        queue.put(1)
        assert queue.get() == 1
        queue.close()


def test_a_generic_queue_can_be_subclassed(key):
    class Bytes(Queue[bytes]):
        pass

    with Bytes(key, serializer=RawSerializer) as queue:
        assert isinstance(queue, Queue)
        queue.put(b"x")
        assert queue.get() == b"x"


def test_annotations_resolve():
    def consume(queue: "Queue[int]") -> None: ...

    assert typing.get_type_hints(consume)["queue"] == Queue[int]


def test_a_plain_queue_needs_no_brackets(q):
    with pytest.raises(TypeError):
        q[0]
