"""Queues by descriptor: from_fd takes over what is a queue, anonymous ones have nothing else."""

import array
import contextlib
import fcntl
import gc
import os
import queue
import signal
import socket
import stat
import tempfile
import threading
import time

import pytest

import posixmq
from harness.calls import Call
from harness.measure import growth, in_time, times_out
from harness.process import descriptors
from harness.tasks import until
from posixmq import Queue, QueueError, RawSerializer


@pytest.fixture
def descriptor(make, name):
    """A descriptor of a queue's own, and that queue."""
    q = make(name)
    before = {q.fileno()}

    def opened(**options):
        with Queue(name, **options) as other:
            fd = os.dup(other.fileno())
        before.add(fd)
        return fd

    yield opened
    for fd in before - {q.fileno()}:
        with contextlib.suppress(OSError):
            os.close(fd)


@pytest.fixture
def from_fd():
    """Queue.from_fd, whose queues are closed at the end."""
    made = []

    def from_fd(fd, **options):
        made.append(Queue.from_fd(fd, **options))
        return made[-1]

    yield from_fd
    for q in made:
        q.close()


@pytest.fixture
def anonymous():
    """Queue.anonymous, whose queues are closed at the end."""
    made = []

    def anonymous(maxsize=2, maxmsgsize=128, **options):
        made.append(Queue.anonymous(maxsize, maxmsgsize, **options))
        return made[-1]

    yield anonymous
    for q in made:
        q.close()


# --- from_fd -----------------------------------------------------------------------------------------


def test_from_fd_gives_the_same_queue(make, name, descriptor, from_fd):
    q = make(name)
    other = from_fd(descriptor())
    other.put({"through": "it"})
    assert q.get() == {"through": "it"}
    q.put("back")
    assert other.get() == "back"
    assert other == q
    assert (other.name, other.maxsize, other.maxmsgsize) == (None, 4, 256)
    assert other.qattr() == q.qattr()


def test_from_fd_keeps_the_very_number_and_closes_it(descriptor):
    fd = descriptor()
    with Queue.from_fd(fd) as q:
        assert q.fileno() == fd
    assert q.closed
    assert q.fileno() == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_a_dropped_one_closes_the_descriptor_and_warns(descriptor):
    fd = descriptor()
    with pytest.warns(ResourceWarning, match="unclosed message queue without a name"):
        Queue.from_fd(fd)
        gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_from_fd_keeps_all_options(descriptor, from_fd):
    q = from_fd(
        fd=descriptor(), serializer=RawSerializer, on_signal="retry", spin_us=3, trusted=True
    )
    assert (q.serializer, q.on_signal, q.spin_us, q.trusted) == (RawSerializer, "retry", 3, True)
    q = from_fd(descriptor())
    assert (q.on_signal, q.trusted) == ("raise", False)


def test_what_may_be_left_out_of_from_fd_is_keyword_only(descriptor):
    with pytest.raises(TypeError):
        Queue.from_fd(descriptor(), RawSerializer)
    with pytest.raises(TypeError):
        Queue.from_fd()


@pytest.mark.parametrize(("readable", "writable"), [(True, True), (True, False), (False, True)])
def test_the_rights_are_those_of_the_descriptor(descriptor, from_fd, readable, writable):
    q = from_fd(descriptor(readable=readable, writable=writable))
    assert (q.readable, q.writable) == (readable, writable)
    for call, right in ((lambda: q.put("x"), writable), (lambda: q.get(False), readable)):
        if right:
            with contextlib.suppress(queue.Empty):
                call()
            continue
        with pytest.raises(QueueError) as caught:
            call()
        assert caught.value.errno == QueueError.INVALID_DESCRIPTOR


def test_the_descriptor_becomes_close_on_exec(descriptor, from_fd):
    fd = descriptor()
    os.set_inheritable(fd, True)
    q = from_fd(fd)
    assert os.get_inheritable(q.fileno()) is False


def open_file():
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def open_pipe():
    read, write = os.pipe()
    os.close(write)
    return read


NO_QUEUES = {
    "a file": open_file,
    "a pipe": open_pipe,
    "a directory": lambda: os.open("/", os.O_RDONLY),
    "a path": lambda: os.open("/", os.O_PATH),
    "a device": lambda: os.open(os.devnull, os.O_RDWR),
    "a socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM).detach(),
    "an event": lambda: os.eventfd(0),
}


@pytest.mark.parametrize("opened", NO_QUEUES.values(), ids=NO_QUEUES)
def test_what_is_no_queue_is_refused_and_stays_the_callers(opened):
    fd = opened()
    os.set_inheritable(fd, True)
    with pytest.raises(QueueError) as caught:
        Queue.from_fd(fd)
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR
    assert str(fd) in str(caught.value)
    gc.collect()
    os.fstat(fd)
    assert os.get_inheritable(fd) is True
    os.close(fd)


