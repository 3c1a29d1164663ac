"""close() never touches a descriptor of somebody else; the other promises are common/test_close.py's."""

import contextlib
import signal
import threading
import time

import pytest

from harness.calls import Call
from harness.errors import is_closed
from posixmq import Queue, QueueError, RawSerializer


@pytest.mark.parametrize("timeout", [None, 100])
def test_a_reused_descriptor_is_never_touched(fresh, timeout):
    """Threads use A without pause; A is closed, and B takes its number at once."""
    name_a, name_b = fresh(), fresh()
    keep_a, keep_b = (Queue(name, 2, 64, serializer=RawSerializer) for name in (name_a, name_b))
    with keep_a, keep_b:
        for number in range(150):
            a = Queue(name_a, serializer=RawSerializer)

            def put(a=a):
                while True:
                    a.put(b"for A", timeout=timeout)

            def get(a=a):
                while True:
                    assert a.get(timeout=timeout) == b"for A"

            calls = [Call(call) for call in ((put, get, get), (put, put, get))[number % 2]]
            if number % 3:
                time.sleep(0.0002 * (number % 3))
            a.close()
            with Queue(name_b, serializer=RawSerializer) as b:
                b.put(b"for B")
                for call in calls:
                    assert is_closed(call.failure())
                assert b.get_nowait() == b"for B"
                assert b.empty()


def test_a_handler_that_closes_and_opens_something_else_misleads_nobody(
    make, fresh, handler, when_asleep
):
    """The number of the closed descriptor now belongs to another queue, and the object is anew."""
    q = make(on_signal="retry", serializer=RawSerializer)
    bystander, anew = fresh(), fresh()
    opened = []

    def close_and_open(*_):
        q.close()
        opened.append(make(bystander, serializer=RawSerializer))
        opened[0].put(b"not for q")
        with contextlib.suppress(RuntimeError):  # it may well refuse to be opened anew
            q.__init__(anew, 2, 64, on_signal="retry", serializer=RawSerializer)
            q.put(b"for q")

    handler(signal.SIGUSR1, close_and_open)
    main = threading.main_thread().ident
    when_asleep(lambda: signal.pthread_kill(main, signal.SIGUSR1))
    try:
        assert q.get(timeout=60) == b"for q"
    except QueueError as error:
        assert is_closed(error)
    assert opened[0].get_nowait() == b"not for q"
