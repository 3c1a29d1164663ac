"""Any opener can receive what the queue holds, whatever it asked for."""

from kind import RawSerializer

LONG = 8192


def test_an_opener_who_asked_for_less_receives_whole_messages(make, name):
    sender = make(name, 2, LONG, serializer=RawSerializer)
    receiver = make(name, 1, 16, serializer=RawSerializer)
    assert receiver.maxmsgsize == LONG
    for size in (0, 1, 15, 16, 17, 1000, LONG - 1, LONG):
        sender.put(b"x" * size)
        assert receiver.get() == b"x" * size
        receiver.put(b"y" * size)
        assert sender.get(timeout=60) == b"y" * size
