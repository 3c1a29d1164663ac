"""Check that the extensions in wheels are small and hold no debug information.

python tools/check_wheels.py dist/*.whl
"""

from __future__ import annotations

import re
import sys
import zipfile
from collections.abc import Iterator

# Twice what gcc makes today; the same with debug information is more than three times as large.
LARGEST = 200_000

# An ELF file keeps the names of its sections as plain text.
DEBUG_SECTION = re.compile(rb"\.z?debug_\w+")


def complaints(wheel: str) -> Iterator[str]:
    """Yield what is wrong with the extensions in a wheel."""
    with zipfile.ZipFile(wheel) as packed:
        extensions = {name: packed.read(name) for name in packed.namelist() if name.endswith(".so")}
    for name, content in extensions.items():
        if len(content) > LARGEST:
            yield f"{wheel}: {name} has {len(content):,} bytes, more than {LARGEST:,}"
        if section := DEBUG_SECTION.search(content):
            yield f"{wheel}: {name} has debug information ({section[0].decode()})"


def main(wheels: list[str]) -> str | int:
    """Return what is wrong, or 0."""
    if not wheels:
        return "name the wheels: python tools/check_wheels.py dist/*.whl"
    found = [complaint for wheel in wheels for complaint in complaints(wheel)]
    return "\n".join(found) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
