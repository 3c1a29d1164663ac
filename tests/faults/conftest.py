"""Fixtures of the fault tests: sizes, figures, and queues that never stay behind."""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))  # python -I leaves it off the path

from crew import until
from families import FAMILIES

FIGURES: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="the full sizes, several minutes")


def pytest_configure() -> None:
    """Leave no queue behind when the run is ended from outside."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_report_header(config: pytest.Config) -> list[str]:
    size = "full" if config.getoption("full") else "quick (--full for all)"
    return [f"faults: {size}, {len(os.sched_getaffinity(0))} CPUs usable"]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.section("figures")
    for line in FIGURES:
        terminalreporter.write_line(line)


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether the full sizes were asked for."""
    return bool(request.config.getoption("full"))


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Callable[[object], None]:
    """Call with what was measured: it is shown at the end."""
    return lambda what: FIGURES.append(f"{request.node.name}: {what}")


@pytest.fixture(params=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> Any:
    return FAMILIES[request.param]


@pytest.fixture
def new_address() -> Iterator[Callable[[Any], str]]:
    """Call with a family for an address that no other queue has; its queue is removed at the end."""
    given = []

    def new(family: Any) -> str:
        given.append((family, family.new_address()))
        return given[-1][1]

    yield new
    for family, address in given:
        family.remove(address)


@pytest.fixture
def address(family: Any, new_address: Callable[[Any], str]) -> str:
    """An address that no other queue has."""
    return new_address(family)


# ---------------------------------------------------------------------- calls in other processes


def sleeps_in_queue(pid: int) -> bool:
    """Whether the process sleeps inside a call that sends or receives."""

    def first_word(name: str) -> str:
        with contextlib.suppress(OSError):  # it has ended
            return (Path(f"/proc/{pid}") / name).read_text().partition(" ")[0]
        return ""

    # x86-64, then arm64 and riscv64
    calls = {"242", "243", "69", "70"} | {"182", "183", "188", "189"}
    sleeps = first_word("wchan") in {"wq_sleep", "do_msgrcv", "do_msgsnd"}
    return sleeps or first_word("syscall") in calls


def import_all() -> None:
    """Import every module of the packages, also those that they import only when one is needed.

    For a script that gives up its rights: the packages may be installed where it cannot read then.
    """
    import importlib
    import pkgutil

    for family in FAMILIES.values():
        package = family.module
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            importlib.import_module(found.name)
        package.serializers.load_pickle()  # as the first queue does


def become(user: int) -> None:
    """Go on as another user."""
    import_all()
    try:
        os.setuid(user)
    except OSError as error:
        skip(f"no right to become another user: {error.strerror}")


def drop_capabilities() -> None:
    """Go on as an ordinary user would, whoever started the tests; keep the user id."""
    import ctypes

    import_all()
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def fill(queue_: Any, make: Any = lambda number: number) -> int:
    """Put items until the queue is full; return how many it took."""
    import queue

    for number in range(1_000_000):
        try:
            queue_.put_nowait(make(number))
        except queue.Full:
            return number
    raise AssertionError("is never full")


def refusal(call: Any) -> str:
    """Return in what words the call is refused for want of something."""
    try:
        call()
    except OSError as error:
        assert error.errno == error.NO_SYSTEM_RESOURCES, error  # type: ignore[attr-defined]
        return str(error)
    raise AssertionError("not refused")


def ready() -> None:
    """Tell the test that the script is about to do what it is for, and when that was."""
    print("ready", time.monotonic(), flush=True)


def skip(reason: str) -> NoReturn:
    """End the script, and skip the test."""
    print("skip", reason, flush=True)
    sys.exit()


# What every script begins with.
SHARED = (import_all, become, drop_capabilities, fill, refusal, ready, skip)
PRELUDE = (
    "import gc, os, queue, resource, signal, sys, threading, time\n"
    "from typing import Any, NoReturn\n"
    f"sys.path.insert(0, {str(Path(__file__).resolve().parent)!r})\n"
    "from families import FAMILIES, Posix, SysV\n\n"
    + "\n\n".join(inspect.getsource(function) for function in SHARED)
    + "\n\nfamily, address = FAMILIES[sys.argv[1]], sys.argv[2]\nsignal.alarm(600)\n"
)


class Script:
    """A script in an unrelated process, killed at the end if it still runs."""

    def __init__(self, path: Path, family: Any, address: str) -> None:
        self._errors = open(path.with_suffix(".errors"), "w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-X", "faulthandler", str(path), family.name, address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )
        self.pid = self.process.pid

    def until_ready(self) -> None:
        """Return when it has called ready()."""
        assert self.process.stdout is not None
        word, _, rest = self.process.stdout.readline().partition(" ")
        if word == "skip":
            pytest.skip(rest.strip())
        if word != "ready":
            self.result()
            raise AssertionError("the script ended without calling ready()")
        self.ready_at = float(rest)

    def is_asleep(self) -> bool:
        """Whether it sleeps inside a queue."""
        return sleeps_in_queue(self.pid)

    def until_asleep(self) -> None:
        """Return when it sleeps inside a queue."""

        def sleeps_or_fails() -> bool:
            assert self.process.poll() is None, self.result()
            return self.is_asleep()

        until(sleeps_or_fails, "the script sleeps in a queue")

    def result(self, limit: float = 120) -> list[str]:
        """Wait for the end, and return the words of the last line that it printed."""
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        out = self.process.stdout.read()
        self._errors.seek(0)
        code = self.process.returncode
        assert code == 0, f"exit {code}\n{out}\n{self._errors.read()}"
        *_, last = out.splitlines() or [""]
        if last.startswith("skip "):
            pytest.skip(last.removeprefix("skip "))
        return last.split()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self._errors):
            assert file is not None
            file.close()


@pytest.fixture
def call_in_process(tmp_path: Path) -> Iterator[Callable[[str, Any, str], Script]]:
    """Start a script with a family and an address, and return when it has called ready()."""
    started: list[Script] = []

    def call(code: str, family: Any, address: str) -> Script:
        path = tmp_path / f"script{len(started)}.py"
        path.write_text(PRELUDE + textwrap.dedent(code), encoding="utf-8")
        started.append(Script(path, family, address))
        started[-1].until_ready()
        return started[-1]

    yield call
    for script in started:
        script.end()


@pytest.fixture(name="fill")
def fill_queue() -> Callable[..., int]:
    """Fill a queue."""
    return fill
