"""Where memory runs out while a message is received, the message is not lost.

Every allocation of a call fails once. It must return all the same, or leave the message in the
queue, or hand it over in a DecodeError.
"""

import gc
from functools import partial

import pytest

import kind
from kind import DecodeError, RawSerializer

testcapi = pytest.importorskip("_testcapi", reason="this Python lacks _testcapi")
if not hasattr(testcapi, "set_nomemory"):
    pytest.skip("this Python cannot make an allocation fail", allow_module_level=True)

ROOM = kind.room(4, 256)
ALLOCATIONS = 120  # more than any of the calls makes
BODY = "x" * 200  # so long that its bytes are an allocation that nothing cached can serve


class Refusing:
    """A serializer that takes nothing back."""

    @staticmethod
    def dumps(item):
        return repr(item)

    @staticmethod
    def loads(data):
        raise ValueError("refused")


@pytest.fixture(autouse=True)
def no_collection():
    """The collector would run amid a call, over what other tests have left."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def starved(call, failing):
    """Do the call with that allocation failing; return its result and the exception."""
    testcapi.set_nomemory(failing, failing + 1)
    try:
        result = call()
        testcapi.remove_mem_hooks()
        return result, None
    except BaseException as error:
        testcapi.remove_mem_hooks()
        return None, error
    finally:
        testcapi.remove_mem_hooks()


def decode_error(error):
    """The DecodeError, if there is one; Python chains it where its traceback cannot be had."""
    for each in (error, getattr(error, "__context__", None)):
        if isinstance(each, DecodeError):
            return each
    return None


def put_all(queue, items):
    for item in items:
        queue.put(item)


def left(queue):
    """How many messages are still in the queue; they are taken out."""
    number = queue.qsize()
    for _ in range(number):
        queue.get_into(bytearray(queue.maxmsgsize))
    return number


@pytest.mark.parametrize("way", ["get", "get_nowait", "receive", "__next__"])
def test_a_message_is_returned_or_left_whichever_allocation_fails(make, way):
    queue = make(**ROOM)
    call = getattr(queue, way)
    outcomes = set()
    for failing in range(ALLOCATIONS):
        queue.put(BODY)
        result, error = starved(call, failing)
        if error is None:
            item = result.item if way == "receive" else result
            assert item == BODY
        refused = decode_error(error)
        held = refused is not None and len(refused.data) > len(BODY)
        assert (error is None) + held + left(queue) == 1, (failing, error)
        assert error is None or held or isinstance(error, MemoryError)
        outcomes.add("returned" if error is None else "held" if held else "left")
    assert "returned" in outcomes


@pytest.mark.parametrize("way", ["get", "receive", "__next__"])
def test_a_refused_message_is_held_or_left_whichever_allocation_fails(make, way):
    queue = make(**ROOM, serializer=Refusing)
    call = getattr(queue, way)
    for failing in range(ALLOCATIONS):
        queue.put(BODY)
        _, error = starved(call, failing)
        refused = decode_error(error)
        held = refused is not None and refused.data == repr(BODY).encode()
        assert held + left(queue) == 1, (failing, error)


@pytest.mark.parametrize("refusing", [False, True])
def test_a_batch_is_returned_or_left_whichever_allocation_fails(make, refusing):
    queue = make(**ROOM, serializer=Refusing if refusing else RawSerializer)
    items = [bytes([65 + number]) * 200 for number in range(4)]
    for failing in range(2 * ALLOCATIONS):
        put_all(queue, items)
        result, error = starved(queue.get_many, failing)
        got = result or []
        refused = decode_error(error)
        if refused is not None:
            got = [each.data for each in refused.failures]
            assert refused.items == []
        if got:
            assert got == [repr(item).encode() if refusing else item for item in items]
        assert len(got) + left(queue) == len(items), (failing, error)


def test_the_size_of_a_message_in_a_buffer_is_returned_whichever_allocation_fails(make):
    queue = make(**ROOM, serializer=RawSerializer)
    buffer = bytearray(queue.maxmsgsize)
    for failing in range(30):
        queue.put(b"y" * 100)
        result, error = starved(partial(queue.get_into, buffer), failing)
        assert (error is None) + left(queue) == 1, (failing, error)
        assert error or result == (100, kind.DEFAULT_MARK)
