"""list_queues(): every queue, who holds it, from a mounted or an unseen file system."""

import os
import signal
import textwrap

import pytest

import posixmq
from harness.process import descriptors
from harness.tasks import until
from posixmq import QueueError, RawSerializer, _listing, _posixmq

# What scripts share: mount namespaces, IPC namespaces, and going on as an ordinary user.
NAMESPACES = """
import ctypes, resource, tempfile, traceback
from posixmq import _folder, _limits

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, CLONE_NEWIPC = 0x20000, 0x8000000
MS_REC_PRIVATE, MNT_DETACH = (1 << 14) | (1 << 18), 2


def system(call, *args):
    if call(*args) != 0:
        raise OSError(ctypes.get_errno(), call.__name__)


def leave_mounts():
    # What this process mounts from here on nobody else sees. That takes a / that is a mount point,
    # which it is not in a plain chroot. But setns(2), even to the namespace that the process is in,
    # takes it to the / of that namespace, from where it can come back.
    system(libc.unshare, CLONE_NEWNS)
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    with open("/proc/self/ns/mnt") as own:
        system(libc.setns, own.fileno(), CLONE_NEWNS)
    system(libc.mount, b"none", b"/", None, MS_REC_PRIVATE, None)
    os.fchdir(root)
    os.chroot(".")
    os.close(root)
    for path, _ in _folder.mounts():
        system(libc.umount2, path, MNT_DETACH)


def mount(folder):
    system(libc.mount, b"none", folder.encode(), b"mqueue", 0, None)


def forked(work):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.alarm(30)
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0


def named(name):
    return {info.name: info for info in posixmq.list_queues()}.get(name)


def names():
    return [info.name for info in posixmq.list_queues()]


def refusal():
    try:
        posixmq.list_queues()
    except QueueError as error:
        return error
    raise AssertionError("not refused")


try:
    leave_mounts()
except OSError as error:
    print("no right:", error)
    sys.exit()
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: gives rights up, or mounts")


def can_list():
    try:
        posixmq.list_queues()
    except QueueError:
        return False
    return True


pytestmark = pytest.mark.skipif(not can_list(), reason="this user can list no queues here")


@pytest.fixture
def unmounted(spawn):
    """Run a script in a mount namespace of its own, where no mqueue file system is mounted."""

    def run(code, *args):
        out = spawn(NAMESPACES + textwrap.dedent(code), *args).finish()
        if "no right" in out:
            pytest.skip(f"no mount namespace is to be had here: {out}")

    return run


@pytest.fixture
def mounted(unmounted):
    """Run a script there with two folders, at the first of which one is mounted."""

    def run(code, *args):
        unmounted(
            """
            folders = [tempfile.mkdtemp(prefix="a b", dir="/tmp") for _ in range(2)]
            try:
                for folder in folders:
                    os.chmod(folder, 0o755)
                mount(folders[0])
                if True:
            """
            + textwrap.indent(textwrap.dedent(code), " " * 20)
            + """
            finally:
                for folder in folders:
                    while libc.umount2(folder.encode(), MNT_DETACH) == 0:
                        pass
                    os.rmdir(folder)
            """,
            *args,
        )

    return run


def named(name):
    return {info.name: info for info in posixmq.list_queues()}.get(name)


def test_a_queue_is_listed_with_sizes_request_and_holders(make):
    q = make(maxsize=3, maxmsgsize=48, serializer=RawSerializer)
    found, stat = named(q.name), q.stat()
    for field in ("max_size", "max_msgbytes", "message_time", "notify_pid"):
        assert getattr(found, field) == getattr(stat, field), field
    assert found.pids == (os.getpid(),)


def test_the_list_is_sorted_by_name(make):
    names = sorted(make(maxsize=1, maxmsgsize=8).name for _ in range(3))
    assert [info.name for info in posixmq.list_queues() if info.name in names] == names


def test_a_queue_that_nobody_holds_is_listed_without_processes(q):
    q.put("x")
    q.close()
    found = named(q.name)
    assert (found.size, found.max_size, found.pids) == (1, 4, ())


def test_each_process_that_holds_a_queue_is_named(q, spawn):
    code = """
        q = Queue(sys.argv[1], create=False)
        print("open", flush=True)
        sys.stdin.readline()
        q.close()
        """
    processes = [spawn(code, q.name) for _ in range(2)]
    for process in processes:
        assert process.line() == "open"
    expected = tuple(sorted([os.getpid(), *(process.pid for process in processes)]))
    assert named(q.name).pids == expected
    for process in processes:
        process.finish()
    assert named(q.name).pids == (os.getpid(),)


def test_listing_keeps_this_process_s_request_to_be_notified(q):
    """Closing any descriptor of the queue would take it back: list_queues() must open none."""
    calls = []
    q.notify(lambda: calls.append(1))
    found = named(q.name)
    assert (found.notify_pid, found.max_size) == (os.getpid(), 4)
    posixmq.limits()
    assert q.stat().notify_pid == os.getpid()
    q.put("x")
    until(lambda: calls)


def test_a_queue_held_for_writing_only_keeps_the_request_too(q, make):
    writer = make(q.name, create=False, readable=False)
    q.close()
    writer.notify(signal.SIGUSR1)
    found = named(writer.name)
    assert (found.size, found.max_size, found.bytes, found.notify_pid) == (0, 4, None, None)
    reader = posixmq.Queue(writer.name, create=False)
    assert reader.stat().notify_pid == os.getpid()
    reader.close()


def test_the_same_name_elsewhere_is_no_holder(q, tmp_path):
    with open(tmp_path / q.name[1:], "w"):
        assert named(q.name).pids == (os.getpid(),)


def test_a_queue_that_vanishes_during_the_scan_is_skipped(q, monkeypatch):
    holders = _listing.Holders

    def scan(device, names):
        posixmq.unlink(q.name)
        return holders(device, names)

    monkeypatch.setattr(_listing, "Holders", scan)
    assert named(q.name) is None


def test_odd_names_are_listed(make):
    name = f"/posixmq-test-{os.getpid()} ä\n(deleted)"
    q = make(name)
    try:
        assert named(name).pids == (os.getpid(),)
    finally:
        q.unlink()


# --- where they are listed from ----------------------------------------------------------------------


@needs_root
def test_a_mounted_file_system_serves_an_ordinary_user(mounted, fresh):
    """At a path with a space, which proc(5) writes in its own way."""
    mounted(
        """
        def user():
            foreign.close()  # inherited: it would be looked at through that
            become(54321)
            own = Queue(sys.argv[1], 2, 32)
            own.put(1)
            found = named(sys.argv[1])
            assert (found.uid, found.size, found.max_size) == (54321, 1, 2), found
            assert found.pids == (os.getpid(),), found
            other = named(sys.argv[2])
            assert (other.uid, other.mode) == (0, 0o600)
            assert other.size is other.max_size is other.max_msgbytes is other.bytes is None
            assert other.notify_pid is None and other.pids == ()
            own.unlink()
            own.close()

        foreign = Queue(sys.argv[2], 2, 32)
        forked(user)
        foreign.unlink()
        foreign.close()
        """,
        fresh(),
        fresh(),
    )


@needs_root
def test_a_user_who_can_read_no_queue_lists_them_by_creating_one(mounted):
    """It is gone before anything is listed, and where it is refused, the error says so."""
    mounted(
        """
        def user():
            become(54321)
            before = len(descriptors())
            assert names() == []
            assert posixmq.limits().queues == posixmq.limits().user_bytes == 0
            assert os.listdir(folders[0]) == []
            assert len(descriptors()) == before
            resource.setrlimit(_limits.RLIMIT_MSGQUEUE, (96, 96))
            error = refusal()
            assert (error.errno, error.os_errno) == (QueueError.NO_PERMISSIONS, errno.EPERM), error
            assert repr(folders[0]) in error.msg, error
            assert "none can be created (Too many open files)" in error.msg, error
            assert posixmq.limits().queues is None

        system(libc.unshare, CLONE_NEWIPC)  # where there are no queues of others
        libc.umount2(folders[0].encode(), MNT_DETACH)
        mount(folders[0])
        forked(user)
        """
    )


@needs_root
def test_a_user_whose_limit_is_used_up_lists_the_queues_all_the_same(mounted, fresh):
    """Looking up one's own queue tells as much, and keeps the request to be notified."""
    mounted(
        """
        def user():
            become(54321)
            resource.setrlimit(_limits.RLIMIT_MSGQUEUE, (300, 300))
            with Queue(sys.argv[1], 2, 50) as own:
                own.notify(signal.SIGUSR1)
                assert named(sys.argv[1]).notify_pid == os.getpid()
                assert posixmq.limits().user_bytes_left == 8
                assert own.stat().notify_pid == os.getpid()
                own.unlink()

        forked(user)
        """,
        fresh(),
    )


