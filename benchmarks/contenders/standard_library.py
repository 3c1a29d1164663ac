"""The queues and the pipe of multiprocessing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .channel import Channel, Spec, fork


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
    many_readers = many_writers = threads = False

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
