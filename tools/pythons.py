"""Which Pythons there are, and which of them can build: noxfile.py asks when it is read."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]


def path_with_pyenv(path: str, pyenv: Path) -> str:
    """Return the search path with all of pyenv's Pythons in it.

    pyenv's shims start only the version that is chosen now. Free-threaded Pythons come last, because
    their folders also hold commands with the names of the ordinary ones.
    """
    for version in PYTHONS if os.access(pyenv, os.R_OK) else []:
        for folder in sorted(pyenv.glob(f"versions/{version}.*[0-9]/bin")):
            path = f"{folder}{os.pathsep}{path}"
        for folder in sorted(pyenv.glob(f"versions/{version}.*t/bin"), reverse=True):
            path += f"{os.pathsep}{folder}"
    return path


def find_pyenv() -> None:
    """Put all of pyenv's Pythons on the search path of this process."""
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    os.environ["PATH"] = path_with_pyenv(os.environ["PATH"], pyenv)


def can_build(python: str) -> bool:
    """Say whether an interpreter starts (a pyenv shim may not) and has its C headers."""
    look = "import os, sysconfig; os.stat(os.path.join(sysconfig.get_path('include'), 'Python.h'))"
    path = shutil.which(python)
    return (
        path is not None and subprocess.run([path, "-c", look], capture_output=True).returncode == 0
    )


def free_threaded() -> list[str]:
    """Return the free-threaded Pythons that can build."""
    return [f"{version}t" for version in PYTHONS if can_build(f"python{version}t")]
