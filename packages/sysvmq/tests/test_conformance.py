"""What the manual pages say: the table in conformance.toml, and what no other file tests of it."""

import ast
import errno
import os
import signal
import threading
import time
import tomllib
from pathlib import Path

import pytest

import sysvmq
from harness.calls import Call
from harness.tasks import until
from kind import kernel_limit, kernel_row, remove_id
from sysvmq import Queue, QueueError, RawSerializer

TABLE = tomllib.loads(Path(__file__).with_name("conformance.toml").read_text())
REASONS = TABLE.pop("reasons")

# (id, what the page says, tests or reason, how ours differs): "msgop(2).ERRORS.msgrcv-E2BIG", ...
ROWS = [
    (f"{page}.{section}.{row[0]}", *row[1:3], row[3] if len(row) > 3 else None)
    for page, sections in TABLE.items()
    for section, rows in sections.items()
    for row in rows
]

PAGES = {
    *("msgget(2)", "msgop(2)", "msgctl(2)", "ftok(3)", "sysvipc(7)", "ipc_namespaces(7)"),
    *("msgget(3p)", "msgsnd(3p)", "msgrcv(3p)", "msgctl(3p)", "ftok(3p)"),
}

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

# What scripts share.
SHARED = """\
import errno
import_all()
def has_capability(number):
    with open("/proc/self/status") as status:
        held = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff"))
    return bool(held >> number & 1)
def denied(call, *arguments, **options):
    error = refusal(call, *arguments, **options)
    assert error.errno == QueueError.NO_PERMISSIONS, error
    return errno.errorcode[error.os_errno]
def set_limit(name, value):
    try:
        with open("/proc/sys/kernel/" + name, "w") as file:
            file.write(str(value))
    except PermissionError as error:
        print(error)
        sys.exit(77)
"""


@pytest.fixture
def script(spawn):
    """Run a script to its end, and return what it printed."""
    return lambda code, *args: spawn(SHARED + code, *args).finish()


@pytest.fixture
def apart(isolated):
    """Run a script in an IPC namespace of its own, and return what it printed."""
    return lambda code, *args: isolated(SHARED + code, *args).finish()


@pytest.fixture
def at_once():
    """Call a function in several threads at the same moment; return what each gave or raised."""

    def at_once(function, threads=8):
        start = threading.Barrier(threads)

        def call():
            start.wait(60)
            return function()

        return [call.outcome() for call in [Call(call) for _ in range(threads)]]

    return at_once


# --------------------------------------------------------------------------- the table


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


# ------------------------------------------------------------------------------ msgget


def test_ids_are_not_negative(make):
    assert all(make(key).id >= 0 for key in (..., None))


def test_only_one_of_many_creates_exclusively(fresh, at_once):
    for _ in range(20):
        key = fresh()

        def create(key=key):
            Queue(key, exclusive=True).detach()

        outcomes = at_once(create)
        Queue(key).close()
        assert outcomes.count(None) == 1
        assert {error.errno for error in outcomes if error} == {QueueError.EXISTS}


@needs_root
def test_a_new_queue_belongs_to_the_effective_user_and_group(script):
    code = """\
import_all()
os.setegid(23456)
os.seteuid(12345)
with Queue() as queue:
    stat = queue.stat()
assert (os.getuid(), os.getgid()) == (0, 0)
print(stat.uid, stat.cuid, stat.gid, stat.cgid)
"""
    assert script(code) == "12345 12345 23456 23456"


@pytest.mark.parametrize("options", [{}, {"create": False}, {"exclusive": True}])
def test_a_private_queue_is_new_whatever_the_flags(make, options):
    first = make(None)
    queue = make(None, mode=0o640, **options)
    assert queue.id != first.id
    assert int(kernel_row(queue.id)["perms"], 8) == 0o640


@needs_root
def test_execute_bits_are_kept_and_allow_nothing(make, key, script):
    assert make(key, mode=0o711).stat().mode == 0o711
    assert script("become()\nprint(denied(Queue, int(args[0])))", key) == "EACCES"


# What the user may do whom the bits of others are for.
RIGHTS = {0o600: "", 0o604: "get stat", 0o602: "put", 0o606: "get stat put"}


