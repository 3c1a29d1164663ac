"""QueueError and DecodeError: what they hold, and that they travel whole."""

import base64
import concurrent.futures
import copy
import errno
import multiprocessing
import pickle

import pytest

import kind
from harness.errors import refusal
from harness.process import descriptors
from kind import LEAVE, MARK, DecodeError, Queue, QueueError, RawSerializer, mark

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
BROKEN = b"no pickle"


@pytest.fixture
def missing(address):
    """What opening a queue that does not exist raises."""
    return refusal(Queue, address, create=False)


@pytest.fixture
def existing(q):
    """What creating a queue that exists raises."""
    return refusal(Queue, kind.address_of(q), exclusive=True)


@pytest.fixture
def undecoded(make, address):
    """What receiving a message that is no pickle raises."""
    make(address, serializer=RawSerializer).put(BROKEN, **mark(9))
    return refusal(make(address).get)


@pytest.fixture
def foreign(make):
    """An error whose os_errno is not its errno: the call names another number than the kernel."""
    if kind.PACKAGE == "posixmq":
        return refusal(Queue, "/" + "x" * 300)
    queue = make()
    kind.remove_id(queue.id)
    return refusal(queue.get_nowait)


def contents(error):
    return (
        *(type(error), error.args, str(error)),
        *(error.errno, error.os_errno, error.msg, error.strerror, error.filename),
        *(getattr(error, "data", None), getattr(error, MARK, None)),
    )


def test_a_queue_error_is_an_os_error():
    assert issubclass(QueueError, OSError)
    assert issubclass(DecodeError, QueueError)
    assert not issubclass(QueueError, FileNotFoundError)


# --- made by hand ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("constant", CONSTANTS)
def test_a_documented_errno_has_a_text_of_its_own(constant):
    number = getattr(QueueError, constant)
    error = QueueError(number)
    assert type(error) is QueueError  # not FileNotFoundError and the like
    assert error.errno == error.os_errno == number
    assert isinstance(error.msg, str) and error.msg
    assert error.msg in str(error)
    assert constant == "ERROR" or error.msg != QueueError(QueueError.ERROR).msg


@pytest.mark.parametrize("number", [0, -1, 9999, 12345, 2**70, 10**30, errno.EXDEV])
def test_an_unknown_errno_gets_the_text_of_error(number):
    assert QueueError(number).msg == QueueError(QueueError.ERROR).msg


def test_words_of_ones_own_are_kept():
    for error in (
        QueueError(QueueError.TIMEOUT, "too late"),
        QueueError(QueueError.TIMEOUT, msg="too late"),
        QueueError(errno=QueueError.TIMEOUT, msg="too late"),
    ):
        assert (error.errno, error.msg) == (QueueError.TIMEOUT, "too late")
        assert "too late" in str(error)


def test_an_errno_is_needed():
    with pytest.raises(TypeError):
        QueueError()
    with pytest.raises(TypeError):
        QueueError(1, "two", "three")


def test_errors_can_be_subclassed_with_a_constructor_of_their_own():
    class Mine(QueueError):
        def __init__(self, job):
            super().__init__(QueueError.TIMEOUT, f"job {job}")
            self.job = job

    error = Mine(3)
    assert error.job == 3
    assert (error.errno, error.msg) == (QueueError.TIMEOUT, "job 3")


# --- raised ----------------------------------------------------------------------------------------------


def test_errors_say_what_failed_and_on_which_queue(missing, existing, address):
    assert missing.errno == missing.os_errno == QueueError.DOES_NOT_EXIST
    assert str(address) in missing.msg
    assert missing.msg in str(missing)
    assert (existing.errno, existing.os_errno) == (QueueError.EXISTS, errno.EEXIST)
    assert existing.msg in str(existing)


def test_what_the_kernel_said_is_kept_beside_the_documented_number(foreign):
    found = foreign.errno, errno.errorcode[foreign.os_errno]
    if kind.PACKAGE == "posixmq":
        assert found == (QueueError.INVALID_VALUE, "ENAMETOOLONG")
    else:
        assert found[0] == QueueError.INVALID_DESCRIPTOR
        assert found[1] in ("EIDRM", "EINVAL")


def test_a_decode_error_says_what_the_serializer_said(undecoded, address):
    assert isinstance(undecoded.__cause__, pickle.UnpicklingError)
    assert type(undecoded.__cause__).__name__ in str(undecoded)
    assert str(address) in str(undecoded)
    assert (undecoded.data, getattr(undecoded, MARK)) == (BROKEN, 9)


def test_the_cause_of_a_decode_error_keeps_its_traceback(make):
    class Failing:
        @staticmethod
        def dumps(item):
            return b"x"

        @staticmethod
        def loads(data):
            raise ZeroDivisionError

    queue = make(serializer=Failing)
    queue.put(1)
    traceback = refusal(queue.get).__cause__.__traceback__
    while traceback.tb_next:
        traceback = traceback.tb_next
    assert traceback.tb_frame.f_code.co_name == "loads"


def test_a_decode_error_can_be_given_back(make, address, undecoded):
    """Nothing is lost: what was refused may be put again as it was."""
    raw = make(address, serializer=RawSerializer)
    raw.put(undecoded.data, **mark(getattr(undecoded, MARK)))
    assert raw.receive() == (BROKEN, 9)


def test_errors_hold_no_queue_open(make):
    before = descriptors()
    queue = make()
    getattr(queue, LEAVE)()
    error = refusal(queue.get)
    assert queue not in vars(error).values()
    assert descriptors() == before


# --- copied ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", COPIES)
@pytest.mark.parametrize("name", ["missing", "existing", "undecoded", "foreign"])
def test_errors_are_copied_whole(request, name, duplicate):
    error = request.getfixturevalue(name)
    error.job = 17  # what a program adds
    error.add_note("while testing")
    other = duplicate(error)
    assert other is not error
    assert contents(other) == contents(error)
    assert other.job == 17
    assert other.__notes__ == ["while testing"]


@pytest.mark.parametrize("duplicate", COPIES)
def test_errors_made_by_hand_are_copied_whole(duplicate):
    for error in (
        QueueError(QueueError.TIMEOUT),
        QueueError(QueueError.EXISTS, "mine"),
        QueueError(9999, "words"),
        QueueError(12345),
        DecodeError(QueueError.ERROR, "mine"),
    ):
        error.note = "kept"
        other = duplicate(error)
        assert contents(other) == contents(error)
        assert other.note == "kept"


class Own(QueueError):
    """An error of a program's own."""


def test_a_subclass_of_queue_error_is_copied_whole():
    error = Own(QueueError.TIMEOUT, "mine")
    assert contents(copy.copy(error)) == contents(error)


def test_errors_cross_processes(spawn, undecoded, existing):
    child = spawn(
        """
        import base64, pickle

        for text in args:
            error = pickle.loads(base64.b64decode(text))
            print(type(error).__name__, error.errno, error.os_errno, error.msg == str(error.msg))
        """,
        *(base64.b64encode(pickle.dumps(error)).decode() for error in (existing, undecoded)),
    )
    first, second = child.finish().splitlines()
    assert first == f"QueueError {errno.EEXIST} {errno.EEXIST} True"
    assert second.split()[:2] == ["DecodeError", str(QueueError.ERROR)]


@pytest.mark.semaphores
def test_errors_cross_a_process_pool(address, missing):
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        error = pool.submit(Queue, address, create=False).exception(timeout=60)
    assert contents(error) == contents(missing)
