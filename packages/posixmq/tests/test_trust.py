"""Trust, where a right to read or to write alone is asked for; and all combinations, by root."""

import os
import pickle

import pytest

from harness.errors import refusal
from kind import PickleSerializer, Queue, QueueError, adopt

ONLY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give queues away")

every_pickle = pytest.mark.parametrize("serializer", [None, PickleSerializer(), pickle])


@every_pickle
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o622, 0o666], ids=oct)
def test_who_only_reads_must_trust(make, name, serializer, mode):
    make(name, mode=mode, trusted=True)
    error = refusal(Queue, name, serializer=serializer, writable=False)
    assert error.errno == QueueError.NO_PERMISSIONS
    assert "trusted=True" in str(error)


@every_pickle
def test_who_only_writes_need_not_trust(make, name, serializer):
    q = make(name, mode=0o666, trusted=True)
    writer = make(name, readable=False, serializer=serializer)
    adopt(writer, serializer=serializer).close()
    writer.put("there")
    assert q.get() == "there"


def test_an_anonymous_queue_needs_no_trust():
    with Queue.anonymous(1, 64) as q:
        q.put("x")
        assert q.get() == "x"


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