@needs_root
@pytest.mark.parametrize(("mode", "allowed"), RIGHTS.items(), ids=map(oct, RIGHTS))
def test_each_right_is_needed_for_what_it_allows(make, key, script, mode, allowed):
    queue = make(key, mode=mode)
    queue.put("there")
    code = """\
become()
allowed = args[1].split()
if not allowed:
    assert denied(Queue, int(args[0]), trusted=True) == "EACCES"
    sys.exit()
queue = Queue(int(args[0]), trusted=True)
calls = {"put": lambda: queue.put("more"), "stat": queue.stat, "get": queue.get}
for name, call in calls.items():
    if name in allowed:
        call()
    else:
        assert denied(call) == "EACCES", name
"""
    script(code, key, allowed)
    assert queue.qsize() == 1 + ("put" in allowed) - ("get" in allowed)


@needs_root
def test_user_group_and_others_have_bits_of_their_own(make, key, script):
    make(key, mode=0o426).set(uid=12345, gid=23456)
    code = """\
become(int(args[1]), int(args[2]))
queue = Queue(int(args[0]), trusted=True)
for call in (queue.get_nowait, queue.put_nowait):
    try:
        call(*["x"] * (call == queue.put_nowait))
        print("yes")
    except Exception as error:
        print("no" if getattr(error, "os_errno", 0) == errno.EACCES else "yes")
"""
    may = {
        who: script(code, key, *who).split()
        for who in [(12345, 1), (12346, 23456), (12347, 1)]  # user, group, others
    }
    assert may == {
        (12345, 1): ["yes", "no"],
        (12346, 23456): ["no", "yes"],
        (12347, 1): ["yes", "yes"],
    }


@needs_root
def test_CAP_IPC_OWNER_is_every_right(make, key, script):
    queue = make(key, mode=0)
    queue.set(uid=12345)
    code = """\
assert has_capability(15)
queue = Queue(int(args[0]), trusted=True)
queue.put("there")
assert queue.get() == "there"
queue.stat()
drop_capabilities()
for call in (lambda: queue.put(1), queue.get_nowait, queue.stat, lambda: Queue(int(args[0]))):
    assert denied(call) == "EACCES"
"""
    script(code, key)


# ------------------------------------------------------------------------------- msgop


def test_types_are_over_zero(q):
    for kind in (0, -1, -(2**63)):
        with pytest.raises(QueueError) as caught:
            q.put("x", msg_type=kind)
        assert caught.value.errno == caught.value.os_errno == errno.EINVAL
    q.put("x", msg_type=1)
    assert q.receive().msg_type == 1
    assert q.empty()


@pytest.mark.parametrize("wait", ["get", "put"])
@pytest.mark.parametrize("timeout", [None, 60])
def test_who_waits_is_told_of_the_removal(make, wait, timeout):
    queue = make(max_bytes=16, serializer=RawSerializer)
    if wait == "put":
        queue.put(b"f" * 16)
        waiter = Call(queue.put, b"x", timeout=timeout)
    else:
        waiter = Call(queue.get, timeout=timeout)
    waiter.until_asleep()
    remove_id(queue.id)
    error = waiter.outcome()
    assert (error.errno, error.os_errno) == (QueueError.INVALID_DESCRIPTOR, errno.EIDRM)


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("wait", ["get", "put"])
def test_SA_RESTART_restarts_no_wait(full, q, handler, when_asleep, restart, wait):
    calls = []
    handler(signal.SIGUSR1, lambda *args: calls.append(args[0]), restart=restart)
    main = threading.main_thread().ident
    when_asleep(lambda: signal.pthread_kill(main, signal.SIGUSR1))
    with pytest.raises(QueueError) as caught:
        q.get() if wait == "get" else full.put(b"x")
    assert caught.value.errno == caught.value.os_errno == errno.EINTR
    assert calls == [signal.SIGUSR1]


def test_a_message_longer_than_the_buffer_stays(raw):
    raw.put(b"x" * 100, msg_type=7)
    for _ in range(2):
        with pytest.raises(QueueError) as caught:
            raw.get_into(bytearray(99))
        assert caught.value.errno == QueueError.TOO_BIG_MESSAGE
        assert caught.value.os_errno == errno.E2BIG
        assert "longer than the buffer" in str(caught.value)
    assert raw.receive() == (b"x" * 100, 7)


def test_a_message_comes_with_its_length_and_type(raw):
    raw.put(b"abc", msg_type=7)
    buffer = bytearray(10)
    assert raw.get_into(buffer) == (3, 7)
    assert buffer == b"abc" + bytes(7)
    assert raw.empty()


