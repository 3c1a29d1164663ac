"""Build, check and try the three distributions.

`nox` tests all three on this Python, in a few minutes. `nox -t all` runs everything that a change must
pass. `nox -s NAME` runs one session; what stands after `--` goes to the tool behind it, for instance
`nox -s test -- packages/posixmq/tests/common/test_timeout.py -k early`.

The programs that do the work are in tools/, what they need in the dependency groups of pyproject.toml.
"""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nox

if sys.version_info < (3, 11):  # noqa: UP036 - somebody may start it with an older one
    sys.exit(f"Python 3.11 or later is needed, and this is {sys.version.partition(' ')[0]}")

ROOT = Path(__file__).parent
sys.path.append(str(ROOT / "tools"))

from distributions import FOLDERS, SIBLINGS, built, c_files
from instrument import sanitizer_env
from pythons import PYTHONS, can_build, find_pyenv, free_threaded

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["test"]

# Nox looks for uv, which no session uses, and would greet newcomers with the news that it is missing.
logging.getLogger("nox").addFilter(lambda record: record.msg != "uv binary not found.")

find_pyenv()
# The headers of the oldest Python let nothing newer slip into an abi3 wheel.
BUILD_PYTHON = PYTHONS[0] if can_build(f"python{PYTHONS[0]}") else None
FREE_THREADED = free_threaded()
# A free-threaded Python built with --with-thread-sanitizer: its path or its name.
TSAN_PYTHON = os.environ.get("TSAN_PYTHON", "python3.13t-tsan")


Words = Sequence[str]

# -------------------------------------------------------------------- building blocks


def requirements(*groups: str) -> list[str]:
    """Return what dependency groups of pyproject.toml ask for."""
    project = nox.project.load_toml(ROOT / "pyproject.toml")
    return list(nox.project.dependency_groups(project, *groups))


def install(session: nox.Session, *groups: str) -> None:
    """Install these groups, from wheels only: the newest Pythons then get a release that has one."""
    session.install("--only-binary=:all:", *requirements(*groups))


def install_optional(session: nox.Session, group: str, *options: str) -> None:
    """Install what can be had of a group; whoever uses it says what is missing."""
    for requirement in requirements(group):
        session.install(*options, requirement, success_codes=[0, 1])


def install_wheels(session: nox.Session, *names: str) -> None:
    """Install our own wheels, never a release of the same name from an index."""
    session.install("--no-index", *(str(built(dist(session), name, ".whl")) for name in names))


def dist(session: nox.Session) -> Path:
    """Return the folder of what `build` makes: dist/, or one of nox's where the sources are read-only."""
    return (ROOT if os.access(ROOT, os.W_OK) else session.cache_dir).resolve() / "dist"


def work_folder(session: nox.Session) -> Path:
    """Return a folder beside the session's environment. (create_tmp would move TMPDIR there, too.)"""
    folder = Path(session.virtualenv.location, "work").resolve()
    folder.mkdir(exist_ok=True)
    return folder


def tool(session: nox.Session, name: str, *arguments: str | Path, **options: Any) -> Any:
    """Run one of our programs with the session's Python."""
    return session.run("python", str(ROOT / "tools" / name), *map(str, arguments), **options)


def run_outside(session: nox.Session, *command: str | Path, **options: Any) -> Any:
    """Run a command far from the sources, so that only what is installed counts."""
    with tempfile.TemporaryDirectory() as outside, session.chdir(outside):
        return session.run(*map(str, command), **options)


def pytest(
    session: nox.Session, *paths: str, options: Words = (), before: Words = (), **others: Any
) -> None:
    """Run the tests in these paths against what is installed."""
    settings = (f"--config-file={ROOT}/pyproject.toml", f"--rootdir={ROOT}")
    command = (*before, "python", "-I", "-m", "pytest", *settings, *options)
    run_outside(session, *command, *(ROOT / path for path in paths), **others)


def build_into(session: nox.Session, folder: Path, *names: str) -> None:
    """Build sdist and wheel of these distributions into a folder of their own."""
    install(session, "build")
    tool(session, "build_dists.py", folder, *names)


