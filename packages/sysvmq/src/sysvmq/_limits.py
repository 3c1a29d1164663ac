"""The limits of System V queues; see proc(5). Imported only when it is used."""

from typing import NamedTuple

from ._proc import read_text

__all__ = ["Limits", "setting_or_default"]

_FOLDER = "/proc/sys/kernel/"

# The kernel's own values, for when /proc cannot be read.
_DEFAULTS = {"msgmax": 8192, "msgmnb": 16384, "msgmni": 32000}


class Limits(NamedTuple):
    """What :func:`limits` returns; see proc(5) and msgctl(2)."""

    msgmax: int
    """The longest message in bytes (kernel.msgmax)."""
    msgmnb: int
    """Bytes that a new queue may hold (kernel.msgmnb)."""
    msgmni: int
    """How many queues the system may have (kernel.msgmni)."""
    queues: int
    """How many queues the system has."""
    messages: int
    """Messages in all queues together."""
    bytes: int
    """Bytes in all queues together."""


Limits.__module__ = __package__


def setting_or_default(name: str) -> int:
    """Return a limit of the system, or the kernel's default if /proc does not show it.

    :param name: msgmax, msgmnb or msgmni
    """
    return int(read_text(_FOLDER + name) or _DEFAULTS[name])
