"""The examples of the how-to pages do what the pages say; the pages show the very files."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ipcqueue import posixmq

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
PROGRAMS = sorted([*EXAMPLES.glob("*.py"), *EXAMPLES.glob("demo/*.py")])
WITHOUT_ARGUMENTS = {"executor.py", "hand_over.py", "run.py"}


def test_every_example_is_shown_by_a_page_and_every_page_shows_what_exists():
    pages = {path.name: path.read_text() for path in DOCS.glob("howto-*.md")}
    shown = re.findall(r"\(\.\./examples/([^)]+)\)", "".join(pages.values()))
    included = re.findall(r"\{literalinclude\} \.\./examples/(\S+)", "".join(pages.values()))
    there = {path.name for path in EXAMPLES.iterdir() if path.is_file()}
    assert set(shown) == there
    assert set(included) <= there


# What this environment lacks must not matter here, so trio and rich are never the real ones.
WITH_MODULES = """
import runpy, sys
from unittest.mock import Mock
program, hidden = sys.argv[1:3]
for name in "trio", "rich", "rich.progress":
    sys.modules[name] = Mock()
sys.modules["rich.progress"].track = lambda items, *_, **__: items
for name in hidden.split():
    sys.modules[name] = None
sys.argv = [program, *sys.argv[3:]]
runpy.run_path(program, run_name="__main__")
"""


def run_program(program, *args, hidden=""):
    """Run a program of Python, as if the hidden modules were not installed."""
    command = [sys.executable, "-I", "-c", WITH_MODULES, str(program), hidden, *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def check_usage(process):
    """What it is for and how it is called, with an example, and not a word more."""
    assert (process.returncode, process.stdout) == (2, "")
    assert "usage: " in process.stderr
    assert "Example: " in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_that_is_called_wrongly_says_how_to_call_it(program):
    check_usage(run_program(program, "--wrong"))
    if program.name not in WITHOUT_ARGUMENTS:
        check_usage(run_program(program))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_can_be_asked_how_to_call_it(program):
    process = run_program(program, "--help")
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.startswith("usage: ")
    assert "Example: " in process.stdout


@pytest.mark.parametrize(
    "program",
    [path for path in PROGRAMS if ' help="the name of ' in path.read_text()],
    ids=lambda program: program.name,
)
def test_a_name_that_no_queue_can_have_is_a_wrong_argument(program, tmp_path):
    others = {"log_server.py": [str(tmp_path / "all.log")], "worker.py": ["1"]}
    process = run_program(program, "no-slash", *others.get(program.name, []))
    check_usage(process)
    assert "error: [Errno 22] name must be a slash followed by" in process.stderr


def needed(program):
    """Return the modules that a program imports and that Python does not bring."""
    imports = " ".join(re.findall(r"^ *(?:from|import) .*", program.read_text(), re.MULTILINE))
    return [m for m in ("ipcqueue", "posixmq", "sysvmq", "trio", "rich") if m in imports]


@pytest.mark.parametrize(
    ("program", "module"),
    [
        pytest.param(program, module, id=f"{program.name}-{module}")
        for program in PROGRAMS
        for module in needed(program)
    ],
)
def test_a_program_says_what_to_install(program, module):
    process = run_program(program, hidden=f"{module} {module}.progress")  # as rich.progress
    assert (process.returncode, process.stdout) == (1, "")
    (line,) = process.stderr.splitlines()
    assert module in line
    assert "section Install of" in line
    if module in ("trio", "rich"):
        assert f"pip install {module}" in line


def test_workers_log_through_the_server(name, start, run, until, tmp_path):
    log = tmp_path / "all.log"
    run(EXAMPLES / "log_worker.py", name)  # before there is a server
    server = start(EXAMPLES / "log_server.py", name, log)
    workers = [start(EXAMPLES / "log_worker.py", name) for _ in range(2)]
    pids = [worker.pid for worker in workers if worker.wait(30) == 0]
    until(lambda: log.exists() and log.read_text().count("KeyError: 'no such key'") == 3)
    server.terminate()
    out, err = server.communicate(timeout=30)
    assert (server.returncode, out, err) == (0, "", "")
    for pid in pids:
        assert f" {pid} INFO {EXAMPLES / 'log_worker.py'} has started\n" in log.read_text()
        assert f" {pid} ERROR something failed\nTraceback" in log.read_text()


def test_the_server_stops_behind_what_is_in_the_queue(name, start, run, until, tmp_path):
    log = tmp_path / "all.log"
    server = start(EXAMPLES / "log_server.py", name, log)
    until(lambda: log.exists())
    for _ in range(4):
        run(EXAMPLES / "log_worker.py", name)
    server.send_signal(signal.SIGTERM)
    server.communicate(timeout=30)
    with posixmq.Queue(name, create=False) as q:
        left = q.qsize()
    assert log.read_text().count("has started") * 2 + left == 8


def test_the_patient_ones_lose_nothing_where_the_others_do(name, run):
    script = f"""
    sys.dont_write_bytecode = True
    sys.path.insert(0, {str(EXAMPLES)!r})
    from log_patient import PatientHandler, PatientListener

    kept = []
    class Keep(logging.Handler):
        def emit(self, record):
            kept.append(record.getMessage())

    class Unhurried(posixmq.Queue):
        def put(self, record, timeout=None):  # a second may be too short on a busy machine
            super().put(record, timeout=timeout and 60 * timeout)

    q = Unhurried(sys.argv[1], maxsize=2)
    listener = PatientListener(q, Keep())
    logger = logging.getLogger("patient")
    logger.setLevel(logging.INFO)
    logger.addHandler(PatientHandler(q))
    listener.start()
    for number in range(500):
        logger.info("%d", number)
    listener.stop()
    assert kept == [str(number) for number in range(500)], len(kept)

    logging.raiseExceptions = False
    logger.handlers[0].queue = posixmq.Queue(sys.argv[1])
    start = time.monotonic()
    for number in range(3):
        logger.info("nobody listens")
    assert 1 <= time.monotonic() - start < 20
    threading.Timer(0.2, q.get).start()
    listener.enqueue_sentinel()
    assert q.qsize() == 2
    """
    run(script, name)


def test_processes_are_handed_queues(run):
    assert run(EXAMPLES / "hand_over.py") == "[0, 1, 4, 9, 16]\n"


@pytest.mark.semaphores
def test_workers_of_an_executor_report_through_a_queue(run):
    expected = "['0 taken', '1 taken', '2 taken']\n[0, 1, 4]\n"
    assert run(EXAMPLES / "executor.py") == expected


def test_the_event_loop_hears_the_queue_and_signals(name, start):
    loop = start(EXAMPLES / "event_loop.py", name)
    assert loop.stdout.readline() == "ready\n"
    with posixmq.Queue(name, create=False, serializer=json, readable=False) as q:
        for number in range(3):
            q.put({"number": number})
            assert loop.stdout.readline() == f"job {{'number': {number}}}\n"
    loop.terminate()
    out, err = loop.communicate(timeout=30)
    assert (loop.returncode, out, err) == (0, "", "")


AS_SYSTEMD_STARTS = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "jobs.socket"}
os.execv(sys.executable, [sys.executable, "-I", sys.argv[2]])
"""


