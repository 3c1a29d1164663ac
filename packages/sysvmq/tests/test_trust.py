"""Trust: unpickling runs code, so nobody unpickles what somebody else may have put."""

import contextlib
import functools
import json
import marshal
import os
import pickle
import types

import pytest

import sysvmq
from kind import id_of_key
from sysvmq import PickleSerializer, Queue, QueueError, RawSerializer, SignedSerializer

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

WAYS_OUT = ("trusted=True", "SignedSerializer", "runs no code")
OPEN_TO_OTHERS = [0o620, 0o602, 0o622, 0o666]
KEY = bytes(range(32))


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


class Borrowed:
    """One that borrows pickle's own function."""

    dumps = staticmethod(pickle.dumps)
    loads = staticmethod(pickle.loads)


def module(name):
    """A module of this name whose loads is its own."""
    made = types.ModuleType(name)
    made.dumps, made.loads = pickle.dumps, lambda data: pickle.loads(data)
    return made


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
    "a copy of cloudpickle in another package": module("joblib.externals.cloudpickle"),
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
    "a signed pickle": SignedSerializer(KEY),
}


def refused(call, *args, **kwargs):
    """Call what must be refused for want of trust, and return what it says."""
    with pytest.raises(QueueError) as caught:
        call(*args, **kwargs)
    assert caught.value.errno == QueueError.NO_PERMISSIONS
    for words in WAYS_OUT:
        assert words in caught.value.msg
    return caught.value.msg


@pytest.fixture
def shared(make, key):
    """A function: this user's own queue with a mode."""
    return lambda mode, *args: make(key, *args, mode=mode)


@pytest.mark.parametrize("serializer", RUN_CODE.values(), ids=RUN_CODE)
@pytest.mark.parametrize("mode", OPEN_TO_OTHERS, ids=oct)
def test_a_queue_others_may_write_to_is_not_unpickled_from(shared, key, serializer, mode):
    msqid = shared(mode).id
    for call, number in ((Queue, key), (Queue.from_id, msqid)):
        words = refused(call, number, serializer=serializer)
        assert f"{number}:" in words
        assert oct(mode) in words
    refused(Queue, key, create=False, serializer=serializer)


@pytest.mark.parametrize("serializer", RUN_CODE.values(), ids=RUN_CODE)
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o655], ids=oct)
def test_a_queue_only_its_owner_may_write_to_is_unpickled_from(shared, key, serializer, mode):
    msqid = shared(mode).id
    for same in (Queue(key, serializer=serializer), Queue.from_id(msqid, serializer=serializer)):
        assert same.trusted is False


@pytest.mark.parametrize("serializer", RUN_NONE.values(), ids=RUN_NONE)
@pytest.mark.parametrize("mode", [0o600, *OPEN_TO_OTHERS], ids=oct)
def test_a_serializer_that_runs_no_code_reads_from_any_queue(shared, key, serializer, mode):
    msqid = shared(mode).id
    item = b"x" if isinstance(serializer, RawSerializer) or serializer is RawSerializer else "x"
    for same in (Queue(key, serializer=serializer), Queue.from_id(msqid, serializer=serializer)):
        same.put(item)
        assert same.get(timeout=60) == item


@pytest.mark.parametrize("serializer", RUN_CODE.values(), ids=RUN_CODE)
def test_who_trusts_reads(shared, key, serializer):
    msqid = shared(0o666).id
    for call, number in ((Queue, key), (Queue.from_id, msqid)):
        assert call(number, serializer=serializer, trusted=True).trusted is True


def test_trust_goes_by_truth(shared, key):
    msqid = shared(0o666).id
    for call, number in ((Queue, key), (Queue.from_id, msqid)):
        assert call(number, trusted="yes").trusted is True
        refused(call, number, trusted=[])


@pytest.mark.parametrize("trusted", [True, False])
def test_a_pickled_queue_is_trusted_as_it_was(make, trusted):
    queue = make(trusted=trusted)
    again = pickle.dumps(queue)
    queue.set(mode=0o666)
    if trusted:
        assert pickle.loads(again).trusted is True
    else:
        assert str(queue.id) in refused(pickle.loads, again)


def test_the_asyncio_queue_is_no_way_round(shared, key):
    import sysvmq.asyncio

    shared(0o666)
    refused(sysvmq.asyncio.Queue, key)
    sysvmq.asyncio.Queue(key, trusted=True).detach()


