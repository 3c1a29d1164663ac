"""The three distributions are of one version, and say what they are."""

import importlib.metadata

import pytest

import ipcqueue
import posixmq
import sysvmq

MODULES = {"posixmq": posixmq, "sysvmq": sysvmq, "ipcqueue": ipcqueue}


@pytest.fixture(params=MODULES)
def distribution(request):
    return importlib.metadata.distribution(request.param)


def test_module_and_metadata_agree_on_the_version(distribution):
    assert MODULES[distribution.name].__version__ == distribution.version == ipcqueue.__version__


@pytest.mark.parametrize("name", ["posixmq", "sysvmq"])
def test_the_packages_need_nothing(name):
    assert not importlib.metadata.requires(name)


def test_wheels_hold_types_and_a_licence_but_no_source_of_c(distribution):
    files = [str(file) for file in distribution.files]
    assert f"{distribution.name}/py.typed" in files
    assert any(file.endswith("licenses/LICENSE") for file in files)
    assert not [file for file in files if file.endswith((".c", ".h"))]


def test_metadata_is_complete(distribution):
    metadata = distribution.metadata
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Summary"]
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert any("Free Threading" in line for line in metadata.get_all("Classifier"))
