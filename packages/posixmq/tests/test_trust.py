"""Trust: unpickling runs code, so nobody unpickles what somebody else may have put."""

import array
import contextlib
import functools
import json
import marshal
import mmap
import os
import pickle
import tracemalloc
import types

import pytest

import posixmq
from harness.calls import Call
from harness.process import descriptors
from posixmq import PickleSerializer, Queue, QueueError, RawSerializer

ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give queues away")

WAYS_OUT = ("trusted=True", "SignedSerializer", "runs no code")


class Sub(PickleSerializer):
    """A subclass that dumps the same way."""


class Own:
    """A serializer of one's own that runs no code."""

    @staticmethod
    def dumps(obj):
        return json.dumps(obj)

    @staticmethod
    def loads(data):
        return json.loads(data)


class Honest(Own):
    """One that says of itself that it runs code."""

    runs_code = True


class Checked(PickleSerializer):
    """One that rests on pickle, but says that it runs no code of others."""

    runs_code = False


def module(name):
    """A module of this name whose loads is its own."""
    made = types.ModuleType(name)
    made.dumps, made.loads = pickle.dumps, lambda data: pickle.loads(data)
    return made


class Borrowed:
    """One that borrows pickle's own function."""

    dumps = staticmethod(pickle.dumps)
    loads = staticmethod(pickle.loads)


RUN_CODE = {
    "the default": None,
    "PickleSerializer": PickleSerializer,
    "an object of it": PickleSerializer(),
    "a subclass": Sub,
    "an object of a subclass": Sub(),
    "the module pickle": pickle,
    "one that borrows loads": Borrowed,
    "marshal": marshal,
    "one called cloudpickle": module("cloudpickle"),
    "one called dill": module("dill"),
    "one called dill inside": module("dill._dill"),
    "a copy of cloudpickle in another package": module("joblib.externals.cloudpickle"),
    "one called jsonpickle": module("jsonpickle"),
    "pickle in Python": types.SimpleNamespace(dumps=pickle._dumps, loads=pickle._loads),
    "one that borrows PickleSerializer's": types.SimpleNamespace(
        dumps=PickleSerializer.dumps, loads=PickleSerializer.loads
    ),
    "a partial of pickle's": types.SimpleNamespace(
        dumps=pickle.dumps, loads=functools.partial(pickle.loads, encoding="latin1")
    ),
    "one that says so": Honest,
}
RUN_NONE = {
    "RawSerializer": RawSerializer,
    "an object of it": RawSerializer(),
    "the module json": json,
    "one of one's own": Own(),
    "one that says it does not": Checked,
}


@pytest.fixture
def shared(make, name):
    """A queue of this user's own with the mode asked for."""
    return lambda mode: make(name, mode=mode, trusted=True)


def refused(call, *args, **kwargs):
    with pytest.raises(QueueError) as caught:
        call(*args, **kwargs)
    assert caught.value.errno == QueueError.NO_PERMISSIONS
    for words in WAYS_OUT:
        assert words in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("serializer", RUN_CODE.values(), ids=RUN_CODE)
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o622, 0o666], ids=oct)
def test_a_queue_others_may_write_to_is_not_unpickled_from(shared, name, serializer, mode):
    q = shared(mode)
    words = refused(Queue, name, serializer=serializer)
    assert name in words
    assert oct(mode) in words
    refused(Queue, name, serializer=serializer, writable=False)
    fd = os.dup(q.fileno())
    refused(Queue.from_fd, fd, serializer=serializer)
    os.close(fd)


@pytest.mark.parametrize("serializer", RUN_CODE.values(), ids=RUN_CODE)
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o655, 0o200], ids=oct)
def test_a_queue_only_its_owner_may_write_to_is_unpickled_from(shared, make, serializer, mode):
    q = shared(mode)
    with contextlib.closing(Queue.from_fd(os.dup(q.fileno()), serializer=serializer)) as other:
        assert other.trusted is False
    if mode & 0o400 or os.geteuid() == 0:
        make(q.name, serializer=serializer)


@pytest.mark.parametrize("serializer", RUN_NONE.values(), ids=RUN_NONE)
@pytest.mark.parametrize("mode", [0o600, 0o622, 0o666], ids=oct)
def test_a_serializer_that_runs_no_code_reads_from_any_queue(shared, make, serializer, mode):
    q = shared(mode)
    make(q.name, serializer=serializer)
    Queue.from_fd(os.dup(q.fileno()), serializer=serializer).close()


@pytest.mark.parametrize("serializer", RUN_CODE.values(), ids=RUN_CODE)
def test_who_only_writes_need_not_trust(shared, make, serializer):
    q = shared(0o666)
    make(q.name, readable=False, serializer=serializer)
    writer = make(q.name, readable=False)
    Queue.from_fd(os.dup(writer.fileno()), serializer=serializer).close()
    writer.put("there")
    assert q.get() == "there"


@pytest.mark.parametrize("serializer", RUN_CODE.values(), ids=RUN_CODE)
def test_who_trusts_reads(shared, make, serializer):
    q = shared(0o666)
    other = make(q.name, serializer=serializer, trusted=True)
    assert other.trusted is True
    Queue.from_fd(os.dup(q.fileno()), serializer=serializer, trusted=1).close()


