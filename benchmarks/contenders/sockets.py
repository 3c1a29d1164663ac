"""Sockets and pipes of the kernel, without a library around them."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from .channel import Channel, Spec, pickling, unpickling


class PacketPipe(Channel):
    """A pipe in packet mode: every write is one message, every read returns one."""

    id, title = "pipe", "os.pipe in packet mode (O_DIRECT)"
    largest = select.PIPE_BUF

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.reading, self.writing = os.pipe2(os.O_DIRECT)

    def sender(self) -> Callable[[Any], Any]:
        return pickling(self.spec, partial(os.write, self.writing))

    def receiver(self) -> Callable[[], Any]:
        return unpickling(self.spec, partial(os.read, self.reading, self.spec.limit))

    def timed_receiver(self) -> Callable[[float], Any]:
        poller, get = select.poll(), self.receiver()
        poller.register(self.reading, select.POLLIN)
        poll = poller.poll
        return lambda seconds: poll(1000 * seconds) and get()


class DatagramSocket(Channel):
    """A pair of Unix sockets that keep messages apart."""

    id, title, code = "unix-dgram", "Unix sockets, SOCK_DGRAM", "import socket"
    kind = socket.SOCK_DGRAM
    empty = (TimeoutError,)

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.reading, self.writing = socket.socketpair(type=self.kind)

    def sender(self) -> Callable[[Any], Any]:
        return pickling(self.spec, self.writing.send)

    def receiver(self) -> Callable[[], Any]:
        return unpickling(self.spec, partial(self.reading.recv, self.spec.limit))

    def timed_receiver(self) -> Callable[[float], Any]:
        get, set_timeout = self.receiver(), self.reading.settimeout

        def timed_get(seconds: float) -> Any:
            set_timeout(seconds)
            return get()

        return timed_get


class SequencedSocket(DatagramSocket):
    id, title, code = "unix-seqpacket", "Unix sockets, SOCK_SEQPACKET", ""
    kind = socket.SOCK_SEQPACKET


class AsyncStreams(Channel):
    """What asyncio has for two processes: streams over a pair of Unix sockets."""

    id, title = "asyncio streams", "asyncio streams, Unix sockets, length + bytes"
    asynchronous = True
    threads = False

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.reading, self.writing = socket.socketpair()

    async def connect(self, end: socket.socket) -> tuple[Any, Any]:
        return await asyncio.open_unix_connection(sock=end)

    def sender(self) -> Callable[[Any], Any]:
        writer: Any = None

        async def put(item: bytes) -> None:
            nonlocal writer
            if writer is None:
                _, writer = await self.connect(self.writing)
            writer.write(len(item).to_bytes(4, "big") + item)
            await writer.drain()

        return put

    def receiver(self) -> Callable[[], Any]:
        reader: Any = None

        async def get() -> bytes:
            nonlocal reader
            if reader is None:
                reader, self.kept = await self.connect(self.reading)
            size = await reader.readexactly(4)
            item: bytes = await reader.readexactly(int.from_bytes(size, "big"))
            return item

        return get
