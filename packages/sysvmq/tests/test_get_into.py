"""get_into() of System V queues: types, and messages that are longer than the buffer."""

from queue import Empty

import pytest

from harness.calls import Call
from harness.errors import is_closed, refusal
from kind import LONG_MAX, QueueError, remove_id

SIZE = 64


@pytest.fixture
def types(raw):
    for kind in (5, 3, 9, 4):
        raw.put(b"of %d" % kind, msg_type=kind)
    return raw


def test_what_to_take_is_chosen_as_in_get(types):
    buffer = bytearray(SIZE)

    def take(*args, **options):
        size, kind = types.get_into(buffer, *args, **options)
        assert buffer[:size] == b"of %d" % kind
        return kind

    assert take(msg_type=9) == 9
    assert take(True, -4) == 3
    assert take(msg_type=5, exclude=True) == 4
    with pytest.raises(Empty):
        take(False, 5, exclude=True)
    for kind in (3, -4):
        with pytest.raises(Empty):
            take(timeout=0.01, msg_type=kind)
    assert take(msg_type=4, exclude=True) == 5


def test_a_wait_for_one_type_goes_on_through_others(raw):
    buffer = bytearray(SIZE)
    waiting = Call(raw.get_into, buffer, msg_type=LONG_MAX).until_asleep()
    raw.put(b"not for it", msg_type=LONG_MAX - 1)
    waiting.until_asleep()
    raw.put(b"for it", msg_type=LONG_MAX)
    assert waiting.result() == (6, LONG_MAX)
    assert buffer[:6] == b"for it"


BAD = {
    "a type that is none": ({"msg_type": "1"}, TypeError),
    "a type beyond C": ({"msg_type": LONG_MAX + 1}, QueueError),
    "no type to exclude": ({"exclude": True}, QueueError),
}


@pytest.mark.parametrize(("options", "error"), BAD.values(), ids=BAD)
def test_bad_types_are_refused_and_nothing_is_lost(raw, options, error):
    raw.put(b"kept")
    with pytest.raises(error):
        raw.get_into(bytearray(SIZE), **options)
    assert raw.get_nowait() == b"kept"


def test_the_type_may_be_given_by_place_or_keyword(raw):
    raw.put(b"abc")
    with pytest.raises(Empty):
        raw.get_into(bytearray(SIZE), False, 2)
    options = {"buffer": bytearray(SIZE), "block": True, "msg_type": 2, "timeout": 1}
    assert raw.get_into(**options, exclude=True) == (3, 1)


@pytest.mark.parametrize("size", [0, 1, SIZE - 1])
@pytest.mark.parametrize("options", [{}, {"timeout": 60}, {"block": False}], ids=str)
def test_what_is_longer_than_the_buffer_stays(raw, size, options):
    raw.put(b"x" * SIZE, msg_type=3)
    raw.put(b"", msg_type=4)
    buffer = bytearray(b"-" * size)
    with pytest.raises(QueueError) as caught:
        raw.get_into(buffer, **options)
    assert caught.value.errno == QueueError.TOO_BIG_MESSAGE
    for words in ("longer than the buffer", "maxmsgsize", str(raw.key)):
        assert words in caught.value.msg
    assert buffer == b"-" * size
    buffer.extend(b"nobody holds it")
    assert raw.get_into(bytearray(0), msg_type=4) == (0, 4)
    assert raw.get_into(bytearray(SIZE)) == (SIZE, 3)


def test_a_shorter_message_than_the_longest_fits_into_a_short_buffer(raw):
    """Otherwise than in a POSIX queue, whose kernel asks for room for the longest."""
    raw.put(b"abc")
    buffer = bytearray(3)
    assert raw.get_into(buffer) == (3, 1)
    assert buffer == b"abc"


def test_a_longer_message_ends_the_wait_and_stays(raw):
    buffer = bytearray(b"-" * 4)
    waiting = Call(raw.get_into, buffer).until_asleep()
    raw.put(b"12345")
    assert waiting.outcome().errno == QueueError.TOO_BIG_MESSAGE
    assert buffer == b"----"
    assert raw.get_nowait() == b"12345"


def test_messages_of_any_length_that_msgmax_allows(isolated):
    code = """\
for name in ("msgmax", "msgmnb"):
    with open("/proc/sys/kernel/" + name, "w") as file:
        file.write("2000000")
queue = Queue(serializer=RawSerializer)
for size in (0, 1, 16383, 16384, 16385, 32768, 32769, 65536, 65537, 1_000_000, 2_000_000):
    data = bytes(range(251)) * (size // 251 + 1)
    data = data[:size]
    for room in (size, size + 1, 2 * size + 100, 4_000_000):
        buffer = bytearray(b"-") * room
        queue.put(data, msg_type=3)
        if size:
            try:
                queue.get_into(memoryview(buffer)[:size - 1])
            except QueueError as error:
                assert error.errno == QueueError.TOO_BIG_MESSAGE
            else:
                raise AssertionError(size)
            assert buffer == b"-" * room
        assert queue.get_into(buffer) == (size, 3)
        assert buffer[:size] == data and buffer[size:] == b"-" * (room - size)
buffer = bytearray(300_000)
reader = threading.Thread(target=queue.get_into, args=(buffer,))
reader.start()
queue.put(b"x" * 300_000)
reader.join()
assert buffer == b"x" * 300_000
queue.close()
"""
    isolated(code).finish()


def test_removal_ends_the_wait_and_frees_the_buffer(raw):
    buffer = bytearray(SIZE)
    waiting = Call(raw.get_into, buffer).until_asleep()
    remove_id(raw.id)
    assert is_closed(waiting.failure())
    buffer.append(0)
    assert is_closed(refusal(raw.get_into, buffer))
    buffer.append(0)
