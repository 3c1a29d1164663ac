"""The documented API, to the letter: what the original documents stands in documented.py."""

import doctest
import errno
import importlib.metadata
import inspect
import queue as stdlib_queue
from inspect import Parameter

import pytest

import kind
from documented import BOUND_GET, SIGNATURES, qattr_of, session
from kind import DecodeError, Queue, QueueError, mq

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

PUBLIC = [*mq.__all__, *(f"Queue.{name}" for name in dir(Queue) if not name.startswith("_"))]


def find(path):
    found = mq
    for part in path.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize(("path", "parameters"), SIGNATURES.items(), ids=SIGNATURES)
def test_the_signature_is_the_documented_one(path, parameters):
    found, keyword_only = {}, False
    for parameter in inspect.signature(find(path)).parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is Parameter.KEYWORD_ONLY and not keyword_only:
            found["*"], keyword_only = None, True
        if not keyword_only:
            assert parameter.kind is Parameter.POSITIONAL_OR_KEYWORD
        found[parameter.name] = parameter.default
    assert list(found.items()) == list(parameters.items())


def test_bound_methods_show_their_signature_too(q):
    assert str(inspect.signature(q.get)) == BOUND_GET


@pytest.mark.parametrize("path", PUBLIC)
def test_everything_public_documents_itself(path):
    assert len(inspect.getdoc(find(path))) > 10


def test_the_package_documents_itself():
    assert len(mq.__doc__.strip()) > 10


def test_all_names_what_is_public():
    documented = {path for path in SIGNATURES if "." not in path}
    serializers = {"PickleSerializer", "RawSerializer"}
    assert set(mq.__all__) >= documented | serializers | {"DecodeError"}
    for name in mq.__all__:
        assert hasattr(mq, name)


def test_public_classes_say_where_they_live():
    for name in mq.__all__:
        thing = find(name)
        if inspect.isclass(thing) and not name.endswith("Serializer"):
            assert thing.__module__ == kind.PACKAGE
            assert thing.__name__ == thing.__qualname__ == name


def test_the_version_is_that_of_the_distribution():
    assert mq.__version__ == importlib.metadata.version(kind.PACKAGE)


def test_the_constants_are_system_errno_numbers():
    for error in (QueueError, DecodeError):
        assert {name: getattr(error, name) for name in dir(error) if name.isupper()} == CONSTANTS


def test_the_documented_session_runs_as_documented(address):
    test = doctest.DocTestParser().get_doctest(session(address), {}, "session", None, 0)
    said = []
    results = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert results.attempted == len(test.examples) > 10
    assert results.failed == 0, "".join(said)


def test_qattr_has_exactly_the_documented_keys(make):
    queue = make(**kind.room(3, 100))
    queue.put(1)
    attributes = queue.qattr()
    assert type(attributes) is dict
    assert list(attributes.items()) == list(qattr_of(queue).items())
    assert all(type(value) is int for value in attributes.values())
    assert type(queue.qsize()) is int
    assert type(queue.empty()) is bool


def test_empty_and_full_are_those_of_the_standard_library(q, full):
    with pytest.raises(stdlib_queue.Empty) as empty:
        q.get(False)
    assert type(empty.value) is stdlib_queue.Empty
    with pytest.raises(stdlib_queue.Full) as too_full:
        full.put(b"x", False)
    assert type(too_full.value) is stdlib_queue.Full


@pytest.mark.parametrize("end", kind.ENDS)
def test_methods_that_return_nothing_return_none(make, end):
    queue = make()
    assert queue.put(1) is None
    assert queue.put_nowait(1) is None
    assert getattr(queue, end)() is None