def test_a_closed_descriptor_is_refused(descriptor):
    fd = descriptor()
    os.close(fd)
    with pytest.raises(QueueError) as caught:
        Queue.from_fd(fd)
    assert caught.value.errno == QueueError.INVALID_DESCRIPTOR


BAD = {
    "-1": (-1, QueueError),
    "2**31": (2**31, QueueError),
    "2**32": (2**32, QueueError),
    "10**100": (10**100, QueueError),
    "a float": (3.0, TypeError),
    "a str": ("3", TypeError),
    "None": (None, TypeError),
    "an object": (object(), TypeError),
}


@pytest.mark.parametrize(("bad", "error"), BAD.values(), ids=BAD)
def test_a_number_that_is_no_descriptor_is_refused(bad, error):
    with pytest.raises(error) as caught:
        Queue.from_fd(bad)
    assert "fd must be" in str(caught.value)
    if error is QueueError:
        assert caught.value.errno == QueueError.INVALID_VALUE


@pytest.mark.parametrize(
    "options",
    [{"serializer": object()}, {"on_signal": "no"}, {"spin_us": -1}, {"spin_us": "1"}],
    ids=str,
)
def test_a_bad_option_leaves_the_descriptor_the_callers(descriptor, options):
    fd = descriptor()
    os.set_inheritable(fd, True)
    with pytest.raises((TypeError, ValueError)):
        Queue.from_fd(fd, **options)
    gc.collect()
    assert os.get_inheritable(fd) is True
    with Queue.from_fd(fd) as q:
        assert q.empty()


def test_an_untrusted_one_leaves_the_descriptor_the_callers(make, name):
    q = make(name, mode=0o622, trusted=True)
    fd = os.dup(q.fileno())
    os.set_inheritable(fd, True)
    with pytest.raises(QueueError) as caught:
        Queue.from_fd(fd)
    assert caught.value.errno == QueueError.NO_PERMISSIONS
    gc.collect()
    assert os.get_inheritable(fd) is True
    with Queue.from_fd(fd, trusted=True) as again:
        assert again == q


def test_from_fd_makes_the_class_it_is_called_on(descriptor):
    class Mine(Queue):
        pass

    with Mine.from_fd(descriptor()) as q:
        assert type(q) is Mine
        with pytest.raises(RuntimeError):
            q.__init__("/posixmq-test-never", 1, 16)


# --- a descriptor that does not block ------------------------------------------------------------------


@pytest.fixture
def nonblocking(descriptor, from_fd):
    """A queue object whose descriptor somebody made non-blocking."""

    def nonblocking(**options):
        fd = descriptor()
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_NONBLOCK)
        return from_fd(fd, **options)

    return nonblocking


@pytest.fixture
def until_polling():
    """Return when a thread, this one if none is given, sleeps in poll(2)."""
    calls = {"7", "271", "73"}  # x86-64, then arm64 and riscv64
    if getattr(posixmq._posixmq, "_polls", False):  # a build that naps instead, in pselect6
        calls = {"270", "72"}

    def polls(task):
        with open(f"{task}/syscall") as file:
            return file.read().split()[0] in calls

    return lambda task: until(lambda: polls(task))


def fill(q):
    while True:
        try:
            q.put_nowait("filler")
        except queue.Full:
            return