@pytest.mark.parametrize("mode", OPEN_TO_OTHERS, ids=oct)
def test_a_refused_queue_is_not_created(key, mode):
    for options in ({}, {"exclusive": True}):
        assert oct(mode) in refused(Queue, key, mode=mode, **options)
        assert id_of_key(key) == -1


def test_a_refused_private_queue_is_not_created_and_gives_no_warning(isolated):
    code = """\
import warnings
warnings.simplefilter("error")
try:
    Queue(mode=0o666)
except QueueError as error:
    print(error.errno == error.NO_PERMISSIONS, "a private queue" in error.msg)
print(sysvmq.list_queues())
"""
    assert isolated(code).finish().splitlines() == ["True True", "[]"]


def test_a_refused_queue_that_was_there_stays_as_it_was(shared, key):
    queue = shared(0o666, 3000)
    queue.put("kept")
    before = queue.stat()
    refused(Queue, key)
    refused(Queue, key, 1000)
    refused(Queue, key, 1000, mode=0o600)
    refused(Queue.from_id, queue.id)
    assert queue.stat() == before
    assert queue.get() == "kept"


def test_the_mode_asked_for_does_not_matter_where_the_queue_exists(shared, key):
    queue = shared(0o600)
    Queue(key, mode=0o666).put("private all the same")
    assert queue.get() == "private all the same"


def test_a_private_queue_of_one_s_own_needs_no_trust():
    with Queue() as queue:
        queue.put("x")
        assert queue.get() == "x"


def crafted(target):
    """A pickle that makes a folder."""
    return b"cos\nmkdir\n(V" + str(target).encode() + b"\ntR."


def test_a_crafted_pickle_does_not_run(shared, make, key, tmp_path):
    target = tmp_path / "made by the message"
    queue = shared(0o622)
    attacker = make(key, serializer=RawSerializer)
    attacker.put(crafted(target))
    for options in ({}, {"serializer": Sub}, {"serializer": pickle}):
        refused(Queue, key, **options)
        refused(Queue.from_id, queue.id, **options)
    signed = make(key, serializer=SignedSerializer(KEY), trusted=False)
    with pytest.raises(sysvmq.DecodeError) as caught:
        signed.get()
    assert caught.value.data == crafted(target)
    assert not target.exists()
    attacker.put(crafted(target))
    queue.get()  # to show what it was
    assert target.exists()


@pytest.mark.parametrize("error", [ZeroDivisionError(), KeyboardInterrupt()], ids=repr)
def test_what_a_serializer_raises_when_it_is_asked_passes_and_creates_nothing(make, key, error):
    class Evil(Own):
        @property
        def runs_code(self):
            raise error

    with pytest.raises(type(error)):
        Queue(key, mode=0o666, serializer=Evil())
    assert id_of_key(key) == -1
    with pytest.raises(type(error)):
        Queue.from_id(make().id, serializer=Evil())


def test_a_serializer_that_opens_the_queue_when_it_is_asked_opens_it_once(fresh):
    first, second = fresh(), fresh()

    class Nested(Own):
        @property
        def runs_code(self):
            with contextlib.suppress(RuntimeError):
                queue.__init__(second)
            return False

    queue = Queue.__new__(Queue)
    queue.__init__(first, serializer=Nested())
    assert queue.key == first


# ---------------------------------------------------------------------- other users

ACT_AS = """\
import itertools, json, marshal, pickle
import_all()
ME, OTHER, ROOT = 65533, 65534, 0
libc = ctypes.CDLL(None, use_errno=True)
CAP_IPC_OWNER = 15

def act_as(user, passes_by_modes=False):
    os.seteuid(0)
    os.setgroups([])
    os.setegid(user)
    os.seteuid(user)
    if passes_by_modes and user != 0:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)
        held = (ctypes.c_uint32 * 6)()
        assert libc.capget(header, held) == 0
        held[0] |= 1 << CAP_IPC_OWNER
        assert libc.capset(header, held) == 0

class Sub(sysvmq.PickleSerializer):
    pass

def is_untrusted(error):
    return error.errno == QueueError.NO_PERMISSIONS and "trusted=True" in error.msg
"""

