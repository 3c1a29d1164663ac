"""Queue is generic in its item at run time, too, without typing being imported for it."""

import types
import typing

import pytest

from kind import Queue, RawSerializer


@pytest.mark.parametrize("item", [int, dict[str, int], "Forward", typing.Any], ids=str)
def test_queue_of_an_item_is_an_alias_of_queue(item):
    alias = Queue[item]
    assert isinstance(alias, types.GenericAlias)
    assert typing.get_origin(alias) is Queue
    assert typing.get_args(alias) == (item,)


def test_an_alias_shows_its_item():
    assert "Queue[dict[str, int]]" in repr(Queue[dict[str, int]])


def test_an_alias_opens_queues(address):
    with Queue[dict[str, int]](address) as q:
        assert type(q) is Queue
        q.put({"a": 1})
        assert q.get() == {"a": 1}


def test_a_subclass_may_derive_from_an_alias(address):
    class Blobs(Queue[bytes]):
        """A queue of bytes."""

    with Blobs(address, serializer=RawSerializer) as q:
        assert isinstance(q, Queue)
        q.put(b"x")
        assert q.get() == b"x"
    assert typing.get_origin(Blobs[str]) is Blobs


def test_annotations_may_name_it():
    def work(jobs: Queue[str], results: "Queue[int]") -> Queue[bytes]:
        raise NotImplementedError

    hints = typing.get_type_hints(work)
    assert hints == {"jobs": Queue[str], "results": Queue[int], "return": Queue[bytes]}


def test_an_object_takes_no_brackets(q):
    with pytest.raises(TypeError):
        q[0]
