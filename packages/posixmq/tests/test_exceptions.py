"""QueueError and DecodeError: what they hold, and that they travel whole."""

import concurrent.futures
import copy
import errno
import multiprocessing
import pickle

import pytest

import posixmq
from harness.process import descriptors
from posixmq import DecodeError, Queue, QueueError

CONSTANTS = [
    "ERROR",
    "INVALID_VALUE",
    "NO_PERMISSIONS",
    "NO_SYSTEM_RESOURCES",
    "INVALID_DESCRIPTOR",
    "INTERRUPTED",
    "TOO_BIG_MESSAGE",
    "TIMEOUT",
    "DOES_NOT_EXIST",
    "EXISTS",
]


def raised(call, *args, **kwargs):
    with pytest.raises(QueueError) as caught:
        call(*args, **kwargs)
    return caught.value


@pytest.fixture
def refused(name):
    """What opening a queue that does not exist raises."""
    return raised(Queue, name, create=False)


@pytest.fixture
def undecoded(make, name):
    """What receiving a message that is no pickle raises."""
    make(name, serializer=posixmq.RawSerializer).put(b"no pickle", priority=9)
    return raised(make(name).get)


@pytest.fixture
def too_long():
    """What opening a queue with too long a name raises: its os_errno is not its errno."""
    return raised(Queue, "/" + "x" * 300)


def contents(error):
    return (
        type(error),
        error.errno,
        error.os_errno,
        error.msg,
        str(error),
        getattr(error, "data", None),
        getattr(error, "priority", None),
    )


def test_a_queue_error_is_an_os_error():
    assert issubclass(QueueError, OSError)
    assert issubclass(DecodeError, QueueError)


@pytest.mark.parametrize("constant", CONSTANTS)
def test_a_documented_errno_has_a_text_of_its_own(constant):
    number = getattr(QueueError, constant)
    error = QueueError(number)
    assert error.errno == error.os_errno == number
    assert error.msg
    assert error.msg in str(error)
    assert constant == "ERROR" or error.msg != QueueError(QueueError.ERROR).msg


@pytest.mark.parametrize("number", [0, -1, 12345, 10**30, errno.EXDEV])
def test_an_unknown_errno_gets_the_text_of_error(number):
    assert QueueError(number).msg == QueueError(QueueError.ERROR).msg


def test_words_of_ones_own_are_kept():
    error = QueueError(QueueError.TIMEOUT, "too late")
    assert (error.errno, error.msg) == (QueueError.TIMEOUT, "too late")
    assert "too late" in str(error)
    assert QueueError(errno=QueueError.TIMEOUT, msg="too late").msg == "too late"


def test_an_errno_is_needed():
    with pytest.raises(TypeError):
        QueueError()
    with pytest.raises(TypeError):
        QueueError(1, "two", "three")


def test_what_the_kernel_said_is_kept_beside_the_documented_number(too_long):
    assert (too_long.errno, too_long.os_errno) == (errno.EINVAL, errno.ENAMETOOLONG)


def test_errors_say_what_failed_and_on_which_queue(refused, name):
    assert refused.errno == refused.os_errno == QueueError.DOES_NOT_EXIST
    assert name in refused.msg
    assert refused.msg in str(refused)


KINDS = ["refused", "undecoded", "too_long"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_pickle_whole(request, kind, protocol):
    error = request.getfixturevalue(kind)
    assert contents(pickle.loads(pickle.dumps(error, protocol))) == contents(error)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_errors_copy_whole(request, kind, way):
    error = request.getfixturevalue(kind)
    assert contents(way(error)) == contents(error)


def test_errors_made_by_hand_pickle_whole():
    for error in (
        QueueError(QueueError.TIMEOUT),
        QueueError(QueueError.EXISTS, "mine"),
        QueueError(12345),
        DecodeError(QueueError.ERROR, "mine"),
    ):
        error.note = "kept"
        again = pickle.loads(pickle.dumps(error))
        assert contents(again) == contents(error)
        assert again.note == "kept"


def test_a_subclass_of_queue_error_pickles_whole():
    error = Own(QueueError.TIMEOUT, "mine")
    again = copy.copy(error)
    assert contents(again) == contents(error)


class Own(QueueError):
    """An error of a program's own."""


@pytest.mark.semaphores
def test_errors_cross_a_process_pool(name):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        error = pool.submit(posixmq.unlink, name).exception(timeout=60)
    assert contents(error) == contents(raised(posixmq.unlink, name))


def test_a_decode_error_says_what_the_serializer_said(undecoded, name):
    assert isinstance(undecoded.__cause__, pickle.UnpicklingError)
    assert type(undecoded.__cause__).__name__ in str(undecoded)
    assert name in str(undecoded)
    assert (undecoded.data, undecoded.priority) == (b"no pickle", 9)


def test_the_cause_of_a_decode_error_keeps_its_traceback(make):
    class Failing:
        @staticmethod
        def dumps(obj):
            return b""

        @staticmethod
        def loads(data):
            raise ZeroDivisionError

    q = make(serializer=Failing)
    q.put(1)
    error = raised(q.get)
    traceback = error.__cause__.__traceback__
    while traceback.tb_next:
        traceback = traceback.tb_next
    assert traceback.tb_frame.f_code.co_name == "loads"


def test_a_decode_error_can_be_given_back(make, name, undecoded):
    """Nothing is lost: what was refused may be put again as it was."""
    raw = make(name, serializer=posixmq.RawSerializer)
    raw.put(undecoded.data, priority=undecoded.priority)
    assert raw.get() == b"no pickle"


def test_errors_hold_no_queue_open(make, name):
    q = make(name)
    q.close()
    error = raised(q.get)
    assert q not in vars(error).values()
    assert descriptors(name) == []
