"""posixmq and sysvmq, with their batches and their asyncio."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .channel import Channel, Spec


class PosixMQ(Channel):
    id, title, family, code = "posixmq", "posixmq", "posix", "import posixmq"
    ours = own_depth = True
    batches = 1

    def __init__(self, spec: Spec) -> None:
        import posixmq

        super().__init__(spec)
        self.serializer = None if spec.pickled else posixmq.RawSerializer
        self.open = partial(
            posixmq.Queue,
            spec.name,
            spec.depth or 10,
            spec.limit,
            serializer=self.serializer,
        )
        self.owner = self.open()

    def sender(self) -> Callable[[Any], Any]:
        return self.open().put

    def receiver(self) -> Callable[[], Any]:
        return self.open().get

    def timed_receiver(self) -> Callable[[float], Any]:
        return partial(self.open().get, True)

    def remove(self) -> None:
        self.owner.unlink()


class SysVMQ(Channel):
    id, title, family, code = "sysvmq", "sysvmq", "sysv", "import sysvmq"
    ours = own_depth = True
    batches = 1

    def __init__(self, spec: Spec) -> None:
        import sysvmq

        super().__init__(spec)
        serializer = None if spec.pickled else sysvmq.RawSerializer
        self.open = partial(sysvmq.Queue, spec.key, serializer=serializer)
        self.owner = self.open()

    def sender(self) -> Callable[[Any], Any]:
        return self.open().put

    def receiver(self) -> Callable[[], Any]:
        return self.open().get

    def timed_receiver(self) -> Callable[[float], Any]:
        get = self.open().get
        return lambda seconds: get(timeout=seconds)

    def remove(self) -> None:
        self.owner.close()


class Many(Channel):
    """put_many and get_many, of whichever family."""

    batches = 2

    def batch_sender(self, items: list[Any]) -> Callable[[], Any]:
        return partial(self.open().put_many, items)

    def batch_receiver(self, size: int) -> Callable[[], int]:
        get_many = self.open().get_many

        def receive() -> int:
            kept = get_many(size)
            return len(kept)

        return receive


class Into(Channel):
    """put and get_into, of whichever family."""

    batches = 2

    def batch_receiver(self, size: int) -> Callable[[], int]:
        get_into = self.open().get_into
        buffer = bytearray(self.spec.limit)

        def receive() -> int:
            for _ in range(size):
                get_into(buffer)
            return size

        return receive


class PosixMany(Many, PosixMQ):
    id, title = "posixmq-many", "posixmq, put_many and get_many"


class PosixInto(Into, PosixMQ):
    id, title = "posixmq-into", "posixmq, put and get_into"


class SysVMany(Many, SysVMQ):
    id, title = "sysvmq-many", "sysvmq, put_many and get_many"


class SysVInto(Into, SysVMQ):
    id, title = "sysvmq-into", "sysvmq, put and get_into"


class AsyncPosixMQ(PosixMQ):
    id, title, code = "posixmq.asyncio", "posixmq.asyncio", ""
    asynchronous = True
    batches = 0

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        from posixmq.asyncio import Queue

        self.open = partial(Queue, spec.name, create=False, serializer=self.serializer)


class AsyncSysVMQ(SysVMQ):
    id, title, code = "sysvmq.asyncio", "sysvmq.asyncio", ""
    asynchronous = True
    batches = 0

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        from sysvmq.asyncio import Queue

        self.open = partial(Queue, spec.key, create=False, **self.open.keywords)
