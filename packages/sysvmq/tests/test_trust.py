"""Trust, where owner and creator may differ and modes may change; all combinations, by root."""

import os

import pytest

from kind import Queue

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


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


def test_a_private_queue_of_one_s_own_needs_no_trust():
    with Queue() as queue:
        queue.put("x")
        assert queue.get() == "x"


# --- other users -----------------------------------------------------------------------------------

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
