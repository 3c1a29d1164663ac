"""What a contender has to offer: how it makes a channel, sends, receives and waits."""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

fork = multiprocessing.get_context("fork")

MESSAGE_SIZE = 1024


@dataclass(frozen=True)
class Spec:
    """What a channel is made from; its size is the largest message's."""

    name: str
    key: int
    path: str
    original: str
    size: int
    pickled: bool
    depth: int | None
    sender_binds: bool  # the single side binds, where somebody must

    @property
    def limit(self) -> int:
        return max(MESSAGE_SIZE, self.size)


class Channel:
    id = ""
    title = ""
    family = "other"
    code = ""  # the import a program needs; empty where another contender has it already
    ours = False
    many_readers = True
    many_writers = True
    timeouts = True
    batches = 0  # takes part in the works of batches: 1, or 2 in those alone
    asynchronous = False  # its senders and receivers are awaited, in works of their own
    own_depth = False  # has a default depth of its own that differs from 10 messages
    empty: tuple[type[BaseException], ...] = (queue.Empty,)

    open: Callable[[], Any]  # where every process opens the channel by its name

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def sender(self) -> Callable[[Any], Any]:
        raise NotImplementedError

    def receiver(self) -> Callable[[], Any]:
        raise NotImplementedError

    def timed_receiver(self) -> Callable[[float], Any]:
        """Takes seconds; ends by one of `empty` or by returning when they are over."""
        raise NotImplementedError

    def batch_sender(self, items: list[Any]) -> Callable[[], Any]:
        """Puts all of the items."""
        put = self.sender()

        def send() -> None:
            for item in items:
                put(item)

        return send

    def batch_receiver(self, size: int) -> Callable[[], int]:
        """Gets as many or fewer, and returns how many."""
        get = self.receiver()

        def receive() -> int:
            kept = [get() for _ in range(size)]
            return len(kept)

        return receive

    def remove(self) -> None:
        """Take from the kernel what has a name."""
