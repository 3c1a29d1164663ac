"""Messaging libraries with threads or servers of their own."""

from __future__ import annotations

import pickle
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parent import end_with_parent

from .channel import Channel, Spec, Unavailable, pickling

SERVER_START_S = 10.0


class ZeroMQ(Channel):
    id, title, code = "pyzmq", "pyzmq (ipc)", "import zmq"
    own_depth = True
    threads = False

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


class Redis(Channel):
    """A list of redis, whose server listens on a Unix socket of its own; the list has no bound."""

    id, title, code = "redis", "redis (a list, by a Unix socket)", "import redis"
    server: subprocess.Popen[bytes] | None = None  # all channels share it

    def __init__(self, spec: Spec) -> None:
        import redis

        super().__init__(spec)
        program = shutil.which("redis-server")
        if program is None:
            raise Unavailable("redis-server is not installed")
        self.redis, self.path = redis, str(Path(spec.path).with_name("redis"))
        if Redis.server is None:
            Redis.server = self.start(program)
            self.servers = (Redis.server.pid,)

    def start(self, program: str) -> subprocess.Popen[bytes]:
        """Start the server, without a port and without files, and wait until it answers."""
        options = {"port": "0", "unixsocket": self.path, "save": "", "appendonly": "no"}
        options |= {"daemonize": "no", "dir": tempfile.gettempdir()}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        nothing = subprocess.DEVNULL
        server = subprocess.Popen(
            [program, *words], stdin=nothing, stdout=nothing, preexec_fn=end_with_parent
        )
        end = time.monotonic() + SERVER_START_S
        while not self.answers():
            if server.poll() is not None or time.monotonic() > end:
                server.kill()
                raise Unavailable("redis-server does not start")
            time.sleep(0.005)
        return server

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(self.path) == 0

    def client(self) -> Any:
        return self.redis.Redis(unix_socket_path=self.path, socket_timeout=None)

    def sender(self) -> Callable[[Any], Any]:
        push, name = self.client().lpush, self.spec.name
        return pickling(self.spec, lambda item: push(name, item))

    def receiver(self) -> Callable[[], Any]:
        pop, name, loads = self.client().brpop, self.spec.name, pickle.loads
        if self.spec.pickled:
            return lambda: loads(pop(name, 0)[1])
        return lambda: pop(name, 0)[1]

    def timed_receiver(self) -> Callable[[float], Any]:
        pop, name = self.client().brpop, self.spec.name
        return lambda seconds: pop(name, seconds)

    def remove(self) -> None:
        if Redis.server:
            Redis.server.kill()
            Redis.server.wait()
            Redis.server = None
