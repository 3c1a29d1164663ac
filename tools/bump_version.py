"""Write the version everywhere, or check that every place has the same one.

python tools/bump_version.py 1.2.3      # write this version
python tools/bump_version.py --check    # fail when two places name different versions
"""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from distributions import ROOT

# Where the version is written, and the text before it.
PLACES = [
    ("CHANGELOG.md", r"(\A.*?^## \[)(\d[^\]]*)"),
    ("packages/*/pyproject.toml", r'(^version = ")([^"]+)'),
    ("packages/*/src/*/__init__.py", r'(^__version__ = ")([^"]+)'),
    ("packages/ipcqueue-meta/pyproject.toml", r'("(?:posixmq|sysvmq)==)([^";]+)'),
]
UNRELEASED = "## [Unreleased]"


def places(root: Path) -> Iterator[tuple[Path, re.Pattern[str]]]:
    """Yield each file that holds the version, with the pattern that finds it."""
    for place, pattern in PLACES:
        for path in sorted(root.glob(place)):
            yield path, re.compile(pattern, re.MULTILINE | re.DOTALL)


def difference(root: Path) -> str:
    """Return which places name which version, or nothing where all name the same."""
    found = [
        (match[2], path.relative_to(root))
        for path, regex in places(root)
        for match in regex.finditer(path.read_text())
    ]
    if len({version for version, _ in found}) == 1:
        return ""
    return "the version differs:\n" + "\n".join(f"{version}  {path}" for version, path in found)


def bump(root: Path, version: str) -> None:
    """Write the version everywhere, and begin its chapter in the changelog."""
    changelog = root / "CHANGELOG.md"
    heading = f"{UNRELEASED}\n\n## [{version}] - {datetime.date.today()}"
    changelog.write_text(changelog.read_text().replace(UNRELEASED, heading, 1))
    for path, regex in places(root):
        path.write_text(regex.sub(rf"\g<1>{version}", path.read_text()))


def main(arguments: list[str], root: Path = ROOT) -> str | int:
    """Return what is wrong, or 0."""
    if arguments != ["--check"]:
        if len(arguments) != 1 or not re.fullmatch(r"\d+\.\d+\.\d+\w*", arguments[0]):
            return "which version? nox -s bump -- 1.2.3"
        bump(root, arguments[0])
    return difference(root) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
