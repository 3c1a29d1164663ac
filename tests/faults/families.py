"""The two kinds of queue, seen alike: how to make one, open it elsewhere, and remove it.

An address is a str that an unrelated process is told: a queue's name, or its key.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from typing import Any

import posixmq
import sysvmq

DEPTH = 10  # messages, which every user may ask for
LONGEST = 5000  # bytes: more than a page, so that the kernel copies a message in pieces


class Posix:
    """POSIX queues: the address is the name."""

    name = "posixmq"
    module = posixmq

    @staticmethod
    def new_address() -> str:
        return f"/ipcqueue-faults-{os.getpid()}-{secrets.token_hex(4)}"

    @staticmethod
    def make(address: str, **options: Any) -> Any:
        options = {"maxsize": DEPTH, "maxmsgsize": LONGEST} | options
        return posixmq.Queue(address, exclusive=True, **options)

    @staticmethod
    def open(address: str, **options: Any) -> Any:
        return posixmq.Queue(address, create=False, **options)

    @staticmethod
    def let_go(queue: Any) -> None:
        queue.close()

    @staticmethod
    def remove(address: str) -> None:
        with contextlib.suppress(posixmq.QueueError):
            posixmq.unlink(address)


class SysV:
    """System V queues: the address is the key, in decimal."""

    name = "sysvmq"
    module = sysvmq

    @staticmethod
    def new_address() -> str:
        return str(1 + secrets.randbelow(2**31 - 1))

    @staticmethod
    def make(address: str, **options: Any) -> Any:
        return sysvmq.Queue(int(address), exclusive=True, **options)

    @staticmethod
    def open(address: str, **options: Any) -> Any:
        return sysvmq.Queue(int(address), create=False, **options)

    @staticmethod
    def let_go(queue: Any) -> None:
        queue.detach()

    @staticmethod
    def remove(address: str) -> None:
        with contextlib.suppress(sysvmq.QueueError):
            sysvmq.Queue(int(address), create=False).close()


FAMILIES = {family.name: family for family in (Posix, SysV)}
