"""listen_queues(): the protocol of sd_listen_fds(3), spoken by a shell in systemd's place."""

import os
import shlex
import subprocess
import sys

import pytest

import posixmq
from posixmq import QueueError

# The shell's exec keeps its process id, which LISTEN_PID must be.
LAUNCH = """
export LISTEN_PID=$$ LISTEN_FDS={count}
{extra}
exec {python} -I {script} {arguments} {redirections}
"""

HEAD = """
import json, os, sys
import posixmq
from posixmq import Queue, QueueError, RawSerializer

"""


@pytest.fixture
def launched(tmp_path):
    """Run a script with these descriptors from 3 on, as systemd would."""

    def run(code, descriptors, *arguments, names=None, extra="", count=None):
        script = tmp_path / "service.py"
        script.write_text(HEAD + code)
        if names is not None:
            extra = f"export LISTEN_FDNAMES={shlex.quote(names)}\n{extra}"
        # First out of the way, then to their places.
        high = [os.dup(fd) for fd in descriptors]
        shell = LAUNCH.format(
            count=len(descriptors) if count is None else count,
            extra=extra,
            python=shlex.quote(sys.executable),
            script=shlex.quote(str(script)),
            arguments=shlex.join(map(str, arguments)),
            redirections=" ".join(f"{3 + i}<&{fd}" for i, fd in enumerate(high)),
        )
        try:
            ended = subprocess.run(
                ["bash", "-c", shell],
                pass_fds=high,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
            )
        finally:
            for fd in high:
                os.close(fd)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    return run


def test_queues_are_found_by_their_names(make, launched):
    jobs, results = make(), make()
    jobs.put({"job": 1})
    launched(
        """
queues = dict(posixmq.listen_queues())
assert list(queues) == ["jobs.socket", "results"]
assert type(queues["results"]) is Queue and queues["results"].name is None
assert [q.fileno() for q in queues.values()] == [3, 4]
assert not os.get_inheritable(3) and not os.get_inheritable(4)
queues["results"].put(queues["jobs.socket"].get(timeout=60))
for q in queues.values():
    q.close()
""",
        [jobs.fileno(), results.fileno()],
        names="jobs.socket:results",
    )
    assert results.get(timeout=60) == {"job": 1}


def test_descriptors_that_systemd_opens_are_read_only_and_non_blocking(q, launched):
    fd = os.open(f"/proc/self/fd/{q.fileno()}", os.O_RDONLY | os.O_NONBLOCK)
    q.put("x")
    launched(
        """
import queue, time
[(name, q)] = posixmq.listen_queues()
assert name == "unknown" and q.readable and not q.writable
assert q.get() == "x"
started = time.monotonic()
try:
    q.get(timeout=0.2)
except queue.Empty:
    assert time.monotonic() - started >= 0.2
q.close()
""",
        [fd],
    )
    os.close(fd)


def test_what_is_no_queue_is_left_alone(q, launched, tmp_path):
    with open(tmp_path / "file", "w+") as file:
        launched(
            """
[(name, q)] = posixmq.listen_queues()
assert (name, q.fileno()) == ("second", 4)
os.fstat(3), os.fstat(5)
assert os.get_inheritable(3) and os.get_inheritable(5)
q.close()
""",
            [file.fileno(), q.fileno(), file.fileno()],
            names="first:second:third",
        )


def test_two_queues_of_one_name_are_both_there(make, launched):
    launched(
        """
found = posixmq.listen_queues()
assert [name for name, _ in found] == ["a", "a"] and found[0][1] != found[1][1]
for _, q in found:
    q.close()
""",
        [make().fileno(), make().fileno()],
        names="a:a",
    )


def test_the_environment_is_left_clean_unless_it_shall_stay(q, launched):
    launched(
        """
variables = [name for name in os.environ if name.startswith("LISTEN_")]
assert len(variables) == 3
[(_, q)] = posixmq.listen_queues(unset_environment=False)
assert all(name in os.environ for name in variables)
os.environ["LISTEN_FDS"] = "0"
os.environ["LISTEN_FDNAMES"] = ""
assert posixmq.listen_queues() == []
assert not any(name in os.environ for name in variables)
assert posixmq.listen_queues() == []
q.close()
""",
        [q.fileno()],
        names="x",
    )


def test_options_go_to_every_queue(make, launched):
    a, b = make(serializer=posixmq.RawSerializer, mode=0o666), make()
    a.put(b"\0")
    launched(
        """
found = posixmq.listen_queues(serializer=RawSerializer, on_signal="retry", spin_us=7, trusted=True)
for _, q in found:
    assert (q.on_signal, q.spin_us, q.trusted, q.serializer) == ("retry", 7, True, RawSerializer)
assert found[0][1].get() == b"\\0"
for _, q in found:
    q.close()
""",
        [a.fileno(), b.fileno()],
    )


def test_an_untrusted_queue_is_refused_and_none_is_left_open_with_a_warning(make, launched):
    own, open_to_all = make(), make(serializer=posixmq.RawSerializer, mode=0o666)
    launched(
        """
import warnings
warnings.simplefilter("error")
try:
    posixmq.listen_queues()
except QueueError as error:
    assert error.errno == QueueError.NO_PERMISSIONS
else:
    raise AssertionError("not refused")
""",
        [own.fileno(), open_to_all.fileno()],
    )


def test_what_was_passed_to_another_process_is_not_ours(q, launched):
    launched(
        """
assert posixmq.listen_queues() == []
assert "LISTEN_PID" not in os.environ
os.fstat(3)
""",
        [q.fileno()],
        extra="export LISTEN_PID=1",
    )


@pytest.mark.parametrize(
    ("extra", "errno", "words"),
    [
        ("export LISTEN_FDS=many", QueueError.INVALID_VALUE, "LISTEN_FDS is 'many'"),
        ("export LISTEN_FDS=-1", QueueError.INVALID_VALUE, "LISTEN_FDS is '-1'"),
        ("export LISTEN_FDS=99999999999", QueueError.INVALID_VALUE, "LISTEN_FDS is '99999999999'"),
        ("export LISTEN_PID=me", QueueError.INVALID_VALUE, "LISTEN_PID is 'me'"),
        ("export LISTEN_FDNAMES=a:b", QueueError.INVALID_VALUE, "2 names, and LISTEN_FDS says 1"),
        ("export LISTEN_FDS=2", QueueError.INVALID_DESCRIPTOR, "descriptor 4, which is not open"),
    ],
)
def test_variables_that_make_no_sense_are_errors(q, launched, extra, errno, words):
    out = launched(
        """
try:
    posixmq.listen_queues()
except QueueError as error:
    print(error.errno, error)
assert "LISTEN_PID" not in os.environ
os.fstat(3)
""",
        [q.fileno()],
        extra=extra,
    )
    assert out.split()[0] == str(errno) and words in out


def test_without_systemd_there_is_nothing(monkeypatch):
    for variable in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        monkeypatch.delenv(variable, raising=False)
    assert posixmq.listen_queues() == []
