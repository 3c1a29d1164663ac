"""The documented API to the letter, and a program written for the original."""

import doctest
import errno
import inspect
import queue
from inspect import Parameter

import pytest

import sysvmq
from sysvmq import Queue, QueueError

SESSION = """\
>>> q = sysvmq.Queue(1)
>>> q.qsize()
0
>>> q.put([1, 'A'])
>>> q.put([2, 'B'], msg_type=2)
>>> q.put([3, 'C'], msg_type=2)
>>> q.put([4, 'D'], msg_type=1)
>>> q.qsize()
4
>>> q.get(msg_type=2)
[2, 'B']
>>> q.get()
[1, 'A']
>>> q.get()
[3, 'C']
>>> q.get()
[4, 'D']
>>> q.close()
"""

DOCUMENTED = {  # the positional parameters, in order
    "Queue": {"key": None, "max_bytes": None},
    "Queue.put": {
        "item": Parameter.empty,
        "block": True,
        "msg_type": 1,
        "pickle_protocol": 1,
    },
    "Queue.put_nowait": {"item": Parameter.empty, "msg_type": 1, "pickle_protocol": 1},
    "Queue.get": {"block": True, "msg_type": 0},
    "Queue.get_nowait": {"msg_type": 0},
    "Queue.qattr": {},
    "Queue.qsize": {},
    "Queue.empty": {},
    "Queue.close": {},
    "Queue.detach": {},
    "QueueError": {"errno": Parameter.empty, "msg": None},
}
ADDED = {  # keyword-only, so that a program written for the original never notices
    "Queue": {
        "serializer": None,
        "mode": 0o600,
        "create": True,
        "exclusive": False,
        "on_signal": "raise",
        "spin_us": None,
        "trusted": False,
    },
    "Queue.put": {"timeout": None},
    "Queue.get": {"timeout": None, "exclude": False},
    "Queue.get_nowait": {"exclude": False},
}


def parameters(name):
    found = sysvmq
    for part in name.split("."):
        found = getattr(found, part)
    signature = inspect.signature(found)
    return [p for p in signature.parameters.values() if p.name != "self"]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_positional_parameters_are_the_documented_ones(name):
    positional = [p for p in parameters(name) if p.kind is not Parameter.KEYWORD_ONLY]
    assert {p.name: p.default for p in positional} == DOCUMENTED[name]
    assert [p.name for p in positional] == list(DOCUMENTED[name])
    assert all(p.kind is Parameter.POSITIONAL_OR_KEYWORD for p in positional)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_everything_added_is_keyword_only(name):
    added = [p for p in parameters(name) if p.kind is Parameter.KEYWORD_ONLY]
    assert {p.name: p.default for p in added} == ADDED.get(name, {})


def test_signatures_bind_self_once(q):
    assert list(inspect.signature(q.get).parameters) == ["block", "msg_type", "timeout", "exclude"]


PUBLIC = [
    *sysvmq.__all__,
    *(f"Queue.{name}" for name in dir(Queue) if not name.startswith("_")),
]


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_is_documented(name):
    found = sysvmq
    for part in name.split("."):
        found = getattr(found, part)
    assert len(inspect.getdoc(found)) > 10


def run_session(text):
    test = doctest.DocTestParser().get_doctest(
        text, {"sysvmq": sysvmq}, "documented session", None, None
    )
    results = doctest.DocTestRunner(verbose=False).run(test)
    assert results.attempted == len(test.examples) > 10
    assert results.failed == 0


def test_the_documented_session_runs(key):
    run_session(SESSION.replace("Queue(1)", f"Queue({key})"))


def test_the_documented_session_runs_to_the_letter(isolated):
    code = """\
import doctest
test = doctest.DocTestParser().get_doctest(args[0], {"sysvmq": sysvmq}, "it", None, None)
print(doctest.DocTestRunner(verbose=False).run(test).failed)
print(len(open("/proc/sysvipc/msg").readlines()) - 1)
"""
    assert isolated(code, SESSION).finish() == "0\n0"


def test_empty_and_full_are_the_standard_library_s(q, full):
    with pytest.raises(queue.Empty) as empty:
        q.get_nowait()
    assert type(empty.value) is queue.Empty
    with pytest.raises(queue.Full) as too_full:
        full.put_nowait(b"x")
    assert type(too_full.value) is queue.Full


def test_the_constants_are_the_system_s_numbers():
    assert {name: value for name, value in vars(QueueError).items() if name.isupper()} == {
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


def test_qattr_has_exactly_the_documented_keys(q):
    q.put(1)
    attributes = q.qattr()
    assert type(attributes) is dict
    assert list(attributes) == ["size", "max_bytes"]
    assert attributes == {"size": 1, "max_bytes": q.max_bytes}
    assert all(type(value) is int for value in attributes.values())
    assert type(q.qsize()) is int
    assert type(q.empty()) is bool


def test_the_public_names_are_the_documented_ones():
    assert set(sysvmq.__all__) >= {
        "DecodeError",
        "PickleSerializer",
        "Queue",
        "QueueError",
        "RawSerializer",
    }
    for name in sysvmq.__all__:
        assert hasattr(sysvmq, name)
    for name in set(sysvmq.__all__) - {"ftok", "remove", "limits", "list_queues"}:
        thing = getattr(sysvmq, name)
        if name.endswith("Serializer"):
            continue
        assert thing.__module__ == "sysvmq"
        assert thing.__qualname__ == thing.__name__


def test_a_program_written_for_the_original_runs(key):
    """Positional arguments throughout, as the original's signatures allow."""
    mq = Queue(key, 4096)
    other = Queue(key)
    try:
        mq.put({"job": 1}, True, 3, 2)
        mq.put({"job": 2}, False, 5)
        mq.put_nowait({"job": 3}, 4, 0)
        assert mq.qattr() == {"size": 3, "max_bytes": 4096}
        assert mq.qsize() == 3
        assert other.get(True, 5) == {"job": 2}
        assert other.get(False, -4) == {"job": 1}
        assert other.get_nowait(4) == {"job": 3}
        try:
            other.get(False)
        except queue.Empty:
            pass
        else:
            raise AssertionError
        try:
            while True:
                mq.put("fill" * 100, False)
        except queue.Full:
            assert mq.qsize() > 5
        try:
            mq.put("x" * 5000)
        except QueueError as error:
            assert error.errno == QueueError.TOO_BIG_MESSAGE
            assert isinstance(error.msg, str)
    finally:
        mq.close()
    try:
        other.get()
    except QueueError as error:
        assert error.errno == QueueError.INVALID_DESCRIPTOR
    else:
        raise AssertionError


def test_max_bytes_of_an_existing_queue_is_set_as_in_the_original(make, key):
    first = make(key, 4096)
    make(key, 2048)
    assert first.qattr()["max_bytes"] == 2048
