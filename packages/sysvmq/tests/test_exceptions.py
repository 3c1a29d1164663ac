"""Exceptions carry what happened, and carry it whole across processes."""

import base64
import copy
import errno
import pickle

import pytest

from sysvmq import DecodeError, Queue, QueueError, RawSerializer

CONSTANTS = sorted(name for name in vars(QueueError) if name.isupper())


COPIES = [
    pytest.param(copy.copy, id="copy"),
    pytest.param(copy.deepcopy, id="deepcopy"),
    *(
        pytest.param(
            lambda error, protocol=protocol: pickle.loads(pickle.dumps(error, protocol)),
            id=f"pickle {protocol}",
        )
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    ),
]


@pytest.fixture
def raised(q):
    with pytest.raises(QueueError) as caught:
        Queue(q.key, exclusive=True)
    return caught.value


@pytest.fixture
def undecoded(q, make):
    make(q.key, serializer=RawSerializer).put(b"\x80broken", msg_type=6)
    with pytest.raises(DecodeError) as caught:
        q.get()
    return caught.value


def test_a_queue_error_is_an_os_error():
    assert issubclass(QueueError, OSError)
    assert issubclass(DecodeError, QueueError)
    assert not issubclass(QueueError, FileNotFoundError)


@pytest.mark.parametrize("name", CONSTANTS)
def test_an_error_of_one_s_own_has_the_words_of_its_number(name):
    number = getattr(QueueError, name)
    error = QueueError(number)
    assert type(error) is QueueError  # not FileNotFoundError and the like
    assert error.errno == number
    assert error.os_errno == number
    assert isinstance(error.msg, str) and error.msg
    assert error.msg in str(error)
    if name != "ERROR":
        assert error.msg != QueueError(QueueError.ERROR).msg


def test_an_error_takes_words_of_one_s_own():
    for error in (
        QueueError(QueueError.INVALID_VALUE, "my words"),
        QueueError(QueueError.INVALID_VALUE, msg="my words"),
        QueueError(errno=QueueError.INVALID_VALUE, msg="my words"),
    ):
        assert error.errno == QueueError.INVALID_VALUE
        assert error.msg == "my words"
        assert "my words" in str(error)


@pytest.mark.parametrize("number", [-1, 0, 9999, errno.EXDEV, 2**70])
def test_an_unknown_number_gets_the_words_of_error(number):
    assert QueueError(number).msg == QueueError(QueueError.ERROR).msg


def test_a_number_is_needed():
    with pytest.raises(TypeError):
        QueueError()


def test_a_raised_error_tells_number_kernel_s_number_and_words(raised):
    assert raised.errno == QueueError.EXISTS
    assert raised.os_errno == errno.EEXIST
    assert raised.msg in str(raised)
    with pytest.raises(OSError) as caught:
        raise raised
    assert caught.value is raised


def test_the_kernel_s_number_is_kept_beside_the_documented_one(make):
    queue = make()
    make(queue.key).close()
    with pytest.raises(QueueError) as caught:
        queue.get_nowait()
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
    assert caught.value.os_errno in (errno.EIDRM, errno.EINVAL)


def same(error, other):
    assert type(other) is type(error)
    assert other is not error
    assert other.args == error.args
    assert str(other) == str(error)
    for name in ("errno", "os_errno", "msg", "strerror", "filename"):
        assert getattr(other, name) == getattr(error, name)


@pytest.mark.parametrize("duplicate", COPIES)
def test_errors_are_copied_whole(raised, duplicate):
    same(raised, duplicate(raised))
    same(QueueError(5), duplicate(QueueError(5)))
    same(QueueError(9999, "words"), duplicate(QueueError(9999, "words")))


@pytest.mark.parametrize("duplicate", COPIES)
def test_a_kernel_number_unlike_the_documented_one_is_copied(make, duplicate):
    queue = make()
    make(queue.key).close()
    with pytest.raises(QueueError) as caught:
        queue.get_nowait()
    same(caught.value, duplicate(caught.value))


@pytest.mark.parametrize("duplicate", COPIES)
def test_decode_errors_are_copied_with_their_bytes(undecoded, duplicate):
    other = duplicate(undecoded)
    same(undecoded, other)
    assert other.data == undecoded.data == b"\x80broken"
    assert other.msg_type == undecoded.msg_type == 6


@pytest.mark.parametrize("duplicate", COPIES)
def test_what_a_program_adds_to_an_error_is_copied_too(raised, duplicate):
    raised.job = 17
    assert duplicate(raised).job == 17


@pytest.mark.parametrize("duplicate", COPIES)
def test_notes_are_copied_too(raised, duplicate):
    if not hasattr(raised, "add_note"):
        pytest.skip("notes came with Python 3.11")
    raised.add_note("while testing")
    assert duplicate(raised).__notes__ == ["while testing"]


def test_errors_cross_processes(spawn, q, undecoded, raised):
    child = spawn(
        """\
import base64, pickle
for text in args:
    error = pickle.loads(base64.b64decode(text))
    print(type(error).__name__, error.errno, error.os_errno, error.msg == str(error.msg))
""",
        *(base64.b64encode(pickle.dumps(error)).decode() for error in (raised, undecoded)),
    )
    first, second = child.finish().splitlines()
    assert first.split()[:3] == ["QueueError", str(errno.EEXIST), str(errno.EEXIST)]
    assert second.split()[:2] == ["DecodeError", str(QueueError.ERROR)]


def test_errors_can_be_subclassed():
    class Mine(QueueError):
        def __init__(self, job):
            super().__init__(QueueError.TIMEOUT, f"job {job}")
            self.job = job

    error = Mine(3)
    assert error.job == 3
    assert error.errno == QueueError.TIMEOUT
    assert error.msg == "job 3"
