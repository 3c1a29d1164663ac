"""Access: one right alone, whom the mode lets in, and the mode itself, exact at every moment."""

import os
import stat
import textwrap

import pytest

from harness.children import SKIPPED
from harness.process import descriptors
from posixmq import Queue, QueueError, RawSerializer

ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")

# Have the kernel refuse or kill where a system call is made: seccomp(2).
SECCOMP = """
import ctypes, platform, struct

NUMBERS = {"x86_64": {"mq_open": 240, "fchmod": 91}, "aarch64": {"mq_open": 180, "fchmod": 52}}
KILL_PROCESS, ERRNO = 0x80000000, 0x00050000

def on_call(name, action):
    number = NUMBERS.get(platform.machine(), {}).get(name)
    if number is None:
        skip("no seccomp filters here")
    code = (
        (0x20, 0, 0, 0),  # load the number of the system call
        (0x15, 0, 1, number),  # is it this one?
        (0x06, 0, 0, action),
        (0x06, 0, 0, 0x7FFF0000),  # all others are allowed
    )
    filter = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in code))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 4, ctypes.addressof(filter)))
    libc = ctypes.CDLL(None)
    if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, program, 0, 0) != 0:
        skip("no seccomp filters here")

"""


# --- one right alone -------------------------------------------------------------------------------


@pytest.mark.parametrize(("readable", "writable"), [(True, True), (True, False), (False, True)])
def test_the_attributes_tell_what_was_asked(make, name, readable, writable):
    make(name)
    q = make(name, readable=readable, writable=writable)
    assert (q.readable, q.writable) == (readable, writable)
    q.close()
    assert (q.readable, q.writable) == (readable, writable)


def test_a_queue_is_readable_and_writable_by_default(q):
    assert q.readable is True
    assert q.writable is True


def test_one_right_goes_by_truth(make, name):
    make(name)
    q = make(name, readable=[], writable="yes")
    assert (q.readable, q.writable) == (False, True)


def test_neither_right_is_refused_and_creates_nothing(name):
    with pytest.raises(ValueError, match="readable, writable, or both"):
        Queue(name, readable=False, writable=False)
    with pytest.raises(QueueError):
        Queue(name, create=False)


WRITING = {
    "put": lambda q: q.put("x"),
    "put with a timeout": lambda q: q.put("x", timeout=60),
    "put_nowait": lambda q: q.put_nowait("x"),
    "put_many": lambda q: q.put_many(["x", "y"]),
}
READING = {
    "get": lambda q: q.get(),
    "get with a timeout": lambda q: q.get(timeout=60),
    "get_nowait": lambda q: q.get_nowait(),
    "receive": lambda q: q.receive(),
    "get_many": lambda q: q.get_many(),
    "get_into": lambda q: q.get_into(bytearray(256)),
    "next": next,
}


@pytest.mark.parametrize("call", WRITING.values(), ids=WRITING)
@pytest.mark.parametrize("full", [False, True], ids=["with room", "full"])
def test_a_queue_opened_for_reading_refuses_to_put(make, name, call, full):
    both = make(name, maxsize=1)
    if full:
        both.put("first")
    reader = make(name, writable=False)
    with pytest.raises(QueueError) as caught:
        call(reader)
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
    assert name in str(caught.value)
    assert "writable=False" in str(caught.value)
    assert both.qsize() == full
    if full:
        assert reader.get() == "first"


@pytest.mark.parametrize("call", READING.values(), ids=READING)
@pytest.mark.parametrize("empty", [False, True], ids=["with a message", "empty"])
def test_a_queue_opened_for_writing_refuses_to_get(make, name, call, empty):
    both = make(name, maxsize=1)
    writer = make(name, readable=False)
    if not empty:
        writer.put("kept")
    with pytest.raises(QueueError) as caught:
        call(writer)
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
    assert name in str(caught.value)
    assert "readable=False" in str(caught.value)
    if not empty:
        assert both.get() == "kept"


def test_one_who_created_for_one_right_alone_has_only_that(make, name):
    writer = make(name, readable=False)
    writer.put("created")
    assert make(name, writable=False, create=False).get() == "created"
    with pytest.raises(QueueError):
        writer.get()


def test_one_right_is_enough_to_look(make, name):
    make(name).put("x")
    for q in (make(name, readable=False), make(name, writable=False)):
        assert q.qattr() == {"size": 1, "max_size": 4, "max_msgbytes": 256}
        assert (q.maxsize, q.maxmsgsize) == (4, 256)


def test_a_descriptor_that_something_else_closed_is_not_taken_for_a_missing_right(spawn, name):
    spawn(
        """
        with Queue(sys.argv[1], 1, 16) as q:
            q.unlink()
            os.close(q.fileno())
            try:
                q.get_nowait()
            except QueueError as error:
                assert error.errno == QueueError.INVALID_DESCRIPTOR
                assert "=False" not in str(error), error
                assert "descriptor" in str(error), error
            os.open(os.devnull, os.O_RDONLY)  # for close() to close
        """,
        name,
    ).finish()


# --- another user ----------------------------------------------------------------------------------


# What another user may do, by the mode.
RIGHTS = {0o600: "", 0o602: "w", 0o604: "r", 0o606: "rw", 0o660: "", 0o607: "rw", 0o601: ""}


