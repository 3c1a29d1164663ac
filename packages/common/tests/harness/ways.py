"""The ways to wait in a queue, for tests that hold for all of them."""

import kind

WAYS = ["get", "put", "timed get", "timed put", *["typed get"] * kind.HAS_TYPES]
LONG_S = 200  # longer than any test


def make_stuck(make, way, *args, **options):
    """A queue of bytes on which a caller waits, that way."""
    queue = make(*args, **kind.room(1, 16), serializer=kind.RawSerializer, **options)
    if "put" in way or "typed" in way:
        queue.put(b"f" * 16)
    return queue


def wait(queue, way, timeout=LONG_S):
    """Wait that way; the timeout is for the timed ways alone."""
    timeout = timeout if "timed" in way else None
    if "put" in way:
        return queue.put(b"x", timeout=timeout)
    return (
        queue.get(timeout=timeout, **kind.mark(7)) if "typed" in way else queue.get(timeout=timeout)
    )


def end_wait(queue, way):
    """Let a caller go on who waits that way."""
    if "put" in way:
        queue.get()
        return
    if "typed" in way:
        queue.get()  # what has filled it
    queue.put(b"x", **kind.mark(7))
