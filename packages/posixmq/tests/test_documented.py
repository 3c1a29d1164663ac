"""The documented API, to the letter: a program written for the original runs unchanged."""

import doctest
import errno
import importlib.metadata
import inspect
import queue

import pytest

import posixmq
from posixmq import Queue, QueueError

EMPTY = inspect.Parameter.empty

# name -> the parameters with their defaults, in the documented order; * starts the keyword-only ones
SIGNATURES = {
    "Queue": {
        "name": EMPTY,
        "maxsize": 10,
        "maxmsgsize": 1024,
        "*": None,
        "serializer": None,
        "mode": 0o600,
        "create": True,
        "exclusive": False,
        "readable": True,
        "writable": True,
        "on_signal": "raise",
        "spin_us": None,
        "trusted": False,
    },
    "Queue.put": {
        "item": EMPTY,
        "block": True,
        "timeout": None,
        "priority": 0,
        "pickle_protocol": 1,
    },
    "Queue.put_nowait": {"item": EMPTY, "priority": 0, "pickle_protocol": 1},
    "Queue.get": {"block": True, "timeout": None},
    "Queue.get_nowait": {},
    "Queue.qattr": {},
    "Queue.qsize": {},
    "Queue.empty": {},
    "Queue.full": {},
    "Queue.close": {},
    "Queue.unlink": {},
    "unlink": {"name": EMPTY},
    "QueueError": {"errno": EMPTY, "msg": None},
}

CONSTANTS = {
    "ERROR": errno.EIO,
    "INVALID_VALUE": errno.EINVAL,
    "NO_PERMISSIONS": errno.EACCES,
    "NO_SYSTEM_RESOURCES": errno.ENOSPC,
    "INVALID_DESCRIPTOR": errno.EBADF,
    "INTERRUPTED": errno.EINTR,
    "TOO_BIG_MESSAGE": errno.EMSGSIZE,
    "TIMEOUT": errno.ETIMEDOUT,
    "DOES_NOT_EXIST": errno.ENOENT,
    "EXISTS": errno.EEXIST,
}

SESSION = """
>>> import posixmq
>>> q = posixmq.Queue('/foo')
>>> q.qsize()
0
>>> q.put([1, 'A'])
>>> q.put([2, 'B'], priority=2)
>>> q.put([3, 'C'], priority=0)
>>> q.qsize()
3
>>> q.get()
[2, 'B']
>>> q.get()
[1, 'A']
>>> q.get()
[3, 'C']
>>> q.close()
>>> q.unlink()
"""


def find(path):
    found = posixmq
    for part in path.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize(("path", "parameters"), SIGNATURES.items(), ids=SIGNATURES)
def test_the_signature_is_the_documented_one(path, parameters):
    function = find(path)
    found, keyword_only = {}, False
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not keyword_only:
            found["*"], keyword_only = None, True
        if not keyword_only:
            assert parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        found[parameter.name] = parameter.default
    assert list(found.items()) == list(parameters.items())


def test_bound_methods_show_their_signature_too(q):
    assert str(inspect.signature(q.get)) == "(block=True, timeout=None)"


@pytest.mark.parametrize("path", [path for path in SIGNATURES if "." in path or path == "unlink"])
def test_every_callable_documents_itself(path):
    assert len(find(path).__doc__.strip()) > 10


def test_the_classes_and_the_package_document_themselves():
    for thing in (posixmq, Queue, QueueError, posixmq.DecodeError):
        assert len(thing.__doc__.strip()) > 10


def test_all_names_what_is_public():
    assert set(posixmq.__all__) >= {
        "DecodeError",
        "PickleSerializer",
        "Queue",
        "QueueError",
        "RawSerializer",
        "unlink",
    }
    for public in posixmq.__all__:
        assert hasattr(posixmq, public)


def test_public_things_say_where_they_live():
    assert Queue.__module__ == QueueError.__module__ == "posixmq"
    assert (Queue.__name__, Queue.__qualname__) == ("Queue", "Queue")


def test_the_version_is_that_of_the_distribution():
    assert posixmq.__version__ == importlib.metadata.version("posixmq")


