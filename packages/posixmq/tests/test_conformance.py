"""What the manual pages say: the table in conformance.toml, and what no other file tests of it."""

import ast
import errno
import os
import queue
import select
import signal
import textwrap
import threading
import time
import tomllib
from pathlib import Path

import pytest

import posixmq
from harness.calls import Call
from harness.measure import in_time
from harness.tasks import until, until_spinning
from posixmq import Queue, QueueError, RawSerializer

TABLE = tomllib.loads(Path(__file__).with_name("conformance.toml").read_text())
REASONS = TABLE.pop("reasons")

# (id, what the page says, tests or reason, how ours differs): "mq_send(3).ERRORS.EBADF", ...
ROWS = [
    (f"{page}.{section}.{row[0]}", *row[1:3], row[3] if len(row) > 3 else None)
    for page, sections in TABLE.items()
    for section, rows in sections.items()
    for row in rows
]

PAGES = {
    *("mq_open(3)", "mq_close(3)", "mq_unlink(3)", "mq_getattr(3)", "mq_getsetattr(2)"),
    *("mq_send(3)", "mq_receive(3)", "mq_notify(3)", "mq_overview(7)", "ipc_namespaces(7)"),
    *("mq_open(3p)", "mq_close(3p)", "mq_unlink(3p)", "mq_getattr(3p)", "mq_setattr(3p)"),
    *("mq_send(3p)", "mq_receive(3p)", "mq_notify(3p)"),
}

SETTLE_S = 0.1  # long enough for what must not come

ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")

NAMESPACE = """
import ctypes, pathlib

LIMITS = pathlib.Path("/proc/sys/fs/mqueue")
try:
    unshared = ctypes.CDLL(None).unshare(0x08000000) == 0
    if unshared:
        (LIMITS / "msg_max").write_text((LIMITS / "msg_max").read_text())
except OSError:
    unshared = False
if not unshared:
    print("no right")
    sys.exit()

def may_exceed():  # CAP_SYS_RESOURCE, which the user root may lack
    with open("/proc/self/status") as status:
        held = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff"))
    return bool(held >> 24 & 1)

"""


@pytest.fixture
def isolated(spawn):
    """Run a script in an IPC namespace of its own, whose limits it may set."""

    def isolated(code, *args):
        out = spawn(NAMESPACE + textwrap.dedent(code), *args).finish()
        if "no right" in out:
            pytest.skip("no right to an IPC namespace, or to CAP_SYS_RESOURCE in it")
        return out

    return isolated


@pytest.fixture
def at_once():
    """Call a function in several threads at the same moment; return what each raised, or None."""

    def at_once(function, threads=8):
        start = threading.Barrier(threads)

        def call():
            start.wait(60)
            try:
                function()
            except QueueError as error:
                return error

        return [call.result() for call in [Call(call) for _ in range(threads)]]

    return at_once


# --- the table --------------------------------------------------------------------------------------


