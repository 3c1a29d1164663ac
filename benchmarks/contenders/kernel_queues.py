"""Other bindings of the same kernel queues."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from .channel import Channel, Spec


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