# What must be refused, in every combination. With the right to pass by all modes, the kernel
# itself refuses nothing; without it, the mode decides who may read at all.
EVERYTHING = """\
SERIALIZERS = [
    (None, True), (Sub(), True), (pickle, True), (marshal, True),
    (RawSerializer, False), (json, False), (sysvmq.SignedSerializer(bytes(16)), False),
]
MODES = [0o600, 0o640, 0o604, 0o644, 0o620, 0o602, 0o606, 0o666, 0o622, 0o200, 0o002, 0o000]
WHO = [(ROOT, True), (ME, True), (ME, False)]

def may(me, passes, owner, creator, mode):
    "Whether the kernel lets me read, and write."
    if passes:
        return True, True
    bits = mode >> 6 if me in (owner, creator) else mode
    return bool(bits & 4), bool(bits & 2)

key, wrong, tried = int(args[0]), [], 0
for (me, passes), owner, creator, mode in itertools.product(
    WHO, (ME, OTHER, ROOT), (ME, OTHER, ROOT), MODES
):
    act_as(creator)
    made = Queue(key, 2000, serializer=RawSerializer, exclusive=True)
    act_as(ROOT)
    made.set(mode=mode, uid=owner, gid=owner)
    before = made.stat()
    act_as(me, passes)
    reads, writes = may(me, passes, owner, creator, mode)
    for (serializer, runs_code), trusted, how in itertools.product(
        SERIALIZERS, (False, True), ("key", "id", "size")
    ):
        safe = owner in (me, ROOT) and creator in (me, ROOT) and not mode & 0o022
        trusts = safe or trusted or not runs_code
        expected = "opened" if trusts or not reads else "untrusted"
        expected = expected if reads or writes else "refused"
        if how == "size" and expected == "opened":
            continue  # that would change it, where it may
        tried += 1
        options = {"serializer": serializer, "trusted": trusted}
        try:
            if how == "id":
                Queue.from_id(made.id, **options)
            else:
                Queue(key, *[500] * (how == "size"), **options)
            got = "opened"
        except QueueError as error:
            got = "untrusted" if is_untrusted(error) else "refused"
            if error.errno != QueueError.NO_PERMISSIONS:
                wrong.append(error)
            if got == "untrusted":
                strangers = [user for user in (owner, creator) if user not in (me, ROOT)]
                words = f"user {strangers[0]} owns or made it" if strangers else oct(mode)
                if words not in error.msg:
                    wrong.append(error.msg)
        if got != expected:
            wrong.append((me, passes, owner, creator, oct(mode), serializer, trusted, how, got))
    act_as(ROOT)
    if made.stat() != before:
        wrong.append((made.stat(), before))
    made.close()
assert not wrong, wrong[:5]
print(tried)
"""


@needs_root
def test_every_combination_of_owner_creator_mode_serializer_and_right(spawn, key):
    assert int(spawn(ACT_AS + EVERYTHING, key).finish()) > 3 * 3 * 3 * 12 * 7 * 2 * 2


@needs_root
def test_another_user_s_crafted_pickle_does_not_run(spawn, key, tmp_path):
    """The classic: a program of root's reads from a queue that anybody could create first."""
    target = tmp_path / "made by the message"
    code = """\
key, target = int(args[0]), args[1]
act_as(OTHER)
attacker = Queue(key, mode=0o600, serializer=RawSerializer)
attacker.put(b"cos\\nmkdir\\n(V" + target.encode() + b"\\ntR.")
act_as(ROOT)
victims = [
    lambda: Queue(key), lambda: Queue(key, create=False), lambda: Queue(key, mode=0o600),
    lambda: Queue.from_id(attacker.id), lambda: Queue(key, 100),
]
for victim in victims:
    try:
        victim()
    except QueueError as error:
        assert is_untrusted(error) and "user 65534 owns or made it" in error.msg, error
    else:
        raise AssertionError("opened")
print(os.path.exists(target), attacker.qsize())
attacker.close()
"""
    assert spawn(ACT_AS + code, key, target).finish() == "False 1"


@needs_root
def test_a_creator_may_write_to_what_he_gave_away(spawn, key):
    code = """\
act_as(OTHER)
made = Queue(int(args[0]))
made.set(uid=ME)
act_as(ME)
try:
    Queue(int(args[0]))
except QueueError as error:
    print(is_untrusted(error), "user 65534" in error.msg)
act_as(OTHER)
made.put("still")
act_as(ROOT)
made.close()
"""
    assert spawn(ACT_AS + code, key).finish() == "True True"