def run_suites(session: nox.Session, wheels: Path, *names: str) -> None:
    """Run these suites, or all, from the wheels in the folder, each in an environment of its own."""
    nox_itself = Path(sys.argv[0]).absolute()
    if nox_itself.is_relative_to(ROOT):
        nox_itself = nox_itself.relative_to(ROOT)
    again = shlex.join([str(nox_itself), "-s", str(session.name), "--"])
    suites = [option for name in names for option in ("--suite", name)]
    folders = ("--wheels", wheels, "--work", work_folder(session))
    tool(session, "run_tests.py", *folders, "--again", again, *suites, *session.posargs)


# ------------------------------------------------------------------------------ checks


def quick_lint(session: nox.Session, fix: bool = False) -> None:
    """Check what takes seconds: the style of the Python, docs/conformance.md and the version."""
    check, form = ("ruff", "check", "--no-cache"), ("ruff", "format", "--no-cache")
    session.run(*check, *(["--fix"] if fix else []), str(ROOT))
    session.run(*form, *([] if fix else ["--check"]), str(ROOT))
    tool(session, "conformance.py")
    tool(session, "bump_version.py", "--check")


@nox.session(tags=["all"])
def lint(session: nox.Session) -> None:
    """Check style and version; analyse the C (`-- --fix` corrects the style)."""
    install(session, "lint")
    fix = "--fix" in session.posargs
    quick_lint(session, fix)
    form = ["-i"] if fix else ["--dry-run", "--Werror"]
    session.run("clang-format", *form, *c_files("packages", "benchmarks", "examples"))
    tool(session, "c_limits.py")
    tool(session, "analyse_c.py")


@nox.session(requires=["build"], tags=["all"])
def typing(session: nox.Session) -> None:
    """Check the installed wheels' types: mypy --strict, stubtest, signatures equal to the stubs."""
    install(session, "typing")
    install_wheels(session, *FOLDERS)
    settings = ("--config-file", ROOT / "pyproject.toml")
    run_outside(session, "mypy", *settings, *(f"--package={name}" for name in FOLDERS))
    run_outside(session, "mypy", *settings, ROOT / "tests/integration/typed_usage.py")
    run_outside(session, "stubtest", *FOLDERS)
    pytest(session, "tests/integration/test_signatures.py")


@nox.session(python=False)
def sync(session: nox.Session) -> None:
    """Write docs/conformance.md anew."""
    session.run(sys.executable, str(ROOT / "tools/conformance.py"), "--write")


@nox.session(python=False)
def bump(session: nox.Session) -> None:
    """Write a version everywhere: nox -s bump -- 1.2.3."""
    session.run(sys.executable, str(ROOT / "tools/bump_version.py"), *session.posargs)


# ------------------------------------------------------------------------------ wheels


@nox.session(python=BUILD_PYTHON, tags=["all"])
def build(session: nox.Session) -> None:
    """Build sdist and wheel of each into dist/, check what they hold, install the sdists offline."""
    folder = dist(session)
    build_into(session, folder, *FOLDERS)
    sdists = [str(built(folder, name, ".tar.gz")) for name in FOLDERS]
    session.install("--no-index", "--no-build-isolation", *sdists)
    run_outside(session, "python", "-I", "-c", "from ipcqueue import posixmq, sysvmq")


@nox.session(requires=["build"], tags=["all"])
def audit(session: nox.Session) -> None:
    """Audit the wheels: only the stable ABI of 3.11, symbols of manylinux2014, no debug information."""
    install(session, "audit")
    wheels = [str(built(dist(session), name, ".whl")) for name in SIBLINGS]
    session.run("abi3audit", "--strict", "--assume-minimum-abi3", "3.11", *wheels)
    tool(session, "check_dists.py", *wheels)


@nox.session(tags=["all"])
def installs(session: nox.Session) -> None:
    """Try every way to install, each from a fresh clone of the last commit (`-- git uv` for some)."""
    install(session, "build")
    install_optional(session, "installs-optional", "--only-binary=:all:")
    run_outside(session, "python", "-I", ROOT / "tools/try_installs.py", *session.posargs)


# ------------------------------------------------------------------------------- tests


@nox.session
def test(session: nox.Session) -> None:
    """Test all three distributions on this Python, from wheels, and check the style: a few minutes."""
    install(session, "style")
    quick_lint(session)
    wheels = work_folder(session) / "wheels"
    build_into(session, wheels, *FOLDERS)
    run_suites(session, wheels)


