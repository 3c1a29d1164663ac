"""limits(): the system's values, and what is left of this user's share of queues."""

import errno
import math
import os
import resource
import textwrap
from pathlib import Path

import pytest

import posixmq
from posixmq import _folder, _limits, _usage

# A user whom nobody else uses here, so that the sum is the test's own.
ALONE = """
import ctypes
import resource
from posixmq import _limits

LIMIT = 200_000
resource.setrlimit(_limits.RLIMIT_MSGQUEUE, (LIMIT, LIMIT))
before = posixmq.limits().user_bytes
USER = 900_000_000 + os.getpid()
# Root's right to list stays: the kernel charges the real user, whatever else this process may.
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(8, 1, 0, 0, 0) == 0  # PR_SET_KEEPCAPS
try:
    become(USER)
except OSError:  # a user namespace that has no such number
    print("not here")
    sys.exit()
drop = (ctypes.c_uint32 * 2)(0x20080522, 0)
sets = (ctypes.c_uint32 * 6)()
sets[0] = sets[1] = 1 << 21  # CAP_SYS_ADMIN
if libc.capset(drop, sets) != 0:  # root lacks it, as in many containers
    drop_capabilities()
if posixmq.limits().queues is None:
    print("not here")
    sys.exit()


def refused(*args, **kwargs):
    try:
        Queue(*args, **kwargs).close()
    except QueueError as error:
        assert error.errno == QueueError.NO_SYSTEM_RESOURCES and error.os_errno == errno.EMFILE
        return True
    return False


def charge(q):
    return _limits.queue_charge(q.maxsize, q.maxmsgsize)


name = sys.argv[1]
"""


@pytest.fixture
def alone(spawn, fresh):
    if os.geteuid() != 0:
        pytest.skip("only root becomes another user")

    def run(code):
        if "not here" in spawn(ALONE + textwrap.dedent(code), fresh()).finish():
            pytest.skip(
                "there is no user for the test alone here, or such a user can list no queues"
            )

    return run


def test_the_system_s_values_are_those_of_proc():
    found = posixmq.limits()
    assert type(found) is posixmq.Limits
    for name in ("msg_max", "msgsize_max", "queues_max", "msg_default", "msgsize_default"):
        assert getattr(found, name) == int(Path("/proc/sys/fs/mqueue", name).read_text())


def test_the_limit_of_a_user_is_that_of_getrlimit():
    allowed, _ = resource.getrlimit(_limits.RLIMIT_MSGQUEUE)
    found = posixmq.limits().user_bytes_max
    assert found == (math.inf if allowed == resource.RLIM_INFINITY else allowed)


def test_no_limit_is_infinite_and_so_is_what_is_left(monkeypatch):
    monkeypatch.setattr(
        _usage.resource,
        "getrlimit",
        lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    )
    found = posixmq.limits()
    assert found.user_bytes_max == found.user_bytes_left == math.inf
    monkeypatch.setattr(_usage, "used_now", lambda: (None, None))
    assert posixmq.limits().user_bytes_left == math.inf


def test_more_used_than_allowed_leaves_nothing(monkeypatch):
    """A limit that was lowered later."""
    monkeypatch.setattr(_usage, "used_now", lambda: (3, 10**12))
    assert posixmq.limits().user_bytes_left == 0


def test_without_a_way_to_list_what_is_used_is_unknown(monkeypatch):
    def refuse():
        raise PermissionError(1, "no")

    monkeypatch.setattr(_folder, "mounts", list)
    monkeypatch.setattr(_folder._posixmq, "mount", refuse)
    found = posixmq.limits()
    assert found.queues is found.user_bytes is None
    assert found.msg_max > 0
    assert found.user_bytes_left in (None, math.inf)


def test_limits_that_proc_does_not_show_are_an_error(monkeypatch):
    monkeypatch.setattr(_limits, "FOLDER", "/nowhere/")
    with pytest.raises(
        posixmq.QueueError, match="cannot read the limit /nowhere/msg_max"
    ) as caught:
        posixmq.limits()
    assert (caught.value.errno, caught.value.os_errno) == (posixmq.QueueError.ERROR, errno.ENOENT)