# ------------------------------------------------------------------------------ msgctl

USES = {
    "put": lambda queue: queue.put(1),
    "put_nowait": lambda queue: queue.put_nowait(1),
    "get": lambda queue: queue.get(),
    "get_nowait": lambda queue: queue.get_nowait(),
    "peek": lambda queue: queue.peek(),
    "stat": lambda queue: queue.stat(),
    "set": lambda queue: queue.set(mode=0o600),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_calls_on_a_queue_that_is_gone_say_so(make, use):
    queue = make()
    remove_id(queue.id)
    with pytest.raises(QueueError) as caught:
        use(queue)
    assert (caught.value.errno, caught.value.os_errno) == (
        QueueError.INVALID_DESCRIPTOR,
        errno.EIDRM,
    )


@pytest.mark.parametrize("call", [Queue.from_id, sysvmq.remove])
def test_ids_that_are_gone_do_not_exist(make, call):
    queue = make()
    queue.close()
    with pytest.raises(QueueError) as caught:
        call(queue.id)
    assert caught.value.errno == caught.value.os_errno == errno.ENOENT


def test_set_is_the_time_of_the_last_change(make):
    queue = make(max_bytes=1000)
    before = queue.stat()
    until(lambda: time.time() > before.change_time + 1.1)  # the kernel keeps whole seconds
    queue.put("x")
    assert queue.stat().change_time == before.change_time
    started = int(time.time())
    queue.set(max_bytes=900)
    assert started - 1 <= queue.stat().change_time <= time.time() + 1
    assert queue.stat().change_time > before.change_time


@needs_root
def test_who_may_not_change_or_remove_is_told_EPERM(make, key, script):
    queue = make(key, mode=0o666)
    code = """\
become()
queue = Queue(int(args[0]), trusted=True)
calls = (lambda: queue.set(mode=0o600), queue.close, lambda: sysvmq.remove(queue.id))
print(*{denied(call) for call in calls})
"""
    assert script(code, key) == "EPERM"
    assert int(kernel_row(queue.id)["perms"], 8) == 0o666


@needs_root
def test_who_created_a_queue_and_gave_it_away_may_still_change_it(key, script):
    code = """\
become(54321)
queue = Queue(int(args[0]), mode=0o666, trusted=True)
queue.set(uid=12345)
queue.set(mode=0o606, max_bytes=100)
stat = queue.stat()
print(stat.uid, stat.cuid, oct(stat.mode), stat.max_bytes)
queue.close()
print(refusal(Queue, int(args[0]), create=False).os_errno == errno.ENOENT)
"""
    assert script(code, key) == "12345 54321 0o606 100\nTrue"


@needs_root
def test_an_owner_may_raise_max_bytes_up_to_msgmnb(key, script):
    code = """\
become(54321)
queue = Queue(int(args[0]), 100)
queue.set(max_bytes=int(args[1]))
print(queue.stat().max_bytes, denied(queue.set, max_bytes=int(args[1]) + 1))
queue.close()
"""
    assert script(code, key, kernel_limit("msgmnb")) == f"{kernel_limit('msgmnb')} EPERM"


def test_privilege_raises_a_queue_beyond_msgmnb(apart):
    code = """\
if not has_capability(24):
    print("no CAP_SYS_RESOURCE")
    sys.exit(77)
beyond = int(args[0]) + 1
with Queue(None, beyond) as queue:
    assert queue.stat().max_bytes == beyond
    queue.set(max_bytes=beyond + 1)
    print(queue.stat().max_bytes - beyond)
"""
    assert apart(code, kernel_limit("msgmnb")) == "1"


# -------------------------------------------------------------------------------- ftok


@pytest.fixture
def tree(tmp_path):
    """A file, links that run in a circle, and a chain of links too long to follow."""
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / "link0").symlink_to(tmp_path / "file")
    for number in range(1, 60):
        (tmp_path / f"link{number}").symlink_to(tmp_path / f"link{number - 1}")
    return tmp_path