def test_a_non_blocking_descriptor_stays_so(nonblocking):
    q = nonblocking()
    assert fcntl.fcntl(q.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK


WAITS = {
    "get": lambda q, timeout: q.get(timeout=timeout),
    "receive": lambda q, timeout: q.receive(timeout=timeout).item,
    "get_many": lambda q, timeout: q.get_many(timeout=timeout)[0],
    "next": lambda q, timeout: next(q),
}


@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize("call", WAITS.values(), ids=WAITS)
def test_a_non_blocking_descriptor_waits_for_a_message(
    make, name, nonblocking, until_polling, call, timeout
):
    q = nonblocking()
    getter = Call(call, q, timeout)
    until_polling(getter.task)
    make(name).put("at last")
    assert getter.result() == "at last"


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_non_blocking_descriptor_waits_for_room(make, name, nonblocking, until_polling, timeout):
    q, other = nonblocking(), make(name)
    fill(q)
    putter = Call(q.put, "last", timeout=timeout)
    until_polling(putter.task)
    got = [other.get()]
    putter.result()
    batch = Call(q.put_many, ["more", "and more"], timeout=timeout)
    until_polling(batch.task)
    got += [other.get(timeout=60) for _ in range(6)]
    assert batch.result() == 2
    assert got == ["filler"] * 4 + ["last", "more", "and more"]


@pytest.mark.parametrize("timeout", [0, 0.05, 0.3])
def test_a_non_blocking_descriptor_times_out_rightly(nonblocking, timeout):
    q = nonblocking()
    for call in (q.get, q.get_many):
        times_out(timeout, lambda call=call: call(timeout=timeout))
    fill(q)
    for call in (q.put, q.put_many):
        times_out(timeout, lambda call=call: call(["x"], timeout=timeout))


def test_a_non_blocking_descriptor_does_not_block_where_it_shall_not(nonblocking):
    q = nonblocking()
    with pytest.raises(queue.Empty):
        q.get_nowait()
    assert q.put_many(range(9), block=False) == 4
    with pytest.raises(queue.Full):
        q.put_nowait("x")
    assert q.get_many() == [0, 1, 2, 3]


@pytest.mark.parametrize("timeout", [None, 60])
def test_closing_ends_the_wait_on_a_non_blocking_descriptor(nonblocking, until_polling, timeout):
    q = nonblocking()
    getter = Call(q.get, timeout=timeout)
    until_polling(getter.task)
    q.close()
    assert getter.failure().errno == QueueError.INVALID_DESCRIPTOR
    assert q.fileno() == -1


@pytest.mark.parametrize("on_signal", ["raise", "retry"])
def test_a_signal_reaches_who_waits_on_a_non_blocking_descriptor(
    make, name, nonblocking, until_polling, on_signal
):
    q, other = nonblocking(on_signal=on_signal), make(name)
    main = threading.main_thread()
    calls = []

    def poke():
        until_polling(f"/proc/self/task/{main.native_id}")
        signal.pthread_kill(main.ident, signal.SIGUSR1)

    def handler(number, frame):
        calls.append(number)
        other.put("from the handler")

    before = signal.signal(signal.SIGUSR1, handler)
    try:
        poker = Call(poke)
        if on_signal == "retry":
            assert q.get() == "from the handler"
        else:
            with pytest.raises(QueueError) as caught:
                q.get()
            assert caught.value.errno == QueueError.INTERRUPTED
        poker.result()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert calls == [signal.SIGUSR1]


def test_a_wait_on_a_non_blocking_descriptor_costs_no_cpu(nonblocking):
    q = nonblocking()

    def attempt():
        before = time.thread_time()
        with pytest.raises(queue.Empty):
            q.get(timeout=0.5)
        return time.thread_time() - before

    in_time(attempt, 0.1)


# --- anonymous queues ----------------------------------------------------------------------------------


def test_an_anonymous_queue_passes_items(anonymous):
    q = anonymous(3, 99)
    assert (q.maxsize, q.maxmsgsize) == (3, 99)
    assert q.qattr() == {"size": 0, "max_size": 3, "max_msgbytes": 99}
    q.put({"a": 1}, priority=4)
    assert q.receive() == ({"a": 1}, 4)


def test_an_anonymous_queue_has_the_documented_sizes_by_default():
    with Queue.anonymous() as q:
        assert (q.maxsize, q.maxmsgsize) == (10, 1024)


def test_an_anonymous_queue_has_no_name(anonymous):
    q = anonymous()
    assert q.name is None
    assert "anonymous" in repr(q)
    assert "maxsize=2" in repr(q)
    status = os.fstat(q.fileno())
    assert status.st_nlink == 0, "a name is left in the kernel"
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert os.get_inheritable(q.fileno()) is False
    assert (q.readable, q.writable) == (True, True)
    q.close()
    assert "anonymous" in repr(q)
    assert "closed" in repr(q)


def test_an_anonymous_queue_cannot_be_unlinked(anonymous):
    q = anonymous()
    for _ in range(2):
        with pytest.raises(QueueError) as caught:
            q.unlink()
        assert caught.value.errno == QueueError.DOES_NOT_EXIST
        assert "anonymous" in str(caught.value)
        q.close()


def test_the_umask_does_not_shut_out_who_has_the_descriptor(anonymous):
    before = os.umask(0o777)
    try:
        q = anonymous()
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.fstat(q.fileno()).st_mode) == 0o600


def test_anonymous_keeps_all_options(anonymous):
    q = anonymous(serializer=RawSerializer, on_signal="retry", spin_us=3, trusted=True)
    assert (q.serializer, q.on_signal, q.spin_us, q.trusted) == (RawSerializer, "retry", 3, True)


ODD = {
    "no message": ((0,), {}, QueueError),
    "too many messages": ((10**9,), {}, QueueError),
    "a size that is none": ((1, "x"), {}, TypeError),
    "a name": (("/posixmq-test",), {}, TypeError),
    "too many arguments": ((1, 16, None), {}, TypeError),
    "a mode": ((1, 16), {"mode": 0o600}, TypeError),
    "no serializer": ((1, 16), {"serializer": object()}, TypeError),
    "another way with signals": ((1, 16), {"on_signal": "x"}, ValueError),
}


