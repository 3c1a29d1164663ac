"""What an error says on the systems that are not here: no limit of Linux, and no wrong figure."""

import errno
import subprocess
import sys

import pytest

import kind

LINUX = ("fs.mqueue", "kernel.msg", "RLIMIT_MSGQUEUE", "/proc", "8192", "16384", "32000")

# The limits of a system by name; and what is known of a refused opening, or of a queue.
if kind.PACKAGE == "posixmq":
    NAMES = {"freebsd14": "kern.mqueue.maxmsg"}
    OPENING = "('/q', 50, 9000, True, True)", ("maxsize=50", "maxmsgsize=9000")
    NUMBERS = (errno.EINVAL, errno.EMFILE, errno.ENFILE, errno.ENOSPC)
    SMALL, SMALL_NAMES = "Queue.anonymous(1, 77)", {"freebsd14": "maxmsgsize"}
else:
    NAMES = {"freebsd14": "kern.ipc.msg", "darwin": "compiled into the kernel"}
    OPENING = "(5, 9000)", ()
    NUMBERS = (errno.EINVAL, errno.EPERM, errno.ENOSPC)
    SMALL, SMALL_NAMES = "Queue(max_bytes=77)", NAMES


def said(platform, call):
    code = (
        f"import errno, sys\nsys.platform = {platform!r}\n"
        f"from {kind.PACKAGE} import _explain\nfrom {kind.PACKAGE} import Queue\nprint({call})"
    )
    command = [sys.executable, "-I", "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize(("platform", "name"), NAMES.items())
@pytest.mark.parametrize("number", NUMBERS, ids=errno.errorcode.get)
def test_a_refusal_elsewhere_names_that_systems_limits(platform, name, number):
    detail, figures = OPENING
    text = said(platform, f"_explain.failure('open', {number}, None, {detail})")
    assert all(words in text for words in (name, *figures))
    assert not [words for words in LINUX if words in text], text


@pytest.mark.parametrize(("platform", "name"), SMALL_NAMES.items())
def test_too_long_a_message_elsewhere_names_what_is_known(platform, name):
    call = f"[(q := {SMALL}), _explain.failure('put', errno.EMSGSIZE, q, 5000), q.close()]"
    text = said(platform, call)
    assert all(words in text for words in ("5000 bytes", "77", name))
    assert not [words for words in LINUX if words in text], text