@needs_root
def test_a_file_system_that_another_covers_is_not_read(mounted):
    mounted(
        """
        def user():
            become(54321)
            assert "no mqueue file system is mounted" in refusal().msg

        assert [path for path, _ in _folder.mounts()] == [folders[0].encode()]
        system(libc.mount, b"none", folders[0].encode(), b"tmpfs", 0, None)
        open(folders[0] + "/no-queue", "w").close()
        assert named("/no-queue") is None
        forked(user)
        """
    )


@needs_root
def test_a_file_system_of_another_namespace_is_not_read(mounted, fresh):
    """As containers have it that were given the host's /dev/mqueue, and "unshare -i"."""
    mounted(
        """
        foreign = Queue(sys.argv[1], 2, 16)  # still held, which must not matter
        system(libc.unshare, CLONE_NEWIPC)
        assert os.listdir(folders[0]) != []
        assert names() == []
        with Queue(sys.argv[2], 1, 16) as own:
            assert names() == [sys.argv[2]]
            assert posixmq.limits().queues == 1
            assert posixmq.limits().user_bytes == _limits.queue_charge(1, 16)
        foreign.close()
        """,
        fresh(),
        fresh(),
    )


@needs_root
@pytest.mark.parametrize("held", ["none", "the same name", "another name"])
def test_an_ordinary_user_is_told_of_a_file_system_of_another_namespace(mounted, fresh, held):
    mounted(
        """
        def user():
            become(54321)
            if sys.argv[2] != "none":
                Queue(sys.argv[2], 1, 16).close()
            error = refusal()
            assert (error.errno, error.os_errno) == (QueueError.NO_PERMISSIONS, errno.EPERM), error
            assert f"at {folders[0]!r} belongs to another IPC namespace" in error.msg, error
            assert "mount -t mqueue none /dev/mqueue" in error.msg, error
            found = posixmq.limits()
            assert found.queues is found.user_bytes is found.user_bytes_left is None

        Queue(sys.argv[1], 2, 16, mode=0o644).close()
        system(libc.unshare, CLONE_NEWIPC)
        forked(user)
        """,
        name := fresh(),
        {"none": "none", "the same name": name, "another name": fresh()}[held],
    )


