"""What a contender has to offer: how it makes a channel, sends, receives and waits."""

from __future__ import annotations

import multiprocessing
import pickle
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


class Unavailable(Exception):
    """What a contender needs is not there."""


def pickling(spec: Spec, put: Callable[[bytes], Any]) -> Callable[[Any], Any]:
    """Let a put of bytes take the items of this work."""
    dumps = pickle.dumps
    return (lambda item: put(dumps(item))) if spec.pickled else put


def unpickling(spec: Spec, get: Callable[[], Any]) -> Callable[[], Any]:
    """Let a get of bytes return the items of this work."""
    loads = pickle.loads
    return (lambda: loads(get())) if spec.pickled else get


class Channel:
    id = ""
    title = ""
    family = "other"
    code = ""  # the import a program needs; empty where another contender has it already
    ours = False
    many_readers = True
    one_reader = "one reader only"  # why, where that is so
    many_writers = True
    timeouts = True
    threads = True  # one receiver serves many threads
    no_wait_for_room = ""  # why works that fill the channel are not for it
    one_size = False  # all of its messages are of one size
    largest = 2**62  # bytes a message
    batches = 0  # takes part in the works of batches: 1, or 2 in those alone
    asynchronous = False  # its senders and receivers are awaited, in works of their own
    own_depth = False  # has a default depth of its own that differs from 10 messages
    empty: tuple[type[BaseException], ...] = (queue.Empty,)

    servers: tuple[int, ...] = ()  # processes whose CPU time counts
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
