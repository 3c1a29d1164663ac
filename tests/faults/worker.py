"""A producer or a consumer: a process of its own that is told an address and an account.

    worker.py produce FAMILY ADDRESS ACCOUNT WAYS LIE NUMBER LIMIT
    worker.py consume FAMILY ADDRESS ACCOUNT WAYS LIE KIND

WAYS are the calls to use, each for a while ("put,many"). A LIE is what a broken queue might do, to
see that it is noticed; it is empty elsewhere. NUMBER is the producer's, LIMIT how many messages it
has to put (0: until told to stop), KIND the kind of account (Log or Tally).
"""

from __future__ import annotations

import ctypes
import itertools
import os
import queue
import random
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # python -I leaves it off the path

import accounts
from families import DEPTH, FAMILIES, LONGEST
from messages import END, build, read

PR_SET_PDEATHSIG = 1
BEFORE_CHANGE = 1000  # calls of one kind before the next kind


# ----------------------------------------------------------------------- ways to put and to get


def put_timed(queue_: Any, messages: list[bytes]) -> None:
    while True:
        try:
            return queue_.put(messages[0], timeout=0.02)
        except queue.Full:
            continue


def put_polled(queue_: Any, messages: list[bytes]) -> None:
    try:
        queue_.put_nowait(messages[0])
    except queue.Full:
        queue_.put(messages[0])


def put_many(queue_: Any, messages: list[bytes]) -> None:
    while messages:
        messages = messages[queue_.put_many(messages) :]


# How many messages a call is given, and the call.
PUTS: dict[str, tuple[int, Callable[[Any, list[bytes]], Any]]] = {
    "put": (1, lambda queue_, messages: queue_.put(messages[0])),
    "timed": (1, put_timed),
    "polled": (1, put_polled),
    "many": (DEPTH + 3, put_many),
}


def get_timed(queue_: Any) -> list[bytes]:
    try:
        return [queue_.get(timeout=0.02)]
    except queue.Empty:
        return []


def get_polled(queue_: Any) -> list[bytes]:
    try:
        return [queue_.get_nowait()]
    except queue.Empty:
        return [queue_.get()]


def get_into(queue_: Any, buffer: bytearray = bytearray(LONGEST)) -> list[bytes]:  # noqa: B008
    size, _ = queue_.get_into(buffer)
    return [bytes(buffer[:size])]


# How many messages may be in a killed consumer's hand, and the call.
GETS: dict[str, tuple[int, Callable[[Any], list[bytes]]]] = {
    "get": (1, lambda queue_: [queue_.get()]),
    "timed": (1, get_timed),
    "polled": (1, get_polled),
    "receive": (1, lambda queue_: [queue_.receive()[0]]),
    "into": (1, get_into),
    "many": (DEPTH, lambda queue_: queue_.get_many(DEPTH)),
}


def in_turn(table: dict[str, Any], names: str) -> Iterator[Any]:
    """Yield the named entries, each BEFORE_CHANGE times, for ever, beginning with any of them."""
    order = random.sample(names.split(","), names.count(",") + 1)
    for name in itertools.cycle(order):
        yield from itertools.repeat(table[name], BEFORE_CHANGE)


# -------------------------------------------------------------------------------------- the work


def produce(queue_: Any, account: accounts.Sent, number: int, limit: int, ways: str) -> None:
    """Put messages, from where the account says that the predecessor came to."""
    words = account.words
    sequence = words[account.ABOUT]
    for count, put in in_turn(PUTS, ways):
        end = min(sequence + count, limit) if limit else sequence + count
        if sequence == end or words[account.STOP]:
            return
        messages = [build(number, each) for each in range(sequence, end)]
        words[account.ABOUT] = end
        put(queue_, messages)
        words[account.DONE] = sequence = end


def consume(queue_: Any, account: accounts.Log | accounts.Tally, ways: str) -> None:
    """Get messages and enter them, until told to stop."""
    words = account.words
    for hand, get in in_turn(GETS, ways):
        words[account.HAND] = hand
        for message in get(queue_):
            found = read(message)
            if found is None or found[0] != END:
                account.enter(message)
            elif words[account.STOP]:
                return


# ------------------------------------------------------------------------------- broken queues


class Lying:
    """A queue that breaks a promise with every 600th message."""

    def __init__(self, queue_: Any, lie: str) -> None:
        self._queue = queue_
        self._lie = lie
        self._turn = itertools.count(1)
        self._held: bytes | None = None

    def put(self, message: bytes) -> None:
        is_due = next(self._turn) % 600 == 0
        if is_due and self._lie == "double":
            self._queue.put(message)
        if is_due and self._lie == "swap":
            self._held = message
            return
        self._queue.put(message)
        if self._held is not None:
            self._queue.put(self._held)
            self._held = None

    def get(self) -> bytes:
        message: bytes = self._queue.get()
        is_due = next(self._turn) % 600 == 0
        if is_due and self._lie == "drop":
            return self._queue.get()
        if is_due and self._lie == "tear":
            return message[:-1] + bytes([message[-1] ^ 1])
        return message


# ----------------------------------------------------------------------------------- the program


def die_with(watcher: int) -> None:
    """Have the kernel kill this process when its parent, who watches it, is gone."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != watcher:
        sys.exit("the parent is gone already")


def main(role: str, family: str, address: str, path: str, ways: str, lie: str, *rest: str) -> None:
    account: Any = accounts.Sent(path) if role == "produce" else getattr(accounts, rest[0])(path)
    die_with(account.words[account.WATCHER])
    module = FAMILIES[family].module
    queue_ = FAMILIES[family].open(address, serializer=module.RawSerializer)
    lying = Lying(queue_, lie) if lie else queue_
    account.words[account.PID] = os.getpid()
    if role == "produce":
        number, limit = map(int, rest)
        produce(lying, account, number, limit, ways)
    else:
        consume(lying, account, ways)
    FAMILIES[family].let_go(queue_)


if __name__ == "__main__":
    main(*sys.argv[1:])
