"""Check sdists and wheels: they hold what they should, and extensions are small and run on old systems.

python tools/check_dists.py dist/*.whl     # the extensions in these wheels

It takes the program auditwheel.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

# Twice what gcc makes today; the same with debug information is more than three times as large.
LARGEST = 200_000

NEWEST_GLIBC = 17  # manylinux2014 is manylinux_2_17

# An ELF file keeps the names of its sections as plain text.
DEBUG_SECTION = re.compile(rb"\.z?debug_\w+")


def lacking(sdist: Path, files: set[str]) -> Iterator[str]:
    """Yield what an sdist lacks of these files."""
    with tarfile.open(sdist) as archive:
        sent = {member.partition("/")[2] for member in archive.getnames()}
    if lost := files - sent:
        yield f"{sdist.name} lacks {sorted(lost)}"


def stray(wheel: Path, name: str) -> Iterator[str]:
    """Yield what a wheel should not hold, sources of C for instance."""
    allowed = re.compile(rf"{name}/.*\.(py|pyi|so|typed)|{name}-[^/]*\.dist-info/.*")
    with zipfile.ZipFile(wheel) as packed:
        if found := [member for member in packed.namelist() if not allowed.fullmatch(member)]:
            yield f"{wheel.name} holds {found}"


def heavy(wheel: str | Path) -> Iterator[str]:
    """Yield which extensions of a wheel are large or hold debug information."""
    with zipfile.ZipFile(wheel) as packed:
        extensions = {name: packed.read(name) for name in packed.namelist() if name.endswith(".so")}
    for name, content in extensions.items():
        if len(content) > LARGEST:
            yield f"{wheel}: {name} has {len(content):,} bytes, more than {LARGEST:,}"
        if section := DEBUG_SECTION.search(content):
            yield f"{wheel}: {name} has debug information ({section[0].decode()})"


def too_new(wheel: str | Path, shown: str) -> Iterator[str]:
    """Yield what is wrong with a wheel of which auditwheel shows this."""
    minor = re.search(r"manylinux_2_(\d+)_", shown)
    if minor is None or int(minor[1]) > NEWEST_GLIBC:
        yield f"{wheel} is no manylinux2014 wheel:\n{shown}"


def audit(wheel: str) -> Iterator[str]:
    """Yield what is wrong with the extensions of a wheel."""
    yield from heavy(wheel)
    command = ["auditwheel", "show", wheel]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    yield from too_new(wheel, done.stdout)


def main(wheels: list[str]) -> str | int:
    """Return what is wrong, or 0."""
    if not wheels:
        return "name the wheels: python tools/check_dists.py dist/*.whl"
    return "\n".join(complaint for wheel in wheels for complaint in audit(wheel)) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
