"""Queue is generic in its item at run time, too."""

import types
import typing

import pytest

from posixmq import Queue


@pytest.mark.parametrize("item", [int, dict[str, int], "Forward", typing.Any], ids=str)
def test_queue_of_an_item_is_an_alias_of_queue(item):
    alias = Queue[item]
    assert isinstance(alias, types.GenericAlias)
    assert typing.get_origin(alias) is Queue
    assert typing.get_args(alias) == (item,)


def test_an_alias_opens_queues(name):
    with Queue[dict[str, int]](name, 1, 64) as q:
        assert isinstance(q, Queue)
        q.put({"a": 1})
        assert q.get() == {"a": 1}


def test_a_subclass_may_derive_from_an_alias(name):
    class Numbers(Queue[int]):
        """A queue of numbers."""

    with Numbers(name, 1, 64) as q:
        q.put(5)
        assert q.get() == 5
    assert typing.get_origin(Numbers[str]) is Numbers


def test_annotations_may_name_it():
    def work(jobs: Queue[str], results: "Queue[int] | None" = None) -> Queue[bytes]:
        raise NotImplementedError

    hints = typing.get_type_hints(work)
    assert hints["jobs"] == Queue[str]
    assert hints["return"] == Queue[bytes]