def defined_tests():
    """The names of all tests here: their files."""
    found = {}
    here = Path(__file__).parent
    for path in (*here.glob("test_*.py"), *here.glob("common/test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.setdefault(node.name, []).append(path.stem)
    return found


def test_every_page_is_there():
    assert set(TABLE) == PAGES


def test_an_id_is_given_once():
    ids = [row[0] for row in ROWS]
    assert sorted(ids) == sorted(set(ids))


def test_every_sentence_has_tests_or_a_reason():
    for id_, says, by, differs in ROWS:
        assert says, id_
        assert by and (isinstance(by, list) or by in REASONS), id_
        assert differs is None or (differs and isinstance(by, list)), id_


def test_every_reason_is_one_of_some_row():
    assert set(REASONS) == {by for _, _, by, _ in ROWS if isinstance(by, str)}


def test_every_test_that_is_named_exists():
    defined = defined_tests()
    for id_, _, by, _ in ROWS:
        for name in by if isinstance(by, list) else ():
            file, _, test = name.rpartition("::")
            files = defined.get(test, [])
            assert (file in files) if file else len(files) == 1, f"{id_}: {name} in {files}"


def test_every_test_below_is_named():
    named = {name for _, _, by, _ in ROWS if isinstance(by, list) for name in by}
    about_the_table = {name for name, value in globals().items() if name.startswith("test_every")}
    here = {name for name, files in defined_tests().items() if files == [Path(__file__).stem]}
    assert here - named == about_the_table | {"test_an_id_is_given_once"}


# --- mq_open ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [Queue, posixmq.unlink])
@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("posixmq-test", errno.EINVAL),
        ("", errno.EINVAL),
        ("/", errno.EINVAL),
        ("//", errno.EINVAL),
        ("/posixmq/test", errno.EINVAL),
        ("/posixmq-test/", errno.EINVAL),
        ("/" + "x" * 256, errno.ENAMETOOLONG),
        ("/" + "x" * 5000, errno.ENAMETOOLONG),
    ],
    ids=lambda value: str(value)[:20],
)
def test_names_that_the_pages_refuse_are_refused(call, name, number):
    with pytest.raises(QueueError) as caught:
        call(name)
    assert (caught.value.errno, caught.value.os_errno) == (QueueError.INVALID_VALUE, number)


@pytest.mark.parametrize(
    "sizes", [(0, 1), (1, 0), (-1, 1), (1, -1), (65_536 + 1, 1), (1, 16_777_216 + 1)], ids=str
)
def test_sizes_are_checked_as_the_pages_say(name, sizes):
    with pytest.raises(QueueError) as caught:
        Queue(name, *sizes)
    assert (caught.value.errno, caught.value.os_errno) == (QueueError.INVALID_VALUE, errno.EINVAL)
    with pytest.raises(QueueError) as caught:
        Queue(name, create=False)
    assert caught.value.errno == QueueError.DOES_NOT_EXIST


def test_a_refused_size_creates_nothing(spawn, name):
    spawn(
        """
            import resource

            name = sys.argv[1]
            drop_capabilities()
            with open("/proc/sys/fs/mqueue/msg_max") as file:
                over = int(file.read()) + 1
            assert refusal(Queue, name, over, 1).os_errno == errno.EINVAL
            assert refusal(Queue, name, create=False).os_errno == errno.ENOENT
            _, hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
            resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, hard))
            assert refusal(Queue, name, 1, 1).os_errno == errno.EMFILE
            assert refusal(Queue, name, create=False).os_errno == errno.ENOENT
            """,
        name,
    ).finish()


@ONLY_ROOT
def test_a_new_queue_belongs_to_the_effective_user_and_group(spawn, name):
    spawn(
        """
        import_all()
        os.setegid(23456)
        os.seteuid(12345)
        with Queue(sys.argv[1], 1, 16) as q:
            found = q.stat()
            q.unlink()
        assert (os.getuid(), os.getgid()) == (0, 0)
        assert (found.uid, found.gid) == (12345, 23456), found
        """,
        name,
    ).finish()


def test_many_handles_of_each_kind_may_be_open(make, name):
    both = [make(name, maxsize=3) for _ in range(3)]
    readers = [make(name, writable=False) for _ in range(3)]
    writers = [make(name, readable=False) for _ in range(3)]
    for number, writer in enumerate(writers + both):
        writer.put(number)
        assert (readers + both)[number].get() == number


def test_only_one_of_many_creates_exclusively(fresh, at_once):
    for _ in range(30):
        name = fresh()
        failures = at_once(lambda: Queue(name, 1, 16, exclusive=True).close())
        posixmq.unlink(name)
        assert failures.count(None) == 1
        assert {error.errno for error in failures if error} == {QueueError.EXISTS}


def test_opening_and_closing_touches_no_message(make, name):
    q = make(name)
    q.put("first")
    q.put("urgent", priority=5)
    for options in ({}, {"writable": False}, {"readable": False}, {"create": False}):
        Queue(name, **options).close()
    assert q.get_many() == ["urgent", "first"]


