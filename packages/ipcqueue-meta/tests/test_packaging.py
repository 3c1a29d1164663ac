"""ipcqueue has the version of the two packages that it re-exports, and asks for just those."""

import importlib.metadata
import re

from packaging.requirements import Requirement

import ipcqueue


def test_the_version_is_above_every_release_of_the_original():
    assert [int(n) for n in re.findall(r"\d+", ipcqueue.__version__)] > [0, 9, 7]


def test_ipcqueue_pins_both_packages_at_its_own_version():
    required = {r.name: r for r in map(Requirement, importlib.metadata.requires("ipcqueue"))}
    assert {name: str(r.specifier) for name, r in required.items()} == {
        "posixmq": f"=={ipcqueue.__version__}",
        "sysvmq": f"=={ipcqueue.__version__}",
    }
    assert not required["posixmq"].marker.evaluate({"sys_platform": "darwin"})
    assert required["posixmq"].marker.evaluate({"sys_platform": "linux"})
    assert required["sysvmq"].marker is None