def test_a_service_works_on_the_queue_that_systemd_passes(name, until):
    """systemd opens it read-only and non-blocking; the service waits all the same."""
    with posixmq.Queue(name, 3, 64, serializer=json) as q:
        with posixmq.Queue(name, writable=False, serializer=json) as passed:
            os.set_blocking(passed.fileno(), False)
            command = [sys.executable, "-I", "-c", AS_SYSTEMD_STARTS, str(passed.fileno())]
            service = subprocess.Popen(
                [*command, str(EXAMPLES / "listen.py")],
                pass_fds=[passed.fileno()],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        with service:
            q.put({"job": 1})
            assert service.stdout.readline() == "jobs.socket {'job': 1}\n"
            until(lambda: service.poll() is not None or sleeping(service.pid))
            q.put("stop")
            assert service.communicate(timeout=30) == ("", "")
    assert service.returncode == 0


def sleeping(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def test_a_task_of_trio_takes_what_comes(name, run):
    pytest.importorskip("trio", reason="trio is not installed")
    with posixmq.Queue(name) as q:
        for item in ("one", "two", None):
            q.put(item)
    assert run(EXAMPLES / "trio_get.py", name) == "one\ntwo\n"


def test_the_demo_does_what_it_claims():
    process = run_program(EXAMPLES / "demo/run.py")
    assert process.returncode == 0, process.stdout + process.stderr
    claims = [line for line in process.stdout.splitlines() if line.startswith(("ok ", "FAILED "))]
    assert len(claims) == 7 and all(claim.startswith("ok ") for claim in claims)
