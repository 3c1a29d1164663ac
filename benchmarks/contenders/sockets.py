"""Sockets of the kernel, without a library around them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from .channel import Channel, Spec


class AsyncStreams(Channel):
    """What asyncio has for two processes: streams over a pair of Unix sockets."""

    id, title = "asyncio streams", "asyncio streams, Unix sockets, length + bytes"
    asynchronous = True

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
