"""Try every way to install the three distributions, each from a fresh clone into a fresh venv.

    nox -s installs                 # all of them
    nox -s installs -- git uv       # those with one of these words in their names

Some ways cannot work, because the links between the folders are lost on them; those must be refused
with a sentence that says so. Only what is committed counts. The Python that runs this needs pip, build and
setuptools; where uv is missing, its ways are skipped. The package index must be within reach, because
pip and uv fetch setuptools for each build.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {
    "posixmq": "./packages/posixmq",
    "sysvmq": "./packages/sysvmq",
    "ipcqueue": "./packages/ipcqueue-meta",
}
SIBLINGS = ("posixmq", "sysvmq")


@dataclass(frozen=True)
class Way:
    """A command that installs, run in the tree once for each of the CFLAGS."""

    name: str
    command: str
    gives: tuple[str, ...] = tuple(FOLDERS)
    flags: tuple[str, ...] = ("",)
    tree: str = "clone"  # how the folder is made in which the command runs: see TREES
    refused: bool = False  # in the words of REFUSAL


REFUSAL = "cannot be built here: the symbolic links of its folder lead nowhere"

# In the commands, {clone} is the URL of the clone, {dist} a folder with its sdists and wheels, and {tar} and
# {zip} are the URLs of its archives.
PATHS = " ".join(FOLDERS.values())
EDITABLE = " ".join(f"-e {folder}" for folder in FOLDERS.values())
GIT = " ".join(f"git+{{clone}}#subdirectory={folder[2:]}" for folder in FOLDERS.values())
SDISTS = " ".join(f"{{dist}}/{name}-{{version}}.tar.gz" for name in FOLDERS)
TARS = " ".join(f"{{tar}}#subdirectory={folder[2:]}" for folder in FOLDERS.values())
TWO = "./packages/posixmq ./packages/sysvmq"

# A build must hold nothing of the one before it in the same clone.
BY_TURNS = ("-O2 -DMQC_POLLS", "", "-O2 -DMQC_POLLS")

WAYS = [
    Way("folders", f"pip install {PATHS}"),
    Way("posixmq alone", "pip install ./packages/posixmq", ("posixmq",)),
    Way("sysvmq alone", "pip install ./packages/sysvmq", ("sysvmq",)),
    Way("git", f"pip install {GIT}"),
    Way("git alone", "pip install git+{clone}#subdirectory=packages/sysvmq", ("sysvmq",)),
    Way("sdists", f"pip install {SDISTS}"),
    Way("sdist alone", "pip install {dist}/posixmq-{version}.tar.gz", ("posixmq",)),
    Way("wheels", "pip install --no-index --find-links {dist} ipcqueue"),
    Way("editable", f"pip install {EDITABLE}"),
    Way("archive", f"pip install {PATHS}", tree="archive"),
    Way("archive by address", f"pip install {TARS}"),
    Way("copied links followed", f"pip install {PATHS}", tree="links followed"),
    Way("other flags", f"pip install {TWO}", SIBLINGS, BY_TURNS),
    Way("uv", f"uv pip install {PATHS}"),
    Way("uv editable", f"uv pip install {EDITABLE}"),
    Way("uv other flags", f"uv pip install {TWO}", SIBLINGS, BY_TURNS),
    *(
        Way(f"refused {name}", f"pip install ./packages/{name}", tree="links lost", refused=True)
        for name in SIBLINGS
    ),
    Way("refused zip", "pip install {zip}#subdirectory=packages/posixmq", refused=True),
    Way("refused copy of a folder", "pip install .", tree="folder copied", refused=True),
    Way("refused archive of a folder", "pip install .", tree="folder archived", refused=True),
]


# ------------------------------------------------------------ in the Python installed into


def prove(clone: str, polls: str, *names: str) -> None:
    """Use these distributions, having made sure that they are those of the clone."""
    if "ipcqueue" in names:
        from ipcqueue import posixmq, sysvmq

        assert [posixmq, sysvmq] == [importlib.import_module(name) for name in SIBLINGS]
    for name in names:
        prove_origin(name, Path(clone, FOLDERS[name]))
    for name in SIBLINGS:
        if name in names:
            prove_use(name, polls == "polls")
        else:
            assert find_spec(name) is None, f"{name} was installed as well"


def prove_origin(name: str, source: Path) -> None:
    """Compare version and modules with those of the sources."""
    assert version(name) == project_version(source), version(name)
    found, expected = (
        {path.name for path in folder.glob("*.py")}
        for folder in (
            Path(importlib.import_module(name).__file__ or "").parent,
            source / "src" / name,
        )
    )
    assert found == expected, f"the modules of {name} are {found}, not {expected}"


def prove_use(name: str, polls: bool) -> None:
    """Send a message through a queue without a name, and look how the extension was built."""
    module = importlib.import_module(name)
    new = module.Queue.anonymous if name == "posixmq" else module.Queue
    with new() as queue:
        queue.put({"sent by": name})
        assert queue.get(timeout=10) == {"sent by": name}
    extension = importlib.import_module(f"{name}._{name}")
    assert hasattr(extension, "_polls") == polls, f"{name} was built with other flags"


# ---------------------------------------------------------------------- one way, from outside


def project_version(source: Path) -> str:
    """Return the version in a pyproject.toml."""
    project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def run(command: list[str], **options: Any) -> None:
    """Run a command; if it fails, raise CalledProcessError with all that it said."""
    options |= {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True}
    subprocess.run(command, check=True, stderr=subprocess.STDOUT, **options)


def clone_into(target: Path, *options: str) -> Path:
    """Clone the last commit of this repository."""
    run(["git", *options, "clone", "--quiet", str(ROOT), str(target)])
    return target


def archive_into(target: Path, what: str = "HEAD") -> Path:
    """Unpack what git archives of the last commit, or of one folder of it."""
    target.mkdir(parents=True)
    packed = target.with_suffix(".tar")
    run(["git", "-C", str(ROOT), "archive", f"--output={packed}", what])
    run(["tar", "-xf", str(packed), "-C", str(target)])
    return target


def copy_into(target: Path, folder: str, follow: bool) -> Path:
    """Copy a folder of a clone; links become files, or stay links."""
    clone = clone_into(target.with_name("copied"))
    leave = shutil.ignore_patterns(".git")
    return Path(shutil.copytree(clone / folder, target, symlinks=not follow, ignore=leave))


TREES: dict[str, Callable[[Path], Path]] = {
    "clone": clone_into,
    "archive": archive_into,
    "links followed": lambda target: copy_into(target, ".", follow=True),
    # As in the .zip that a forge makes: a file in place of a link, with the path in it.
    "links lost": lambda target: clone_into(target, "-c", "core.symlinks=false"),
    "folder copied": lambda target: copy_into(target, "packages/posixmq", follow=False),
    "folder archived": lambda target: archive_into(target, "HEAD:packages/posixmq"),
}


def build_into(dist: Path) -> None:
    """Build the sdists and wheels of a clone."""
    clone = clone_into(dist.with_name("clone-to-build"))
    for folder in FOLDERS.values():
        options = ["--no-isolation", "--outdir", str(dist)]
        run([sys.executable, "-m", "build", *options, folder], cwd=clone)


def try_way(way: Way, place: Path, dist: Path) -> None:
    """Make the tree, install and use, in new folders of this place."""
    tree = TREES[way.tree](place / "tree")
    python = place / "venv/bin/python"
    venv.create(place / "venv", symlinks=True, with_pip=False)
    command = words(way.command, python, tree, dist)
    if way.refused:
        expect_refusal(command, cwd=tree, env=environment(place, ""))
        return
    for flags in way.flags:
        # A module that comes and goes together with the flags.
        for name in SIBLINGS:
            passing = tree / FOLDERS[name] / "src" / name / "passing.py"
            passing.touch() if flags else passing.unlink(missing_ok=True)
        run(command, cwd=tree, env=environment(place, flags))
        proof = [str(tree), "polls" if flags else "sleeps", *way.gives]
        run([str(python), "-I", __file__, "--prove", *proof], cwd=place)


def expect_refusal(command: list[str], **options: Any) -> None:
    """Run a command that must fail in the words of REFUSAL; else raise CalledProcessError."""
    options |= {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "text": True}
    done = subprocess.run(command, stderr=subprocess.STDOUT, **options)
    if done.returncode == 0 or REFUSAL not in " ".join(done.stdout.split()):
        said = f"not refused as it should be (exit status {done.returncode}):\n{done.stdout}"
        raise subprocess.CalledProcessError(done.returncode, command, said)


def words(command: str, python: Path, tree: Path, dist: Path) -> list[str]:
    """Return the words that run the command with the tools beside this Python."""
    tool, *rest = command.split()
    into = ["--python", str(python)] if tool == "pip" else []  # uv goes by UV_PYTHON
    fill = {
        "clone": tree.as_uri(),
        "dist": str(dist),
        "version": version_built(dist) if "{version}" in command else "",
        **{kind: pack(tree, kind).as_uri() for kind in ("tar", "zip") if f"{{{kind}}}" in command},
    }
    return [sys.executable, "-m", tool, *into, *(word.format_map(fill) for word in rest)]


def version_built(dist: Path) -> str:
    """Return the version of the sdists in a folder."""
    (sdist,) = dist.glob("ipcqueue-*.tar.gz")
    return sdist.name.removesuffix(".tar.gz").rpartition("-")[2]


def pack(clone: Path, kind: str) -> Path:
    """Archive a clone as a forge does: all of it within one folder."""
    target = clone.with_name("ipcqueue.tar.gz" if kind == "tar" else "ipcqueue.zip")
    run(["git", "-C", str(clone), "archive", "--prefix=ipcqueue/", f"--output={target}", "HEAD"])
    return target


def environment(place: Path, flags: str) -> dict[str, str]:
    """Return the environment of an installation: no other clone's builds come out of a cache."""
    env = {name: value for name, value in os.environ.items() if name != "CFLAGS"}
    env |= {"CFLAGS": flags} if flags else {}
    return env | {
        "UV_PYTHON": str(place / "venv/bin/python"),
        "PIP_CACHE_DIR": str(place.parent / "pip-cache"),
        "UV_CACHE_DIR": str(place.parent / "uv-cache"),
    }


