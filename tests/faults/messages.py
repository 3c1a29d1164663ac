"""The messages of these tests: each says who sent it and which of his it is, under a checksum."""

from __future__ import annotations

import random
import struct
import zlib

from families import LONGEST

HEAD = struct.Struct("=IHHQ")  # checksum, length, producer, sequence number
END = 0xFFFF  # as producer: no message but a call to look around

# Where a body begins depends on the message, so that two mixed up never look alike.
_BODIES = random.Random(1).randbytes(LONGEST + 4096)


def build(producer: int, sequence: int) -> bytes:
    """Return the message, 16 to 215 bytes long, and every 50th more than a page."""
    length = LONGEST if sequence % 50 == 7 else HEAD.size + sequence * 7 % 200
    start = (sequence * 31 + producer * 1009) % 4096
    rest = (
        HEAD.pack(0, length, producer, sequence)[4:] + _BODIES[start : start + length - HEAD.size]
    )
    return zlib.crc32(rest).to_bytes(4, "little") + rest


def read(message: bytes) -> tuple[int, int] | None:
    """Return the producer and the sequence number, or None if the message is torn."""
    if len(message) < HEAD.size:
        return None
    checksum, length, producer, sequence = HEAD.unpack_from(message)
    if length != len(message) or zlib.crc32(memoryview(message)[4:]) != checksum:
        return None
    return producer, sequence
