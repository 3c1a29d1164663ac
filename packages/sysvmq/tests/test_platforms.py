"""What an error says on the systems that are not here: no limit of Linux, and no wrong figure."""

import errno
import subprocess
import sys

import pytest

LINUX = ("kernel.msg", "/proc", "8192", "16384", "32000")


def said(platform, call):
    code = (
        f"import errno, sys\nsys.platform = {platform!r}\n"
        f"from sysvmq import _explain\nfrom sysvmq import Queue\nprint({call})"
    )
    command = [sys.executable, "-I", "-W", "error", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


NAMES = {"freebsd14": "kern.ipc.msg", "darwin": "compiled into the kernel"}


@pytest.mark.parametrize("platform", list(NAMES))
@pytest.mark.parametrize("number", [errno.EINVAL, errno.EPERM, errno.ENOSPC])
def test_a_refusal_elsewhere_names_that_system_s_limits(platform, number):
    call = f"_explain.failure('open', {number}, None, (5, 9000))"
    text = said(platform, call)
    assert NAMES[platform] in text
    assert not [word for word in LINUX if word in text], text


@pytest.mark.parametrize("platform", list(NAMES))
def test_too_long_a_message_elsewhere_names_what_is_known(platform):
    call = (
        "[(q := Queue(max_bytes=77)), _explain.failure('put', errno.EMSGSIZE, q, 5000), q.close()]"
    )
    text = said(platform, call)
    assert "5000 bytes" in text and "77" in text and NAMES[platform] in text
    assert not [word for word in LINUX if word in text], text
