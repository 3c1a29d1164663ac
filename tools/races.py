"""Compile a package by hand for ThreadSanitizer, and look through its reports for our own code.

    python tools/races.py prepare NAME REPORT    # into the site-packages of the Python that runs this
    python tools/races.py check REPORT

The reports are the files whose names begin with REPORT and a dot; `prepare` removes old ones.
"""

from __future__ import annotations

import glob
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from distributions import ROOT, SIBLINGS, c_flags, c_sources

# A frame of ours names a file of the C, or the extension where the sanitizer cannot name the file.
OURS = re.compile(r"/ext/\S+\.[ch]\b|_(?:posixmq|sysvmq)\.so\b")
FLAGS = ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=thread", "-shared", "-fPIC"]


def compile_into(site: Path, name: str) -> None:
    """Put a package into site-packages, and neither of the two that was there before."""
    for sibling in SIBLINGS:
        shutil.rmtree(site / sibling, ignore_errors=True)
    leave = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "packages" / name / "src" / name, site / name, ignore=leave)
    headers = f"-I{sysconfig.get_path('include')}"
    command = ["cc", *c_flags(name), *FLAGS, headers, *c_sources(name)]
    subprocess.run([*command, "-o", site / name / f"_{name}.so"], check=True)


def files_of(reports: Path) -> list[Path]:
    """Return the files that the sanitizer has written, one for each process."""
    return list(reports.parent.glob(f"{glob.escape(reports.name)}.*"))


def ours(text: str) -> list[str]:
    """Return the reports in which our C code takes part; Python's own races are Python's."""
    return [report for report in text.split("==================") if OURS.search(report)]


def check(reports: Path) -> str | int:
    """Return what is wrong, or 0."""
    texts = [path.read_text(errors="replace") for path in files_of(reports)]
    if found := [report for text in texts for report in ours(text)]:
        return "\n".join([f"{len(found)} reports with our code in them", *found[:3]])
    print("no report with our code in it")
    return 0


def main(arguments: list[str]) -> str | int | None:
    """Return what is wrong, or 0."""
    match arguments:
        case ["prepare", name, reports]:
            for old in files_of(Path(reports)):
                old.unlink()
            compile_into(Path(sysconfig.get_path("purelib")), name)
            return 0
        case ["check", reports]:
            return check(Path(reports))
    return __doc__


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
