"""Messaging libraries with threads or servers of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .channel import Channel, Spec


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