def test_trust_goes_by_truth(shared, make):
    q = shared(0o666)
    assert make(q.name, trusted="yes").trusted is True
    refused(Queue, q.name, trusted=[])


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666], ids=oct)
def test_a_refused_queue_is_not_created(name, mode):
    before = len(descriptors())
    words = refused(Queue, name, mode=mode)
    assert oct(mode) in words
    assert len(descriptors()) == before
    with pytest.raises(QueueError) as caught:
        Queue(name, create=False)
    assert caught.value.errno == QueueError.DOES_NOT_EXIST


def test_a_refused_queue_that_was_there_stays_with_its_messages(shared, name):
    q = shared(0o666)
    q.put("kept")
    before = len(descriptors())
    refused(Queue, name)
    refused(Queue, name, mode=0o600)
    assert len(descriptors()) == before
    with Queue(name, create=False, trusted=True) as again:
        assert again.get() == "kept"


def test_the_mode_asked_for_does_not_matter_where_the_queue_exists(make, name):
    make(name)
    make(name, mode=0o666).put("private all the same")


def test_an_anonymous_queue_needs_no_trust():
    with Queue.anonymous(1, 64) as q:
        q.put("x")
        assert q.get() == "x"


def test_a_crafted_pickle_does_not_run(shared, make, name, tmp_path):
    target = tmp_path / "made by the message"
    crafted = b"cos\nmkdir\n(V" + str(target).encode() + b"\ntR."
    shared(0o622)
    attacker = make(name, serializer=RawSerializer, readable=False)
    attacker.put(crafted)
    for options in ({}, {"serializer": Sub}, {"serializer": pickle}, {"writable": False}):
        refused(Queue, name, **options)
        assert not target.exists()
    raw = make(name, serializer=RawSerializer)
    assert raw.get() == crafted
    attacker.put(crafted)
    make(name, trusted=True).get()  # to show what it was
    assert target.exists()


@pytest.mark.parametrize(
    "error", [ZeroDivisionError("of its own"), KeyboardInterrupt()], ids=["error", "interrupt"]
)
def test_what_the_serializer_raises_when_it_is_asked_passes_and_creates_nothing(name, error):
    class Evil(Own):
        @property
        def runs_code(self):
            raise error

    before = len(descriptors())
    with pytest.raises(type(error)):
        Queue(name, mode=0o666, serializer=Evil())
    assert len(descriptors()) == before
    with pytest.raises(QueueError):
        Queue(name, create=False)


def test_a_name_that_is_no_str_confuses_nobody(shared, make, name):
    shared(0o666)
    make(name, serializer=types.SimpleNamespace(dumps=json.dumps, loads=json.loads, __name__=[]))


# What must be refused, tried out by root in every combination. The effective user changes with
# seteuid; with the right to pass by all modes, the kernel itself refuses nothing.
EVERYTHING = """
import ctypes, itertools, marshal, pickle

ME, OTHER, ROOT = 65533, 65534, 0
CAP_DAC_OVERRIDE = 1
libc = ctypes.CDLL(None, use_errno=True)

def act_as(user):
    os.seteuid(user)
    if user != 0:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        held = (ctypes.c_uint32 * 6)()
        assert libc.capget(header, held) == 0
        held[0] |= 1 << CAP_DAC_OVERRIDE
        assert libc.capset(header, held) == 0

class Sub(posixmq.PickleSerializer):
    pass

SERIALIZERS = [
    (None, True), (Sub(), True), (pickle, True), (marshal, True),
    (RawSerializer, False), (json, False),
]
MODES = [0o600, 0o640, 0o604, 0o620, 0o602, 0o666, 0o000]
RIGHTS = [(True, True), (True, False), (False, True)]
import_all()

name, wrong, tried = sys.argv[1], [], 0
for me, owner, mode in itertools.product((ME, ROOT), (ME, OTHER, ROOT), MODES):
    q = Queue(name, 1, 16, mode=0o600, exclusive=True)
    os.fchown(q.fileno(), owner, -1)
    os.fchmod(q.fileno(), mode)
    act_as(me)
    for (serializer, runs_code), (readable, writable), trusted in itertools.product(
        SERIALIZERS, RIGHTS, (False, True)
    ):
        safe = owner in (me, ROOT) and not mode & 0o022
        expected = safe or trusted or not runs_code or not readable
        options = {"serializer": serializer, "trusted": trusted}
        with Queue(
            name, readable=readable, writable=writable, serializer=RawSerializer
        ) as opened:
            fd = os.dup(opened.fileno())
        for how in ("name", "descriptor"):
            tried += 1
            try:
                if how == "name":
                    Queue(name, readable=readable, writable=writable, **options).close()
                else:
                    Queue.from_fd(fd, **options).close()
                    fd = -1
                got = True
            except QueueError as error:
                got = False
                words = str(error)
                right = error.errno == QueueError.NO_PERMISSIONS and "trusted=True" in words
                if owner not in (me, ROOT):
                    right = right and f"user {owner} owns it" in words
                else:
                    right = right and oct(mode) in words
                if not right:
                    wrong.append((me, owner, oct(mode), serializer, words))
            if got != expected:
                wrong.append((me, owner, oct(mode), serializer, readable, writable, trusted, how))
        if fd >= 0:
            os.close(fd)
    os.seteuid(0)
    q.unlink()
    q.close()
assert descriptors(name) == []
assert not wrong, wrong[:5]
print(tried)
"""


