"""What the error of a message that does not decode keeps alive."""

import gc
import importlib
import weakref
from pathlib import Path

import pytest

PACKAGE = importlib.import_module(Path(__file__).parents[2].name)
# System V queues are private by default.
make = getattr(PACKAGE.Queue, "anonymous", PACKAGE.Queue)


class Refusing:
    dumps = staticmethod(bytes)

    @staticmethod
    def loads(data):
        raise ValueError("refused")


def drop_error(count):
    """Catch the error of a batch of so many messages; return a reference to its queue."""
    with make(serializer=Refusing) as queue:
        queue.put_many([b"message"] * count)
        try:
            queue.get_many()
        except PACKAGE.DecodeError as error:
            assert len(error.failures) == count and error.failures[0] is error
        else:
            raise AssertionError("the batch was decoded")
    return weakref.ref(queue)


@pytest.mark.parametrize("count", [1, 3])
def test_the_dropped_error_of_a_batch_frees_its_queue_without_the_garbage_collector(count):
    gc.disable()
    try:
        assert drop_error(count)() is None
    finally:
        gc.enable()
