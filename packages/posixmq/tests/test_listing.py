"""list_queues(): every queue, who holds it, from a mounted or an unseen file system."""

import os
import signal

import pytest

import posixmq
from posixmq import QueueError, RawSerializer, _system

# What a script needs that goes on as an ordinary user.
AS_USER = """
import ctypes, tempfile, traceback
from posixmq import _system


def become(uid):
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    assert ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) == 0  # PR_SET_DUMPABLE, lost by that


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
def mounted(run_script):
    """Run a script with an mqueue file system mounted in a mount namespace of its own."""

    def run(code, *args):
        return run_script(
            AS_USER
            + """
libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNS, MS_REC_PRIVATE = 0x20000, (1 << 14) | (1 << 18)
assert libc.unshare(CLONE_NEWNS) == 0 and libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None) == 0
folder = tempfile.mkdtemp(prefix="a b")
os.chmod(folder, 0o755)
try:
    assert libc.mount(b"none", folder.encode(), b"mqueue", 0, None) == 0
    if True:
"""
            + "\n".join("        " + line for line in code.splitlines())
            + """
finally:
    libc.umount2(folder.encode(), 2)
    os.rmdir(folder)
""",
            *args,
        )

    return run


def named(name):
    return {info.name: info for info in posixmq.list_queues()}.get(name)


def test_a_queue_is_listed_as_stat_tells_it(make):
    q = make(maxsize=3, maxmsgsize=48, mode=0o640, serializer=RawSerializer)
    q.put(b"12345")
    found, stat = named(q.name), q.stat()
    assert type(found) is posixmq.QueueInfo
    for field in (
        "uid",
        "gid",
        "mode",
        "size",
        "max_size",
        "max_msgbytes",
        "bytes",
        "message_time",
        "notify_pid",
    ):
        assert getattr(found, field) == getattr(stat, field), field
    assert found.pids == (os.getpid(),)


def test_an_unlinked_queue_is_not_listed(q):
    assert named(q.name) is not None
    q.unlink()
    assert named(q.name) is None


def test_the_list_is_sorted_by_name(make):
    names = sorted(make(maxsize=1, maxmsgsize=8).name for _ in range(3))
    assert [info.name for info in posixmq.list_queues() if info.name in names] == names


def test_a_queue_that_nobody_holds_is_listed_without_processes(q):
    q.put("x")
    q.close()
    found = named(q.name)
    assert (found.size, found.max_size, found.pids) == (1, 4, ())


def test_each_process_that_holds_a_queue_is_named(q, start_script, finish):
    code = """
        q = Queue(sys.argv[1], create=False)
        print("open", flush=True)
        sys.stdin.readline()
        q.close()
        """
    processes = [start_script(code, q.name) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "open\n"
    expected = tuple(sorted([os.getpid(), *(process.pid for process in processes)]))
    assert named(q.name).pids == expected
    for process in processes:
        finish(process)
    assert named(q.name).pids == (os.getpid(),)


def test_listing_keeps_this_process_s_request_to_be_notified(q, until):
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


def test_listing_leaves_no_descriptor_and_no_mount(q, descriptors):
    before = len(descriptors())
    with open("/proc/self/mountinfo") as file:
        mounts = file.read()
    for _ in range(3):
        posixmq.list_queues()
        posixmq.limits()
    assert len(descriptors()) == before
    with open("/proc/self/mountinfo") as file:
        assert file.read() == mounts


def test_a_queue_that_vanishes_during_the_scan_is_skipped(q, monkeypatch):
    holders = _system._Holders

    def scan(device, names):
        posixmq.unlink(q.name)
        return holders(device, names)

    monkeypatch.setattr(_system, "_Holders", scan)
    assert named(q.name) is None


def test_queues_that_come_and_go_do_no_harm(unique, start_script, finish):
    process = start_script(
        """
        for _ in range(300):
            q = Queue(sys.argv[1], 1, 16)
            q.unlink()
            q.close()
        """,
        unique(),
    )
    while process.poll() is None:
        posixmq.list_queues()
        posixmq.limits()
    finish(process)


def test_odd_names_are_listed(make):
    name = f"/posixmq-test-{os.getpid()} ä\n(deleted)"
    q = make(name)
    try:
        assert named(name).pids == (os.getpid(),)
    finally:
        q.unlink()


@needs_root
def test_a_mounted_file_system_serves_an_ordinary_user(mounted, unique):
    """At a path with a space, which proc(5) writes in its own way."""
    mounted(
        """
def user():
    foreign.close()  # inherited: it would be looked at through that
    become(54321)
    own = Queue(sys.argv[1], 2, 32)
    own.put(1)
    found = named(sys.argv[1])
    assert (found.uid, found.size, found.max_size, found.pids) == (54321, 1, 2, (os.getpid(),)), found
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
        unique(),
        unique(),
    )


@needs_root
def test_a_file_system_that_another_covers_is_not_read(mounted):
    mounted(
        """
assert [path for path, _ in _system._mounts()] == [folder.encode()]
assert libc.mount(b"none", folder.encode(), b"tmpfs", 0, None) == 0
open(folder + "/no-queue", "w").close()
assert named("/no-queue") is None
libc.umount2(folder.encode(), 2)
"""
    )


@needs_root
def test_without_a_mount_an_ordinary_user_is_told_how_to_get_one(run_script):
    if list(_system._mounts()):
        pytest.skip("an mqueue file system is mounted here")
    out = run_script(
        AS_USER
        + """
become(54321)
try:
    posixmq.list_queues()
except QueueError as error:
    assert error.errno == QueueError.NO_PERMISSIONS and error.os_errno == errno.EPERM
    print(error.msg)
found = posixmq.limits()
assert found.queues is found.user_bytes is found.user_bytes_left is None
assert found.msg_max > 0 and found.user_bytes_max > 0
"""
    )
    assert "mount -t mqueue none /dev/mqueue" in out
