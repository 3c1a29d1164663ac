"""Queues that go to other processes: by name, and those without a name by multiprocessing."""

import copy
import json
import multiprocessing
import os
import pickle
import socket
import textwrap

import pytest

from harness.process import descriptors
from posixmq import Queue, QueueError, RawSerializer


class Kind(Queue):
    """A class of its own, with a constructor of its own and state."""

    def __init__(self, name):
        super().__init__(name, 2, 64)
        self.label = "labelled"


PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


# --- by name --------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pickle_opens_the_same_queue(q, protocol):
    with pickle.loads(pickle.dumps(q, protocol)) as other:
        assert other is not q and other == q
        assert (other.name, other.maxsize, other.maxmsgsize) == (q.name, 4, 256)
        assert other.fileno() != q.fileno()
        other.put("x")
    assert q.get() == "x"


@pytest.mark.parametrize(
    "options",
    [
        {"readable": False},
        {"writable": False},
        {"on_signal": "retry"},
        {"spin_us": 123},
        {"serializer": RawSerializer},
        {"serializer": json},
        {"trusted": True},
    ],
    ids=lambda options: next(iter(options)),
)
def test_the_options_are_kept(make, options):
    q = make(**options)
    with pickle.loads(pickle.dumps(q)) as other:
        for option in (
            "readable",
            "writable",
            "on_signal",
            "spin_us",
            "serializer",
            "trusted",
        ):
            assert getattr(other, option) == getattr(q, option), option


def test_a_module_is_pickled_by_the_name_it_is_imported_by(make):
    from xml.etree import ElementTree  # a submodule, with the wrong functions

    ElementTree.dumps = ElementTree.loads = str
    try:
        with pickle.loads(pickle.dumps(make(serializer=ElementTree))) as other:
            assert other.serializer is ElementTree
    finally:
        del ElementTree.dumps, ElementTree.loads


def test_a_subclass_comes_back_as_itself_with_its_state(name):
    with Kind(name) as q:
        with pickle.loads(pickle.dumps(q)) as other:
            assert type(other) is Kind and other.label == "labelled" and other == q
        q.unlink()


def test_a_subclass_may_pickle_in_its_own_way(name):
    class Own(Queue):
        def __reduce__(self):
            return (str, ("own",))

    with Own(name, 1, 32) as q:
        assert pickle.loads(pickle.dumps(q)) == "own"
        assert copy.copy(q) == "own"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy], ids=lambda f: f.__name__)
def test_a_copy_is_another_handle(make, copied):
    q = make(serializer=json)
    with copied(q) as other:
        assert other == q and other.fileno() != q.fileno() and other.serializer is json


def test_a_queue_travels_through_a_queue(make):
    carrier, q = make(maxmsgsize=1024), make()
    carrier.put(q)
    with carrier.get() as other:
        assert other == q


def test_a_queue_whose_name_is_gone_cannot_be_opened_anew(q):
    pickled = pickle.dumps(q)
    q.unlink()
    with pytest.raises(QueueError) as caught:
        pickle.loads(pickled)
    assert caught.value.errno == QueueError.DOES_NOT_EXIST


def test_a_closed_queue_is_refused(q):
    q.close()
    with pytest.raises(QueueError, match=r"cannot pickle .*: it is closed") as caught:
        pickle.dumps(q)
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR


def test_a_queue_never_opened_is_refused():
    with pytest.raises(QueueError, match=r"cannot pickle .*not open"):
        pickle.dumps(Queue.__new__(Queue))


# --- without a name -------------------------------------------------------------------------------


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


# --- multiprocessing ------------------------------------------------------------------------------

# A module of its own: what starts anew imports it, and must not find the tests there.
MODULE = """
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor

from posixmq import Queue, RawSerializer


class Kind(Queue):
    pass


def answer(queues, text):
    for q in queues:
        with q:
            assert not os.get_inheritable(q.fileno())
            q.put([text, type(q).__name__, q.name, q.spin_us, q.trusted, q.serializer.__name__], timeout=60)


kept = None


def keep(q):
    global kept
    kept = q


def put(number):
    kept.put(number, timeout=60)
    return number


def main(method, name):
    context = multiprocessing.get_context(method)
    queues = [
        Queue(name, 2, 256, serializer=json),
        Queue.anonymous(2, 256, serializer=json, spin_us=11),
        Kind.anonymous(2, 256, trusted=True),
    ]
    for _ in range(2):
        process = context.Process(target=answer, args=(queues, method))
        process.start()
        got = [q.get(timeout=60) for q in queues]
        process.join()
        assert process.exitcode == 0
        assert got == [
            [method, "Queue", name, queues[0].spin_us, False, "json"],
            [method, "Queue", None, 11, False, "json"],
            [method, "Kind", None, queues[2].spin_us, True, "PickleSerializer"],
        ], got
    for q in queues[:2]:
        with ProcessPoolExecutor(1, mp_context=context, initializer=keep, initargs=(q,)) as pool:
            assert list(pool.map(put, range(2))) == [0, 1]
        assert [q.get(timeout=60) for _ in range(2)] == [0, 1]
    for q in queues:
        q.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
"""


@pytest.mark.semaphores
@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_queues_are_arguments_of_processes_and_pools(method, name, tmp_path, spawn):
    module = tmp_path / "service.py"
    module.write_text(textwrap.dedent(MODULE))
    spawn(
        """
        import subprocess
        code = subprocess.run([sys.executable, *sys.argv[1:]], timeout=100).returncode
        sys.exit(code)
        """,
        "-Wignore::DeprecationWarning",
        module,
        method,
        name,
    ).finish()
    assert os.path.exists(module)