# ---------------------------------------------------------------------------------- all ways


def attempt(name: str, command: str, action: Callable[[], None]) -> bool:
    """Act; print one line with the result and the seconds, and the output only of a failure."""
    started = time.monotonic()
    failure = ""
    try:
        action()
    except subprocess.CalledProcessError as error:
        failure = f"{' '.join(error.cmd)}\n{error.stdout}"
    result = "FAILED" if failure else "ok"
    print(f"{result:6} {time.monotonic() - started:5.1f} s  {name:26}  {command}", flush=True)
    if failure:
        print(failure, flush=True)
    return not failure


def main(asked: list[str]) -> int:
    """Try the ways that were asked for; return the status to exit with."""
    if asked[:1] == ["--prove"]:
        prove(*asked[1:])
        return 0
    ways = [way for way in WAYS if not asked or set(asked) & set(way.name.split())]
    if not ways:
        print("no such way; the ways are:", ", ".join(way.name for way in WAYS), file=sys.stderr)
        return 2
    if not shutil.which("git") or not (ROOT / ".git").exists():
        print("this takes git, and a clone that git has made", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        return try_ways(ways, Path(folder).resolve())


def try_ways(ways: list[Way], place: Path) -> int:
    """Try each way in a folder of its own; return how many failed."""
    dist = place / "dist"
    failed = 0
    if any("{dist}" in way.command for way in ways):
        command = f"python -m build --no-isolation {PATHS}"
        failed += not attempt("build", command, partial(build_into, dist))
    for number, way in enumerate(ways):
        if way.command.startswith("uv ") and find_spec("uv") is None:
            print(f"skipped         {way.name:26}  uv is not installed")
            continue
        failed += not attempt(
            way.name, way.command, partial(try_way, way, place / str(number), dist)
        )
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
