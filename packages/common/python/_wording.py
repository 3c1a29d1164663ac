"""What the errors of both kinds of queue say. Imported only when something has failed."""

import os
from typing import Any, NamedTuple

__all__ = [
    "EXISTS",
    "MISSING",
    "Failure",
    "explain_argument",
    "interrupted",
    "no_signal",
    "shown",
    "untrusted",
]

MISSING = "it does not exist, and create=False was given"
EXISTS = "it exists already, and exclusive=True was given"

_SIGNAL_VARIABLE = f"{__package__.upper()}_SIGNAL"


class Failure(NamedTuple):
    """An operation that failed, as the C code reports it."""

    operation: str
    """An Operation."""
    os_errno: int
    """The kernel's error number."""
    queue: Any
    """The Queue; None if there is none yet."""
    detail: Any
    """What else an error of this operation mentions."""


def explain_argument(failed: Failure) -> str:
    """Say which values a parameter may have; the detail is its name, the value and the range."""
    parameter, value, range_ = failed.detail
    if parameter == "mode" and 0 <= value < 2**32:
        return f"mode must be {range_}; {value:#o} was asked for"
    if range_ == "1 or more" and value > 0:
        range_ = "within a C long"
    return f"{parameter} must be {range_}; {shown(value)} was asked for"


def interrupted(operation: str, queue: str) -> str:
    """Say that a signal has ended a call, and how to go on waiting."""
    return (
        f"{operation} on {queue} was interrupted by a signal; with on_signal='retry' the queue "
        "goes on waiting"
    )


def no_signal() -> str:
    """Say why there is no signal that could end a wait."""
    chosen = os.environ.get(_SIGNAL_VARIABLE)
    if chosen:
        return (
            f"{_SIGNAL_VARIABLE}={chosen!r} names no free real-time signal (SIGRTMIN to SIGRTMAX, "
            "without a handler), and one is needed to end a wait"
        )
    return f"no real-time signal is free to end a wait with; {_SIGNAL_VARIABLE} can name one"


def untrusted(queue: str, reason: str) -> str:
    """Say why a queue is not trusted, and the three ways out."""
    return (
        f"will not unpickle from {queue}: {reason}, so others may write to it, and unpickling "
        "runs code that a message holds; open it with trusted=True if you trust all who may write, "
        "with a SignedSerializer, or with a serializer that runs no code, such as json"
    )


def shown(value: object) -> str:
    """Return the repr of a value, shortened so that a huge value makes no huge message."""
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python converts
        return "a huge number"
    return text if len(text) <= 80 else text[:77] + "..."
