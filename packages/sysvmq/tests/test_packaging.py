"""What is tested is the installed package, and it stands by itself."""

import importlib.util
from importlib.metadata import distribution
from pathlib import Path

import sysvmq


def test_the_installed_package_is_tested_not_the_source_tree():
    package = Path(sysvmq.__file__).parent
    assert package.parent.name in ("site-packages", "dist-packages")
    assert not (package.parents[1] / "pyproject.toml").exists()


def test_the_sibling_is_absent():
    assert importlib.util.find_spec("posixmq") is None
    assert importlib.util.find_spec("ipcqueue") is None


def test_the_version_is_the_distribution_s():
    assert distribution("sysvmq").version == sysvmq.__version__


def test_nothing_else_is_needed_at_run_time():
    assert not distribution("sysvmq").requires


def test_the_wheel_holds_the_stubs_and_no_c_source():
    names = {Path(str(file)).name for file in distribution("sysvmq").files}
    assert {"__init__.py", "_sysvmq.pyi", "py.typed", "serializers.py"} <= names
    assert not {name for name in names if name.endswith((".c", ".h"))}
    assert not {name for name in names if name.startswith(("test_", "conftest"))}