@pytest.mark.parametrize(
    ("maxsize", "maxmsgsize", "charged"),
    [(1, 1, 97), (10, 1024, 11200), (10, 8192, 82880), (40000, 1, 40000 * 49 + 32768 * 48)],
)
def test_the_charge_of_a_queue(maxsize, maxmsgsize, charged):
    assert _limits.queue_charge(maxsize, maxmsgsize) == charged


def test_a_new_queue_is_charged_exactly(alone):
    alone(
        """
        assert posixmq.limits().user_bytes == 0
        queues = []
        for maxsize, maxmsgsize in ((1, 1), (3, 100), (10, 1024), (7, 1)):
            queues.append(Queue(f"{name}-{len(queues)}", maxsize, maxmsgsize))
            found = posixmq.limits()
            assert found.user_bytes == sum(map(charge, queues)), found
            assert found.user_bytes_left == LIMIT - found.user_bytes
        queues[2].put("x" * 900)  # what is in it does not count
        assert posixmq.limits().user_bytes == found.user_bytes
        for q in queues:
            q.unlink()
            q.close()
        assert posixmq.limits().user_bytes == 0
        """
    )


def test_what_is_left_can_be_had_to_the_last_byte_and_no_more(alone):
    """The kernel itself says whether the sum is right."""
    alone(
        """
        filler = [Queue(f"{name}-{i}", 10, 4000) for i in range(4)]
        filler += [Queue.anonymous(3, 50)]
        left = posixmq.limits().user_bytes_left
        assert left > 2000 and posixmq.limits().user_bytes == sum(map(charge, filler))
        size = left - 96
        while size > 8000:  # the greatest message may be smaller than what is left
            filler.append(Queue(f"{name}-{len(filler)}", 1, 7000))
            left = posixmq.limits().user_bytes_left
            size = left - 96
        assert refused(name, 1, size + 1)
        last = Queue(name, 1, size)
        assert charge(last) == left
        assert posixmq.limits().user_bytes_left == 0
        assert refused(name + "-more", 1, 1)
        for q in [*filler, last]:
            if q.name:
                q.unlink()
            q.close()
        assert posixmq.limits().user_bytes == 0
        """
    )


def test_anonymous_queues_count_wherever_they_are_held(alone):
    alone(
        """
        q = Queue.anonymous(2, 100)
        pid = os.fork()
        if pid == 0:
            signal.pause()
        try:
            whole = charge(q)
            assert posixmq.limits().user_bytes == whole
            q.close()
            assert posixmq.limits().user_bytes == whole, "the child holds it"
        finally:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        assert posixmq.limits().user_bytes == 0
        """
    )


def test_queues_of_other_users_do_not_count(alone):
    alone(
        """
        q = Queue(name, 2, 100, serializer=RawSerializer)
        assert posixmq.limits().user_bytes == charge(q)
        assert posixmq.limits().queues >= 1
        q.unlink()
        q.close()
        assert before is not None
        """
    )


def test_a_queue_of_one_s_own_that_cannot_be_read_makes_the_sum_unknown(alone):
    alone(
        """
        q = Queue(name, 2, 100, mode=0)
        assert posixmq.limits().user_bytes == charge(q), "by the descriptor held"
        q.close()
        found = posixmq.limits()
        assert found.user_bytes is found.user_bytes_left is None
        posixmq.unlink(name)
        assert posixmq.limits().user_bytes == 0
        """
    )


def test_queues_are_counted(make):
    """Others come and go meanwhile, so the test holds more than those could be."""
    if posixmq.limits().queues is None:
        pytest.skip("this user can list no queues here")
    made = [make(maxsize=1, maxmsgsize=8) for _ in range(20)]
    for q in made[:10]:
        q.unlink()
    assert 20 <= posixmq.limits().queues < 20 + len(posixmq.list_queues()) + 20