@nox.session(python=PYTHONS, requires=["build"], tags=["all"])
def tests(session: nox.Session) -> None:
    """Test all three distributions from the wheels in dist/, on every supported Python found."""
    run_suites(session, dist(session))


def test_own_build(session: nox.Session, look: str) -> None:
    """Build both packages with this Python, make sure that each is what it should be, and test them."""
    wheels = work_folder(session) / "wheels"
    build_into(session, wheels, *SIBLINGS)
    for name in SIBLINGS:
        session.install("--no-index", "--force-reinstall", str(built(wheels, name, ".whl")))
        run_outside(session, "python", "-I", "-W", "error", "-c", look.format(name=name))
    run_suites(session, wheels, *SIBLINGS)


@nox.session(python=FREE_THREADED or False)
def tests_freethreaded(session: nox.Session) -> None:
    """Test each package on free-threaded Pythons (python3.13t or later), where there are any."""
    if not FREE_THREADED:
        session.skip("no free-threaded Python found (python3.13t or later, with headers)")
    test_own_build(session, "import sys, {name}; assert not sys._is_gil_enabled()")


@nox.session(python=BUILD_PYTHON)
def portable(session: nox.Session) -> None:
    """Test the waits of systems without thread-directed timers (FreeBSD, macOS), on this one."""
    session.env["CFLAGS"] = "-O2 -DMQC_POLLS"
    test_own_build(session, "from {name} import _{name} as c; assert c._polls")


@nox.session(requires=["build"], tags=["all"])
def faults(session: nox.Session) -> None:
    """Kill, stop, starve and fill: every message is accounted for (`-- --full` for all sizes)."""
    install(session, "test")
    install_wheels(session, *SIBLINGS)
    pytest(session, "tests/faults", options=session.posargs)


@nox.session(requires=["build"])
def soak(session: nox.Session) -> None:
    """Move messages at full rate while workers are killed (`-- --minutes 60`)."""
    install_wheels(session, *SIBLINGS)
    run_outside(session, "python", "-I", ROOT / "tests/faults/soak.py", *session.posargs)


@nox.session(python=BUILD_PYTHON, requires=["build"], tags=["all"])
def fuzz(session: nox.Session) -> None:
    """Drive real queues beside a model, and with any arguments (`-- --minutes 30`; else half of one)."""
    install(session, "fuzz")
    install_optional(session, "fuzz-optional", "--only-binary=:all:")
    install_wheels(session, *SIBLINGS)
    run_outside(session, "python", "-I", ROOT / "tests/fuzz/run.py", *session.posargs)


# ------------------------------------------------------------- the C code under instruments


def instrumented_session(session: nox.Session) -> None:
    """Skip where nothing can be compiled; install what the tests need."""
    if not can_build(f"{session.bin}/python") or not shutil.which("cc"):
        session.skip("no C compiler or no Python headers")
    install(session, "test", "build")


def install_instrumented(session: nox.Session, name: str, *flags: str) -> Path:
    """Build and install a package with these flags, and return the folder it was built in."""
    source = work_folder(session) / name
    tool(session, "instrument.py", name, source, *flags)
    return source


def instrumented_pytest(
    session: nox.Session, name: str, *paths: str, options: Words = (), **others: Any
) -> None:
    """Run tests of a package; -s, because a sanitizer's report would vanish in pytest's capture."""
    targets = paths or (f"packages/{name}/tests", f"packages/{name}/README.md")
    pytest(session, *targets, options=("-s", "-q", *options), external=True, **others)


@nox.session(python=BUILD_PYTHON)
def cross(session: nox.Session) -> None:
    """Compile for musl, 32 bits, FreeBSD and macOS by zig, warnings being errors; runs nothing."""
    install_optional(session, "cross-optional")
    if session.run("python", "-c", "import ziglang", success_codes=[0, 1], silent=True):
        session.skip("ziglang, the compiler with those systems' headers, cannot be installed")
    tool(session, "cross.py")


@nox.session(python=BUILD_PYTHON)
def sanitize(session: nox.Session) -> None:
    """Run the tests of both packages under AddressSanitizer and UndefinedBehaviourSanitizer."""
    instrumented_session(session)
    env = sanitizer_env()
    if not env:
        session.skip("the compiler has no libasan.so and libubsan.so")
    checks = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    for name in SIBLINGS:
        install_instrumented(session, name, *checks)
        instrumented_pytest(session, name, options=session.posargs, env=env)