@pytest.mark.parametrize(("constant", "number"), CONSTANTS.items(), ids=CONSTANTS)
def test_the_constants_are_system_errno_numbers(constant, number):
    assert getattr(QueueError, constant) == number
    assert getattr(posixmq.DecodeError, constant) == number


def test_the_documented_session_runs_as_documented(name):
    session = doctest.DocTestParser().get_doctest(
        SESSION.replace("/foo", name), {}, "documented session", None, 0
    )
    said = []
    results = doctest.DocTestRunner(verbose=False).run(session, out=said.append)
    assert results.attempted == 12
    assert results.failed == 0, "".join(said)


def test_qattr_has_exactly_the_documented_keys(make):
    q = make(maxsize=3, maxmsgsize=100)
    q.put(1)
    attributes = q.qattr()
    assert attributes == {"size": 1, "max_size": 3, "max_msgbytes": 100}
    assert type(attributes) is dict
    assert all(type(value) is int for value in attributes.values())


def test_empty_and_full_are_those_of_the_standard_library(make):
    q = make(maxsize=1)
    try:
        q.get(False)
    except queue.Empty as error:
        assert type(error) is queue.Empty
    q.put(1)
    try:
        q.put(2, False)
    except queue.Full as error:
        assert type(error) is queue.Full


def test_methods_that_return_nothing_return_none(make):
    q = make()
    assert q.put(1) is None
    assert q.put_nowait(1) is None
    assert q.close() is None
    assert q.unlink() is None


def test_a_program_written_for_the_original_runs(spawn, name):
    out = spawn(
        """
        from queue import Empty, Full


        def reader(name):
            q = posixmq.Queue(name, 10, 1024)
            items = []
            while True:
                item = q.get(True, 20)
                if item is None:
                    break
                items.append(item)
            q.close()
            if items != [{"n": n} for n in range(100)]:
                os._exit(1)
            os._exit(0)


        name = sys.argv[1]
        try:
            posixmq.unlink(name)
        except posixmq.QueueError as error:
            if error.errno != posixmq.QueueError.DOES_NOT_EXIST:
                raise
            print(error.errno, bool(error.msg))

        q = posixmq.Queue(name, maxsize=10, maxmsgsize=1024)
        pid = os.fork()
        if pid == 0:
            reader(name)
        for n in range(100):
            q.put({"n": n}, True, 20, 0, 2)
        q.put(None)
        _, status = os.waitpid(pid, 0)
        print("reader", status)

        try:
            q.get_nowait()
        except Empty:
            print("empty")
        try:
            q.get(True, 0.01)
        except Empty:
            print("empty")
        for n in range(10):
            q.put_nowait(n, n)
        try:
            q.put_nowait(10, 10)
        except Full:
            print("full")
        try:
            q.put(10, True, 0.01)
        except Full:
            print("full")
        print([q.get_nowait() for _ in range(10)])
        try:
            q.put("x" * 2000)
        except posixmq.QueueError as error:
            print(error.errno == posixmq.QueueError.TOO_BIG_MESSAGE)
        print(q.qattr())
        q.close()
        try:
            q.get()
        except posixmq.QueueError as error:
            print(error.errno == posixmq.QueueError.INVALID_DESCRIPTOR)
        q.unlink()
        """,
        name,
    ).finish()
    assert out.splitlines() == [
        f"{errno.ENOENT} True",
        "reader 0",
        "empty",
        "empty",
        "full",
        "full",
        "[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]",
        "True",
        "{'size': 0, 'max_size': 10, 'max_msgbytes': 1024}",
        "True",
    ]


def test_what_a_later_release_of_the_original_added_works(spawn, name):
    spawn(
        """
        from posixmq.serializers import PickleSerializer, RawSerializer

        q = posixmq.Queue(sys.argv[1], maxsize=2, maxmsgsize=64, serializer=RawSerializer)
        q.put(b"raw")
        assert q.get() == b"raw"
        q.close()
        q = posixmq.Queue(sys.argv[1], serializer=PickleSerializer)
        q.put({"a": 1})
        assert q.get() == {"a": 1}
        q.close()
        q.unlink()
        """,
        name,
    ).finish()