@needs_root
@pytest.mark.parametrize("first", ["stranger's", "own"])
def test_of_two_file_systems_the_own_one_is_read(mounted, fresh, first):
    """The stranger's is found first, or last."""
    mounted(
        """
        def user():
            become(54321)
            with Queue(sys.argv[2], 1, 16) as own:
                assert names() == [sys.argv[2]]
                assert posixmq.limits().user_bytes == _limits.queue_charge(1, 16)
                own.unlink()
            assert names() == []

        Queue(sys.argv[1], 2, 16).close()
        if sys.argv[3] == "own":
            parent = os.open("/proc/self/ns/ipc", os.O_RDONLY)
            libc.umount2(folders[0].encode(), MNT_DETACH)
            system(libc.unshare, CLONE_NEWIPC)
            mount(folders[0])
            own = os.open("/proc/self/ns/ipc", os.O_RDONLY)
            system(libc.setns, parent, CLONE_NEWIPC)
            mount(folders[1])
            system(libc.setns, own, CLONE_NEWIPC)
        else:
            system(libc.unshare, CLONE_NEWIPC)
            mount(folders[1])
        forked(user)
        """,
        fresh(),
        fresh(),
        first,
    )


@needs_root
def test_without_a_mount_an_ordinary_user_is_told_how_to_get_one(unmounted):
    unmounted(
        """
        become(54321)
        error = refusal()
        assert (error.errno, error.os_errno) == (QueueError.NO_PERMISSIONS, errno.EPERM), error
        assert "no mqueue file system is mounted" in error.msg
        assert "mount -t mqueue none /dev/mqueue" in error.msg
        found = posixmq.limits()
        assert found.queues is found.user_bytes is found.user_bytes_left is None
        assert found.msg_max > 0 and found.user_bytes_max > 0
        """
    )


@needs_root
def test_without_proc_both_are_refused_in_words(unmounted):
    unmounted(
        """
        import_all()
        system(libc.mount, b"none", b"/proc", b"tmpfs", 0, None)
        for call in (posixmq.list_queues, posixmq.limits):
            try:
                call()
            except QueueError as error:
                assert (error.errno, error.os_errno) == (QueueError.ERROR, errno.ENOENT), error
                assert "/proc" in error.msg, error
            else:
                raise AssertionError(f"{call} returned")
        """
    )


def test_the_device_of_the_queues_is_told_by_any_of_them(q):
    status = os.fstat(q.fileno())
    before = len(descriptors())
    names = [info.name for info in posixmq.list_queues()]
    for name in (q.name, None):
        assert os.makedev(*_posixmq.device(name)) == status.st_dev
    assert len(descriptors()) == before
    assert q.name in names and posixmq.list_queues()[0].name in names


def test_the_device_is_not_told_by_a_queue_that_is_not_there(name):
    with pytest.raises(FileNotFoundError):
        _posixmq.device(name)
    with pytest.raises(QueueError, match="name"):
        _posixmq.device("no slash")
    with pytest.raises(QueueError):
        posixmq.Queue(name, create=False)


def test_looking_a_queue_up_keeps_this_process_s_request_to_be_notified(q):
    q.notify(signal.SIGUSR1)
    _posixmq.device(q.name)
    assert q.stat().notify_pid == os.getpid()
