"""The three distributions of this repository: their folders, how they are copied, their C."""

from __future__ import annotations

import glob
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"posixmq": "posixmq", "sysvmq": "sysvmq", "ipcqueue": "ipcqueue-meta"}
SIBLINGS = {"posixmq": "sysvmq", "sysvmq": "posixmq"}


def copy_package(name: str, target: Path) -> Path:
    """Copy the sources of a distribution, without what was built in them; links become files."""
    leave = shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__", "*.so")
    return Path(shutil.copytree(ROOT / "packages" / FOLDERS[name], target, ignore=leave))


def built(folder: Path, name: str, ending: str) -> Path:
    """Return the one file of a distribution in the folder that ends so."""
    (path,) = folder.glob(f"{name}-*{ending}")
    return path


def c_sources(name: str, root: Path = ROOT) -> list[str]:
    """Return the C files that a package is compiled from, also those behind links."""
    # Path.rglob follows no links to folders; glob does.
    return sorted(glob.glob(f"{glob.escape(str(root))}/packages/{name}/ext/**/*.c", recursive=True))


# Headers are found from a package's own folder and from the core that both packages share.
C_FOLDERS = ["ext", "ext/mqc"]
LIMITED = "-DPy_LIMITED_API=0x030B0000"
# As in extension.py: callbacks have parameters that they need not, tables end in {NULL}.
QUIET = ["-Wno-unused-parameter", "-Wno-missing-field-initializers"]


def c_flags(name: str) -> list[str]:
    """Return what every compiler is told that reads the C of a package."""
    return ["-std=c11", *(f"-I{ROOT}/packages/{name}/{folder}" for folder in C_FOLDERS)]


def c_files(*tops: str) -> list[str]:
    """Return every file of C below these folders of the repository, each once."""
    return sorted(str(path) for top in tops for path in (ROOT / top).rglob("*.[ch]"))