PATHS = {
    "absent": ("absent", errno.ENOENT, QueueError.DOES_NOT_EXIST),
    "absent folder": ("absent/file", errno.ENOENT, QueueError.DOES_NOT_EXIST),
    "empty": (None, errno.ENOENT, QueueError.DOES_NOT_EXIST),
    "no folder": ("file/file", errno.ENOTDIR, QueueError.ERROR),
    "slash after a file": ("file/", errno.ENOTDIR, QueueError.ERROR),
    "circle": ("circle", errno.ELOOP, QueueError.ERROR),
    "many links": ("link59", errno.ELOOP, QueueError.ERROR),
    "long part": ("x" * 256, errno.ENAMETOOLONG, QueueError.INVALID_VALUE),
    "long path": ("./" * 3000 + "file", errno.ENAMETOOLONG, QueueError.INVALID_VALUE),
}


@pytest.mark.parametrize(("path", "os_errno", "documented"), PATHS.values(), ids=PATHS)
def test_a_path_that_leads_nowhere_is_refused(tree, path, os_errno, documented):
    with pytest.raises(QueueError) as caught:
        sysvmq.ftok("" if path is None else f"{tree}/{path}", 1)
    assert (caught.value.os_errno, caught.value.errno) == (os_errno, documented)


@needs_root
def test_a_folder_that_may_not_be_searched_is_refused(tree, script):
    tree.chmod(0o700)
    code = "become()\nprint(denied(sysvmq.ftok, args[0], 1))"
    assert script(code, tree / "file") == "EACCES"


def test_all_paths_of_a_file_give_one_key(tree, monkeypatch):
    (tree / "hard").hardlink_to(tree / "file")
    monkeypatch.chdir(tree)
    paths = [tree / "file", tree / "hard", tree / "link5", "file", "./file", b"file"]
    assert len({sysvmq.ftok(path, 9) for path in paths}) == 1


def test_files_of_one_folder_give_different_keys(tree):
    for number in range(50):
        (tree / f"file{number}").touch()
    keys = {sysvmq.ftok(tree / f"file{number}", 9) for number in range(50)}
    inodes = {(tree / f"file{number}").stat().st_ino & 0xFFFF for number in range(50)}
    assert len(keys) == len(inodes) > 1


@pytest.mark.parametrize("project_id", [0, 256, -1, 257])
def test_a_project_id_has_8_bits_not_all_0(tree, project_id):
    with pytest.raises(QueueError) as caught:
        sysvmq.ftok(tree / "file", project_id)
    assert caught.value.errno == QueueError.INVALID_VALUE
    keys = {sysvmq.ftok(tree / "file", project_id) >> 24 for project_id in (1, 255)}
    assert keys == {1, 255}


def test_ftok_takes_a_file_of_any_size(tree):
    key = sysvmq.ftok(tree / "file", 1)
    os.truncate(tree / "file", 2**40)  # it has a hole, and takes no room
    assert sysvmq.ftok(tree / "file", 1) == key


def test_ftok_in_many_threads_gives_one_key(tree, at_once):
    keys = at_once(lambda: {sysvmq.ftok(tree / "file", 1) for _ in range(200)})
    assert keys == [{sysvmq.ftok(tree / "file", 1)}] * 8


# -------------------------------------------------------------- limits and namespaces


def test_a_new_namespace_has_the_limits_of_the_pages(apart):
    assert apart("print(*sysvmq.limits())") == "8192 16384 32000 0 0 0"


@pytest.mark.parametrize("name", ["msgmax", "msgmnb", "msgmni"])
def test_the_limits_follow_proc(apart, name):
    code = """\
set_limit(args[0], 1234)
print(getattr(sysvmq.limits(), args[0]))
with Queue(serializer=RawSerializer) as queue:
    print(queue.max_bytes, refusal(queue.put, b"x" * 5000).errno == errno.EMSGSIZE if args[0] != "msgmni" else "")
"""
    expected = {"msgmax": "16384 True", "msgmnb": "1234 True", "msgmni": "16384"}
    assert apart(code, name).splitlines() == ["1234", expected[name]]


def test_a_namespace_has_queues_and_limits_of_its_own(make, key, apart):
    queue = make(key)
    queue.put("outside")
    before = kernel_limit("msgmnb")
    code = """\
key, msqid = map(int, args)
assert refusal(Queue, key, create=False).os_errno == errno.ENOENT
assert refusal(Queue.from_id, msqid).os_errno == errno.ENOENT
assert sysvmq.list_queues() == []
Queue(key).put("inside")
assert [info.key for info in sysvmq.list_queues()] == [key]
set_limit("msgmnb", 999)
"""
    apart(code, key, queue.id)
    assert queue.get_many() == ["outside"]
    assert kernel_limit("msgmnb") == before
