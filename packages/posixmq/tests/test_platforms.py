"""What an error says on the systems that are not here: no limit of Linux, and no wrong figure."""

import subprocess
import sys

import pytest

LINUX = ("fs.mqueue", "RLIMIT_MSGQUEUE", "/proc", "8192")


def said(platform, call):
    code = (
        f"import errno, sys\nsys.platform = {platform!r}\n"
        f"from posixmq import _explain\nfrom posixmq import Queue\nprint({call})"
    )
    command = [sys.executable, "-I", "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize(
    ("platform", "words"), [("freebsd14", "kldload mqueuefs"), ("linux", "CONFIG_POSIX_MQUEUE")]
)
@pytest.mark.parametrize("operation", ["open", "unlink"])
def test_a_kernel_without_queues_is_said_to_be_one(platform, words, operation):
    detail = "('/q', 1, 1, True, True)" if operation == "open" else "'/q'"
    call = f"_explain.failure({operation!r}, errno.ENOSYS, None, {detail})"
    assert words in said(platform, call)
