"""Queues without a name go to other processes as descriptors, and no other way."""

import copy
import multiprocessing
import os
import pickle
import socket

import pytest

from harness.process import descriptors
from posixmq import Queue, QueueError


def test_an_anonymous_queue_is_refused_while_no_process_starts():
    before = descriptors()
    with Queue.anonymous(1, 64) as q:
        for attempt in (pickle.dumps, copy.copy, multiprocessing.reduction.ForkingPickler.dumps):
            with pytest.raises(RuntimeError, match=r"has no name to be opened by.*send_fds"):
                attempt(q)
    assert descriptors() == before


def test_an_anonymous_queue_is_sent_over_a_socket():
    here, there = socket.socketpair()
    with here, there, Queue.anonymous(1, 64) as q:
        socket.send_fds(here, [b"a queue"], [q.fileno()])
        _, (fd,), _, _ = socket.recv_fds(there, 64, 1)
        with Queue.from_fd(fd) as other:
            assert other == q and other.name is None
            other.put("over the socket")
        assert q.get(timeout=60) == "over the socket"


def test_an_anonymous_queue_is_sent_to_an_unrelated_process(tmp_path, spawn):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server, Queue.anonymous(1, 64) as q:
        server.bind(path)
        server.listen()
        process = spawn(
            """
            import socket
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(sys.argv[1])
                _, (fd,), _, _ = socket.recv_fds(client, 64, 1)
            with Queue.from_fd(fd) as q:
                q.put(os.getpid())
            """,
            path,
        )
        connection, _ = server.accept()
        with connection:
            socket.send_fds(connection, [b"a queue"], [q.fileno()])
        assert q.get(timeout=60) == process.pid
        process.finish()


def test_a_descriptor_that_is_refused_is_closed():
    from posixmq import _pickling

    class Passed:
        def detach(self):
            return os.dup(q.fileno())

    with Queue.anonymous(1, 64) as q:
        os.fchmod(q.fileno(), 0o666)
        before = descriptors()
        for options, error in (({"trusted": False}, QueueError), ({"spin_us": "?"}, TypeError)):
            with pytest.raises(error):
                _pickling._adopt(Queue, Passed(), None, options)
        assert descriptors() == before