@needs_root
def test_root_is_trusted_by_everybody(make, key, spawn):
    make(key, mode=0o644).put("from root")
    code = "act_as(ME); print(Queue(int(args[0]), create=False).peek().item)"
    assert spawn(ACT_AS + code, key).finish() == "from root"


@needs_root
@pytest.mark.parametrize("serializer", ["None", "pickle", "Sub()", "marshal"])
def test_who_may_only_write_need_not_trust(make, key, spawn, serializer):
    queue = make(key, mode=0o602)
    code = f"""\
act_as(ME)
for queue in (
    Queue(int(args[0]), serializer={serializer}),
    Queue.from_id(int(args[1]), serializer={serializer}),
):
    queue.put("written")
    assert queue.put_many(["written", "too"]) == 2
    for call in (queue.get, queue.get_nowait, queue.receive, queue.get_many, queue.peek,
                 lambda: next(queue), lambda: queue.get_into(bytearray(9))):
        try:
            call()
        except QueueError as error:
            print(error.errno == QueueError.NO_PERMISSIONS, is_untrusted(error))
        else:
            print("read")
"""
    assert set(spawn(ACT_AS + code, key, queue.id).finish().splitlines()) == {"True False"}
    assert queue.qsize() == 6


# All that decodes what it gets.
READING = """\
READING = [
    lambda queue: queue.get(timeout=60), lambda queue: queue.get_nowait(),
    lambda queue: queue.receive(timeout=60), lambda queue: queue.get_many(timeout=60),
    lambda queue: queue.peek(), lambda queue: next(queue), lambda queue: list(queue),
]
"""


@needs_root
@pytest.mark.parametrize("how", ["key", "id", "private id"])
def test_a_queue_that_is_made_readable_after_it_was_opened_is_not_unpickled_from(spawn, key, how):
    """Its owner, who is not trusted, waits with that until it has passed for one to write to."""
    code = """\
act_as(OTHER)
key, how = int(args[0]), args[1]
made = Queue(0 if how == "private id" else key, mode=0o602, serializer=RawSerializer)
act_as(ME)
victim = Queue(key) if how == "key" else Queue.from_id(made.id)
trusting = Queue.from_id(made.id, trusted=True)
victim.put("still written")
act_as(OTHER)
made.set(mode=0o606)
assert made.get() != b""
for read in READING:
    made.put(b"cbuiltins\\nprint\\n(Vthis ran\\ntR.")
act_as(ME)
for read in READING:
    try:
        read(victim)
    except QueueError as error:
        assert is_untrusted(error) and "user 65534 owns or made it" in error.msg, error
    else:
        raise AssertionError("read")
print(trusting.qsize())
victim.put("still written")
assert victim.get_into(bytearray(200))[0] > 0  # which decodes nothing
trusting.get()  # to show what they were
act_as(ROOT)
made.close()
"""
    out = spawn(ACT_AS + READING + code, key, how).finish()
    assert out.splitlines() == ["7", "this ran"]


@needs_root
def test_one_s_own_queue_that_is_made_readable_after_it_was_opened_is_read(spawn, key):
    code = """\
act_as(ME)
key = int(args[0])
queue = Queue(key, mode=0o200)
print(queue.max_bytes == sys.maxsize)
queue.put("x")
for read in READING:
    try:
        read(queue)
    except QueueError as error:
        assert error.errno == QueueError.NO_PERMISSIONS and not is_untrusted(error), error
    else:
        raise AssertionError("read")
queue.set(mode=0o600)
print(queue.get(timeout=60), queue.trusted)
queue.close()
assert list(queue) == []
"""
    assert spawn(ACT_AS + READING + code, key).finish() == "True\nx False"


@needs_root
def test_iterating_over_what_was_never_seen_ends_when_it_is_removed(spawn, key):
    code = """\
act_as(OTHER)
made = Queue(int(args[0]), mode=0o602, serializer=RawSerializer)
act_as(ME)
victim = Queue(int(args[0]))
act_as(OTHER)
made.close()
act_as(ME)
print(list(victim))
"""
    assert spawn(ACT_AS + code, key).finish() == "[]"
