"""What a refused call raised."""

from kind import QueueError


def refusal(call, *args, **kwargs):
    """The QueueError that a call raises; fail if it raises none."""
    try:
        result = call(*args, **kwargs)
    except QueueError as error:
        return error
    raise AssertionError(f"not refused: {result!r}")


def is_closed(outcome):
    """Whether a call ended because its queue was closed or removed."""
    return isinstance(outcome, QueueError) and outcome.errno == QueueError.INVALID_DESCRIPTOR
