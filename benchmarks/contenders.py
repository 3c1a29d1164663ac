"""One small adapter per contender: how it makes a channel, sends, receives and waits.

A channel is created once, by the measuring process; every process then asks it for its own
`sender()` or `receiver()`: callables that are the contender's own methods wherever it has them.
Queues that have a name are opened again by it, as unrelated processes would.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
import queue
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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


# Ours


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


# Peers on the same kernel queues


class PosixIpc(Channel):
    id, title, family, code = "posix_ipc", "posix_ipc", "posix", "import posix_ipc"

    def __init__(self, spec: Spec) -> None:
        import posix_ipc

        super().__init__(spec)
        self.empty = (posix_ipc.BusyError,)
        self.unlink = partial(posix_ipc.unlink_message_queue, spec.name)
        self.open = partial(posix_ipc.MessageQueue, spec.name)
        self.owner = self.open(
            posix_ipc.O_CREX, max_messages=spec.depth or 10, max_message_size=spec.limit
        )

    def sender(self) -> Callable[[Any], Any]:
        send, dumps = self.open().send, pickle.dumps
        return (lambda item: send(dumps(item))) if self.spec.pickled else send

    def receiver(self) -> Callable[[], Any]:
        receive, loads = self.open().receive, pickle.loads
        return (lambda: loads(receive()[0])) if self.spec.pickled else receive

    def timed_receiver(self) -> Callable[[float], Any]:
        return self.open().receive

    def remove(self) -> None:
        self.unlink()


class SysVIpc(Channel):
    id, title, family, code = "sysv_ipc", "sysv_ipc", "sysv", "import sysv_ipc"
    timeouts = False

    def __init__(self, spec: Spec) -> None:
        import sysv_ipc

        super().__init__(spec)
        self.open = partial(sysv_ipc.MessageQueue, spec.key, max_message_size=spec.limit)
        self.owner = self.open(flags=sysv_ipc.IPC_CREX)

    def sender(self) -> Callable[[Any], Any]:
        send, dumps = self.open().send, pickle.dumps
        return (lambda item: send(dumps(item))) if self.spec.pickled else send

    def receiver(self) -> Callable[[], Any]:
        receive, loads = self.open().receive, pickle.loads
        return (lambda: loads(receive()[0])) if self.spec.pickled else receive

    def remove(self) -> None:
        self.owner.remove()


def original(spec: Spec) -> Any:
    """The original ipcqueue, from a folder of its own: ours has the same name."""
    sys.path.insert(0, spec.original)
    import ipcqueue

    if not str(ipcqueue.__file__).startswith(spec.original):
        raise ImportError("not installed (the original could not be had)")
    import ipcqueue.posixmq
    import ipcqueue.serializers
    import ipcqueue.sysvmq

    return ipcqueue


class OriginalPosix(Channel):
    id, title, family = "ipcqueue-posix", "ipcqueue 0.9.7 (POSIX)", "posix"
    code = "import ipcqueue.posixmq"

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        module = original(spec)
        serializers = module.serializers
        self.open = partial(
            module.posixmq.Queue,
            spec.name,
            maxsize=spec.depth or 10,
            maxmsgsize=spec.limit,
            serializer=serializers.PickleSerializer if spec.pickled else serializers.RawSerializer,
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


class OriginalSysV(Channel):
    id, title, family = "ipcqueue-sysv", "ipcqueue 0.9.7 (System V)", "sysv"
    code = "import ipcqueue.sysvmq"
    timeouts = False

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        module = original(spec)
        serializers = module.serializers
        serializer = serializers.PickleSerializer if spec.pickled else serializers.RawSerializer
        self.open = partial(module.sysvmq.Queue, spec.key, serializer=serializer)
        self.owner = self.open()

    def sender(self) -> Callable[[Any], Any]:
        return self.open().put

    def receiver(self) -> Callable[[], Any]:
        return self.open().get

    def remove(self) -> None:
        self.owner.close()


# The standard library


class MPQueue(Channel):
    id, title, code = "mp.Queue", "multiprocessing.Queue", "import multiprocessing.queues"
    own_depth = True

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.queue: Any = fork.Queue(spec.depth or 0)

    def sender(self) -> Callable[[Any], Any]:
        return self.queue.put

    def receiver(self) -> Callable[[], Any]:
        return self.queue.get

    def timed_receiver(self) -> Callable[[float], Any]:
        return partial(self.queue.get, True)


class MPSimpleQueue(Channel):
    id, title = "mp.SimpleQueue", "multiprocessing.SimpleQueue"
    timeouts = False

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.queue: Any = fork.SimpleQueue()

    def sender(self) -> Callable[[Any], Any]:
        return self.queue.put

    def receiver(self) -> Callable[[], Any]:
        return self.queue.get


class MPPipe(Channel):
    id, title, code = "mp.Pipe", "multiprocessing.Pipe", "import multiprocessing.connection"
    many_readers = many_writers = False

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self.reader, self.writer = fork.Pipe(duplex=False)

    def sender(self) -> Callable[[Any], Any]:
        return self.writer.send if self.spec.pickled else self.writer.send_bytes

    def receiver(self) -> Callable[[], Any]:
        return self.reader.recv if self.spec.pickled else self.reader.recv_bytes

    def timed_receiver(self) -> Callable[[float], Any]:
        poll, receive = self.reader.poll, self.reader.recv_bytes
        return lambda seconds: poll(seconds) and receive()


# Other peers


class FasterFifo(Channel):
    id, title, code = "faster-fifo", "faster-fifo", "import faster_fifo"
    own_depth = True

    def __init__(self, spec: Spec) -> None:
        import faster_fifo

        super().__init__(spec)
        raw = {} if spec.pickled else {"dumps": lambda item: item, "loads": bytes}
        depth = {"maxsize": spec.depth} if spec.depth else {}
        self.queue: Any = faster_fifo.Queue(**raw, **depth)

    def sender(self) -> Callable[[Any], Any]:
        return self.queue.put

    def receiver(self) -> Callable[[], Any]:
        return self.queue.get

    def timed_receiver(self) -> Callable[[float], Any]:
        return partial(self.queue.get, True)


class ZeroMQ(Channel):
    id, title, code = "pyzmq", "pyzmq (ipc)", "import zmq"
    own_depth = True

    def __init__(self, spec: Spec) -> None:
        import zmq

        super().__init__(spec)
        self.zmq = zmq

    def socket(self, kind: int, binds: bool) -> Any:
        socket = self.zmq.Context.instance().socket(kind)
        if self.spec.depth:
            socket.set_hwm(self.spec.depth)
        (socket.bind if binds else socket.connect)(f"ipc://{self.spec.path}")
        return socket

    def sender(self) -> Callable[[Any], Any]:
        socket = self.socket(self.zmq.PUSH, self.spec.sender_binds)
        return socket.send_pyobj if self.spec.pickled else socket.send

    def receiver(self) -> Callable[[], Any]:
        socket = self.socket(self.zmq.PULL, not self.spec.sender_binds)
        return socket.recv_pyobj if self.spec.pickled else socket.recv

    def timed_receiver(self) -> Callable[[float], Any]:
        socket = self.socket(self.zmq.PULL, not self.spec.sender_binds)
        poll, receive = socket.poll, socket.recv
        return lambda seconds: poll(1000 * seconds) and receive()


CHANNELS: dict[str, type[Channel]] = {
    channel.id: channel
    for channel in (
        PosixMQ,
        SysVMQ,
        PosixMany,
        PosixInto,
        SysVMany,
        SysVInto,
        AsyncPosixMQ,
        AsyncSysVMQ,
        AsyncStreams,
        PosixIpc,
        SysVIpc,
        OriginalPosix,
        OriginalSysV,
        MPQueue,
        MPSimpleQueue,
        MPPipe,
        FasterFifo,
        ZeroMQ,
    )
}
