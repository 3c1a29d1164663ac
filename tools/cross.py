"""Compile the C for other systems by `zig cc`, warnings being errors. None of it is run.

The Python that runs this gives its headers, and needs the distribution ziglang.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from distributions import LIMITED, QUIET, SIBLINGS, c_flags, c_sources

# musl, 32 bits, FreeBSD, macOS.
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
REFUSAL = "macOS has no POSIX message queues"


def command(target: str, name: str, headers: Path) -> list[str]:
    """Return the command that compiles and links the extension of a package for a target."""
    macos = ["-undefined", "dynamic_lookup"] if "macos" in target else []
    return [
        *(sys.executable, "-m", "ziglang", "cc", "-target", target, *c_flags(name)),
        *("-Wall", "-Wextra", *QUIET, "-fPIC", "-shared", LIMITED, f"-I{headers}", *macos),
        *(*c_sources(name), "-o", str(headers / "extension.so")),
    ]


def complaint(target: str, name: str, code: int, said: str) -> str:
    """Return what is wrong with the way a compilation ended, or nothing."""
    if name == "posixmq" and "macos" in target:
        refused = code != 0 and REFUSAL in said
        return "" if refused else f"{name} for {target} is not refused in words:\n{said}"
    return f"{name} for {target}:\n{said}" if code or "warning:" in said else ""


def copy_headers(folder: str) -> Path:
    """Copy Python's headers, and let them fit 32 bits as well."""
    headers = Path(shutil.copytree(sysconfig.get_path("include"), f"{folder}/include"))
    (headers / "pyconfig.h").rename(headers / "pyconfig_of_this_machine.h")
    (headers / "pyconfig.h").write_text(PYCONFIG)
    return headers


def main() -> str | int:
    """Return what is wrong, or 0."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        headers = copy_headers(folder)
        for target in TARGETS:
            for name in SIBLINGS:
                done = subprocess.run(
                    command(target, name, headers),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
                wrong = complaint(target, name, done.returncode, done.stdout)
                print("FAILED" if wrong else "ok    ", name, "for", target, flush=True)
                found += [wrong] if wrong else []
    return "\n".join(found) or 0


if __name__ == "__main__":
    sys.exit(main())
