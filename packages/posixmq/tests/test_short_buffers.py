"""get_into() of POSIX queues: their kernel asks for room for the longest message."""

import pytest

from kind import QueueError, RawSerializer

SIZE = 64


@pytest.mark.parametrize("size", [0, 1, SIZE - 1])
@pytest.mark.parametrize("empty", [False, True], ids=["with a message", "empty"])
def test_a_buffer_that_is_too_short_is_refused_and_nothing_is_lost(make, size, empty):
    """Even where the message that waits would fit, as the next one might not; and at once."""
    q = make(maxmsgsize=SIZE, serializer=RawSerializer)
    if not empty:
        q.put(b"")
    buffer = bytearray(size)
    with pytest.raises(QueueError) as caught:
        q.get_into(buffer)
    assert caught.value.errno == QueueError.TOO_BIG_MESSAGE
    for word in (f"{size} bytes", f"{SIZE} bytes", "maxmsgsize", q.name):
        assert word in str(caught.value)
    assert q.qsize() == (0 if empty else 1)
    buffer.extend(bytes(SIZE))  # nobody holds it
    assert buffer == bytes(size + SIZE)