@nox.session(python=TSAN_PYTHON if can_build(TSAN_PYTHON) else False)
def tsan(session: nox.Session) -> None:
    """Run the tests of threads under ThreadSanitizer (TSAN_PYTHON=path of such a Python)."""
    if session.python is False:
        session.skip("no free-threaded Python with ThreadSanitizer: name one in TSAN_PYTHON")
    # pip takes minutes there, so another Python's installs what is pure.
    (site,) = Path(session.virtualenv.location).glob("lib/python*/site-packages")
    pure = [each for each in requirements("test") if each.startswith("pytest")]
    pip = (sys.executable, "-m", "pip", "install", "-q", "--upgrade", "--target", str(site))
    session.run(*pip, *pure, external=True)
    subjects = ["threads", "close", "timeout", "fork", "waiting", "lifecycle"]
    # ThreadSanitizer of gcc 12 wants the addresses where old kernels put them: setarch -R.
    # The test that is left out counts CPU time, of which all takes many times as much here.
    options = ("-k", "not learns_not_to_spin", *session.posargs)
    for name in SIBLINGS:
        reports = work_folder(session) / f"{name}-report"
        tool(session, "races.py", "prepare", name, reports)
        said = f"log_path={reports}:suppressions={ROOT}/tools/tsan.txt"
        env = {"TSAN_OPTIONS": f"halt_on_error=0:exitcode=0:{said}"}
        tests = [f"packages/{name}/tests/common/test_{subject}.py" for subject in subjects]
        how = {"options": options, "before": ("setarch", "-R"), "env": env}
        instrumented_pytest(session, name, *tests, **how)
        tool(session, "races.py", "check", reports)


@nox.session(python=BUILD_PYTHON)
def leaks(session: nox.Session) -> None:
    """Carry out every operation 200,000 times (expensive ones fewer), look for leaks; make each allocation fail."""
    instrumented_session(session)
    times = session.posargs or ["200000"]
    for name in SIBLINGS:
        install_instrumented(session, name, "-O2")
        script = ROOT / f"packages/{name}/tests/common/endurance.py"
        run_outside(session, "python", "-I", script, "leaks", *times)
        starved = f"packages/{name}/tests/common/test_nomemory.py"
        instrumented_pytest(session, name, starved, options=("-m", "endurance"))


@nox.session(python=BUILD_PYTHON)
def coverage(session: nox.Session) -> None:
    """Measure which lines of the C the tests reach: 95 % of each file, and tools/uncovered.txt explains the rest."""
    instrumented_session(session)
    if not shutil.which("gcov"):
        session.skip("no gcov, which comes with gcc")
    install(session, "coverage")
    flags = ("-O0", "--coverage", "-fprofile-update=atomic")
    sources = []
    for name in SIBLINGS:
        sources.append(install_instrumented(session, name, *flags))
        chosen = ("-m", "endurance or not endurance", *session.posargs)
        instrumented_pytest(session, name, options=chosen)
    tool(session, "uncovered.py", *sources)


# ------------------------------------------------------------------- documents and show


@nox.session(requires=["build"], tags=["all"])
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build, warnings being errors."""
    install(session, "docs")
    install_wheels(session, *FOLDERS)
    strict = ("-W", "--keep-going", "-E", "-q")
    session.run("sphinx-build", *strict, "-b", "html", "docs", "docs/_build")


@nox.session(requires=["build"])
def demo(session: nox.Session) -> None:
    """Run the demo: unrelated processes that meet by name and by key, one of them killed."""
    install(session, "demo")
    install_wheels(session, *FOLDERS)
    session.run("python", "-I", ROOT / "examples/demo/run.py", *session.posargs)


@nox.session(requires=["build"])
def bench(session: nox.Session) -> None:
    """Measure against a floor in C and the peers from PyPI; writes tables, JSON and plots."""
    install(session, "bench")
    install_optional(session, "peers")
    install_wheels(session, *SIBLINGS)
    session.run("python", "-I", ROOT / "benchmarks/run.py", *session.posargs)