@ONLY_ROOT
def test_every_combination_of_owner_mode_serializer_and_right(spawn, name):
    assert int(spawn(EVERYTHING, name).finish()) == 2 * 3 * 7 * 6 * 3 * 2 * 2


@ONLY_ROOT
def test_another_users_crafted_pickle_does_not_run(spawn, name, tmp_path):
    """The classic: a program of root's reads from a queue that anybody could create first."""
    target = tmp_path / "made by the message"
    spawn(
        """
        name, target = sys.argv[1], sys.argv[2]
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                become(65534)
                with Queue(name, 2, 200, serializer=RawSerializer) as attacker:
                    attacker.put(b"cos\\nmkdir\\n(V" + target.encode() + b"\\ntR.")
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        for options in {}, {"create": False}, {"writable": False}, {"mode": 0o600}:
            try:
                Queue(name, **options)
            except QueueError as error:
                assert error.errno == QueueError.NO_PERMISSIONS
                assert "user 65534 owns it" in str(error), error
            else:
                raise AssertionError("opened")
        assert not os.path.exists(target)
        with Queue(name, serializer=RawSerializer) as raw:
            assert raw.qsize() == 1
        """,
        name,
        target,
    ).finish()
    assert not target.exists()


# --- RawSerializer, which runs no code and makes no copy -----------------------------------------------


BATCH = pytest.mark.parametrize("batch", [False, True], ids=["put", "put_many"])
SIZE = 8192


def send_without_a_copy(q, buffer, batch):
    """Send a buffer of SIZE bytes; it must arrive, and must not be copied on the way."""
    put = (lambda item: q.put_many([item])) if batch else q.put
    with memoryview(buffer) as view, view.cast("B") as flat:
        if not flat.readonly:
            flat[0], flat[-1] = 1, 255
        expected = flat.tobytes()
    put(buffer)
    q.get_into(bytearray(SIZE))
    tracemalloc.start()
    try:
        put(buffer)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4096, "it was copied"
    assert q.get() == expected


BUFFERS = {
    "bytes": lambda: bytes(SIZE),
    "bytearray": lambda: bytearray(SIZE),
    "memoryview": lambda: memoryview(bytearray(SIZE * 2))[SIZE:],
    "array": lambda: array.array("d", bytes(SIZE)),
    "mmap": lambda: mmap.mmap(-1, SIZE),
}


@BATCH
@pytest.mark.parametrize("buffer", BUFFERS.values(), ids=BUFFERS)
def test_raw_sends_any_buffer_without_a_copy(make, buffer, batch):
    q = make(maxsize=2, maxmsgsize=SIZE, serializer=RawSerializer)
    made = buffer()
    send_without_a_copy(q, made, batch)
    if isinstance(made, mmap.mmap):
        made.close()


@BATCH
@pytest.mark.parametrize("shape", [SIZE // 8, (2, SIZE // 16)], ids=str)
def test_raw_sends_numpy_arrays_without_a_copy(make, shape, batch):
    numpy = pytest.importorskip("numpy", reason="NumPy is not installed")
    q = make(maxsize=2, maxmsgsize=SIZE, serializer=RawSerializer)
    send_without_a_copy(q, numpy.zeros(shape), batch)


@BATCH
def test_raw_holds_the_buffer_while_it_waits_and_no_longer(make, batch):
    q = make(maxsize=1, serializer=RawSerializer)
    q.put(b"first")
    buffer = bytearray(b"second")
    waiting = Call(q.put_many if batch else q.put, [buffer] if batch else buffer)
    waiting.until_asleep()
    with pytest.raises(BufferError):
        buffer.extend(b"while it is in use")
    assert q.get() == b"first"
    waiting.result()
    buffer.extend(b" and free")
    assert q.get() == b"second"


@pytest.mark.parametrize(
    "bad",
    [memoryview(bytes(20))[::2], memoryview(bytearray(20))[::-1], "text", 5, [1]],
    ids=["every other byte", "backwards", "a str", "a number", "a list"],
)
def test_raw_refuses_what_does_not_lie_in_one_piece(make, bad):
    q = make(serializer=RawSerializer)
    good = bytearray(b"good")
    for call in (lambda: q.put(bad), lambda: q.put_many([good, bad, good])):
        with pytest.raises((BufferError, TypeError)):
            call()
    good.extend(b": nobody holds it")
    assert q.empty()


def test_the_module_knows_what_runs_code():
    for serializer in RUN_CODE.values():
        if serializer is not None:
            assert posixmq.serializers.runs_code(serializer) is True
    for serializer in RUN_NONE.values():
        assert posixmq.serializers.runs_code(serializer) is False