@pytest.mark.parametrize(("args", "options", "error"), ODD.values(), ids=ODD)
def test_anonymous_refuses_what_queue_refuses(args, options, error):
    before = len(descriptors())
    with pytest.raises(error) as caught:
        Queue.anonymous(*args, **options)
    assert "None" not in str(caught.value)
    assert len(descriptors()) == before


def test_an_anonymous_queue_is_gone_once_it_is_closed():
    """Were one left, RLIMIT_MSGQUEUE would soon be used up."""
    with open("/proc/self/limits") as file:
        allowed = next(line.split()[3] for line in file if line.startswith("Max msgqueue"))
    if allowed == "unlimited":
        pytest.skip("no limit that would tell")
    for _ in range(2 * int(allowed) // (4 * 4096)):
        Queue.anonymous(4, 4096).close()


def test_anonymous_queues_differ(anonymous):
    first, second = anonymous(), anonymous()
    first.put("here")
    assert second.empty()
    assert first != second


def test_threads_may_make_anonymous_queues_at_once():
    def make():
        for number in range(50):
            with Queue.anonymous(1, 16) as q:
                q.put(number)
                assert q.get_nowait() == number

    for call in [Call(make) for _ in range(8)]:
        call.result()


def test_a_child_of_fork_shares_an_anonymous_queue(spawn):
    spawn(
        """
        there, back = Queue.anonymous(1, 64), Queue.anonymous(1, 64)
        pid = os.fork()
        if pid == 0:
            try:
                back.put(there.get(timeout=60) * 2, timeout=60)
            finally:
                os._exit(0)
        there.put(21)
        assert back.get(timeout=60) == 42
        assert os.waitpid(pid, 0)[1] == 0
        there.close(), back.close()
        """
    ).finish()


RECEIVER = """
import socket

with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
    client.connect("\\0" + sys.argv[1])
    _, (fd,), _, _ = socket.recv_fds(client, 16, 1)
    with Queue.from_fd(fd) as q:
        assert q.name is None
        assert not os.get_inheritable(fd)
        print((q.readable, q.writable), q.get(timeout=60), flush=True)
        if q.writable:
            q.put("answer", timeout=60)
        client.recv(16)
"""


@pytest.mark.parametrize("kind", ["anonymous", "for reading"])
def test_a_queue_passes_over_a_socket_to_an_unrelated_process(anonymous, make, name, spawn, kind):
    """SCM_RIGHTS: the sender may close its own handle while the message is under way."""
    keep = anonymous() if kind == "anonymous" else make(name)
    sent = keep if kind == "anonymous" else make(name, writable=False)
    address = f"posixmq-test-{os.getpid()}-{name[1:]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.bind("\0" + address)
        server.listen()
        server.settimeout(60)
        process = spawn(RECEIVER, address)
        connection, _ = server.accept()
        with connection:
            socket.send_fds(connection, [b"x"], [sent.fileno()])
            keep.put("question")
            line = process.line()
            if kind == "anonymous":
                assert line == "(True, True) question"
                assert keep.get(timeout=60) == "answer"
            else:
                assert line == "(True, False) question"
            connection.send(b"end")
            process.finish()


def test_a_queue_without_any_handle_left_but_one_under_way_arrives(anonymous):
    left, right = socket.socketpair()
    with left, right:
        q = anonymous(serializer=RawSerializer)
        q.put(b"kept")
        socket.send_fds(left, [b"x"], [q.fileno()])
        q.close()
        _, (fd,), _, _ = socket.recv_fds(right, 16, 1)
        with Queue.from_fd(fd, serializer=RawSerializer) as again:
            assert again.get() == b"kept"
            buffer = array.array("B", bytes(128))
            again.put(b"once more")
            assert again.get_into(buffer) == (9, 0)


def test_making_by_descriptor_leaks_nothing(make, name):
    q = make(name)
    fd = os.dup(q.fileno())

    def work(times):
        for _ in range(times):
            Queue.from_fd(os.dup(fd)).close()
            Queue.anonymous(1, 16).close()
            for bad in (lambda: Queue.from_fd(fd, serializer=5), lambda: Queue.anonymous(0)):
                with contextlib.suppress(TypeError, QueueError):
                    bad()
            with contextlib.suppress(QueueError):
                Queue.from_fd(0, trusted=True)

    before = len(descriptors())
    blocks, memory = growth(work, 200)
    os.close(fd)
    assert len(descriptors()) == before - 1
    assert blocks < 100
    assert memory < 300_000