@ONLY_ROOT
@pytest.mark.parametrize(("mode", "rights"), RIGHTS.items(), ids=map(oct, RIGHTS))
def test_another_user_may_do_what_the_mode_says(make, spawn, name, mode, rights):
    make(name, mode=mode, serializer=RawSerializer).put(b"there")
    spawn(
        """
            name, rights = sys.argv[1], sys.argv[2]
            become(65534)
            for asked in ("r", "w", "rw"):
                options = {
                    "readable": "r" in asked, "writable": "w" in asked, "serializer": RawSerializer
                }
                if set(asked) <= set(rights):
                    with Queue(name, **options) as q:
                        assert (q.maxsize, q.maxmsgsize) == (4, 256)
                        if "r" in asked:
                            assert q.get() == b"there"
                        if asked == "rw":
                            q.put(b"there")
                        elif asked == "r" and "w" in rights:
                            Queue(name, readable=False, serializer=RawSerializer).put(b"there")
                        elif asked == "w":
                            q.put(b"more")
                            assert q.qsize() == 2
                            if "r" in rights:
                                with Queue(name, serializer=RawSerializer) as both:
                                    assert both.get() == b"there"
                                    assert both.get() == b"more"
                                    both.put(b"there")
                    continue
                error = refusal(Queue, name, **options)
                assert error.errno == QueueError.NO_PERMISSIONS, (asked, error)
                words = str(error)
                assert name in words, words
                assert ("read" in words.split()) == ("r" in asked), words
                assert ("write" in words.split()) == ("w" in asked), words
                assert ("readable=False" in words) == (asked == "rw"), words
                assert descriptors(name) == []
            """,
        name,
        rights,
        PYTHONWARNINGS="ignore::ResourceWarning",
    ).finish()


@pytest.mark.parametrize("mode", [0o400, 0o200, 0o000], ids=oct)
def test_the_owner_is_held_to_the_mode_when_opening_again(spawn, name, mode):
    spawn(
        """
            name, mode = sys.argv[1], int(sys.argv[2])
            drop_capabilities()
            with Queue(name, 2, 16, mode=mode) as q:
                q.put(1)  # the creator has both rights, whatever the mode
                assert q.get() == 1
                for asked, bit in (("readable", 0o400), ("writable", 0o200)):
                    options = {"readable": False, "writable": False, asked: True}
                    if mode & bit:
                        Queue(name, **options).close()
                    else:
                        assert refusal(Queue, name, **options).errno == QueueError.NO_PERMISSIONS
                assert refusal(Queue, name).errno == QueueError.NO_PERMISSIONS
                q.unlink()
            """,
        name,
        mode,
    ).finish()


# --- the mode ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("umask", [0, 0o022, 0o777], ids=oct)
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o606], ids=oct)
def test_the_mode_is_never_wider_than_asked(spawn, make, name, mode, umask):
    """The process dies between mq_open(2) and fchmod(2): what it leaves must be no wider."""
    process = spawn(
        SECCOMP
        + textwrap.dedent(
            """
            os.umask(int(sys.argv[3]))
            on_call("fchmod", KILL_PROCESS)
            Queue(sys.argv[1], 4, 256, mode=int(sys.argv[2]), serializer=RawSerializer)
            print("survived")
            """
        ),
        name,
        mode,
        umask,
    )
    out, _ = process.communicate(timeout=60)
    if process.returncode == SKIPPED:
        pytest.skip(out)
    assert "survived" not in out
    try:
        left = make(name, create=False, serializer=RawSerializer)
    except QueueError as error:
        assert error.errno in (QueueError.NO_PERMISSIONS, QueueError.DOES_NOT_EXIST)
        return
    found = stat.S_IMODE(os.fstat(left.fileno()).st_mode)
    assert found & ~mode == 0, oct(found)


def test_a_queue_whose_mode_cannot_be_set_is_not_left_behind(spawn, name):
    spawn(
        SECCOMP
        + textwrap.dedent(
            """
            on_call("fchmod", ERRNO | errno.EPERM)
            error = refusal(Queue, sys.argv[1], 1, 16)
            assert (error.errno, error.os_errno) == (QueueError.NO_PERMISSIONS, errno.EPERM), error
            assert descriptors(sys.argv[1]) == []
            assert refusal(Queue, sys.argv[1], create=False).errno == QueueError.DOES_NOT_EXIST
            """
        ),
        name,
    ).finish()


def test_a_kernel_that_forbids_queues_is_not_taken_for_one_that_is_not_trusted(spawn, name):
    """Containers forbid system calls by EPERM."""
    spawn(
        SECCOMP
        + textwrap.dedent(
            """
            on_call("mq_open", ERRNO | errno.EPERM)
            for call in (lambda: Queue(sys.argv[1], 1, 16), lambda: Queue.anonymous(1, 16)):
                error = refusal(call)
                assert error.errno == QueueError.NO_PERMISSIONS
                assert error.os_errno == errno.EPERM, error
                assert "unpickl" not in str(error), error
                assert os.strerror(errno.EPERM) in str(error), error
            """
        ),
        name,
    ).finish()


def test_the_sizes_of_an_existing_queue_hold_for_every_right(make, name):
    make(name, 3, 99)
    for rights in ({"readable": False}, {"writable": False}, {}):
        q = make(name, 1, 10, **rights)
        assert (q.maxsize, q.maxmsgsize) == (3, 99)
        assert (q.qattr()["max_size"], q.qattr()["max_msgbytes"]) == (3, 99)


def test_a_refused_right_leaks_no_descriptor(name):
    before = descriptors()
    with pytest.raises(ValueError):
        Queue(name, readable=False, writable=False)
    assert descriptors() == before