def test_a_queue_is_opened_blocking(make):
    q = make(maxsize=1)
    assert os.get_blocking(q.fileno())
    q.put("x", block=False)
    for call in (lambda: q.put("y", block=False), lambda: q.put("y", timeout=0.01)):
        with pytest.raises(queue.Full):
            call()
    q.get_nowait()
    assert os.get_blocking(q.fileno()), "seen by all who share the open description"


@pytest.mark.parametrize("direction", ["get", "put"])
def test_a_non_blocking_descriptor_waits_all_the_same(make, direction):
    q = make(maxsize=1)
    os.set_blocking(q.fileno(), False)
    if direction == "put":
        q.put("first")
    call = Call(q.get) if direction == "get" else Call(q.put, "second")
    time.sleep(SETTLE_S)
    assert call.ended is None, call.error
    if direction == "get":
        q.put("first")
        assert call.result() == "first"
    else:
        assert q.get() == "first"
        call.result()
        assert q.get() == "second"


# --- mq_close, mq_unlink, mq_getattr ----------------------------------------------------------------


def test_closing_what_something_else_closed_is_no_error(spawn, name):
    spawn(
        """
        q = Queue(sys.argv[1], 1, 16)
        q.unlink()
        os.close(q.fileno())
        assert q.close() is None
        assert q.closed
        """,
        name,
    ).finish()


def test_looking_at_what_something_else_closed_is_refused(spawn, name):
    spawn(
        """
            q = Queue(sys.argv[1], 1, 16)
            q.unlink()
            os.close(q.fileno())
            for call in (q.qattr, q.qsize, q.stat, lambda: q.notify(signal.SIGUSR1)):
                error = refusal(call)
                assert (error.errno, error.os_errno) == (errno.EBADF, errno.EBADF), error
            """,
        name,
    ).finish()


def test_the_queues_of_a_process_that_ends_are_closed(q, spawn):
    process = spawn(
        "with Queue(sys.argv[1], create=False): print('open', flush=True); sys.stdin.readline()",
        q.name,
    )
    assert process.line() == "open"

    def holders():
        return next(info.pids for info in posixmq.list_queues() if info.name == q.name)

    try:
        before = holders()
    except QueueError as error:
        pytest.skip(str(error))
    assert process.pid in before
    process.kill()
    process.wait()
    assert holders() == (os.getpid(),)


@ONLY_ROOT
def test_unlinking_another_user_s_queue_is_denied(make, spawn, name):
    """The folder of all queues is everybody's to write, and sticky."""
    make(name, mode=0o666, trusted=True)
    spawn(
        """
            become(65534)
            error = refusal(posixmq.unlink, sys.argv[1])
            assert (error.errno, error.os_errno) == (errno.EACCES, errno.EPERM), error
            """,
        name,
    ).finish()
    Queue(name, create=False, trusted=True).close()


def test_the_longest_name_is_unlinked(fresh):
    name = fresh().ljust(256, "x")
    Queue(name, 1, 16).close()
    posixmq.unlink(name)
    with pytest.raises(QueueError) as caught:
        Queue(name, create=False)
    assert caught.value.errno == QueueError.DOES_NOT_EXIST


def test_a_name_is_unlinked_once_by_however_many_threads(fresh, at_once):
    for _ in range(20):
        name = fresh()
        Queue(name, 1, 16).close()
        failures = at_once(lambda: posixmq.unlink(name))
        assert failures.count(None) == 1
        assert {error.errno for error in failures if error} == {QueueError.DOES_NOT_EXIST}


@ONLY_ROOT
def test_what_a_queue_was_charged_comes_back_with_the_last_close(spawn, name, fresh):
    spawn(
        """
            import resource
            from posixmq._limits import queue_charge

            become(54321)  # whose queues are those of this test alone
            room = queue_charge(2, 64)
            resource.setrlimit(resource.RLIMIT_MSGQUEUE, (room, room))
            first = Queue(sys.argv[1], 2, 64)
            second = Queue(sys.argv[1], create=False)
            first.unlink()
            for handle in (first, second):
                assert refusal(Queue, sys.argv[2], 2, 64).os_errno == errno.EMFILE
                handle.close()
            with Queue(sys.argv[2], 2, 64) as q:
                q.unlink()
            """,
        name,
        fresh(),
    ).finish()


