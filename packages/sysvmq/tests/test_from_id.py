"""Opening by id and by a file's key, and whose a queue is."""

import ctypes
import gc
import os
import subprocess
import sys
import warnings

import pytest

import sysvmq
from harness.calls import Call
from kind import kernel_row, remove_id
from sysvmq import PickleSerializer, Queue, QueueError, RawSerializer


@pytest.fixture
def private():
    """A private queue of this process."""
    with Queue() as queue:
        yield queue


def test_from_id_opens_the_queue_with_that_id(make, key):
    queue = make(key, 2000)
    queue.put("hello", msg_type=3)
    same = Queue.from_id(queue.id)
    assert (same.id, same.key, same.max_bytes) == (queue.id, key, 2000)
    assert (same.closed, same.serializer) == (False, PickleSerializer)
    assert same.receive() == ("hello", 3)


@pytest.mark.parametrize("low", [1, 2**31])
def test_from_id_knows_the_key(make, fresh, low):
    key = fresh(low, low + 2**20)
    assert Queue.from_id(make(key).id).key == key


def test_from_id_takes_the_options_of_the_constructor(q):
    same = Queue.from_id(q.id, serializer=RawSerializer, on_signal="retry", spin_us=7)
    assert (same.serializer, same.on_signal, same.spin_us) == (RawSerializer, "retry", 7)


def test_the_options_can_be_read(make):
    assert make(on_signal="retry", spin_us=0).on_signal == "retry"
    assert make(spin_us=1_000_000).spin_us == 1_000_000
    assert make().on_signal == "raise"


def test_another_process_opens_a_private_queue_by_its_id(private, spawn):
    spawn("Queue.from_id(int(args[0])).put('for you')", private.id).finish()
    assert private.get(timeout=60) == "for you"


def test_who_opens_by_id_is_no_owner(private):
    with Queue.from_id(private.id) as same:
        assert same.key == 0
    assert same.closed
    assert kernel_row(private.id)


def test_who_opens_by_id_may_remove_it_all_the_same(make):
    queue = make(None)
    Queue.from_id(queue.id).close()
    assert kernel_row(queue.id) is None


@pytest.mark.parametrize("removed", [True, False])
def test_an_id_that_is_not_there_does_not_exist(make, removed):
    msqid = make().id if removed else 2**31 - 1
    remove_id(msqid)
    with pytest.raises(QueueError, match=str(msqid)) as caught:
        Queue.from_id(msqid)
    assert caught.value.errno == QueueError.DOES_NOT_EXIST


def test_from_id_of_a_subclass_is_of_the_subclass(q):
    class Jobs(Queue):
        def __init__(self):
            raise AssertionError("not called")

        def __new__(cls, needed):
            raise AssertionError("not called")

    assert type(Jobs.from_id(q.id)) is Jobs
    assert type(Queue[int].from_id(q.id)) is Queue


def test_what_from_id_opened_is_not_opened_again(q, fresh):
    same = Queue.from_id(q.id)
    with pytest.raises(RuntimeError):
        same.__init__(fresh())
    assert same.id == q.id


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@needs_root
def test_from_id_of_somebody_else_s_queue_needs_a_right(make, spawn):
    queue = make(mode=0o600)
    words = spawn("become()\n" + "report(lambda: Queue.from_id(int(args[0])))", queue.id).finish()
    assert words.startswith("True")
    assert str(queue.id) in words and "mode" in words


@needs_root
@pytest.mark.parametrize("keyed", [True, False])
def test_who_may_only_write_opens_by_id_and_writes(make, key, spawn, keyed):
    queue = make(key if keyed else None, mode=0o622)
    code = """\
queue = Queue.from_id(int(args[0]))
queue.put("written")
print(queue.key, queue.max_bytes == sys.maxsize)
"""
    assert spawn("become()\n" + code, queue.id).finish() == f"{queue.key} True"
    assert queue.get() == "written"


@needs_root
def test_remove_is_for_the_owner(make, spawn):
    queue = make(mode=0o666)
    words = spawn("become()\n" + "report(lambda: sysvmq.remove(int(args[0])))", queue.id).finish()
    assert words.startswith("True")
    assert str(queue.id) in words and "owner" in words
    assert kernel_row(queue.id)


# -------------------------------------------------------------------------- remove


