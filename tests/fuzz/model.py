"""What both kinds of queue should do: lists that keep their order, count their room and choose.

A model raises what the real queue must raise: queue.Empty, queue.Full, or the package's own
QueueError with the errno of the refusal.
"""

from __future__ import annotations

import pickle
from queue import Empty, Full
from types import ModuleType
from typing import Any

import posixmq
import sysvmq

with open("/proc/sys/kernel/msgmax") as file:
    MSGMAX = int(file.read())

# More than this sysvmq's get_many never takes unless it is told to.
LEAST_BATCH = 256


class Kernel:
    """The messages of a queue, in the order in which a plain get takes them: (mark, data)."""

    package: ModuleType
    mark_name: str  # the parameter of put, and the attribute of a DecodeError

    def __init__(self) -> None:
        self.messages: list[tuple[int, bytes]] = []
        self.removed = False

    def refuse(self, code: str, **attributes: Any) -> None:
        error = self.package.QueueError(getattr(self.package.QueueError, code))
        error.__dict__.update(attributes)
        raise error

    @property
    def longest(self) -> int:
        raise NotImplementedError

    @property
    def bytes(self) -> int:
        return sum(len(data) for _, data in self.messages)

    def has_room(self, data: bytes) -> bool:
        raise NotImplementedError

    def insert(self, mark: int, data: bytes) -> None:
        raise NotImplementedError

    def choose(self, selection: dict[str, Any]) -> int:
        """Return the place of the message that a get takes."""
        raise NotImplementedError

    def put(self, mark: int, data: bytes) -> None:
        if len(data) > self.longest:
            self.refuse("TOO_BIG_MESSAGE")
        if not self.has_room(data):
            raise Full
        self.insert(mark, data)

    def put_many(self, mark: int, batch: list[bytes]) -> int:
        if any(len(data) > self.longest for data in batch):
            self.refuse("TOO_BIG_MESSAGE", count=0)
        for number, data in enumerate(batch):
            if not self.has_room(data):
                if number == 0:
                    raise Full
                return number
            self.insert(mark, data)
        return len(batch)

    def take(self, selection: dict[str, Any]) -> tuple[int, bytes]:
        return self.messages.pop(self.choose(selection))

    def take_many(self, most: int | None, selection: dict[str, Any]) -> list[tuple[int, bytes]]:
        most = min(len(self.messages) if most is None else most, max(len(self.messages), 1))
        taken = [self.take(selection)]
        while len(taken) < most:
            try:
                taken.append(self.take(selection))
            except Empty:
                break
        return taken

    def undecodable(self, mark: int, data: bytes) -> Exception:
        error = self.package.DecodeError(self.package.QueueError.ERROR)
        error.data = data
        setattr(error, self.mark_name, mark)
        return error


class PosixKernel(Kernel):
    """By priority, and in one priority by age; see mq_overview(7)."""

    package = posixmq
    mark_name = "priority"

    def __init__(self, maxsize: int, maxmsgsize: int) -> None:
        super().__init__()
        self.maxsize, self.maxmsgsize = maxsize, maxmsgsize

    @property
    def longest(self) -> int:
        return self.maxmsgsize

    def has_room(self, data: bytes) -> bool:
        return len(self.messages) < self.maxsize

    def insert(self, mark: int, data: bytes) -> None:
        place = sum(other >= mark for other, _ in self.messages)
        self.messages.insert(place, (mark, data))

    def choose(self, selection: dict[str, Any]) -> int:
        if not self.messages:
            raise Empty
        return 0

    def take_into(self, size: int, selection: dict[str, Any]) -> tuple[int, int, bytes]:
        if size < self.maxmsgsize:
            self.refuse("TOO_BIG_MESSAGE")
        mark, data = self.take(selection)
        return len(data), mark, data


class SysvKernel(Kernel):
    """By age, and by type where one is asked for; see msgop(2)."""

    package = sysvmq
    mark_name = "msg_type"

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self.max_bytes = max_bytes

    @property
    def longest(self) -> int:
        return min(MSGMAX, self.max_bytes)

    def has_room(self, data: bytes) -> bool:
        # Messages of no bytes count, too: there may be as many as bytes.
        fits = self.bytes + len(data) <= self.max_bytes
        return fits and len(self.messages) + 1 <= self.max_bytes

    def insert(self, mark: int, data: bytes) -> None:
        self.messages.append((mark, data))

    def choose(self, selection: dict[str, Any]) -> int:
        wanted, exclude = selection.get("msg_type", 0), selection.get("exclude", False)
        if exclude and wanted < 1:
            self.refuse("INVALID_VALUE")
        kinds = [mark for mark, _ in self.messages]
        if wanted > 0:
            fits = [place for place, kind in enumerate(kinds) if (kind == wanted) != exclude]
        else:
            fits = [place for place, kind in enumerate(kinds) if wanted == 0 or kind <= -wanted]
        if not fits:
            raise Empty
        return min(fits, key=lambda place: kinds[place]) if wanted < 0 else fits[0]

    def take_into(self, size: int, selection: dict[str, Any]) -> tuple[int, int, bytes]:
        place = self.choose(selection)
        mark, data = self.messages[place]
        if len(data) > size:
            self.refuse("TOO_BIG_MESSAGE")
        self.messages.pop(place)
        return len(data), mark, data


def decode(kernel: Kernel, pickles: bool, mark: int, data: bytes) -> Any:
    """Return the item, or raise the DecodeError that a get must raise."""
    if not pickles:
        return data
    try:
        return pickle.loads(data)
    except Exception:
        raise kernel.undecodable(mark, data) from None


def decode_many(kernel: Kernel, pickles: bool, taken: list[tuple[int, bytes]]) -> list[Any]:
    items, failures = [], []
    for mark, data in taken:
        try:
            items.append(decode(kernel, pickles, mark, data))
        except kernel.package.DecodeError as error:
            failures.append(error)
    if failures:
        failures[0].items, failures[0].failures = items, failures
        raise failures[0]
    return items