# --- mq_send, mq_receive ----------------------------------------------------------------------------


def test_priorities_span_what_sysconf_says(q):
    top = os.sysconf("SC_MQ_PRIO_MAX") - 1
    assert top == 32767
    for priority in (0, 31, top):
        q.put(priority, priority=priority)
    assert [q.receive() for _ in range(3)] == [(each, each) for each in (top, 31, 0)]
    for priority in (-1, top + 1):
        with pytest.raises(QueueError) as caught:
            q.put("x", priority=priority)
        assert caught.value.errno == caught.value.os_errno == errno.EINVAL
    assert q.empty()


@pytest.mark.parametrize("timeout", [0, 1e-9])
def test_no_timeout_fails_what_can_be_done_at_once(make, timeout):
    q = make(maxsize=1)
    for number in range(200):
        q.put(number, timeout=timeout)
        assert q.get(timeout=timeout) == number


def test_a_message_comes_with_its_priority(make):
    q = make(serializer=RawSerializer)
    q.put(b"abc", priority=7)
    q.put(b"de", priority=3)
    assert q.receive() == (b"abc", 7)
    buffer = bytearray(256)
    assert q.get_into(buffer) == (2, 3)
    assert buffer[:2] == b"de"
    assert q.empty()


def test_a_buffer_shorter_than_the_longest_message_is_refused(make):
    q = make(serializer=RawSerializer)
    for messages in (0, 1):  # with none it would wait
        with pytest.raises(QueueError) as caught:
            q.get_into(bytearray(q.maxmsgsize - 1))
        assert caught.value.errno == caught.value.os_errno == errno.EMSGSIZE
        assert q.qsize() == messages
        q.put(b"kept")
    assert q.get_into(bytearray(q.maxmsgsize)) == (4, 0)


@pytest.mark.native("the kernel chooses among those who sleep in it")
@pytest.mark.parametrize("direction", ["get", "put"])
def test_the_waiter_of_the_highest_scheduling_priority_goes_first(make, direction):
    probe = Call(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1))
    probe.join()
    if isinstance(probe.error, PermissionError):
        pytest.skip("no right to a scheduling priority")
    q = make(maxsize=1)
    if direction == "put":
        q.put("first")
    done = []

    def wait(who, scheduling):
        os.sched_setscheduler(0, scheduling, os.sched_param(int(scheduling != os.SCHED_OTHER)))
        q.get() if direction == "get" else q.put(who)
        done.append(who)

    def let_one_go_on():
        q.put("x") if direction == "get" else q.get()

    ordinary = Call(wait, "ordinary", os.SCHED_OTHER).until_asleep()
    urgent = Call(wait, "urgent", os.SCHED_FIFO).until_asleep()
    let_one_go_on()
    urgent.result()
    assert done == ["urgent"]
    let_one_go_on()
    ordinary.result()


# --- mq_notify --------------------------------------------------------------------------------------


@pytest.fixture
def told():
    """A callback that counts its calls, in a list."""
    calls = []

    def told():
        calls.append(1)

    told.calls = calls
    return told


def test_of_a_queue_with_messages_one_is_told_once_it_was_emptied(q, told):
    q.put("there")
    q.notify(told)
    q.put("more")
    q.get(), q.get()
    time.sleep(SETTLE_S)
    assert told.calls == []
    q.put("new")
    until(lambda: told.calls == [1])


