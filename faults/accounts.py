"""Accounts that outlive the process that keeps them, even one that is killed.

An account is a file of 64-bit words that the worker and who watches it have mapped. A word is
written by a single store, so whoever reads after a SIGKILL finds the old value or the new one.

A producer says which messages it is about to put before it puts them, and that it has put them
after: what lies between is in its hand. A consumer enters each message it has got before it
gets the next: what it got and has not entered is in its hand, and at most as many as it says
that it asks for.
"""

from __future__ import annotations

import mmap
from pathlib import Path

from messages import read

WORD = 8


class Words:
    """A file of words, all 0 at first. The first two are the watcher's and the worker's."""

    STOP, PID = range(2)

    def __init__(self, path: str | Path, create: int = 0) -> None:
        """Map the file, having made it with this many words if any are given."""
        if create:
            Path(path).touch()
            with open(path, "r+b") as file:
                file.truncate(create * WORD)
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.words = memoryview(self._map).cast("Q")

    def close(self) -> None:
        self.words.release()
        self._map.close()


class Sent(Words):
    """A producer's account: the messages from DONE to ABOUT are in its hand."""

    ABOUT, DONE = range(2, 4)
    SIZE = 4

    def take_from_hand(self) -> range:
        """Return what was in the hand of a killed producer; its successor goes on behind it."""
        hand = range(self.words[self.DONE], self.words[self.ABOUT])
        self.words[self.DONE] = self.words[self.ABOUT]
        return hand


class Log(Words):
    """A consumer's account that holds every message, for a final count."""

    HAND, COUNT, TORN = range(2, 5)
    FIRST = 5
    SHIFT = 40  # a record is the producer's number above, the sequence number below

    @classmethod
    def make(cls, path: Path, messages: int) -> Log:
        return cls(path, cls.FIRST + messages)

    def enter(self, message: bytes) -> None:
        words = self.words
        found = read(message)
        if found is None:
            words[self.TORN] += 1
            return
        count = words[self.COUNT]
        words[self.FIRST + count] = found[0] << self.SHIFT | found[1]
        words[self.COUNT] = count + 1  # only now the record counts

    def records(self) -> list[tuple[int, int]]:
        mask = (1 << self.SHIFT) - 1
        entered = self.words[self.FIRST : self.FIRST + self.words[self.COUNT]]
        return [(record >> self.SHIFT, record & mask) for record in entered]


class Tally(Words):
    """An account for the only consumer of one producer, of the same size however long it runs.

    The producer's messages come in order, so that a gap is messages that are missing.
    """

    HAND, NEXT, TORN, MISSING, DOUBLED = range(2, 7)
    SIZE = 7

    def enter(self, message: bytes) -> None:
        words = self.words
        found = read(message)
        if found is None:
            words[self.TORN] += 1
            return
        due, sequence = words[self.NEXT], found[1]
        if sequence < due:
            words[self.DOUBLED] += 1
            return
        if sequence > due:
            words[self.MISSING] += sequence - due
        words[self.NEXT] = sequence + 1
