"""Build a package with other flags, from a copy, and install it into the Python that runs this.

    python tools/instrument.py NAME FOLDER FLAG...

The copy stays in FOLDER: gcov writes its counts there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from distributions import FOLDERS, SIBLINGS, copy_package

OPTIONS = ["--no-index", "--no-build-isolation", "--no-deps", "--force-reinstall"]


def install(name: str, folder: Path, flags: list[str]) -> None:
    """Install the package with these flags, and none of the others beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    copy_package(name, folder)
    joined = " ".join(flags)
    env = {"CFLAGS": f"-g -fno-omit-frame-pointer {joined}", "LDFLAGS": joined}
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "uninstall", "-qqy", *FOLDERS], check=True)
    subprocess.run([*pip, "install", "-q", *OPTIONS, folder], check=True, env=os.environ | env)


def preload(*libraries: str) -> str:
    """Return the value of LD_PRELOAD that brings in these libraries of the compiler, or nothing."""
    found = []
    for library in libraries:
        command = ["cc", f"-print-file-name={library}"]
        path = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        if not Path(path).is_absolute():  # the compiler says the bare name again
            return ""
        found.append(path)
    return " ".join(found)


def sanitizer_env() -> dict[str, str]:
    """Return the environment that tests need under sanitizers, empty where the compiler has none."""
    libraries = preload("libasan.so", "libubsan.so")
    if not libraries:
        return {}
    return {
        "LD_PRELOAD": libraries,
        "PYTHONMALLOC": "malloc",  # the sanitizer sees only what comes from malloc(3)
        # Python itself keeps memory to the end; test_leaks.py counts what is lost.
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    }


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in SIBLINGS:
        sys.exit(__doc__)
    install(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