@pytest.mark.native("a reader that polls does not wait in the kernel")
def test_a_waiting_reader_goes_before_the_request_which_stays(q, told):
    q.notify(told)
    reader = Call(q.get).until_asleep()
    q.put("for the reader")
    assert reader.result() == "for the reader"
    time.sleep(SETTLE_S)
    assert told.calls == []
    assert q.stat().notify_pid == os.getpid()
    q.put("for nobody yet")
    until(lambda: told.calls == [1])


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="with one CPU nobody spins")
def test_a_reader_that_still_spins_is_none_to_the_kernel(make, told):
    def attempt():
        """Send a message; the reader still spun if that took less than its spin."""
        q = make(spin_us=1_000_000)
        told.calls.clear()
        q.notify(told)
        started = time.monotonic()
        reader = Call(q.get)
        until_spinning(reader)
        q.put("for the reader")
        taken = time.monotonic() - started
        assert reader.result() == "for the reader"
        if taken < 1:
            until(lambda: told.calls == [1])
            assert q.stat().notify_pid == 0
        q.close()
        return taken

    in_time(attempt, 1)


def test_a_signal_tells_who_sent_the_message(spawn, name):
    spawn(
        """
        number = signal.SIGRTMAX - 3
        signal.pthread_sigmask(signal.SIG_BLOCK, {number})
        with Queue(sys.argv[1], 1, 16) as q:
            q.notify(number)
            sender = os.fork()
            if sender == 0:
                if os.geteuid() == 0:
                    os.setresuid(12345, 0, 0)
                q.put(1)
                os._exit(0)
            told = signal.sigtimedwait({number}, 20)
            os.waitpid(sender, 0)
            q.unlink()
        assert told is not None
        assert told.si_code == -3, told  # SI_MESGQ
        assert told.si_pid == sender, told
        assert told.si_uid == (12345 if os.geteuid() == 0 else os.getuid()), told
        """,
        name,
    ).finish()


@pytest.mark.parametrize("gone", ["told", "taken back", "closed"])
def test_another_process_may_ask_once_the_request_is_gone(q, spawn, gone):
    process = spawn(
        """
        q = Queue(sys.argv[1], create=False)
        q.notify(lambda: None)
        print("asked", flush=True)
        sys.stdin.readline()
        if sys.argv[2] == "told":
            q.put(1)
        elif sys.argv[2] == "taken back":
            q.notify(None)
        else:
            q.close()
        print("gone", flush=True)
        sys.stdin.readline()
        q.close()
        """,
        q.name,
        gone,
    )
    assert process.line() == "asked"
    with pytest.raises(QueueError) as caught:
        q.notify(signal.SIGUSR1)
    assert caught.value.os_errno == errno.EBUSY
    process.tell()
    assert process.line() == "gone"
    q.notify(signal.SIGUSR1)
    assert q.stat().notify_pid == os.getpid()
    q.notify(None)
    process.finish()


def test_only_one_of_many_threads_may_ask(q, at_once):
    failures = at_once(lambda: q.notify(print))
    assert failures.count(None) == 1
    assert {error.os_errno for error in failures if error} == {errno.EBUSY}


# --- mq_overview ------------------------------------------------------------------------------------


def test_flags_are_shared_by_parent_and_child(spawn, name):
    spawn(
        """
        with Queue(sys.argv[1], 1, 16) as q, Queue(sys.argv[1]) as other:
            pid = os.fork()
            if pid == 0:
                os.set_blocking(q.fileno(), False)
                os._exit(0)
            os.waitpid(pid, 0)
            assert not os.get_blocking(q.fileno())
            assert os.get_blocking(other.fileno()), "a description of its own"
            q.unlink()
        """,
        name,
    ).finish()


def test_select_poll_and_epoll_see_messages_and_room(make):
    q = make(maxsize=1)

    def seen():
        """Readable and writable, as each of the three tells."""
        fd = q.fileno()
        readable, writable, _ = select.select([fd], [fd], [], 0)
        poll = select.poll()
        poll.register(fd, select.POLLIN | select.POLLOUT)
        with select.epoll() as epoll:
            epoll.register(fd, select.EPOLLIN | select.EPOLLOUT)
            polled, epolled = dict(poll.poll(0)).get(fd, 0), dict(epoll.poll(0)).get(fd, 0)
        return {
            (bool(readable), bool(writable)),
            (bool(polled & select.POLLIN), bool(polled & select.POLLOUT)),
            (bool(epolled & select.EPOLLIN), bool(epolled & select.EPOLLOUT)),
        }

    assert seen() == {(False, True)}
    q.put("x")
    assert seen() == {(True, False)}
    q.get()
    assert seen() == {(False, True)}


