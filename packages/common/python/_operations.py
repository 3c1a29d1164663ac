"""The names of what can fail. Imported only when something has failed."""

from enum import StrEnum

__all__ = ["Operation"]


class Operation(StrEnum):
    """An operation that can fail, or an argument or a queue that is refused.

    The C code passes these strings, and each is a key of the table at the end of _explain.py.
    Where an error says "cannot ... on a queue", the value fills the gap.
    """

    # Both kinds of queue
    ARGUMENT = "argument"
    OPEN = "open"
    TRUST = "trust"
    ENTER = "enter a with block"
    PUT = "put"
    GET = "get"
    GET_INTO = "get_into"
    ATTRIBUTES = "get the attributes"
    PICKLE = "pickle"

    # POSIX
    NAME = "name"
    FROM_FD = "from_fd"
    UNLINK = "unlink"
    STAT = "stat"
    NOTIFY = "notify"
    LIST = "list"

    # System V
    FROM_ID = "open by id"
    CLOSE = "close"
    REMOVE = "remove"
    PEEK = "peek"
    SET = "set"
    FTOK = "ftok"
    LIMITS = "limits"
