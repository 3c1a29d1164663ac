"""Build sdist and wheel of distributions into a folder of their own, and check what they hold.

    python tools/build_dists.py FOLDER NAME...

The Python that runs this builds them; it needs `build` and setuptools. The wheel is made from the
sdist, and the sdist from a clean copy of the package.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from check_dists import lacking, stray
from distributions import FOLDERS, built, copy_package
from pythons import can_build


def build_one(name: str, folder: Path) -> list[str]:
    """Build one distribution, show the compiler's warnings, and return what is wrong."""
    with tempfile.TemporaryDirectory() as copy:
        source = copy_package(name, Path(copy, "x"))
        files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, source]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        return [f"{name} cannot be built:\n{done.stdout}"]
    for line in warnings(done.stdout):
        print(line)
    sdist, wheel = built(folder, name, ".tar.gz"), built(folder, name, ".whl")
    wrong = [*lacking(sdist, files), *stray(wheel, name)]
    if not wrong:
        print(f"{sdist.name} and {wheel.name} hold what they should", flush=True)
    return wrong


def warnings(output: str) -> list[str]:
    """Return the lines in which a C compiler warns of something."""
    return [line for line in output.splitlines() if re.search(r"\.[ch]:[\d:]+ warning: ", line)]


def main(folder: str, *names: str) -> str | int:
    """Return what is wrong, or 0."""
    if not can_build(sys.executable) or not shutil.which("cc"):
        return "no C compiler or no Python headers: apt install gcc python3-dev"
    shutil.rmtree(folder, ignore_errors=True)
    return "\n".join(line for name in names for line in build_one(name, Path(folder))) or 0


if __name__ == "__main__":
    if len(sys.argv) < 3 or not set(sys.argv[2:]) <= set(FOLDERS):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