def test_there_are_no_access_control_lists(q):
    everybody = b"\2\0\0\0" + b"\1\0\7\0\xff\xff\xff\xff" + b"\4\0\7\0\xff\xff\xff\xff"
    with pytest.raises(OSError) as caught:
        os.setxattr(q.fileno(), "system.posix_acl_access", everybody)
    assert caught.value.errno == errno.EOPNOTSUPP


def test_a_new_namespace_has_the_limits_of_the_page(isolated):
    isolated(
        """
        limits = posixmq.limits()
        assert limits.msg_max == limits.msg_default == 10
        assert limits.msgsize_max == limits.msgsize_default == 8192
        assert (limits.queues_max, limits.queues) == (256, 0)
        """
    )


@pytest.mark.parametrize(
    ("limit", "least", "most"),
    [
        ("msg_max", 1, 65_536),
        ("msg_default", 1, 65_536),
        ("msgsize_max", 128, 16_777_216),
        ("msgsize_default", 128, 16_777_216),
        ("queues_max", None, 2**31 - 1),
    ],
)
def test_the_limits_have_the_ranges_of_the_page(isolated, limit, least, most):
    isolated(
        """
        limit, least, most = sys.argv[1], *map(eval, sys.argv[2:])
        for value in [most] if least is None else [most, least]:
            (LIMITS / limit).write_text(str(value))
            assert getattr(posixmq.limits(), limit) == value
        for value in [] if least is None else [most + 1, least - 1]:
            try:
                (LIMITS / limit).write_text(str(value))
            except OSError as error:
                assert error.errno == errno.EINVAL, error
            else:
                raise AssertionError(f"{limit} may be {value}")
        """,
        limit,
        least,
        most,
    )


def test_privilege_exceeds_the_limits_up_to_the_hard_ones(isolated, name, fresh):
    isolated(
        """
        import resource

        if not may_exceed():
            print("no right")
            sys.exit()
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (resource.RLIM_INFINITY,) * 2)
        for name, sizes in zip(sys.argv[1:], [(65_536, 1), (1, 16_777_216)], strict=True):
            with Queue(name, *sizes) as q:
                assert (q.maxsize, q.maxmsgsize) == sizes
                q.unlink()
        for sizes in [(65_537, 1), (1, 16_777_217)]:
            assert refusal(Queue, name, *sizes).os_errno == errno.EINVAL
        """,
        name,
        fresh(),
    )


def test_queues_max_binds_all_but_the_privileged(isolated, name):
    isolated(
        """
        (LIMITS / "queues_max").write_text("2")
        stem = sys.argv[1]
        for number in range(2):
            Queue(f"{stem}-{number}", 1, 16).close()
        if may_exceed():
            Queue(f"{stem}-more", 1, 16).close()
        drop_capabilities()
        error = refusal(Queue, f"{stem}-most", 1, 16)
        assert (error.errno, error.os_errno) == (errno.ENOSPC, errno.ENOSPC), error
        posixmq.unlink(f"{stem}-0")  # and room there is again
        for name in ("-1", "-more"):
            try:
                posixmq.unlink(stem + name)
            except QueueError:
                pass
        Queue(f"{stem}-most", 1, 16).close()
        """,
        name,
    )


def test_a_namespace_has_queues_and_limits_of_its_own(make, name, isolated):
    q = make(name)
    q.put("outside")
    before = posixmq.limits().msg_max
    isolated(
        """
        name = sys.argv[1]
        assert refusal(Queue, name, create=False).os_errno == errno.ENOENT
        assert posixmq.list_queues() == []
        with Queue(name, 1, 16) as q:
            q.put("inside")
        assert [info.name for info in posixmq.list_queues()] == [name]
        (LIMITS / "msg_max").write_text("3")
        """,
        name,
    )
    assert q.get_many() == ["outside"]
    assert posixmq.limits().msg_max == before
