"""Where one family of queues is missing, the other goes on, and the reason is said."""

import subprocess
import sys
import textwrap

import pytest

MACOS = "import sys; sys.platform = 'darwin'; sys.modules['posixmq'] = None\n"
UNINSTALLED = "import sys; sys.modules['posixmq'] = None\n"


def run(before, code):
    command = [sys.executable, "-I", "-W", "error", "-c", before + textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "form",
    [
        "import ipcqueue.posixmq",
        "from ipcqueue import posixmq",
        "from ipcqueue.posixmq import Queue",
        "import ipcqueue.posixmq.serializers",
    ],
)
def test_macos_says_that_it_has_no_posix_queues(form):
    result = run(MACOS, form)
    last = result.stderr.splitlines()[-1]
    assert last.startswith("ImportError: POSIX message queues do not exist on macOS"), result.stderr


def test_a_missing_posixmq_elsewhere_is_called_not_installed():
    result = run(UNINSTALLED, "import ipcqueue.posixmq")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("ImportError: the distribution posixmq") and "not installed" in last


def test_what_fails_inside_posixmq_is_not_called_missing():
    code = """
        import sys
        sys.modules["posixmq._posixmq"] = None
        import ipcqueue.posixmq
    """
    last = run("", code).stderr.splitlines()[-1]
    assert last.startswith("ModuleNotFoundError") and "posixmq._posixmq" in last


def test_everything_else_works_on_macos():
    code = """
        import ipcqueue.sysvmq
        from ipcqueue import sysvmq
        from ipcqueue.serializers import PickleSerializer, RawSerializer
        from ipcqueue.sysvmq import Queue
        assert PickleSerializer is sysvmq.PickleSerializer
        assert RawSerializer is sysvmq.RawSerializer
        with Queue(serializer=RawSerializer) as q:
            q.put(b"bytes")
            assert q.get() == b"bytes"
        print("works")
    """
    result = run(MACOS, code)
    assert result.stdout == "works\n", result.stderr
