"""What git runs before a commit is what nox -s lint runs, in the same versions."""

import re

from distributions import ROOT
from run_tests import requirements

CONFIGURATION = ROOT / ".pre-commit-config.yaml"


def test_the_hooks_take_the_versions_of_the_dependency_groups():
    pinned = re.findall(r'"([\w-]+==[\w.]+)"', CONFIGURATION.read_text())
    assert {pin.partition("==")[0] for pin in pinned} == {"ruff", "clang-format"}
    assert set(pinned) <= set(requirements("lint"))


def test_the_hooks_run_programs_that_are_there():
    programs = re.findall(r"tools/\w+\.py", CONFIGURATION.read_text())
    assert programs and all((ROOT / program).exists() for program in programs)
