"""The limits of the system: a refusal names the limit, its value now, what was asked, the way out."""

import re
from pathlib import Path

import pytest

from posixmq import QueueError

# Each script opens what it may not and writes what it was told.
REPORT = """
    def refused(*args, **options):
        try:
            Queue(*args, **options).close()
        except QueueError as error:
            return {
                "errno": error.errno,
                "os_errno": error.os_errno,
                "text": str(error),
                "left": descriptors(args[0]),
            }
        raise AssertionError("opened")
"""


@pytest.fixture
def limit():
    """The value of a limit of POSIX queues now."""
    return lambda which: int(Path("/proc/sys/fs/mqueue", which).read_text())


@pytest.fixture
def refusal(spawn, name):
    """Run a script on a name and return what the refusal said."""
    import json
    import textwrap

    def refusal(code, *args):
        script = textwrap.dedent(REPORT) + textwrap.dedent(code)
        return json.loads(spawn(script, name, *args).finish())

    return refusal


def numbers(text):
    return {int(number) for number in re.findall(r"\d+", text.replace(",", ""))}


def without_name(text, name):
    return text.replace(name, "")


def test_beyond_both_limits_both_are_named(refusal, name, limit):
    said = refusal(
        """
        drop_capabilities()
        print(json.dumps(refused(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
        """,
        limit("msg_max") + 7,
        limit("msgsize_max") + 9,
    )
    assert "msg_max" in said["text"]
    assert "msgsize_max" in said["text"]


def test_too_little_rlimit_msgqueue_is_named_and_not_called_too_many_open_files(refusal, name):
    said = refusal(
        """
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (1234, hard))
        print(json.dumps(refused(sys.argv[1], 9, 1021)))
        """
    )
    text = without_name(said["text"], name)
    assert said["errno"] == QueueError.NO_SYSTEM_RESOURCES
    assert said["os_errno"] == 24  # EMFILE
    assert said["left"] == []
    assert name in said["text"]
    assert "RLIMIT_MSGQUEUE" in text
    assert 1234 in numbers(text)
    assert {9, 1021} <= numbers(text) or any(9 * 1021 < n < 9 * 1500 for n in numbers(text))
    assert "ulimit -q" in text or "prlimit" in text or "LimitMSGQUEUE" in text
    assert "open files" not in text.lower()


def test_too_little_rlimit_nofile_is_not_taken_for_rlimit_msgqueue(refusal, name):
    """No descriptor is left for anything, so the refusal may need none itself."""
    said = refusal(
        """
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        told = None
        try:
            Queue(sys.argv[1], 1, 16)
        except BaseException as error:
            told = error
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        assert isinstance(told, QueueError), repr(told)
        print(json.dumps({"errno": told.errno, "os_errno": told.os_errno, "text": str(told)}))
        """
    )
    text = without_name(said["text"], name)
    assert said["errno"] == QueueError.NO_SYSTEM_RESOURCES
    assert said["os_errno"] == 24  # EMFILE
    assert "RLIMIT_NOFILE" in text or "open files" in text.lower() or "descriptors" in text
    assert "RLIMIT_MSGQUEUE" not in text or "RLIMIT_NOFILE" in text


def test_a_queue_beyond_msg_max_opens_where_the_right_is_there(spawn, name, limit):
    out = spawn(
        """
        # CAP_SYS_RESOURCE is number 24; the user root may lack it
        with open("/proc/self/status") as status:
            held = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff"))
        if not held >> 24 & 1:
            print("no right")
            sys.exit()
        with Queue(sys.argv[1], int(sys.argv[2]) + 1, 16) as q:
            assert q.maxsize == int(sys.argv[2]) + 1
        """,
        name,
        limit("msg_max"),
    ).finish()
    if "no right" in out:
        pytest.skip("no CAP_SYS_RESOURCE here")


def test_opening_an_existing_queue_needs_none_of_the_limits(spawn, make, name):
    make(name, 2, 64).put("there")
    spawn(
        """
        import resource

        drop_capabilities()
        _, hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, hard))
        with Queue(sys.argv[1]) as q:
            assert q.get() == "there"
        """,
        name,
    ).finish()
