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
import os
from pathlib import Path

from messages import read

WORD = 8


class Words:
    """A file of words, all 0 at first. The watcher writes STOP and WATCHER, the worker PID."""

    STOP, WATCHER, PID = range(3)
    MOVED: tuple[int, ...]  # the words that count the messages that it has moved

    def __init__(self, path: str | Path, create: int = 0) -> None:
        """Map the file, having made it with this many words if any are given."""
        self._path = path
        if create:
            Path(path).touch()
            os.truncate(path, create * WORD)
        self._map_file()
        if create:
            self.words[self.WATCHER] = os.getpid()

    def _map_file(self) -> None:
        """Map the file as long as it is now; who still uses a shorter mapping sees the same words."""
        with open(self._path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.words = memoryview(self._map).cast("Q")

    def moved(self) -> int:
        """Return how many messages it has moved."""
        return sum(self.words[each] for each in self.MOVED)

    def close(self) -> None:
        self.words.release()
        self._map.close()


class Sent(Words):
    """A producer's account: the messages from DONE to ABOUT are in its hand."""

    ABOUT, DONE = range(3, 5)
    SIZE = 5
    MOVED = (DONE,)

    def take_from_hand(self) -> range:
        """Return what was in the hand of a killed producer; its successor goes on behind it."""
        hand = range(self.words[self.DONE], self.words[self.ABOUT])
        self.words[self.DONE] = self.words[self.ABOUT]
        return hand


class Log(Words):
    """A consumer's account that holds every message, for a final count. It grows as it must."""

    HAND, COUNT, TORN = range(3, 6)
    FIRST = 6
    SIZE = FIRST + 1000  # at first
    MOVED = (COUNT, TORN)
    SHIFT = 40  # a record is the producer's number above, the sequence number below

    def enter(self, message: bytes) -> None:
        words = self.words
        found = read(message)
        if found is None:
            words[self.TORN] += 1
            return
        count = words[self.COUNT]
        if self.FIRST + count == len(words):
            os.truncate(self._path, 2 * len(words) * WORD)
            self._map_file()
            words = self.words
        words[self.FIRST + count] = found[0] << self.SHIFT | found[1]
        words[self.COUNT] = count + 1  # only now the record counts

    def records(self) -> list[tuple[int, int]]:
        self._map_file()  # the consumer may have made it longer
        mask = (1 << self.SHIFT) - 1
        entered = self.words[self.FIRST : self.FIRST + self.words[self.COUNT]]
        return [(record >> self.SHIFT, record & mask) for record in entered]


class Tally(Words):
    """An account for the only consumer of one producer, of the same size however long it runs.

    The producer's messages come in order, so that a gap is messages that are missing.
    """

    HAND, NEXT, TORN, MISSING, DOUBLED = range(3, 8)
    SIZE = 8
    MOVED = (NEXT, TORN, DOUBLED)

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