def test_remove_removes_the_queue_with_that_id(q):
    waiter = Call(q.get).until_asleep()
    assert sysvmq.remove(msqid=q.id) is None
    assert kernel_row(q.id) is None
    assert waiter.outcome().errno == QueueError.INVALID_DESCRIPTOR


def test_remove_of_what_is_not_there_does_not_exist(q):
    sysvmq.remove(q.id)
    with pytest.raises(QueueError, match=str(q.id)) as caught:
        sysvmq.remove(q.id)
    assert caught.value.errno == QueueError.DOES_NOT_EXIST


# ---------------------------------------------------------------------------- ftok


def test_ftok_is_the_c_library_s(tmp_path):
    libc = ctypes.CDLL(None)
    file = tmp_path / "file"
    file.touch()
    for project in (1, 65, 255):
        expected = libc.ftok(os.fsencode(file), project) & 0xFFFFFFFF
        for path in (file, str(file), os.fsencode(file)):
            assert sysvmq.ftok(path, project) == expected
    assert sysvmq.ftok(path=file, project_id=255) >= 255 << 24


def test_ftok_tells_projects_apart(tmp_path):
    assert len({sysvmq.ftok(tmp_path, project) for project in range(1, 256)}) == 255


def test_ftok_needs_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a long path is shown cut short
    with pytest.raises(QueueError, match="absent") as caught:
        sysvmq.ftok("absent", 1)
    assert caught.value.errno == QueueError.DOES_NOT_EXIST


def test_a_key_of_ftok_opens_a_queue(tmp_path, make):
    key = sysvmq.ftok(tmp_path, 200)
    try:
        queue = make(key, exclusive=True)
    except QueueError:
        pytest.skip("somebody has a queue with this key")
    assert queue.key == key


# ------------------------------------------------------------------ left behind


def dropped(queue_of):
    """The warnings that a queue gives which is made and dropped."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        msqid = queue_of()
        gc.collect()
    return msqid, [str(w.message) for w in caught if w.category is ResourceWarning]


def test_a_private_queue_that_is_dropped_warns_that_it_stays():
    msqid, said = dropped(lambda: Queue().id)
    try:
        assert kernel_row(msqid)
        assert len(said) == 1
        assert f"id {msqid} stays in the kernel" in said[0]
    finally:
        remove_id(msqid)


def test_a_subclass_s_private_queue_warns_once():
    class Sub(Queue):
        pass

    def cycle():
        queue = Sub()
        queue.itself = queue
        return queue.id

    msqid, said = dropped(cycle)
    remove_id(msqid)
    assert len(said) == 1


def test_a_queue_that_goes_after_its_module_leaves_nothing_unsaid():
    """As Python ends a cycle may go in any order: the class and the module's state before the queue."""
    script = """
import gc, sysvmq
class Sub(sysvmq.Queue):
    pass
queue = Sub()
queue.itself = queue
print(queue.id)
gc.disable()
"""
    debugging = os.environ | {"PYTHONMALLOC": "debug"}  # what was freed does not look as before
    command = [sys.executable, "-P", "-W", "error::ResourceWarning", "-c", script]
    ended = subprocess.run(command, capture_output=True, text=True, env=debugging)
    remove_id(int(ended.stdout))
    assert ended.returncode == 0
    assert "unclosed private message queue" in ended.stderr


@pytest.mark.parametrize("end", ["close", "detach", "removed", "with", "keyed", "from_id"])
def test_nothing_is_said_where_nothing_is_left_or_it_was_meant(make, private, end):
    def queue_of():
        if end == "keyed":
            return make().id
        if end == "from_id":
            return Queue.from_id(private.id).id
        queue = Queue()
        if end == "with":
            with queue:
                return queue.id
        if end == "removed":
            remove_id(queue.id)
        else:
            getattr(queue, end)()
        return queue.id

    msqid, said = dropped(queue_of)
    remove_id(msqid)
    assert said == []


def test_a_forked_child_that_drops_its_copy_says_nothing(fork):
    held = [Queue()]  # the only reference: a with block would keep one

    def child():
        assert dropped(lambda: held.pop().id)[1] == []

    try:
        fork(child)
        assert held[0].empty()
    finally:
        held[0].close()


def test_a_constructor_that_fails_leaves_no_warning():
    def failing():
        with pytest.raises(QueueError):
            Queue(None, -1)

    assert dropped(failing)[1] == []
